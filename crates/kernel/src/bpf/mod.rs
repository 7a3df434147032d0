//! Programs that the kernel runs over its own lists (BPF iterators, Linux 5.9): `tcp` reads the options of
//! every tcp socket of a port, `files` names every open descriptor of sockets.
//!
//! Nothing on the machine changes: a program only reads, it runs while its output is read here, and it
//! is gone with its descriptor. It needs `CAP_BPF` and `CAP_PERFMON` in the initial user namespace. The
//! options of TIME_WAIT, of orphans and of other users' sockets show nowhere else; descriptors also show in
//! /proc, at twenty times the price. Sockets that are bound and neither listen nor are connected are in no
//! list of tcp sockets that an iterator walks.
//!
//! `btf`, `asm` and `run` know nothing of either program. Follows Documentation/bpf/bpf_iterators.rst and
//! bpf(2).

mod asm;
mod btf;
mod files;
mod run;
mod tcp;

pub(crate) use files::OpenSocket;
pub use tcp::TcpOptions;

use crate::error::Error;
use crate::netns::Netns;
use crate::sys::bpf as sys;
use asm::Fetch;
use btf::Member;
use run::Iteration;
use std::sync::OnceLock;

/// The helper `bpf_seq_write`, for programs under a licence that goes with the GPL.
const SEQ_WRITE: i32 = 127;

/// What the kernel keeps of each tcp socket that has this local port, in any state but bound-only.
///
/// # Errors
/// [`Error::Denied`] without the privilege; [`Error::Unsupported`] where the kernel has no BTF or no
/// iterators.
pub fn tcp_options(netns: &Netns, port: u16) -> Result<Vec<TcpOptions>, Error> {
    static LAYOUT: OnceLock<tcp::Layout> = OnceLock::new();
    let object = "the program that reads the options of sockets";
    run::privileged(object)?;
    let layout = once(&LAYOUT, tcp::Layout::find)?;
    let (attach, instructions) = (layout.attach, layout.program(port));
    let mut found = Vec::new();
    Iteration { object, attach, instructions, record: tcp::RECORD }
        .run(|link| netns.inside(|| sys::iterator(link)), &mut |record| found.extend(tcp::read(record)))?;
    Ok(found)
}

/// Hands every open descriptor of the sockets with these inodes to `each`; of every socket, where none are
/// named. Those of tasks in the caller's pid namespace, with the ids of the first one.
///
/// # Errors
/// As [`tcp_options`]. What was handed over before an error stands.
pub(crate) fn open_sockets(inodes: &[u32], each: &mut dyn FnMut(OpenSocket)) -> Result<(), Error> {
    let list = list_of(inodes)?;
    list.run(|link| Ok(sys::iterator(link)), &mut |record| _ = files::read(record).map(&mut *each))
}

fn list_of(inodes: &[u32]) -> Result<Iteration, Error> {
    static LAYOUT: OnceLock<files::Layout> = OnceLock::new();
    let object = "the program that lists open sockets";
    run::privileged(object)?;
    let layout = once(&LAYOUT, files::Layout::find)?;
    let (attach, instructions) = (layout.attach, layout.program(inodes));
    Ok(Iteration { object, attach, instructions, record: files::RECORD })
}

/// Whether owners can be looked up by the iterator over open files, and why not: it is loaded, and not run.
///
/// # Errors
/// As [`tcp_options`].
pub fn can_list_open_sockets() -> Result<(), Error> {
    list_of(&[])?.load().map(drop)
}

/// Whether the caller has the capabilities; a program may be refused all the same.
pub(crate) fn may_load() -> bool {
    run::privileged("a program").is_ok()
}

/// Where this kernel keeps things. It does not change while the kernel runs, so it is looked up once.
fn once<T>(
    known: &'static OnceLock<T>,
    find: impl FnOnce(&mut btf::Btf<'_>) -> Result<T, &'static str>,
) -> Result<&'static T, Error> {
    match known.get() {
        Some(layout) => Ok(layout),
        None => run::in_kernel_types(find).map(|layout| known.get_or_init(|| layout)),
    }
}

/// Whether the programs can be made for a kernel that describes itself so; the bytes are those of its
/// /sys/kernel/btf/vmlinux.
///
/// # Errors
/// As [`tcp_options`], where the bytes are no BTF or lack something that a program needs.
pub fn fits(types: &[u8]) -> Result<(), Error> {
    run::in_types(types, tcp::Layout::find)?;
    run::in_types(types, files::Layout::find).map(drop)
}

/// How to load a member that must be there: one of so many bits, or of any number where that is 0.
fn member(member: Option<Member>, bits: u32, name: &'static str) -> Result<Fetch, &'static str> {
    member
        .filter(|member| bits == 0 || member.bits == bits)
        .and_then(|member| Fetch::of(member.bit, member.bits))
        .ok_or(name)
}
