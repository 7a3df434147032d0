//! The stand-in: a small process that has the descriptor of every filter as well, and does nothing with it while the
//! handler lives. When the handler's process is gone, killed perhaps, the stand-in has the calls carried out as if
//! there were no filter, until the last task with a filter is gone; without anybody they would fail with ENOSYS for ever.
//!
//! A question that the dead had received and not answered is received by nobody else, and its caller would wait for
//! ever. So the handler notes the number of each question before it looks at it, in a file that both have, and the
//! stand-in answers that one and those next to it: numbers of one filter follow each other
//! (`seccomp_next_notify_id`), and the last may have been received and not been noted. Those that it answers later it
//! notes all, in a place of their own.
//!
//! Not here: answering with knowledge (`handler`).

use super::channel::{self, Received};
use inuse_kernel::seccomp::{self, Answer, Notifications};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, pread, pwrite};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The most filters: living trees of processes that were started under one.
pub(super) const MOST_FILTERS: usize = 256;
/// The most questions that wait for a walk. Those beyond it are answered as if there were no way to know.
pub(super) const MOST_POSTPONED: usize = 64;

/// How long it may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one start to the next, at least: who kills one after the other is not to have one fork after the other.
const PAUSE: Duration = Duration::from_secs(1);
/// What it says when it has begun.
const HERE: &[u8] = b"here";
/// What begins it, with the file of notes.
const NOTES: &[u8] = b"notes";
/// Questions next to the noted one that are looked for.
const NEXT: u64 = 16;

/// The stand-in, as the handler sees it.
pub(super) struct StandIn {
    program: PathBuf,
    arguments: Vec<OsString>,
    notes: OwnedFd,
    /// `None`: it is gone.
    channel: Option<OwnedFd>,
    started: Instant,
    pid: Arc<AtomicU32>,
}

impl StandIn {
    /// Starts it, and waits until it says that it is one.
    pub(super) fn start(program: PathBuf, arguments: Vec<OsString>) -> io::Result<StandIn> {
        let notes = memfd_create("inuse-notes", MemfdFlags::CLOEXEC)?;
        let (started, pid) = (Instant::now(), Arc::default());
        let mut new = StandIn { program, arguments, notes, channel: None, started, pid };
        new.again(&[])?;
        let channel = new.channel.as_ref().ok_or(Errno::PIPE)?;
        match channel::receive_patiently(channel, PATIENCE)?.bytes == HERE {
            true => Ok(new),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Its process now; for whoever started it to know.
    pub(super) fn pid(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    /// Starts another one, which gets all of these, each with its number.
    pub(super) fn again(&mut self, filters: &[(u32, BorrowedFd<'_>)]) -> io::Result<()> {
        self.started = Instant::now();
        let (here, there) = channel::pair()?;
        // Reaped by the supervisor, with all other children.
        let child = Command::new(&self.program)
            .arg0("inuse")
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(there))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.pid.store(child.id(), Ordering::Relaxed);
        channel::send(&here, NOTES, &[self.notes.as_fd()])?;
        for (number, questions) in filters {
            channel::send(&here, &number.to_be_bytes(), &[*questions])?;
        }
        self.channel = Some(here);
        Ok(())
    }

    /// What poll(2) is to watch: readable when there may be something to [`look`](Self::look) at.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(|channel| channel.as_fd())
    }

    /// Takes what it says, and notes when it is gone.
    pub(super) fn look(&mut self) {
        while let Some(channel) = &self.channel {
            match channel::receive(channel) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.channel = None,
            }
        }
    }

    /// When another one is to be started; `None` while there is one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.channel.is_none().then(|| self.started + PAUSE)
    }

    /// Gives it a filter. A number that is used again stands for the new one.
    pub(super) fn guard(&mut self, number: u32, questions: BorrowedFd<'_>) {
        self.note(number, 0);
        let given = self.channel.as_ref().map(|to| channel::send(to, &number.to_be_bytes(), &[questions]));
        if given.is_some_and(|given| given.is_err()) {
            // Whoever does not read is no help.
            self.channel = None;
        }
    }

    /// Notes a question that was received.
    pub(super) fn note(&self, number: u32, id: u64) {
        let _ = pwrite(&self.notes, &id.to_ne_bytes(), place(number));
    }

    /// Notes all questions that were received and are to be answered later.
    pub(super) fn note_postponed(&self, ids: impl Iterator<Item = u64>) {
        let mut bytes: Vec<u8> = ids.flat_map(u64::to_ne_bytes).collect();
        bytes.resize(MOST_POSTPONED * 8, 0);
        let _ = pwrite(&self.notes, &bytes, POSTPONED);
    }
}

/// Where those are noted that are answered later: behind the places of all filters.
const POSTPONED: u64 = MOST_FILTERS as u64 * 8;

/// Where the last question of a filter is noted.
fn place(number: u32) -> u64 {
    u64::from(number) * 8
}

/// The process: waits for the handler's end, and then for that of the last task with a filter. To be called first thing
/// by one whose standard input is the channel that [`Keeper::start`](super::Keeper::start) made.
///
/// # Errors
/// When the process cannot become one, or poll(2) fails.
pub fn stand_in_main() -> io::Result<()> {
    // A terminal's ^C is for the programs. Fails for a session's leader, which has what this is for. What ends a
    // whole cgroup or session is for the programs too: they may ask on their way out.
    let _ = setsid();
    crate::hold::sys::inherit::ignore_stops();
    // Started by way of /proc/self/exe, and whoever looks for the holder of an address is to know it.
    let _ = rustix::thread::set_name(c"inuse keep");
    // What else was inherited, a shell's pipe perhaps, must not be held open: whoever reads it would wait.
    seccomp::close_from(3)?;
    // Every filter is a descriptor, however few the programs may have.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Waiting { control: Some(control), notes: None, filters: Vec::new() }.run()
}

struct Waiting {
    /// `None` once the handler is gone.
    control: Option<OwnedFd>,
    notes: Option<OwnedFd>,
    filters: Vec<(u32, Notifications)>,
}

impl Waiting {
    fn run(mut self) -> io::Result<()> {
        while self.control.is_some() || !self.filters.is_empty() {
            // While the handler lives only the end of a filter is of interest, and poll(2) always tells that.
            let wanted = if self.control.is_some() { PollFlags::empty() } else { PollFlags::IN };
            let mut polled: Vec<PollFd<'_>> =
                self.filters.iter().map(|(_, questions)| PollFd::new(questions, wanted)).collect();
            polled.extend(self.control.as_ref().map(|control| PollFd::new(control, PollFlags::IN)));
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let flags: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
            for at in (0..self.filters.len()).rev() {
                self.filter(at, flags.get(at).copied().unwrap_or(PollFlags::empty()));
            }
            self.hear();
        }
        Ok(())
    }

    fn filter(&mut self, at: usize, flags: PollFlags) {
        let Some((_, questions)) = self.filters.get_mut(at) else { return };
        if flags.contains(PollFlags::IN) {
            match questions.receive() {
                Ok(Some(asked)) => _ = questions.answer(asked.id, Answer::Continue),
                Ok(None) => {}
                Err(_) => _ = self.filters.remove(at),
            }
        } else if flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            self.filters.remove(at);
        }
    }

    fn hear(&mut self) {
        while let Some(control) = &self.control {
            match channel::receive(control) {
                Ok(Some(received)) => self.take(received),
                Ok(None) => return,
                // It died with our word unread; what it had said before may still be there.
                Err(Errno::CONNRESET) => {}
                Err(_) => {
                    self.control = None;
                    self.step_in();
                }
            }
        }
    }

    fn take(&mut self, Received { bytes, descriptors }: Received) {
        let Some(descriptor) = descriptors.into_iter().next() else { return };
        if bytes == NOTES {
            self.notes = Some(descriptor);
            let _ = self.control.as_ref().map(|control| channel::send(control, HERE, &[]));
        } else if let (Ok(number), Ok(questions)) =
            (bytes.as_slice().try_into().map(u32::from_be_bytes), Notifications::new(descriptor))
        {
            self.filters.retain(|(other, _)| *other != number);
            self.filters.push((number, questions));
        }
    }

    /// Answers what the handler had received and did not live to answer.
    fn step_in(&mut self) {
        let Some(notes) = &self.notes else { return };
        let mut postponed = [0; MOST_POSTPONED * 8];
        // As long as nothing was noted there it is empty.
        let _ = pread(notes, &mut postponed, POSTPONED);
        let postponed = postponed.as_chunks().0.iter().map(|id| u64::from_ne_bytes(*id));
        for (number, questions) in &mut self.filters {
            let mut noted = [0; 8];
            let last = match pread(notes, &mut noted, place(*number)) {
                Ok(8) => u64::from_ne_bytes(noted),
                _ => 0,
            };
            if last == 0 {
                continue;
            }
            let next = (0..=NEXT).map(|more| last.wrapping_add(more));
            for id in next.chain(postponed.clone().filter(|id| *id != 0)) {
                // Only what was received is valid: what still waits to be is not touched.
                if questions.valid(id) {
                    let _ = questions.answer(id, Answer::Continue);
                }
            }
        }
    }
}
