//! Programs that the kernel runs over its own lists (BPF iterators, Linux 5.9): `tcp` reads the options of
//! every tcp socket of a port, `tables` and `files` name every open descriptor of sockets.
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
mod tables;
mod tcp;

pub(crate) use files::OpenSocket;
pub use tcp::TcpOptions;

use crate::error::Error;
use crate::netns::Netns;
use crate::sys::bpf as sys;
use asm::{Fetch, Program, Reg};
use btf::Member;
use run::Iteration;
use std::sync::{Mutex, OnceLock};

/// The helper `bpf_seq_write`, for programs under a licence that goes with the GPL.
const SEQ_WRITE: i32 = 127;

/// What the kernel keeps of each tcp socket that has this local port, in any state but bound-only.
///
/// # Errors
/// [`Error::Denied`] without the privilege; [`Error::Unsupported`] where the kernel has no BTF or no
/// iterators.
pub fn tcp_options(netns: &Netns, port: u16) -> Result<Vec<TcpOptions>, Error> {
    let mut found = Vec::new();
    each_tcp_options(netns, port, &mut |options| found.push(options))?;
    Ok(found)
}

/// The same, one by one.
///
/// # Errors
/// As [`tcp_options`]. What was handed over before an error stands.
pub fn each_tcp_options(netns: &Netns, port: u16, each: &mut dyn FnMut(TcpOptions)) -> Result<(), Error> {
    static LAYOUT: OnceLock<tcp::Layout> = OnceLock::new();
    let object = "the program that reads the options of sockets";
    run::privileged(object)?;
    let layout = once(&LAYOUT, tcp::Layout::find)?;
    let (attach, instructions) = (layout.attach, layout.program(port));
    let iteration = Iteration { object, attach, instructions, record: tcp::RECORD, filter: None };
    iteration.run(|link| netns.inside(|| sys::iterator(link)), &mut |record| {
        tcp::read(record).into_iter().for_each(&mut *each);
    })
}

/// A way to list open descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The program reads the tables by itself (Linux 6.9). One process may have at most a thousand of the sockets.
    Tables(Part),
    /// The kernel's iterator over open files (Linux 5.9).
    Files,
}

/// A part of all processes: those whose numbers leave one rest when they are divided by a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    mask: i32,
    rest: i32,
}

impl Part {
    /// All of them in so many parts, or in some fewer.
    pub(crate) fn several(many: usize) -> impl Iterator<Item = Part> {
        let parts = 1i32 << many.clamp(1, 64).ilog2();
        (0..parts).map(move |rest| Part { mask: parts - 1, rest })
    }

    const WHOLE: Part = Part { mask: 0, rest: 0 };
}

/// Hands every open descriptor of the sockets with these inodes, which are sorted, to `each`; some of other sockets
/// may be among them. Those of tasks in the caller's pid namespace, with the ids of the first one.
///
/// # Errors
/// As [`tcp_options`]. What was handed over before an error stands.
pub(crate) fn open_sockets(
    list: List,
    inodes: &[u64],
    each: &mut dyn FnMut(OpenSocket),
) -> Result<(), Error> {
    let mut whole = true;
    list_of(list, inodes)?.run(|link| Ok(sys::iterator(link)), &mut |record| match files::read(record) {
        Some(socket) if socket.inode != 0 => each(socket),
        _ => whole = false,
    })?;
    let what = "a table of open files without an end";
    if whole { Ok(()) } else { Err(Error::Malformed { object: OPEN_SOCKETS.into(), what }) }
}

/// What lists open descriptors, in the words of an error.
const OPEN_SOCKETS: &str = "the program that lists open sockets";

fn list_of(list: List, inodes: &[u64]) -> Result<Iteration, Error> {
    static TABLES: OnceLock<tables::Layout> = OnceLock::new();
    static FILES: OnceLock<files::Layout> = OnceLock::new();
    run::privileged(OPEN_SOCKETS)?;
    let (attach, instructions, filter) = match list {
        List::Tables(part) => {
            let layout = once(&TABLES, tables::Layout::find)?;
            let filter = tables::Filter::new(inodes.iter().copied());
            let filter = filter.map_err(|errno| Error::new("make a map for", OPEN_SOCKETS, errno))?;
            let instructions = layout.program(&filter, part);
            // The program has the map, once it is loaded.
            (layout.attach, instructions, Some(filter))
        }
        List::Files => {
            let layout = once(&FILES, files::Layout::find)?;
            (layout.attach, layout.program(&named(inodes)), None)
        }
    };
    Ok(Iteration { object: OPEN_SOCKETS, attach, instructions, record: files::RECORD, filter })
}

/// More inodes than these the older program does not tell apart: it takes every socket.
const MOST_NAMED: usize = 512;

/// The lower halves of the inodes, in their order; none where they are too many or too large for that.
fn named(inodes: &[u64]) -> Vec<u32> {
    let halves =
        (inodes.len() <= MOST_NAMED).then(|| inodes.iter().map(|&inode| u32::try_from(inode)).collect());
    halves.and_then(Result::ok).unwrap_or_default()
}

/// Whether owners can be looked up by an iterator, and why not: it is loaded, and not run.
///
/// # Errors
/// As [`tcp_options`].
pub fn can_list_open_sockets() -> Result<(), Error> {
    let load = |list| list_of(list, &[])?.load().map(drop);
    load(List::Tables(Part::WHOLE)).or_else(|_| load(List::Files))
}

/// Whether the caller has the capabilities; a program may be refused all the same.
pub(crate) fn may_load() -> Result<(), Error> {
    run::privileged(OPEN_SOCKETS)
}

/// Where this kernel keeps things. It does not change while the kernel runs, so it is looked up once.
fn once<T>(
    known: &'static OnceLock<T>,
    find: impl FnOnce(&mut btf::Btf<'_>) -> Result<T, &'static str>,
) -> Result<&'static T, Error> {
    // Threads that begin together need not all look.
    static SEARCH: Mutex<()> = Mutex::new(());
    let _searching = SEARCH.lock();
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
    run::in_types(types, tables::Layout::find)?;
    run::in_types(types, files::Layout::find).map(drop)
}

/// Writes the record, which ends at the top of the stack, to the output in R1.
fn write_record(program: &mut Program, bytes: usize) {
    program.copy(Reg::R2, Reg::Frame);
    program.add(Reg::R2, -(bytes as i32));
    program.set(Reg::R3, bytes as i32);
    program.call(SEQ_WRITE);
}

/// How to load a member that must be there: one of so many bits, or of any number where that is 0.
fn member(member: Option<Member>, bits: u32, name: &'static str) -> Result<Fetch, &'static str> {
    member
        .filter(|member| bits == 0 || member.bits == bits)
        .and_then(|member| Fetch::of(member.bit, member.bits))
        .ok_or(name)
}
