//! listen(2): from here on the socket is kept.
//!
//! For TCP the handler makes the call itself, on its duplicate: it is the same call on the same socket, its result
//! is known at once, and the queue can be made longer. SO_REUSEADDR is set before it: connections inherit that, and
//! one that is in TIME_WAIT would else keep a listener that was shut down from being revived. A unix socket's listen() notes who made it (`SO_PEERCRED` of
//! its clients), so that one is left to the program, and looked at afterwards.

use super::super::event::Event;
use super::super::key::{Key, Kind, Name};
use super::super::sockets::Socket;
use super::bind::{absolute, file_of};
use super::{Answer, Asked, Keeping};
use inuse_rules::UnixKind;
use rustix::fd::OwnedFd;
use rustix::net::sockopt;

impl Keeping {
    pub(super) fn listen(&mut self, asked: &Asked<'_>) -> Option<Answer> {
        let own = self.duplicate(asked)?;
        let cookie = sockopt::socket_cookie(&own).ok()?;
        if let Some(kept) = self.sockets.by_cookie(cookie) {
            let key = kept.key.clone();
            return self.listen_again(asked, own, &key, cookie);
        }
        if self.sockets.is_full() {
            self.said.full();
            return None;
        }
        match Key::of(&own).ok()? {
            Some(key) if key.kind == Kind::Tcp => self.listen_first(asked, own, key, cookie),
            Some(key) if matches!(key.kind, Kind::Unix(UnixKind::Stream | UnixKind::Seqpacket)) => {
                let mut key = key;
                key.name = absolute(asked, key.name)?;
                let root = asked.target.place(false).ok();
                let file = root.and_then(|root| file_of(root, &key.name));
                let mut socket = Socket::new(own, key)?;
                socket.file = file;
                self.later.listens(asked.generation, socket);
                None
            }
            // Without a bind before it, or of a kind that is not kept.
            _ => None,
        }
    }

    fn listen_first(&mut self, asked: &Asked<'_>, own: OwnedFd, key: Key, cookie: u64) -> Option<Answer> {
        let generation = asked.generation;
        let _ = sockopt::set_socket_reuseaddr(&own, true);
        if let Err(errno) = rustix::net::listen(&own, self.backlog(asked)) {
            return Some(Answer::Fails(errno));
        }
        let mut socket = Socket::new(own, key)?;
        socket.zero = self.sockets.any_port_of(generation, cookie);
        socket.listens(generation);
        self.tell_listening(asked, &socket, false);
        self.sockets.add(socket);
        Some(Answer::Done)
    }

    /// A generation listens on what it was given, or once more on its own.
    fn listen_again(&mut self, asked: &Asked<'_>, own: OwnedFd, key: &Key, cookie: u64) -> Option<Answer> {
        let (generation, backlog) = (asked.generation, self.backlog(asked));
        let tcp = key.kind == Kind::Tcp;
        if tcp && let Err(errno) = rustix::net::listen(&own, backlog) {
            return Some(Answer::Fails(errno));
        }
        let kept = self.sockets.by_cookie(cookie)?;
        let adopted = kept.name.is_some()
            || kept.listeners.iter().any(|&one| one != generation)
            || !kept.listeners.contains(&generation);
        if kept.listens(generation) {
            let address = kept.key.address();
            self.tell_raised(asked, &own, tcp);
            self.said.event(Event::Listening { generation, address, adopted });
        }
        tcp.then_some(Answer::Done)
    }

    /// What is asked of the kernel, which cuts it to `net.core.somaxconn`.
    fn backlog(&self, asked: &Asked<'_>) -> i32 {
        if self.raise_backlog { i32::MAX } else { asked.arguments[1] as i32 }
    }

    fn tell_listening(&mut self, asked: &Asked<'_>, socket: &Socket, adopted: bool) {
        let (generation, address) = (asked.generation, socket.key.address());
        self.said.event(Event::Listening { generation, address, adopted });
        self.tell_raised(asked, &socket.fd, true);
    }

    fn tell_raised(&mut self, asked: &Asked<'_>, socket: &OwnedFd, tcp: bool) {
        // The kernel takes a negative length for the longest.
        let from = asked.arguments[1] as u32;
        let queue = if tcp { inuse_kernel::seccomp::queue(socket).ok() } else { None };
        if let Some(queue) = queue
            && from < queue.backlog
            && let Ok(Some(key)) = Key::of(socket)
        {
            let (generation, address, to) = (asked.generation, key.address(), queue.backlog);
            self.said.event(Event::Raised { generation, address, from, to });
        }
    }

    /// Notes a unix socket whose listen() has been carried out.
    pub(super) fn listens_now(&mut self, generation: super::Generation, mut socket: Socket) {
        let address = socket.key.address();
        socket.listens(generation);
        let elsewhere = matches!(socket.key.name, Name::Path(_))
            && self
                .sockets
                .iter()
                .any(|other| other.key == socket.key && other.claims.iter().any(|&one| one != generation));
        if elsewhere {
            let what = "its path: an older one that removes the file when it ends removes the newer one's; \
                        --no-overlap restarts one after the other";
            self.said.event(Event::Shared { generation, address: address.clone(), what: what.into() });
        }
        self.said.event(Event::Listening { generation, address, adopted: false });
        if !self.sockets.add(socket) {
            self.said.full();
        }
    }
}
