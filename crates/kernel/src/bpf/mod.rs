//! The options of every tcp socket of a port, read out of the kernel by a BPF iterator (Linux 5.9):
//! those of TIME_WAIT, of orphans and of other users' sockets show nowhere else.
//!
//! Nothing on the machine changes: the program only reads, it runs while its output is read here, and it
//! is gone with its descriptor. It needs `CAP_BPF` and `CAP_PERFMON` in the initial user namespace.
//! Sockets that are bound and neither listen nor are connected are in no list that the iterator walks.
//!
//! `btf` and `asm` know nothing of tcp and serve other iterators as well; `tcp` is the one program.
//! Follows Documentation/bpf/bpf_iterators.rst and bpf(2).

mod asm;
mod btf;
mod tcp;

pub use tcp::TcpOptions;

use crate::error::Error;
use crate::netns::Netns;
use crate::sys::{bpf as sys, mapped::Mapped};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;
use tcp::{Layout, RECORD};

/// Where the kernel describes its own types (`CONFIG_DEBUG_INFO_BTF`).
const TYPES: &str = "/sys/kernel/btf/vmlinux";
/// More than any kernel's BTF: they have 3 to 10 MB.
const MOST_TYPES: u64 = 64 << 20;
/// The kernel hands out at most 32 KiB of an iterator's output at a time.
const BUFFER: usize = 32 * 1024;
/// An iterator that has passed a million sockets without output says EAGAIN, and goes on when asked.
const PATIENCE: u32 = 1024;
/// How much of the verifier's words an error keeps: the end, where the reason stands.
const MOST_WORDS: usize = 4096;
/// What is done, in the words of an error.
const OBJECT: &str = "the program that reads the options of sockets";

/// What the kernel keeps of each tcp socket that has this local port, in any state but bound-only.
///
/// # Errors
/// [`Error::Denied`] without the privilege; [`Error::Unsupported`] where the kernel has no BTF or no
/// iterators.
pub fn tcp_options(netns: &Netns, port: u16) -> Result<Vec<TcpOptions>, Error> {
    if let Some(needs) = lacking_privilege() {
        return Err(denied(needs));
    }
    let layout = layout()?;
    let program = load(&layout.program(port), layout.attach)?;
    let link = sys::link(program.as_fd()).map_err(|errno| Error::new("attach", OBJECT, errno))?;
    let iterator = netns
        .inside(|| sys::iterator(&link))?
        .map_err(|errno| Error::new("open the iterator of", OBJECT, errno))?;
    let mut found = Vec::new();
    records(File::from(iterator), &mut |record| found.extend(tcp::read(record)))
        .map_err(|source| Error::Io { act: "read from", object: OBJECT.into(), source })?;
    Ok(found)
}

/// Which of the two capabilities the caller lacks. It may have both and still be refused: those of a user
/// namespace do not count.
fn lacking_privilege() -> Option<&'static str> {
    let own = rustix::thread::capabilities(None).ok()?.effective;
    let has = |capability| own.intersects(capability | CapabilitySet::SYS_ADMIN);
    match (has(CapabilitySet::BPF), has(CapabilitySet::PERFMON)) {
        (true, true) => None,
        (false, true) => Some("CAP_BPF"),
        (true, false) => Some("CAP_PERFMON"),
        (false, false) => Some("CAP_BPF and CAP_PERFMON"),
    }
}

fn denied(needs: &str) -> Error {
    Error::Denied { act: "load", object: OBJECT.into(), needs: needs.into() }
}

/// Where this kernel keeps things. It does not change while the kernel runs, so it is looked up once.
fn layout() -> Result<&'static Layout, Error> {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    if let Some(layout) = LAYOUT.get() {
        return Ok(layout);
    }
    let failed = |errno| match errno {
        Errno::NOENT => Error::Unsupported { act: "read", object: TYPES.into(), errno },
        errno => Error::new("read", TYPES, errno),
    };
    let bytes = Types::read().map_err(failed)?;
    let layout = layout_in(bytes.bytes())?;
    Ok(LAYOUT.get_or_init(|| layout))
}

fn layout_in(types: &[u8]) -> Result<Layout, Error> {
    let mut btf = btf::Btf::new(types).map_err(|what| Error::Malformed { object: TYPES.into(), what })?;
    Layout::find(&mut btf).map_err(|missing| {
        let object = format!("{missing} in {TYPES}");
        Error::Unsupported { act: "find", object, errno: Errno::NOENT }
    })
}

/// Whether the program can be made for a kernel that describes itself so; the bytes are those of its
/// /sys/kernel/btf/vmlinux.
///
/// # Errors
/// As [`tcp_options`], where the bytes are no BTF or lack something that the program needs.
pub fn fits(types: &[u8]) -> Result<(), Error> {
    layout_in(types).map(drop)
}

/// The kernel's BTF.
enum Types {
    /// In place: nothing is copied, and only what is looked at is touched.
    Mapped(Mapped),
    /// Before Linux 6.16, page by page.
    Copied(Vec<u8>),
}

impl Types {
    fn read() -> Result<Types, Errno> {
        let file = rustix::fs::open(TYPES, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let length = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0).min(MOST_TYPES);
        if let Ok(mapped) = Mapped::new(&file, length as usize) {
            return Ok(Types::Mapped(mapped));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        match File::from(file).take(MOST_TYPES).read_to_end(&mut bytes) {
            Ok(_) => Ok(Types::Copied(bytes)),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Types::Mapped(mapped) => mapped,
            Types::Copied(bytes) => bytes,
        }
    }
}

/// Loads the program; where the verifier refuses it, once more to hear why.
fn load(instructions: &[[u8; 8]], attach: u32) -> Result<OwnedFd, Error> {
    // `bpf_seq_write` is for programs whose licence goes with the GPL; this is the name under which the
    // kernel knows the MIT licence.
    let license = c"Dual MIT/GPL";
    match sys::load(instructions, attach, license, None) {
        Ok(program) => Ok(program),
        Err(Errno::PERM) => {
            Err(denied("CAP_BPF and CAP_PERFMON in the initial user namespace, and no filter against bpf(2)"))
        }
        Err(errno @ (Errno::NOSYS | Errno::OPNOTSUPP)) => {
            Err(Error::Unsupported { act: "load", object: OBJECT.into(), errno })
        }
        Err(errno) => {
            let mut log = Vec::new();
            let _ = sys::load(instructions, attach, license, Some(&mut log));
            let words = log.split(|&byte| byte == 0).next().unwrap_or_default();
            let words = words.get(words.len().saturating_sub(MOST_WORDS)..).unwrap_or_default();
            let refused = Refused { errno, verifier: String::from_utf8_lossy(words).into_owned() };
            Err(Error::Io { act: "load", object: OBJECT.into(), source: io::Error::other(refused) })
        }
    }
}

/// The kernel does not accept the program. Shown, it is one line; its debug form has the verifier's words.
#[derive(Debug)]
struct Refused {
    errno: Errno,
    #[expect(dead_code, reason = "read by whoever prints the debug form")]
    verifier: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel's verifier refuses it ({})", self.errno)
    }
}

impl std::error::Error for Refused {}

/// Reads to the end, and hands on each whole record.
fn records(mut from: impl Read, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    let mut patience = PATIENCE;
    while let Some(free) = buffer.get_mut(filled..) {
        match from.read(free) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        let whole = filled - filled % RECORD;
        buffer.get(..whole).unwrap_or_default().chunks_exact(RECORD).for_each(&mut *each);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    match filled {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a record")),
    }
}
