//! One generation: its processes, what it says, and how far it is.

use super::exit::Exit;
use super::held::Held;
use super::listeners::Listening;
use super::log::{How, Warning};
use super::notify::Receiver;
use super::output::Tail;
use super::program::Program;
use super::ready::look::{Sight, look};
use super::ready::{ALIVE, ALIVE_UNSEEN, Ready};
use super::spawn::{self, Order, Refused, Started};
use super::sys::inherit::AtStart;
use super::sys::number;
use super::tree::{self, Tree};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::process::{Pid, Signal, pidfd_send_signal};
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What our own supervisor told us is not for the program.
pub(super) const NOT_THEIRS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A generation that has a process left.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) pid: Pid,
    pub(super) program: Rc<Program>,
    pub(super) began: Instant,
    /// How its first process ended.
    pub(super) exit: Option<Exit>,
    /// What it says of itself.
    pub(super) says: Option<String>,
    pub(super) tree: Tree,
    pidfd: OwnedFd,
    report: Option<OwnedFd>,
    notify: Receiver,
    ready_pipe: Option<OwnedFd>,
    /// Since when the program itself runs.
    runs: Option<Instant>,
    spoke: bool,
    /// An address that it asked for was refused: to live on is no sign that it serves.
    pub(super) hindered: bool,
}

impl Generation {
    /// Starts one, and what follows its output.
    pub(super) fn start(
        number: u32,
        words: &[OsString],
        program: Rc<Program>,
        held: &[Held],
        ready: Ready,
        signals: AtStart,
        keep: Option<BorrowedFd<'_>>,
    ) -> io::Result<(Generation, Option<Tail>)> {
        let notify = Receiver::open()?;
        let (ready_pipe, ready_at) = match ready {
            Ready::Descriptor(number) => {
                let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&reader, true)?;
                (Some(reader), Some((writer, number)))
            }
            _ => (None, None),
        };
        let (tail, outputs) = match Tail::connect()? {
            Some((tail, outputs)) => (Some(tail), outputs),
            None => (None, (Stdio::inherit(), Stdio::inherit())),
        };
        let sockets: Vec<_> = held.iter().map(|held| (held.name.clone(), held.as_fd())).collect();
        let mut environment: Vec<(OsString, Option<OsString>)> =
            NOT_THEIRS.iter().map(|name| (name.into(), None)).collect();
        environment.push(("NOTIFY_SOCKET".into(), Some(notify.address())));
        environment.push((tree::MARK.into(), Some(tree::mark(number).into())));
        let order = Order {
            words,
            program: &program,
            sockets: &sockets,
            environment,
            ready_at,
            outputs,
            keep: keep.map(|channel| (channel, number)),
            signals,
        };
        let Started { pid, pidfd, report } = spawn::spawn(order)?;
        let first = u32::try_from(pid.as_raw_pid()).unwrap_or(0);
        let generation = Generation {
            number,
            pid,
            program,
            began: Instant::now(),
            exit: None,
            says: None,
            tree: Tree::new(number, first),
            pidfd,
            report: Some(report),
            notify,
            ready_pipe,
            runs: None,
            spoke: false,
            hindered: false,
        };
        Ok((generation, tail))
    }

    /// What to wait on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pipes = [&self.report, &self.ready_pipe].into_iter().flatten().map(|fd| fd.as_fd());
        pipes.chain([self.notify.as_fd()])
    }

    /// Whether the program could be run, as soon as that is known; told once.
    pub(super) fn started(&mut self, name: &OsStr) -> Option<Result<(), Refused>> {
        let outcome = spawn::outcome(self.report.as_ref()?, name)?;
        self.report = None;
        self.runs = Some(Instant::now());
        Some(outcome)
    }

    /// Takes what it says; true when it says that it is ready.
    pub(super) fn listen(&mut self) -> bool {
        let mut ready = false;
        while let Some(received) = self.notify.next() {
            if !self.tree.may_speak(received.sender) {
                continue;
            }
            self.spoke = true;
            ready |= received.message.ready;
            if let Some(status) = received.message.status {
                self.says = Some(inuse_rules::address::escape(status.as_bytes()));
            }
        }
        ready
    }

    /// A line on its pipe: true when there was one.
    pub(super) fn wrote_line(&mut self) -> bool {
        let Some(pipe) = &self.ready_pipe else { return false };
        let mut bytes = [0u8; 64];
        match rustix::io::read(pipe, &mut bytes) {
            Ok(0) => {
                self.ready_pipe = None;
                false
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// How it shows that it is ready, if it does; a warning may come with it. `listening`: its listeners are kept,
    /// and it is that far.
    pub(super) fn is_ready(
        &mut self,
        by: Ready,
        held: &[Held],
        listening: Option<Listening>,
    ) -> Option<(How, Option<Warning>)> {
        let said_so = self.listen();
        let age = self.runs?.elapsed();
        match by {
            Ready::Auto | Ready::Notify if said_so => Some((How::Notify, None)),
            Ready::Notify => None,
            Ready::Descriptor(number) => self.wrote_line().then_some((How::Descriptor { number }, None)),
            Ready::Alive(time) => (age >= time).then(|| (lives_on(time), None)),
            // It speaks this protocol, so its word counts.
            Ready::Auto if self.spoke => None,
            Ready::Auto | Ready::Listen if listening.is_some() => match listening? {
                Listening::Everywhere { addresses } => {
                    Some((How::Listens { addresses, partly: false }, None))
                }
                Listening::Partly { addresses, since } if since.elapsed() >= ALIVE => {
                    Some((How::Listens { addresses, partly: true }, None))
                }
                Listening::Nowhere { expected: false, binds } if by == Ready::Auto => {
                    let time = if binds || self.hindered { ALIVE_UNSEEN } else { ALIVE };
                    (age >= time).then(|| (lives_on(time), None))
                }
                _ => None,
            },
            Ready::Auto if held.is_empty() => (age >= ALIVE).then(|| (lives_on(ALIVE), None)),
            Ready::Auto | Ready::Listen => match (self.sight(held), by) {
                (Sight::Waits, _) => Some((How::Waits, None)),
                (Sight::Hidden, Ready::Auto) if age >= ALIVE => {
                    Some((How::Alive { time: ALIVE, blind: true }, None))
                }
                (Sight::NotYet, Ready::Auto) if age >= ALIVE_UNSEEN => {
                    let addresses = held.iter().map(|held| held.address.clone()).collect();
                    let warning = Warning::NotWaiting { generation: self.number, addresses };
                    Some((lives_on(ALIVE_UNSEEN), Some(warning)))
                }
                _ => None,
            },
        }
    }

    /// Whether any of its processes waits on any of the sockets.
    fn sight(&mut self, held: &[Held]) -> Sight {
        let inodes: Vec<u64> = held.iter().filter_map(Held::inode).collect();
        let mut best = Sight::NotYet;
        for member in self.tree.members() {
            match look(member.pid, &inodes) {
                Sight::Waits => return Sight::Waits,
                Sight::Hidden => best = Sight::Hidden,
                Sight::NotYet => {}
            }
        }
        best
    }

    /// A signal for its first process, or for what that left behind.
    pub(super) fn signal(&mut self, signal: Signal) {
        match self.exit {
            None => {
                // ESRCH: it ended just now, which is told soon.
                let _ = pidfd_send_signal(&self.pidfd, signal);
            }
            Some(_) => self.tree.signal(signal),
        }
    }

    /// Whether a Ctrl-C on our terminal reaches it without us.
    pub(super) fn is_in_our_group(&self) -> bool {
        let own = number::group(None).ok();
        own.is_some() && number::group(Some(self.pid)).ok() == own
    }
}

fn lives_on(time: Duration) -> How {
    How::Alive { time, blind: false }
}
