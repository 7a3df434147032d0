//! Running a program as an iterator: privilege, the kernel's types, loading, and reading what it writes.
//!
//! Not here: any particular program (`tcp`, `files`).

use super::btf::Btf;
use super::tables::Filter;
use crate::error::Error;
use crate::sys::{bpf as sys, mapped::Mapped};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// Where the kernel describes its own types (`CONFIG_DEBUG_INFO_BTF`).
const TYPES: &str = "/sys/kernel/btf/vmlinux";
/// More than any kernel's BTF: they have 3 to 10 MB.
const MOST_TYPES: u64 = 64 << 20;
/// The kernel hands out at most 32 KiB of an iterator's output at a time.
const BUFFER: usize = 32 * 1024;
/// An iterator that has passed a million objects without output says EAGAIN, and goes on when asked.
const PATIENCE: u32 = 1024;
/// How much of the verifier's words an error keeps: the end, where the reason stands.
const MOST_WORDS: usize = 4096;

/// A program, ready to be loaded.
pub(super) struct Iteration {
    /// What it is, in the words of an error.
    pub(super) object: &'static str,
    /// The function that it is attached to.
    pub(super) attach: u32,
    /// What it does.
    pub(super) instructions: Vec<[u8; 8]>,
    /// Bytes in each record that it writes.
    pub(super) record: usize,
    /// What it reads, kept until it is loaded.
    #[expect(dead_code, reason = "the instructions have its descriptor")]
    pub(super) filter: Option<Filter>,
}

impl Iteration {
    /// Loads the program and runs it over everything; `open` opens the iterator where it shall look.
    pub(super) fn run(
        &self,
        open: impl FnOnce(&OwnedFd) -> Result<Result<OwnedFd, Errno>, Error>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        let program = self.load()?;
        let link = sys::link(program.as_fd()).map_err(|errno| Error::new("attach", self.object, errno))?;
        let iterator =
            open(&link)?.map_err(|errno| Error::new("open the iterator of", self.object, errno))?;
        records(File::from(iterator), self.record, each).map_err(|source| Error::Io {
            act: "read from",
            object: self.object.into(),
            source,
        })
    }

    /// Loads the program; where the verifier refuses it, once more to hear why.
    pub(super) fn load(&self) -> Result<OwnedFd, Error> {
        // `bpf_seq_write` is for programs whose licence goes with the GPL; this is the name under which the
        // kernel knows the MIT licence.
        let license = c"Dual MIT/GPL";
        match sys::load(&self.instructions, self.attach, license, None) {
            Ok(program) => Ok(program),
            Err(Errno::PERM) => Err(denied(
                self.object,
                "CAP_BPF and CAP_PERFMON in the initial user namespace, and no filter against bpf(2)",
            )),
            Err(errno @ (Errno::NOSYS | Errno::OPNOTSUPP)) => {
                Err(Error::Unsupported { act: "load", object: self.object.into(), errno })
            }
            Err(errno) => {
                let mut log = Vec::new();
                let _ = sys::load(&self.instructions, self.attach, license, Some(&mut log));
                let words = log.split(|&byte| byte == 0).next().unwrap_or_default();
                let words = words.get(words.len().saturating_sub(MOST_WORDS)..).unwrap_or_default();
                let refused = Refused { errno, verifier: String::from_utf8_lossy(words).into_owned() };
                Err(Error::Io { act: "load", object: self.object.into(), source: io::Error::other(refused) })
            }
        }
    }
}

/// Refuses where the caller lacks one of the two capabilities.
pub(super) fn privileged(object: &'static str) -> Result<(), Error> {
    lacking_privilege().map_or(Ok(()), |needs| Err(denied(object, needs)))
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

fn denied(object: &str, needs: &str) -> Error {
    Error::Denied { act: "load", object: object.into(), needs: needs.into() }
}

/// Looks something up in the types of the running kernel.
pub(super) fn in_kernel_types<T>(
    find: impl FnOnce(&mut Btf<'_>) -> Result<T, &'static str>,
) -> Result<T, Error> {
    let failed = |errno| match errno {
        Errno::NOENT => Error::Unsupported { act: "read", object: TYPES.into(), errno },
        errno => Error::new("read", TYPES, errno),
    };
    in_types(Types::read().map_err(failed)?.bytes(), find)
}

/// Looks something up in these types.
pub(super) fn in_types<T>(
    types: &[u8],
    find: impl FnOnce(&mut Btf<'_>) -> Result<T, &'static str>,
) -> Result<T, Error> {
    let mut btf = Btf::new(types).map_err(|what| Error::Malformed { object: TYPES.into(), what })?;
    find(&mut btf).map_err(|missing| {
        let object = format!("{missing} in {TYPES}");
        Error::Unsupported { act: "find", object, errno: Errno::NOENT }
    })
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
fn records(mut from: impl Read, size: usize, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
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
        let whole = filled - filled % size;
        buffer.get(..whole).unwrap_or_default().chunks_exact(size).for_each(&mut *each);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    match filled {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a record")),
    }
}
