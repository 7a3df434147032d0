//! shutdown(2) of a kept listener, which would end it for every generation and reset its queue.
//!
//! What the program expects of it: whoever sleeps in accept() on that socket wakes up, and accepts no more. What is
//! done depends on who could notice:
//!
//! - An event loop that shuts its own listener down (the socket is O_NONBLOCK, and nobody else waits for it): the
//!   call is not carried out, and succeeds.
//! - A program that sleeps in accept(), and now does not (the socket blocks): its descriptor becomes a socket that
//!   never listened, on which accept() fails as it does on one that was shut down.
//! - Somebody sleeps in a call that waits for the socket: only the real shutdown wakes them. It is carried out, and the
//!   listener is revived when they are awake. The connections in its queue are reset, and that is said. The caller's
//!   descriptor becomes another socket as above, so that a thread which comes to accept() later does not fall asleep
//!   on the revived listener.

use super::super::event::Event;
use super::super::key::Kind;
use super::{Answer, Asked, Keeping};
use inuse_rules::UnixKind;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socket_with};

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
        let blocks = !fcntl_getfl(&kept.fd).ok()?.contains(OFlags::NONBLOCK);
        let holders = self.holders(inode);
        let waiters =
            holders.and_then(|holders| inuse_kernel::seccomp::waiters(inode, &holders, asked.target.tid()));
        let nobody = waiters.as_ref().is_some_and(Vec::is_empty);
        if nobody && !blocks {
            return Some(Answer::Done);
        }
        if blocks && self.replace(asked, kind).is_ok() && nobody {
            return Some(Answer::Done);
        }
        self.shut_and_revive(asked, cookie, kind, waiters)
    }

    /// Gives the caller a socket of the same kind that never listened.
    fn replace(&self, asked: &Asked<'_>, kind: Kind) -> Result<(), Errno> {
        let decoy = decoy(kind)?;
        let cloexec = asked.target.close_on_exec(asked.fd());
        asked.questions.put(asked.id, decoy.as_fd(), asked.fd(), cloexec)
    }

    fn shut_and_revive(
        &mut self,
        asked: &Asked<'_>,
        cookie: u64,
        kind: Kind,
        waiters: Option<Vec<inuse_kernel::seccomp::Waiter>>,
    ) -> Option<Answer> {
        let how = match asked.arguments[1] as i32 {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_RDWR => Shutdown::Both,
            // The kernel refuses it.
            _ => return None,
        };
        let generation = asked.generation;
        let kept = self.sockets.by_cookie(cookie)?;
        let address = kept.key.address();
        let lost = kept.queue().map_or(0, |(waiting, _)| waiting);
        let answer = match rustix::net::shutdown(&kept.fd, how) {
            Ok(()) => Answer::Done,
            Err(errno) => Answer::Fails(errno),
        };
        if kind == Kind::Tcp {
            self.later.revives(cookie, waiters);
            let why = format!(
                "the program shut its listener down to wake threads that waited for it; {lost} connections \
                 waited in the queue"
            );
            self.said.event(Event::QueueReset { generation, address, why });
        } else if let Some(gone) = self.sockets.remove(cookie) {
            // A unix socket stays shut down (`unix_shutdown`).
            self.unclaimed(
                generation,
                &gone,
                true,
                "the program shut it down to wake threads that waited for it",
            );
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
