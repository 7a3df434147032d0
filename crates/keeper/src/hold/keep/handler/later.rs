//! What is looked at again a little later, since the call that matters is carried out after the answer.
//!
//! A unix listener, until it accepts connections. A datagram socket, until it has been bound for a while: those that
//! are bound for one question and answer are never kept. A listener that was shut down, until nobody who should see
//! that sleeps in accept() any more: then it listens again. A listener that was given to a generation which does not
//! say listen() any more, since it sees that the socket listens. A thread that is being woken, until it can go on.
//! Processes that are to leave a listener, until the last of them has (`leave`).

use super::super::Generation;
use super::super::event::Event;
use super::super::key::{Key, Kind};
use super::super::sockets::Socket;
use super::leave::Leaving;
use super::{Asked, Keeping};
use inuse_kernel::seccomp::{self, Target, Waiter};
use rustix::net::{getpeername, sockopt};
use std::time::{Duration, Instant};

/// The most that is looked at again.
const MOST: usize = 256;
/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a call may take that was let through.
const CALL: Duration = Duration::from_secs(1);
/// How long a datagram socket must have been there.
const SETTLED: Duration = Duration::from_millis(100);
/// How long those who sleep in accept() may take to see that the listener was shut down.
const WAKING: Duration = Duration::from_secs(1);
/// How long a generation that was given a listener may take to say listen() itself.
const SILENT: Duration = Duration::from_millis(200);
/// As [`WAKING`], when it could not be seen who they are.
const UNSEEN: Duration = Duration::from_millis(50);

/// What is still to be looked at.
#[derive(Default)]
pub(super) struct Later {
    all: Vec<(Instant, What)>,
}

enum What {
    /// A unix socket after listen().
    Listens { generation: Generation, socket: Socket, until: Instant },
    /// A datagram socket after bind().
    Bound { generation: Generation, tid: u32, fd: u32, cookie: u64, key: Key },
    /// A listener after shutdown().
    Revives { generation: Generation, cookie: u64, waiters: Option<Vec<Waiter>>, until: Instant },
    /// A listener that was given away.
    Adopted { generation: Generation, cookie: u64 },
    /// A thread that is being woken.
    Releases { tid: u32 },
    /// A thread that is being turned.
    Turns { tid: u32, inode: u64, kind: Kind },
    /// Those who share a listener that one of them has shut down.
    Leaves(Leaving),
}

impl Later {
    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().map(|(due, _)| *due).min()
    }

    pub(super) fn listens(&mut self, generation: Generation, socket: Socket) {
        let now = Instant::now();
        self.push(now, What::Listens { generation, socket, until: now + CALL });
    }

    pub(super) fn bound(&mut self, asked: &Asked<'_>, cookie: u64, key: Key) {
        // The thread may be gone by then; its process has the same descriptors.
        let Ok(tid) = asked.target.tgid() else { return };
        let (generation, fd) = (asked.generation, asked.fd());
        self.push(Instant::now() + SETTLED, What::Bound { generation, tid, fd, cookie, key });
    }

    pub(super) fn revives(&mut self, generation: Generation, cookie: u64, waiters: Option<Vec<Waiter>>) {
        let now = Instant::now();
        match &waiters {
            Some(_) => self.push(now, What::Revives { generation, cookie, waiters, until: now + WAKING }),
            None => {
                self.push(now + UNSEEN, What::Revives { generation, cookie, waiters, until: now + UNSEEN })
            }
        }
    }

    pub(super) fn adopted(&mut self, generation: Generation, cookie: u64) {
        self.push(Instant::now() + SILENT, What::Adopted { generation, cookie });
    }

    pub(super) fn releases(&mut self, tid: u32) {
        self.push(Instant::now(), What::Releases { tid });
    }

    pub(super) fn turns(&mut self, tid: u32, inode: u64, kind: Kind) {
        self.push(Instant::now(), What::Turns { tid, inode, kind });
    }

    pub(super) fn leaves(&mut self, leaving: Leaving) {
        self.push(Instant::now(), What::Leaves(leaving));
    }

    /// The oldest give way: nothing but a hostile program makes so many. A thread that is held is always let go.
    fn push(&mut self, due: Instant, what: What) {
        if self.all.len() >= MOST
            && let Some(oldest) = self.all.iter().position(|(_, what)| !what.is_held())
        {
            self.all.remove(oldest);
        }
        self.all.push((due, what));
    }
}

impl What {
    /// Whether it is a thread that does not go on by itself.
    fn is_held(&self) -> bool {
        matches!(self, What::Releases { .. } | What::Turns { .. })
    }
}

impl Keeping {
    pub(super) fn look_again(&mut self, now: Instant) {
        let due: Vec<_> =
            self.later.all.extract_if(.., |(due, _)| *due <= now).map(|(_, what)| what).collect();
        for what in due {
            if let Some((pause, again)) = self.look(what, now) {
                self.later.push(Instant::now() + pause, again);
            }
        }
    }

    /// Gives back what is not settled yet, and in what time to look at it again.
    fn look(&mut self, what: What, now: Instant) -> Option<(Duration, What)> {
        match what {
            What::Listens { generation, socket, until } => {
                if socket.is_listening() {
                    self.listens_now(generation, socket);
                } else if now < until {
                    return Some((PAUSE, What::Listens { generation, socket, until }));
                }
            }
            What::Bound { generation, tid, fd, cookie, key } => {
                self.settle(generation, tid, fd, cookie, &key)
            }
            What::Revives { generation, cookie, waiters, until } => {
                let kept = self.sockets.by_cookie(cookie)?;
                let asleep = waiters.as_deref().is_some_and(|waiters| still_wait(waiters, kept.inode));
                if asleep && now < until {
                    return Some((PAUSE, What::Revives { generation, cookie, waiters, until }));
                }
                if let Err(errno) = rustix::net::listen(&kept.fd, i32::MAX)
                    && let Some(gone) = self.sockets.remove(cookie)
                {
                    let why = format!("the program shut it down, and it cannot listen again: {errno}");
                    self.unclaimed(generation, &gone, true, &why);
                }
            }
            What::Adopted { generation, cookie } => {
                let kept = self.sockets.by_cookie(cookie)?;
                if kept.is_listening() && kept.claims.contains(&generation) && kept.listens(generation) {
                    let address = kept.key.address();
                    self.said.event(Event::Listening { generation, address, adopted: true });
                }
            }
            What::Releases { tid } => {
                if !seccomp::release(tid) {
                    return Some((PAUSE, What::Releases { tid }));
                }
            }
            What::Turns { tid, inode, kind } => {
                if !self.turn(tid, inode, kind) {
                    return Some((PAUSE, What::Turns { tid, inode, kind }));
                }
            }
            What::Leaves(leaving) => {
                return self.leave(leaving).map(|(pause, leaving)| (pause, What::Leaves(leaving)));
            }
        }
        None
    }

    /// Keeps a datagram socket that is still there, bound as it was asked for and not connected.
    fn settle(&mut self, generation: Generation, tid: u32, fd: u32, cookie: u64, key: &Key) {
        let socket = Target::new(tid).and_then(|target| target.duplicate(fd));
        let Ok(socket) = socket else { return };
        let same = sockopt::socket_cookie(&socket) == Ok(cookie);
        let bound = Key::of(&socket).ok().flatten();
        let relative = matches!(key.kind, Kind::Unix(_));
        if !same
            || bound.is_none()
            || (bound.as_ref() != Some(key) && !relative)
            || getpeername(&socket).is_ok()
        {
            return;
        }
        let Some(mut socket) = Socket::new(socket, key.clone()) else { return };
        socket.file = super::bind::file_from_root(&key.name);
        socket.claim(generation);
        let address = key.address();
        if self.sockets.by_cookie(cookie).is_none() && self.sockets.add(socket) {
            self.said.event(Event::Listening { generation, address, adopted: false });
        }
    }
}

/// Whether one of these threads still sleeps in a call that waits for the socket, or is on its way out of it: one
/// that is about to run has not yet seen why it was woken.
fn still_wait(waiters: &[Waiter], inode: u64) -> bool {
    let mut processes: Vec<u32> = waiters.iter().map(|waiter| waiter.tgid).collect();
    processes.dedup();
    let now = seccomp::waiters(inode, &processes, 0).unwrap_or_default();
    now.iter().any(|one| waiters.iter().any(|before| before.tid == one.tid))
}
