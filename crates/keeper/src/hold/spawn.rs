//! Starting a program through a stub: our own binary once more, which has one thread, puts the descriptors
//! where they belong, says its own pid in the environment, and becomes the program.
//!
//! Only the process that calls exec knows its pid before exec without a race, and only a process with one
//! thread may rearrange its descriptors: so both are the stub's work (`inuse __exec`).

use super::exit::Exit;
use super::listen_fds::{self, FIRST};
use super::program::{Program, Unrunnable};
use super::sys::inherit::AtStart;
use super::sys::{descriptors, inherit};
use rustix::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The word that makes the command the stub.
pub const STUB: &str = "__exec";

/// Ourselves, also after the file was replaced.
pub(super) const MYSELF: &str = "/proc/self/exe";

/// What is to be started.
pub(super) struct Order<'a> {
    pub(super) words: &'a [OsString],
    pub(super) program: &'a Program,
    /// Names and sockets, in the order in which the program gets them.
    pub(super) sockets: &'a [(String, BorrowedFd<'a>)],
    /// Variables to set, or to take away.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    /// A pipe that the program says it is ready on, and the number it has there.
    pub(super) ready_at: Option<(OwnedFd, RawFd)>,
    pub(super) outputs: (Stdio, Stdio),
    /// Its listeners are kept: where the handler is, and for which generation.
    pub(super) keep: Option<(BorrowedFd<'a>, super::keep::Generation)>,
    pub(super) signals: AtStart,
}

/// What was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// Says why exec failed, or ends when it did not.
    pub(super) report: OwnedFd,
}

/// Why a stub did not become the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It cannot be run.
    Unrunnable(Unrunnable),
    /// Its listeners cannot be kept: a sentence. Without that it may run.
    NotKept(String),
}

/// Starts it. That the program itself cannot be run is told later, by [`outcome`].
pub(super) fn spawn(order: Order<'_>) -> io::Result<Started> {
    let (report, reporter) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    let mut command = Command::new(MYSELF);
    command.arg(STUB);
    let mut inherited = Vec::new();
    let mut numbers = Vec::new();
    for (_, socket) in order.sockets {
        let copy = rustix::io::fcntl_dupfd_cloexec(socket, FIRST)?;
        numbers.push(copy.as_raw_fd().to_string());
        inherited.push(copy);
    }
    let names: Vec<&str> = order.sockets.iter().map(|(name, _)| name.as_str()).collect();
    command.arg(format!("--fds={}", numbers.join(",")));
    command.arg(format!("--names={}", names.join(":")));
    command.arg(format!("--signals={:x}:{:x}", order.signals.blocked, order.signals.ignored));
    command.arg(format!("--report={}", reporter.as_raw_fd()));
    inherited.push(reporter);
    if let Some((pipe, number)) = order.ready_at {
        command.arg(format!("--ready={}:{number}", pipe.as_raw_fd()));
        inherited.push(pipe);
    }
    if let Some((channel, generation)) = order.keep {
        let channel = rustix::io::fcntl_dupfd_cloexec(channel, FIRST)?;
        command.arg(format!("--keep={}:{generation}", channel.as_raw_fd()));
        inherited.push(channel);
    }
    match order.program.path() {
        Some(path) => command.arg("--").arg(path),
        None => {
            let file = rustix::io::fcntl_dupfd_cloexec(order.program.file(), FIRST)?;
            command.arg(format!("--file={}", file.as_raw_fd()));
            inherited.push(file);
            command.arg("--").arg("")
        }
    };
    command.args(order.words);
    for (name, value) in &order.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdout(order.outputs.0).stderr(order.outputs.1);
    inherit::inherit(&mut command, inherited);
    // Some programs signal their whole process group when they end (Apache, a shell script with `kill 0`), and must
    // not reach us and the next generation by that. Yet whoever may read from a terminal stays where it may.
    if !io::stdin().is_terminal() {
        command.process_group(0);
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    // It is our child and not waited for yet: the pid is still its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Started { pid, pidfd, report })
}

/// What the report says: nothing yet, running, or why not.
pub(super) fn outcome(report: &OwnedFd, name: &OsStr) -> Option<Result<(), Refused>> {
    let mut bytes = [0u8; LONGEST_REPORT];
    match rustix::io::read(report, &mut bytes) {
        Ok(length) => Some(match bytes.get(..length).unwrap_or_default() {
            // It ended without a word: exec closed the other end, or the stub was killed.
            [] => Ok(()),
            [NOT_KEPT, sentence @ ..] => {
                Err(Refused::NotKept(String::from_utf8_lossy(sentence).into_owned()))
            }
            [_, errno @ ..] => {
                let errno = <[u8; 4]>::try_from(errno).map_or(libc::EIO, i32::from_ne_bytes);
                Err(Refused::Unrunnable(Unrunnable::of(name, Errno::from_raw_os_error(errno))))
            }
        }),
        Err(Errno::AGAIN | Errno::INTR) => None,
        Err(_) => Some(Ok(())),
    }
}

/// What a report begins with: behind it is the number of an error, or a sentence.
const NOT_RUN: u8 = b'x';
const NOT_KEPT: u8 = b'k';
/// A pipe takes so much at once (`PIPE_BUF` is not less).
const LONGEST_REPORT: usize = 512;

/// The stub's words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    fds: Vec<RawFd>,
    names: Vec<String>,
    signals: AtStart,
    report: RawFd,
    ready: Option<(RawFd, RawFd)>,
    keep: Option<(RawFd, super::keep::Generation)>,
    file: Option<RawFd>,
    program: OsString,
    /// The name of the program as it was typed, and its arguments.
    argv: Vec<OsString>,
}

impl Words {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Words> {
        let mut parsed = Words { report: -1, ..Words::default() };
        let mut words = words.into_iter();
        loop {
            let word = words.next()?;
            if word == "--" {
                break;
            }
            let (key, value) = word.to_str()?.split_once('=')?;
            match key {
                "--fds" if value.is_empty() => {}
                "--fds" => parsed.fds = value.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?,
                "--names" if value.is_empty() => {}
                "--names" => parsed.names = value.split(':').map(str::to_owned).collect(),
                "--signals" => {
                    let (blocked, ignored) = value.split_once(':')?;
                    let set = |hex| u64::from_str_radix(hex, 16).ok();
                    parsed.signals = AtStart { blocked: set(blocked)?, ignored: set(ignored)? };
                }
                "--report" => parsed.report = value.parse().ok()?,
                "--ready" => {
                    let (from, to) = value.split_once(':')?;
                    parsed.ready = Some((from.parse().ok()?, to.parse().ok()?));
                }
                "--keep" => {
                    let (channel, generation) = value.split_once(':')?;
                    parsed.keep = Some((channel.parse().ok()?, generation.parse().ok()?));
                }
                "--file" => parsed.file = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        parsed.program = words.next()?;
        parsed.argv = words.collect();
        (parsed.fds.len() == parsed.names.len() && !parsed.argv.is_empty()).then_some(parsed)
    }
}

/// The stub: becomes the program, or gives back the status to end with.
///
/// `arguments` are those behind [`STUB`]. To be called while the process has one thread.
pub fn stub(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let Some(words) = Words::parse(arguments) else { return Exit::Code(2).status() };
    let Ok(report) = descriptors::adopt(words.report) else { return Exit::Code(2).status() };
    // The last place that is filled, and one more.
    let end = FIRST.saturating_add(RawFd::try_from(words.fds.len()).unwrap_or(RawFd::MAX));
    let end = end.max(words.ready.map_or(0, |(_, to)| to.saturating_add(1)));
    let Ok(report) = descriptors::above(&report, end).inspect(|_| drop(report)) else {
        return Exit::Code(2).status();
    };
    let error = match become_it(&words, end) {
        Ok(never) => match never {},
        Err(Failed::Kept(error)) => {
            let mut bytes = vec![NOT_KEPT];
            bytes.extend(error.to_string().bytes().take(LONGEST_REPORT - 1));
            let _ = rustix::io::write(&report, &bytes);
            return super::program::NOT_RUNNABLE;
        }
        Err(Failed::Run(error)) => error,
    };
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let _ = rustix::io::write(&report, &[&[NOT_RUN][..], &errno.to_ne_bytes()].concat());
    Unrunnable::of(OsStr::new(""), Errno::from_raw_os_error(errno)).status
}

enum Failed {
    Run(io::Error),
    Kept(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Run(error)
    }
}

fn become_it(words: &Words, end: RawFd) -> Result<std::convert::Infallible, Failed> {
    let moved = |number: &RawFd| descriptors::above(&descriptors::adopt(*number)?, end);
    let sockets: Vec<OwnedFd> = words.fds.iter().map(moved).collect::<io::Result<_>>()?;
    let ready = words.ready.map(|(from, to)| Ok::<_, io::Error>((moved(&from)?, to))).transpose()?;
    let file = words.file.as_ref().map(moved).transpose()?;
    let keep = words
        .keep
        .map(|(channel, generation)| Ok::<_, io::Error>((moved(&channel)?, generation)))
        .transpose()?;
    for (socket, number) in sockets.iter().zip(FIRST..) {
        descriptors::place(socket, number)?;
    }
    let first_closed = FIRST.saturating_add(RawFd::try_from(sockets.len()).unwrap_or(RawFd::MAX));
    descriptors::close_on_exec_from(first_closed)?;
    if let Some((pipe, number)) = &ready {
        descriptors::place(pipe, *number)?;
    }
    let path = match &file {
        None => words.program.clone(),
        Some(file) => by_descriptor(file)?,
    };
    let mut command = Command::new(path);
    if let [name, arguments @ ..] = words.argv.as_slice() {
        command.arg0(name).args(arguments);
    }
    for variable in listen_fds::VARIABLES {
        command.env_remove(variable);
    }
    let inode = listen_fds::own_pidfd_inode();
    command.envs(listen_fds::environment(&words.names, std::process::id(), inode));
    inherit::signals(&mut command, words.signals);
    // Last of all: from here on bind, listen and shutdown wait for the handler's answer.
    if let Some((channel, generation)) = &keep {
        super::keep::enter(channel.as_fd(), *generation).map_err(Failed::Kept)?;
    }
    Err(Failed::Run(command.exec()))
}

/// A name for an open file. The interpreter of a script opens it by that name, so there it stays open.
fn by_descriptor(file: &OwnedFd) -> io::Result<OsString> {
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut start = [0u8; 2];
    let readable = rustix::fs::open(&name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    if readable.is_ok_and(|readable| rustix::io::read(&readable, &mut start) == Ok(2)) && start == *b"#!" {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?;
    }
    Ok(OsString::from_vec(OsStr::new(&name).as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Words> {
        Words::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_words_of_the_stub() {
        let expect = Words {
            fds: vec![9, 3],
            names: vec!["a".into(), "b".into()],
            signals: AtStart { blocked: 0x1f, ignored: 0x1000 },
            report: 12,
            ready: Some((13, 5)),
            keep: Some((14, 2)),
            file: None,
            program: "/bin/x".into(),
            argv: vec!["x".into(), "--fds=7".into()],
        };
        let words = [
            "--fds=9,3",
            "--names=a:b",
            "--signals=1f:1000",
            "--report=12",
            "--ready=13:5",
            "--keep=14:2",
            "--",
            "/bin/x",
            "x",
            "--fds=7",
        ];
        assert_eq!(parse(&words), Some(expect));
        assert!(parse(&["--fds=", "--names=", "--", "/bin/x", "x"]).is_some());
        for wrong in [
            &["--fds=9"][..],
            &["--", "/bin/x"],
            &["--"],
            &[],
            &["--fds=9", "--", "/bin/x", "x"],
            &["--fds=a", "--names=a", "--", "/bin/x", "x"],
            &["--signals=xyz:0", "--", "/bin/x", "x"],
            &["--signals=1f", "--", "/bin/x", "x"],
            &["--other=1", "--", "/bin/x", "x"],
            &["word", "--", "/bin/x", "x"],
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
