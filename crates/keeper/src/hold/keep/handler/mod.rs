//! The handler: a thread of the supervisor that answers the filtered calls of every generation.
//!
//! A thread, and no process of its own, for two reasons. Where Yama restricts ptrace(2) to descendants, the default of
//! several distributions (`kernel.yama.ptrace_scope` is 1), only the supervisor's process may look at the programs:
//! all of them descend from it (it is their subreaper), and a sibling of theirs would be refused. And nobody can kill
//! it and leave the supervisor: what is kept is lost only together with who would hand it on.
//!
//! One poll(2). Nothing here waits for anybody, neither for the supervisor's main thread nor for a program: one
//! question of each filter is answered in a round, a supervisor that does not read loses events and nothing else, and
//! what takes time is looked at again later (`later`). Everything that the programs wrote is hostile; everything that
//! is remembered is bounded.
//!
//! When the supervisor does not keep any more, what is kept is let go, and every call is carried out as if there were
//! no filter. When its process is gone, the `stand_in` does the same.

mod bind;
mod family;
mod later;
mod leave;
mod listen;
mod said;
mod shutdown;

use super::Generation;
use super::channel::{self, Received};
use super::enter::WELCOME;
use super::event::Event;
use super::key::Key;
use super::sockets::{Socket, Sockets};
use super::stand_in::{MOST_FILTERS, MOST_POSTPONED, StandIn};
use super::wire::{self, Order};
use crate::hold::sys::peer;
use family::Family;
use inuse_kernel::seccomp::{self, Answer, Call, Notification, Notifications, Target};
use later::Later;
use leave::Turning;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use said::Said;
use std::io;
use std::time::{Duration, Instant};

/// What ends the answer to [`Order::Status`]; no message begins with it.
pub(super) const END_OF_STATUS: &[u8] = b"\0";

/// The most orders that are read in one round.
const MOST_ORDERS: usize = 64;
/// A walk through all processes takes milliseconds, and whoever asks for one after the other must not hold the others
/// up: after each comes a pause that is so many times as long. Who needs one meanwhile waits for it.
const WALK_PAUSE: u32 = 4;

/// Much more than it needs.
const STACK: usize = 256 * 1024;

/// Answers for the programs, in a thread of its own, until `control` has no other end and no program is left.
pub(super) fn start(control: OwnedFd, stand_in: StandIn) -> io::Result<()> {
    let keeping = Keeping::new(seccomp::netns_cookie(control.as_fd()));
    let (filters, postponed) = (Vec::new(), Vec::new());
    let handler = Handler { control: Some(control), filters, postponed, keeping, stand_in, exposed: false };
    // Should poll(2) fail, the supervisor sees the end of the channel.
    let run = move || _ = handler.run();
    std::thread::Builder::new().name("inuse keep".into()).stack_size(STACK).spawn(run).map(drop)
}

/// One filter: where the questions of a tree of processes arrive.
struct Filter {
    /// By which the stand-in knows it; no other living filter has it.
    number: u32,
    generation: Generation,
    questions: Notifications,
}

struct Handler {
    /// `None` once the supervisor is gone.
    control: Option<OwnedFd>,
    filters: Vec<Filter>,
    /// Questions that wait for a walk, oldest first, each with its filter's number.
    postponed: Vec<(u32, Notification)>,
    keeping: Keeping,
    stand_in: StandIn,
    /// It was told that there is no stand-in.
    exposed: bool,
}

impl Handler {
    fn run(mut self) -> io::Result<()> {
        while self.control.is_some() || !self.filters.is_empty() {
            let ready = self.wait()?;
            self.answer_postponed();
            // From the last to the first, so that one that is taken out moves no other that is still to come.
            for (at, flags) in ready.filters.into_iter().enumerate().rev() {
                self.filter(at, flags);
            }
            if ready.control {
                self.orders();
            }
            if ready.stand_in {
                self.stand_in.look();
            }
            if self.stand_in.due().is_some_and(|due| due <= Instant::now()) {
                self.stand_in_again();
            }
            self.keeping.look_again(Instant::now());
            if let Some(control) = &self.control
                && self.keeping.said.send(control).is_err()
            {
                self.supervisor_gone();
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut polled: Vec<PollFd<'_>> =
            self.filters.iter().map(|filter| PollFd::new(&filter.questions, PollFlags::IN)).collect();
        let own = [self.control.as_ref().map(|control| control.as_fd()), self.stand_in.fd()];
        let more = if self.keeping.said.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        for (fd, more) in own.iter().zip([more, PollFlags::empty()]) {
            polled.extend(fd.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN | more)));
        }
        let walk = (!self.postponed.is_empty()).then_some(self.keeping.next_walk);
        let due = [self.keeping.later.due(), self.stand_in.due(), walk].into_iter().flatten().min();
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM) => return Ok(Ready::default()),
            Err(errno) => return Err(errno.into()),
        }
        let mut flags = polled.iter().map(PollFd::revents);
        let filters = flags.by_ref().take(self.filters.len()).collect();
        let [control, stand_in] =
            own.map(|fd| fd.is_some() && flags.next().is_some_and(|flags| !flags.is_empty()));
        Ok(Ready { filters, control, stand_in })
    }

    /// Answers one question of a filter, or takes the filter out when nobody has it any more.
    fn filter(&mut self, at: usize, flags: PollFlags) {
        let Some(filter) = self.filters.get_mut(at) else { return };
        if flags.contains(PollFlags::IN) {
            let Ok(asked) = filter.questions.receive() else {
                self.filters.remove(at);
                return;
            };
            if let Some(asked) = asked {
                self.stand_in.note(filter.number, asked.id);
                if !self.answer(at, asked) {
                    self.stand_in.note_postponed(self.postponed.iter().map(|(_, asked)| asked.id));
                }
            }
        } else if flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            self.filters.remove(at);
        }
    }

    /// Answers, or postpones it and says `false`.
    fn answer(&mut self, at: usize, asked: Notification) -> bool {
        let Some(filter) = self.filters.get_mut(at) else { return true };
        let may_wait = self.postponed.len() < MOST_POSTPONED;
        let answer = match self.control {
            Some(_) => self.keeping.answer(filter, &asked, may_wait),
            None => Some(Answer::Continue),
        };
        // What it is about is known to the supervisor before the program goes on, and perhaps ends. Should the supervisor be
        // gone, that is seen at the end of the round.
        if let (Some(_), Some(control)) = (&answer, &self.control) {
            let _ = self.keeping.said.send(control);
        }
        match answer {
            // Who does not wait for it any more needs none.
            Some(answer) => _ = filter.questions.answer(asked.id, answer),
            None => self.postponed.push((filter.number, asked)),
        }
        answer.is_some()
    }

    fn answer_postponed(&mut self) {
        if self.postponed.is_empty() || Instant::now() < self.keeping.next_walk {
            return;
        }
        while Instant::now() >= self.keeping.next_walk && !self.postponed.is_empty() {
            let (number, asked) = self.postponed.remove(0);
            // Its filter may be gone, and another one have the number.
            let is_it = |filter: &Filter| filter.number == number && filter.questions.valid(asked.id);
            if let Some(at) = self.filters.iter().position(is_it) {
                self.answer(at, asked);
            }
        }
        self.stand_in.note_postponed(self.postponed.iter().map(|(_, asked)| asked.id));
    }

    fn orders(&mut self) {
        for _ in 0..MOST_ORDERS {
            let Some(control) = &self.control else { return };
            match channel::receive(control) {
                Ok(Some(received)) => self.order(received),
                Ok(None) => return,
                // The supervisor died with events unread; what it had said before may still be there.
                Err(Errno::CONNRESET) => {}
                Err(_) => return self.supervisor_gone(),
            }
        }
    }

    fn order(&mut self, Received { bytes, descriptors }: Received) {
        let mut descriptors = descriptors.into_iter();
        match Order::from_bytes(&bytes) {
            Some(Order::Begin { raise_backlog }) => self.keeping.raise_backlog = raise_backlog,
            Some(Order::Enter { generation, no_new_privs }) => {
                if let (Some(questions), Some(reply)) = (descriptors.next(), descriptors.next()) {
                    self.enter(generation, no_new_privs, questions, &reply);
                }
            }
            Some(Order::Preload { name }) => {
                if let Some(socket) = descriptors.next() {
                    self.keeping.preload(name, socket);
                }
            }
            Some(Order::Ready { generation }) => self.keeping.ready(generation),
            Some(Order::Ended { generation }) => {
                self.keeping.sockets.ended(generation);
                self.keeping.family.ended(generation);
            }
            Some(Order::Status) => {
                if let Some(reply) = descriptors.next() {
                    // Whoever has the answer has also what happened before it. A supervisor that is gone is seen next.
                    let _ = self.control.as_ref().map(|control| self.keeping.said.send(control));
                    self.keeping.tell_status(&reply);
                }
            }
            None => {}
        }
    }

    fn enter(&mut self, generation: Generation, no_new_privs: bool, questions: OwnedFd, reply: &OwnedFd) {
        // Without a welcome the stub does not become the program, and so asks nothing.
        if self.filters.len() >= MOST_FILTERS {
            return;
        }
        let number = (0..).find(|number| self.filters.iter().all(|filter| filter.number != *number));
        let (Some(number), Ok(questions)) = (number, Notifications::new(questions)) else { return };
        self.stand_in.guard(number, questions.as_fd());
        if channel::send(reply, WELCOME, &[]).is_ok() {
            // The stub made the pair, and becomes the program.
            if let Some(stub) = peer::pid(reply).ok().flatten() {
                self.keeping.family.knows(stub, generation);
            }
            self.filters.push(Filter { number, generation, questions });
            self.keeping.said.event(Event::Entered { generation, no_new_privs });
        }
    }

    /// Another stand-in. Told when one was lost, and when there is one again.
    fn stand_in_again(&mut self) {
        let filters: Vec<_> =
            self.filters.iter().map(|filter| (filter.number, filter.questions.as_fd())).collect();
        let failed = self.stand_in.again(&filters).is_err();
        if !(failed && self.exposed) {
            self.keeping.said.event(Event::StandInLost { replaced: !failed });
        }
        self.exposed = failed;
    }

    fn supervisor_gone(&mut self) {
        self.control = None;
        self.keeping = Keeping::new(self.keeping.home);
    }
}

/// What poll(2) said.
#[derive(Default)]
struct Ready {
    filters: Vec<PollFlags>,
    control: bool,
    stand_in: bool,
}

/// Everything that answers depend on.
struct Keeping {
    sockets: Sockets,
    later: Later,
    said: Said,
    family: Family,
    turned: Vec<Turning>,
    raise_backlog: bool,
    /// The cookie of the supervisor's network namespace, and ours.
    home: u64,
    /// When there may be another walk through all processes.
    next_walk: Instant,
    /// Whether the question that is answered now may wait for that, and whether it has to.
    may_wait: bool,
    has_to_wait: bool,
}

/// A question, and what is needed to look at who asks.
struct Asked<'a> {
    id: u64,
    generation: Generation,
    questions: &'a Notifications,
    target: Target,
    arguments: [u64; 6],
}

impl Asked<'_> {
    /// The descriptor that the call is about: an int.
    fn fd(&self) -> u32 {
        self.arguments[0] as u32
    }

    /// Whether what was seen was the caller, who still waits.
    fn is_valid(&self) -> bool {
        self.questions.valid(self.id)
    }
}

impl Keeping {
    fn new(home: u64) -> Keeping {
        Keeping {
            sockets: Sockets::default(),
            later: Later::default(),
            said: Said::default(),
            family: Family::default(),
            turned: Vec::new(),
            raise_backlog: true,
            home,
            next_walk: Instant::now(),
            may_wait: false,
            has_to_wait: false,
        }
    }

    /// `None`: nothing was done yet, and the question has to wait for [`Keeping::next_walk`].
    fn answer(&mut self, filter: &Filter, asked: &Notification, may_wait: bool) -> Option<Answer> {
        (self.may_wait, self.has_to_wait) = (may_wait, false);
        let (Some(call), Ok(target)) = (asked.call, Target::new(asked.tid)) else {
            return Some(Answer::Continue);
        };
        let asked = Asked {
            id: asked.id,
            generation: filter.generation,
            questions: &filter.questions,
            target,
            arguments: asked.arguments,
        };
        if call == Call::Listen
            && let Ok(tgid) = asked.target.tgid()
        {
            self.family.knows(tgid, asked.generation);
        }
        let answer = match call {
            Call::Bind => self.has_turned(&asked).or_else(|| self.bind(&asked)),
            Call::Listen => self.listen(&asked),
            Call::Shutdown => self.shutdown(&asked),
        };
        (!self.has_to_wait).then(|| answer.unwrap_or(Answer::Continue))
    }

    /// A duplicate of the socket that the call is about. `None`: it is none, or cannot be had, and the call is
    /// left to the kernel.
    fn duplicate(&mut self, asked: &Asked<'_>) -> Option<OwnedFd> {
        match asked.target.duplicate(asked.fd()) {
            Ok(socket) => asked.is_valid().then_some(socket),
            Err(errno) => {
                self.said.no_duplicate(errno);
                None
            }
        }
    }

    fn preload(&mut self, name: String, fd: OwnedFd) {
        let key = Key::of(&fd).ok().flatten();
        let Some(mut socket) = key.and_then(|key| Socket::new(fd, key)) else { return };
        socket.file = bind::file_from_root(&socket.key.name);
        socket.name = Some(name);
        if !self.sockets.add(socket) {
            self.said.full();
        }
    }

    fn ready(&mut self, generation: Generation) {
        for socket in self.sockets.unclaimed(generation) {
            self.unclaimed(generation, &socket, true, "the new generation did not bind it");
        }
        let waiting: Vec<_> = (self.sockets.iter())
            .filter(|socket| !socket.claims.contains(&generation))
            .map(|socket| (socket.key.address(), socket.name.clone(), socket.queue()))
            .collect();
        for (address, name, queue) in waiting {
            self.said.event(Event::Unclaimed {
                generation,
                address,
                name,
                waiting: queue.map(|(waiting, _)| waiting),
                dropped: false,
                why: "the new generation did not bind it".into(),
            });
        }
    }

    /// Says that a socket goes, while it can still be asked.
    fn unclaimed(&mut self, generation: Generation, socket: &Socket, dropped: bool, why: &str) {
        self.said.event(Event::Unclaimed {
            generation,
            address: socket.key.address(),
            name: socket.name.clone(),
            waiting: socket.queue().map(|(waiting, _)| waiting),
            dropped,
            why: why.into(),
        });
    }

    fn tell_status(&self, reply: &OwnedFd) {
        let rows = self.sockets.iter().map(|socket| wire::kept_to_bytes(&socket.status()));
        for bytes in rows.chain([END_OF_STATUS.to_vec()]) {
            // A little patience for a reader that is slower than us; it reads nothing else meanwhile.
            if channel::send_patiently(reply, &bytes, &[], Duration::from_millis(100)).is_err() {
                return;
            }
        }
    }

    /// The processes that have a socket open. `None`: that cannot be seen, or not now; then `has_to_wait` says so, and
    /// whoever needs it leaves everything as it is.
    fn holders(&mut self, inode: u64) -> Option<Vec<u32>> {
        let now = Instant::now();
        if now < self.next_walk {
            self.has_to_wait = self.may_wait;
            return None;
        }
        let holders = seccomp::holders(inode).ok();
        self.next_walk = Instant::now() + now.elapsed() * WALK_PAUSE;
        holders
    }
}
