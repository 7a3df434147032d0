//! shutdown(2) of a kept listener, which would end it for every generation and reset its queue.
//!
//! What the program expects of it: whoever of its own sleeps in accept() on that socket wakes up, and accepts no
//! more. What is done depends on who could notice:
//!
//! - An event loop that shuts its own listener down (the socket is O_NONBLOCK, and nobody waits for it): the call
//!   is not carried out, and succeeds.
//! - Nobody waits for it now, but it blocks, so that a thread may come to accept() later: the caller's descriptors of
//!   it become a socket that never listened, on which accept() fails as it does on one that was shut down.
//! - Threads of the caller's process sleep in accept() or poll() on it, or run and may be on their way there: the same,
//!   and then they are woken, so that they make their call again, on the new socket.
//! - Other processes of the generation have it too: the same, and each of them is made to `leave` it, in the same way.
//!   Nothing is lost in these four.
//! - An epoll waits that has hold of it, or one that is no descendant of who listened: only the real shutdown wakes
//!   them. It is carried out, and the listener is revived when they are awake. The connections in its queue are reset,
//!   and that is said.
//! - The same, but another living generation has the listener too: it would be woken as well. The call is not carried
//!   out, and that is said.

use super::super::Generation;
use super::super::event::Event;
use super::super::key::Kind;
use super::leave::{self, Leaving};
use super::{Answer, Asked, Keeping};
use inuse_kernel::seccomp::{self, Waiter, Waits};
use inuse_rules::UnixKind;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socket_with};

/// The most threads that are woken one by one.
const MOST_WOKEN: usize = 128;

/// Those of the caller's generation who have the listener, and who of them waits for it.
struct Others {
    processes: Vec<u32>,
    /// `None`: it could not be seen.
    waiters: Option<Vec<Waiter>>,
}

impl Keeping {
    pub(super) fn shutdown(&mut self, asked: &Asked<'_>) -> Option<Answer> {
        // Most often this is a connection, so the link alone is read first.
        let inode = asked.target.socket(asked.fd())?;
        let kept = self.sockets.by_inode(inode)?;
        if !asked.is_valid() {
            return None;
        }
        let (cookie, kind) = (kept.cookie, kept.key.kind);
        if !kept.is_listening() {
            // What is shut down stays so, for a successor too.
            let gone = self.sockets.remove(cookie)?;
            self.unclaimed(asked.generation, &gone, true, "the program shut it down");
            return None;
        }
        let how = match asked.arguments[1] as i32 {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_RDWR => Shutdown::Both,
            // The kernel refuses it.
            _ => return None,
        };
        let shared = kept.claims.iter().any(|&claim| claim != asked.generation);
        let blocks = !fcntl_getfl(&kept.fd).ok()?.contains(OFlags::NONBLOCK);
        let address = kept.key.address();
        let tgid = asked.target.tgid().ok()?;
        let others = self.others(asked, inode, shared);
        if self.has_to_wait {
            return None;
        }
        if let Some(waiters) = &others.waiters {
            let waiting = waiters.iter().any(|waiter| waiter.how != Waits::Perhaps);
            // Whoever runs now would not fall asleep in accept().
            if !waiting && !blocks {
                return Some(Answer::Done);
            }
            let sharers: Vec<u32> = others.processes.iter().copied().filter(|&one| one != tgid).collect();
            let by_number = waiters.iter().all(|waiter| waiter.how != Waits::ByFile);
            let own: Vec<Waiter> = waiters.iter().filter(|waiter| waiter.tgid == tgid).copied().collect();
            if by_number
                && own.len() <= MOST_WOKEN
                && self.can_leave(asked, &sharers)
                && self.replace(asked, kind, inode).is_ok()
            {
                if self.wake(&own) {
                    if !sharers.is_empty() {
                        self.later.leaves(Leaving::new(asked.generation, inode, kind, &sharers));
                    }
                    return Some(Answer::Done);
                }
            } else if waiters.is_empty() && self.replace(asked, kind, inode).is_ok() {
                return Some(Answer::Done);
            }
        }
        if shared {
            let what =
                "a shutdown() of the listener: it was not carried out, since the other one serves on it";
            let generation = asked.generation;
            self.said.event(Event::Shared { generation, address, what: what.into() });
            return Some(Answer::Done);
        }
        if blocks {
            // A thread that comes to accept() later must not fall asleep on the revived listener.
            let _ = self.replace(asked, kind, inode);
        }
        self.shut_and_revive(asked.generation, cookie, how, others.waiters)
    }

    /// Who else has the listener. Where another generation has it too, only those count that are known to be of
    /// the caller's.
    fn others(&mut self, asked: &Asked<'_>, inode: u64, shared: bool) -> Others {
        let Some(mut processes) = self.holders(inode) else {
            return Others { processes: Vec::new(), waiters: None };
        };
        if shared {
            processes.retain(|&process| self.family.of(process) == Some(asked.generation));
        }
        let waiters = seccomp::waiters(inode, &processes, asked.target.tid());
        Others { processes, waiters }
    }

    /// Whether these can be made to leave a listener: all of them are asked about their calls.
    fn can_leave(&self, asked: &Asked<'_>, sharers: &[u32]) -> bool {
        let is_known = |&process: &u32| self.family.of(process) == Some(asked.generation);
        sharers.is_empty()
            || (seccomp::CAN_TURN && sharers.len() <= leave::MOST && sharers.iter().all(is_known))
    }

    /// Makes every descriptor of the listener in the caller's table a socket of the same kind that never listened.
    pub(super) fn replace(&self, asked: &Asked<'_>, kind: Kind, inode: u64) -> Result<(), Errno> {
        let decoy = decoy(kind)?;
        for number in asked.target.numbers_of(inode)? {
            let cloexec = asked.target.close_on_exec(number);
            asked.questions.put(asked.id, decoy.as_fd(), number, cloexec)?;
        }
        Ok(())
    }

    /// Has threads make their call again. `false`: one of them could not be made to.
    fn wake(&mut self, waiters: &[Waiter]) -> bool {
        let mut all = true;
        for waiter in waiters {
            match seccomp::interrupt(waiter.tid) {
                Ok(()) => self.later.releases(waiter.tid),
                Err(Errno::SRCH) => {}
                Err(_) => all = false,
            }
        }
        all
    }

    fn shut_and_revive(
        &mut self,
        generation: Generation,
        cookie: u64,
        how: Shutdown,
        waiters: Option<Vec<Waiter>>,
    ) -> Option<Answer> {
        let kept = self.sockets.by_cookie(cookie)?;
        let (address, kind) = (kept.key.address(), kept.key.kind);
        let lost = kept.queue().map_or(0, |(waiting, _)| waiting);
        let answer = match rustix::net::shutdown(&kept.fd, how) {
            Ok(()) => Answer::Done,
            Err(errno) => Answer::Fails(errno),
        };
        if kind == Kind::Tcp {
            self.later.revives(generation, cookie, waiters);
            let why = format!(
                "the program shut its listener down to wake those who wait for it; {lost} connections were in \
                 the queue"
            );
            self.said.event(Event::QueueReset { generation, address, why });
        } else if let Some(gone) = self.sockets.remove(cookie) {
            // A unix socket stays shut down (`unix_shutdown`).
            let why = "the program shut it down to wake those who wait for it";
            self.unclaimed(generation, &gone, true, why);
        }
        Some(answer)
    }
}

fn decoy(kind: Kind) -> Result<OwnedFd, Errno> {
    let (family, kind) = match kind {
        Kind::Tcp => (AddressFamily::INET, SocketType::STREAM),
        Kind::Udp => (AddressFamily::INET, SocketType::DGRAM),
        Kind::Unix(UnixKind::Stream) => (AddressFamily::UNIX, SocketType::STREAM),
        Kind::Unix(UnixKind::Datagram) => (AddressFamily::UNIX, SocketType::DGRAM),
        Kind::Unix(UnixKind::Seqpacket) => (AddressFamily::UNIX, SocketType::SEQPACKET),
    };
    socket_with(family, kind, SocketFlags::CLOEXEC, None)
}
