//! The last lines of a program's output, for whoever asked for a restart that failed.
//!
//! A small process of its own (`inuse __tee`) stands between the program and what its output went to, so that
//! the program can go on writing when the supervisor dies. A terminal, a socket (the journal's) and what is
//! closed stay as they are: there a program would notice the difference, and what it says can be read there.

use super::spawn::MYSELF;
use super::sys::descriptors;
use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use rustix::fs::{FileType, MemfdFlags, fstat, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread, pwrite, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The word that makes the command the small process.
pub const TEE: &str = "__tee";

/// How much of the output is kept.
const KEPT: u64 = 16 * 1024;

/// Where the count of all bytes stands; the ring comes before it.
const COUNT_AT: u64 = KEPT;
/// Where it stands that nothing more will come.
const ENDED_AT: u64 = COUNT_AT + 8;

/// How long the small process may take to copy what is left: on a busy machine it may not even have begun.
const SETTLING: Duration = Duration::from_secs(1);

/// The lines that are shown.
const LINES: usize = 20;

/// What a generation wrote last.
#[derive(Debug)]
pub(super) struct Tail {
    /// One for what goes to one place: stdout's first, then stderr's.
    rings: Vec<OwnedFd>,
}

impl Tail {
    /// A tail, and where the program's stdout and stderr go for it. `None`: they stay what they are.
    pub(super) fn connect() -> io::Result<Option<(Tail, (Stdio, Stdio))>> {
        let (out, err) = (io::stdout(), io::stderr());
        let (follow_out, follow_err) = (can_be_followed(&out), can_be_followed(&err));
        if !follow_out && !follow_err {
            return Ok(None);
        }
        let same = follow_out && follow_err && same_file(&out, &err);
        let mut tail = Tail { rings: Vec::new() };
        let stdout = if follow_out {
            Some(tail.follow(Stdio::from(out.as_fd().try_clone_to_owned()?))?)
        } else {
            None
        };
        let stderr = match (&stdout, same) {
            // One pipe for both, so that their order is kept.
            (Some(pipe), true) => Some(pipe.try_clone()?),
            _ if follow_err => Some(tail.follow(Stdio::from(err.as_fd().try_clone_to_owned()?))?),
            _ => None,
        };
        let stdio = |pipe: Option<OwnedFd>| pipe.map_or_else(Stdio::inherit, Stdio::from);
        Ok(Some((tail, (stdio(stdout), stdio(stderr)))))
    }

    /// A pipe whose other end is copied to `to` and kept in a ring of its own.
    fn follow(&mut self, to: Stdio) -> io::Result<OwnedFd> {
        let ring = memfd_create("inuse-output", MemfdFlags::CLOEXEC)?;
        let (from, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        let given = fcntl_dupfd_cloexec(&ring, 3)?;
        let mut command = Command::new(MYSELF);
        command
            .arg0("inuse")
            .arg(TEE)
            .arg(given.as_raw_fd().to_string())
            .stdin(from)
            .stdout(to)
            .stderr(Stdio::null());
        super::sys::inherit::inherit(&mut command, vec![given]);
        // Reaped with all other children.
        command.spawn()?;
        self.rings.push(ring);
        Ok(pipe)
    }

    /// The last lines of something that has ended: waits a moment until they have arrived.
    pub(super) fn settled_lines(&self) -> Vec<String> {
        let until = Instant::now() + SETTLING;
        let ended = |ring: &OwnedFd| pread(ring, &mut [0u8; 1], ENDED_AT) == Ok(1);
        while !self.rings.iter().all(ended) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.lines()
    }

    /// What went to stdout, then what went to stderr: it says more about a failure, so it is cut last.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rings.iter().flat_map(kept_lines).collect();
        lines.drain(..lines.len().saturating_sub(LINES));
        lines
    }
}

fn kept_lines(ring: &OwnedFd) -> Vec<String> {
    let mut count = [0u8; 8];
    if pread(ring, &mut count, COUNT_AT) != Ok(8) {
        return Vec::new();
    }
    let count = u64::from_ne_bytes(count);
    let mut kept = vec![0u8; KEPT as usize];
    let Ok(read) = pread(ring, &mut kept, 0) else { return Vec::new() };
    kept.truncate(read);
    if count > KEPT {
        kept.rotate_left((count % KEPT) as usize);
        // The first line is cut.
        let whole = kept.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        kept.drain(..whole);
    } else {
        kept.truncate(count as usize);
    }
    last_lines(&kept)
}

/// The last lines of a text, each with what controls a terminal escaped.
pub(super) fn last_lines(text: &[u8]) -> Vec<String> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines.iter().skip(from).map(|line| inuse_rules::address::escape(line)).collect()
}

fn can_be_followed(stream: impl rustix::fd::AsFd) -> bool {
    let Ok(stat) = fstat(&stream) else { return false };
    let kind = FileType::from_raw_mode(stat.st_mode);
    kind != FileType::Socket && !rustix::termios::isatty(&stream)
}

fn same_file(a: impl rustix::fd::AsFd, b: impl rustix::fd::AsFd) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    matches!((fstat(a).map(identity), fstat(b).map(identity)), (Ok(a), Ok(b)) if a == b)
}

/// The small process: copies standard input to standard output, and keeps the end of it in the ring whose
/// descriptor is the argument. A reader that went away, or a full disk, stops the copying and nothing else.
pub fn tee(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let number = arguments.into_iter().next().and_then(|word| word.to_str()?.parse::<RawFd>().ok());
    let Some(Ok(ring)) = number.map(descriptors::adopt) else { return 2 };
    // A Ctrl-C is for the program; what it says on its way out is still to be copied.
    super::sys::inherit::ignore_stops();
    let mut buffer = [0u8; 16 * 1024];
    let mut count = 0u64;
    loop {
        match read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => {
                let _ = pwrite(&ring, b"1", ENDED_AT);
                return 0;
            }
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                copy(bytes);
                keep(&ring, &mut count, bytes);
            }
            Err(Errno::INTR) => {}
            Err(_) => return 1,
        }
    }
}

fn copy(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(rustix::stdio::stdout(), bytes) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn keep(ring: &OwnedFd, count: &mut u64, bytes: &[u8]) {
    for part in bytes.chunks(KEPT as usize) {
        let at = *count % KEPT;
        let (first, rest) = part.split_at(part.len().min((KEPT - at) as usize));
        let _ = pwrite(ring, first, at);
        let _ = pwrite(ring, rest, 0);
        *count += part.len() as u64;
    }
    let _ = pwrite(ring, &count.to_ne_bytes(), COUNT_AT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept() {
        let ring = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let tail = Tail { rings: vec![ring.try_clone().unwrap()] };
        assert!(tail.lines().is_empty());
        let mut count = 0;
        keep(&ring, &mut count, b"one\ntwo\x1b[31m\n");
        assert_eq!(tail.lines(), ["one", "two\\u{1b}[31m"]);
        let many: String = (0..5000).map(|n| format!("line {n}\n")).collect();
        keep(&ring, &mut count, many.as_bytes());
        let lines = tail.lines();
        assert_eq!((lines.len(), &*lines[0], &*lines[19]), (20, "line 4980", "line 4999"));
        keep(&ring, &mut count, &vec![b'x'; 3 * KEPT as usize]);
        assert_eq!(tail.lines().len(), 1);
    }

    #[test]
    fn two_outputs_do_not_overwrite_each_other() {
        let ring = || memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let tail = Tail { rings: vec![ring(), ring()] };
        keep(&tail.rings[1], &mut 0, b"no such table\n");
        keep(&tail.rings[0], &mut 0, b"starting\n");
        assert_eq!(tail.lines(), ["starting", "no such table"]);
        let many: String = (0..30).map(|n| format!("line {n}\n")).collect();
        keep(&tail.rings[0], &mut 0, many.as_bytes());
        let lines = tail.lines();
        assert_eq!((lines.len(), &*lines[0], &*lines[19]), (20, "line 11", "no such table"));
    }
}
