//! A crowded host: real processes with many open files, listeners, connections and leftovers, in a network
//! namespace of their own and in the machine's pid namespace, as the programs that search them meet it.
//!
//! Not here: what is measured on it (`bench`). A member that outlives its crowd would spoil every later
//! measurement, so each one waits on a pipe that only the stager holds, and dies with it in any case.

pub(crate) mod ground;
pub(crate) mod member;

use crate::ROLE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The port of the first listener; the others follow. They end below the ephemeral range.
pub const FIRST_PORT: u16 = 10_000;
/// Listeners that have room below the ephemeral range.
pub const MOST_LISTENERS: usize = 22_000;
/// How long staging may take.
const STAGING: Duration = Duration::from_secs(120);
/// How long members may take to end by themselves.
const ENDING: Duration = Duration::from_secs(20);

/// How crowded it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Processes.
    pub processes: usize,
    /// Open descriptors of all of them, sockets included.
    pub fds: usize,
    /// Established TCP sockets; each connection has both of its ends here.
    pub sockets: usize,
    /// Listeners, at least one a process.
    pub listeners: usize,
    /// Sockets in TIME_WAIT, on the ports of the first process's listeners.
    pub time_wait: usize,
}

/// One member's part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    first_port: u16,
    listeners: usize,
    connections: usize,
    others: usize,
    time_wait: usize,
}

impl Size {
    /// The parts of all members.
    fn shares(&self) -> io::Result<Vec<Share>> {
        let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if self.processes == 0 {
            return wrong("a crowd has at least one process");
        }
        let listeners = self.listeners.max(self.processes);
        if listeners > MOST_LISTENERS {
            return wrong(&format!("there is room for {MOST_LISTENERS} listeners, at least one a process"));
        }
        let part =
            |whole: usize, at: usize| whole / self.processes + usize::from(at < whole % self.processes);
        let mut port = FIRST_PORT;
        let mut shares = Vec::with_capacity(self.processes);
        for at in 0..self.processes {
            let mine = part(listeners, at);
            let connections = part(self.sockets / 2, at);
            // Standard input, output and error are open as well.
            let Some(others) = part(self.fds, at).checked_sub(3 + mine + 2 * connections) else {
                return wrong("the sockets do not fit into so few descriptors");
            };
            let time_wait = if at == 0 { self.time_wait } else { 0 };
            shares.push(Share { first_port: port, listeners: mine, connections, others, time_wait });
            port += mine as u16;
        }
        Ok(shares)
    }
}

/// The staged crowd; it ends when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    /// Which process has the listener of each port.
    listeners: BTreeMap<u16, u32>,
    members: Vec<Child>,
    /// As long as this is open the members stay.
    hold: Option<PipeWriter>,
}

impl Crowd {
    /// Stages it in the caller's network namespace, which should be its own (`ground::private`), as the
    /// user `uid` where one is given.
    ///
    /// # Errors
    /// Where the numbers contradict each other, or a member could not do its part: which, and why.
    pub fn stage(size: &Size, uid: Option<u32>) -> io::Result<Crowd> {
        let shares = size.shares()?;
        let (stay, hold) = io::pipe()?;
        let (reports, report) = io::pipe()?;
        let mut crowd = Crowd { listeners: BTreeMap::new(), members: Vec::new(), hold: Some(hold) };
        for share in &shares {
            let mut command = Command::new("/proc/self/exe");
            command.arg0(name(share.first_port)).args([ROLE, "crowd"]).args(share.words()).current_dir("/");
            command.stdin(stay.try_clone()?).stdout(report.try_clone()?).stderr(Stdio::null());
            if let Some(uid) = uid {
                command.uid(uid).gid(uid);
            }
            let child = command.spawn()?;
            let ports = share.first_port..share.first_port + share.listeners as u16;
            crowd.listeners.extend(ports.map(|port| (port, child.id())));
            crowd.members.push(child);
        }
        drop((stay, report));
        all_stand(reports, shares.len())?;
        Ok(crowd)
    }

    /// Which process has the listener of each port.
    pub fn listeners(&self) -> &BTreeMap<u16, u32> {
        &self.listeners
    }

    /// How many descriptors the members have open, counted.
    ///
    /// # Errors
    /// Where their /proc cannot be read.
    pub fn count_fds(&self) -> io::Result<usize> {
        let count = |child: &Child| Ok(std::fs::read_dir(format!("/proc/{}/fd", child.id()))?.count());
        self.members.iter().map(count).sum()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.hold = None;
        let deadline = Instant::now() + ENDING;
        for child in &mut self.members {
            while let Ok(None) = child.try_wait() {
                if Instant::now() > deadline {
                    let _ = child.kill();
                    let _ = child.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// What the member with that first port is called, for programs that say no pid.
pub(crate) fn name(first_port: u16) -> String {
    format!("crowd-{first_port}")
}

/// Waits for a line of each member: `ok`, or why it could not do its part.
fn all_stand(mut reports: PipeReader, members: usize) -> io::Result<()> {
    let deadline = Instant::now() + STAGING;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let lines = text.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n"));
        if let Some(trouble) = lines.clone().find(|line| *line != b"ok\n") {
            return Err(io::Error::other(String::from_utf8_lossy(trouble).trim_end().to_owned()));
        }
        if lines.count() == members {
            return Ok(());
        }
        if !readable(&reports, deadline)? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the crowd was not there in time"));
        }
        match reports.read(&mut chunk)? {
            0 => return Err(io::Error::other("a member of the crowd died before it was ready")),
            read => text.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Waits until there is something to read (or the end), or until the deadline: then false.
pub(crate) fn readable(fd: impl std::os::fd::AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { processes: 3, fds: 100, sockets: 20, listeners: 0, time_wait: 7 };

    #[test]
    fn the_parts_make_the_whole() {
        let shares = SIZE.shares().unwrap();
        let fds = shares.iter().map(|s| 3 + s.listeners + 2 * s.connections + s.others);
        assert_eq!(fds.sum::<usize>(), 100);
        assert_eq!(shares.iter().map(|s| s.connections).collect::<Vec<_>>(), [4, 3, 3]);
        assert_eq!(shares.iter().map(|s| s.first_port).collect::<Vec<_>>(), [10_000, 10_001, 10_002]);
        assert_eq!(shares.iter().map(|s| s.time_wait).collect::<Vec<_>>(), [7, 0, 0]);
        let many = Size { listeners: 8, ..SIZE }.shares().unwrap();
        assert_eq!(
            many.iter().map(|s| (s.first_port, s.listeners)).collect::<Vec<_>>(),
            [(10_000, 3), (10_003, 3), (10_006, 2)]
        );
    }

    #[test]
    fn what_cannot_be() {
        let check = |size: Size| assert!(size.shares().is_err(), "{size:?}");
        check(Size { processes: 0, ..SIZE });
        check(Size { fds: 10, ..SIZE });
        check(Size { sockets: 100, ..SIZE });
        check(Size { listeners: MOST_LISTENERS + 1, fds: 100_000, ..SIZE });
    }

    #[test]
    fn a_share_survives_its_words() {
        let share = SIZE.shares().unwrap()[0];
        let words = share.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(Share::from_words(&words), Some(share));
        assert_eq!(Share::from_words(&words[1..]), None);
        assert_eq!(Share::from_words(&["1", "1", "1", "1", "x"]), None);
    }
}
