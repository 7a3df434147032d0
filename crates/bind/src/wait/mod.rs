//! Waiting until an address can be bound, or until somebody listens on it, without binding or connecting.
//!
//! ```no_run
//! use inuse_bind::wait::{End, Waiter};
//! use inuse_bind::WhyOptions;
//! use inuse_rules::{Address, Attempt};
//! use std::time::{Duration, Instant};
//!
//! let attempt = Attempt::plain(Address::tcp(([0, 0, 0, 0], 8080).into()));
//! let mut waiter = Waiter::new(&WhyOptions::default(), &[attempt])?;
//! match waiter.wait(Some(Instant::now() + Duration::from_secs(30))) {
//!     End::Ready => println!("bind it now"),
//!     End::TimedOut => println!("still in use"),
//!     End::Hopeless(report) => println!("waiting does not help: {}", report.diagnosis.summary),
//! }
//! # Ok::<(), inuse_kernel::Error>(())
//! ```
//!
//! The rule says whether an address can be bound; an event is only a reason to ask it. The subscription is
//! older than the first question, so nothing that happens in between is lost. What the kernel does not
//! announce is asked for: by one exact question for the one socket that keeps the address taken longest.
//! `blocker` says which that is and how often; `serving` is about `--listening`.
//!
//! When it is ready, nothing is reserved: another program may come first. Not here: any output.

mod blocker;
mod serving;

use crate::why::{Asker, Report, WhyOptions};
use blocker::Blocker;
use inuse_kernel::events::Events;
use inuse_kernel::{Error, SockDiag};
use inuse_rules::socket::FileId;
use inuse_rules::verdict::{Refusal, Rule};
use inuse_rules::{Address, Attempt, Errno, Outcome, Socket, Transport, UnixName, Verdict};
use rustix::time::{ClockId, clock_gettime};
use serving::Serving;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// After an event that changed nothing yet, one more look: the kernel announces some things an instant
/// before they are true (`fsnotify_link_count` comes before the name is gone).
const ECHO: Duration = Duration::from_millis(2);
/// How often to look without any reason.
const SAFETY: Duration = Duration::from_secs(1);
/// How often not only for the blocker, but to judge anew: what it stands for may have changed.
const JUDGE_ANEW: Duration = Duration::from_secs(10);
/// After a look, rest this many times as long as it took before the next event counts.
const REST: u32 = 8;
/// … but no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(100);
/// A new reason for waiting is told at most this often.
const TELL: Duration = Duration::from_millis(250);

/// Somebody who waits.
pub struct Waiter {
    asker: Asker,
    diag: SockDiag,
    events: Events,
    goal: Goal,
    /// What is waited for: all groups; for [`Goal::Listening`] one address of each is enough.
    wants: Vec<Vec<Attempt>>,
    /// The group that was not ready at the last look.
    at: usize,
    blocker: Blocker,
    /// The socket file about which other namespaces were asked, and when.
    asked: Option<(FileId, Instant)>,
    /// Whether hopeless ones were looked for.
    begun: bool,
    /// Look at once.
    due: bool,
    /// Something happened, and the look that it was reason for has not been repeated yet.
    echo: bool,
    /// When to look at the latest.
    next: Instant,
    /// When to judge anew at the latest.
    anew: Instant,
    /// The end of the last look, and the processor time that it took.
    looked: (Instant, Duration),
    /// What the last [`Progress::Waiting`] was about, and from when on another may be told.
    told: Option<(usize, Vec<u64>)>,
    tell: Instant,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// That a bind (and, where the type has it, a listen) succeeds.
    Bindable,
    /// That somebody serves the address.
    Listening,
}

/// What happened, one step at a time.
#[derive(Debug)]
pub enum Progress {
    /// Not yet, and why. Told first, and whenever the reason changes.
    Waiting(Box<Waiting>),
    /// It is as was wanted.
    Ready,
    /// Waiting does not help: another refusal than EADDRINUSE, or too little can be seen.
    Hopeless(Box<Report>),
    /// The moment that was given has come.
    Until,
}

/// Why it is not ready yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The whole answer for the address that is waited for.
    pub report: Report,
    /// The time after which the kernel lets go by itself, where it knows: a lower bound, to which it may
    /// add up to two seconds. `None` while somebody has to do something first.
    pub left: Option<Duration>,
}

/// How waiting ended.
#[derive(Debug)]
pub enum End {
    /// It is as was wanted.
    Ready,
    /// The deadline came first.
    TimedOut,
    /// Waiting does not help.
    Hopeless(Box<Report>),
}

/// The result of a look.
enum Look {
    Ready,
    Hopeless(Attempt),
    Blocked(Vec<Socket>),
}

impl Waiter {
    /// Waits until all of these binds would succeed at the same moment.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no sock_diag.
    pub fn new(options: &WhyOptions, attempts: &[Attempt]) -> Result<Waiter, Error> {
        let wants = attempts.iter().map(|attempt| vec![attempt.clone()]).collect();
        Waiter::open(options, Goal::Bindable, wants)
    }

    /// Waits until somebody serves an address of each of these groups. Of an attempt only the address and
    /// V6ONLY count: `[::]` without it stands for every address of the machine.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no sock_diag.
    pub fn listening(options: &WhyOptions, groups: Vec<Vec<Attempt>>) -> Result<Waiter, Error> {
        Waiter::open(options, Goal::Listening, groups)
    }

    fn open(options: &WhyOptions, goal: Goal, mut wants: Vec<Vec<Attempt>>) -> Result<Waiter, Error> {
        wants.retain(|group| !group.is_empty());
        let asker = Asker::new(options)?;
        let diag = SockDiag::open(asker.netns())?;
        let ports = match goal {
            Goal::Bindable => ports(&wants),
            // Nothing announces that a socket begins to listen.
            Goal::Listening => Vec::new(),
        };
        // A kernel that refuses the subscription is asked more often instead.
        let events = Events::open(asker.netns(), &ports).unwrap_or_else(|_| Events::silent());
        let now = Instant::now();
        Ok(Waiter {
            asker,
            diag,
            events,
            goal,
            wants,
            at: 0,
            blocker: Blocker::default(),
            asked: None,
            begun: false,
            due: true,
            echo: false,
            next: now,
            anew: now,
            looked: (now, Duration::ZERO),
            told: None,
            tell: now,
        })
    }

    /// Waits to the end, or to the deadline. A deadline that has passed already asks once.
    pub fn wait(&mut self, deadline: Option<Instant>) -> End {
        loop {
            match self.next(deadline) {
                Progress::Waiting(_) => {}
                Progress::Ready => return End::Ready,
                Progress::Hopeless(report) => return End::Hopeless(report),
                Progress::Until => return End::TimedOut,
            }
        }
    }

    /// Waits for the next thing to tell, or until that moment.
    pub fn next(&mut self, until: Option<Instant>) -> Progress {
        loop {
            if std::mem::take(&mut self.due)
                && let Some(progress) = self.look()
            {
                return progress;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Progress::Until;
            }
            self.sleep(until);
        }
    }

    /// What is waited for.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Looks, and says what is new.
    fn look(&mut self) -> Option<Progress> {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(attempt) = self.hopeless()
        {
            return self.give_up(&attempt);
        }
        let began = cpu();
        let look = match self.goal {
            Goal::Bindable => self.bindable(),
            Goal::Listening => self.served(),
        };
        let by = match look {
            Look::Ready => return Some(Progress::Ready),
            Look::Hopeless(attempt) => return self.give_up(&attempt),
            Look::Blocked(by) => by,
        };
        let now = Instant::now();
        let took = cpu().saturating_sub(began);
        self.looked = (now, took);
        self.anew = now + JUDGE_ANEW;
        self.plan(if self.blocker.is_judged() { took } else { Duration::ZERO });
        let about = (self.at, by.iter().map(identity).collect());
        if self.told.as_ref() == Some(&about) {
            return None;
        }
        if now < self.tell {
            self.anew = self.anew.min(self.tell);
            return None;
        }
        self.told = Some(about);
        self.tell()
    }

    /// The whole answer about what is waited for. It may show that the wait is over.
    fn tell(&mut self) -> Option<Progress> {
        let attempt = self.wants.get(self.at)?.first()?.clone();
        let began = Instant::now();
        let report = self.asker.why(&attempt);
        let now = Instant::now();
        self.tell = now + TELL.max((now - began) * 20);
        let verdict = &report.diagnosis.verdict;
        if self.goal == Goal::Bindable && verdict.outcome == Outcome::Ok {
            self.told = None;
            self.due = true;
            return None;
        }
        let by: Vec<&Socket> =
            verdict.by().iter().filter_map(|&index| report.snapshot.sockets.get(index)).collect();
        let pids = by.iter().flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid);
        let left = match self.goal {
            Goal::Bindable => {
                self.events.watch_processes(pids.collect::<BTreeSet<u32>>());
                blocker::left(&by)
            }
            Goal::Listening => None,
        };
        Some(Progress::Waiting(Box::new(Waiting { report, left })))
    }

    /// The whole answer about an address for which waiting does not help; unless it helps by now.
    fn give_up(&mut self, attempt: &Attempt) -> Option<Progress> {
        let report = self.asker.why(attempt);
        if self.is_hopeless(&report.diagnosis.verdict) {
            return Some(Progress::Hopeless(Box::new(report)));
        }
        self.due = true;
        None
    }

    /// Whether waiting does not help against this verdict.
    fn is_hopeless(&self, verdict: &Verdict) -> bool {
        match (&verdict.outcome, self.goal) {
            (Outcome::Ok, _) => false,
            // It is not certain that these sockets are in the way; that they are gone will be.
            (Outcome::Unknown { by, .. }, _) => by.is_empty(),
            (Outcome::Refused(refusal), _) if passes(refusal) => false,
            (Outcome::Refused(refusal), Goal::Bindable) => refusal.errno != Errno::EADDRINUSE,
            // Who serves may be another user, and may make the directory first.
            (Outcome::Refused(refusal), Goal::Listening) => refusal.errno == Errno::EADDRNOTAVAIL,
        }
    }

    /// An address for which waiting does not help, looked for among all of them before the wait begins.
    fn hopeless(&mut self) -> Option<Attempt> {
        if self.goal == Goal::Bindable && self.wants.len() < 2 {
            return None;
        }
        for group in self.wants.clone() {
            let hopeless = |attempt: &&Attempt| {
                let verdict = self.asker.verdict(attempt);
                self.is_hopeless(&verdict)
            };
            let all = group.len();
            let hopeless: Vec<&Attempt> = group.iter().filter(hopeless).collect();
            if hopeless.len() == all {
                return hopeless.first().map(|&attempt| attempt.clone());
            }
        }
        None
    }

    /// Judges all, beginning with the one that was in use last: only a round without a refusal counts.
    fn bindable(&mut self) -> Look {
        for step in 0..self.wants.len() {
            let index = (self.at + step) % self.wants.len();
            let Some(attempt) = self.wants.get(index).and_then(|group| group.first()).cloned() else {
                continue;
            };
            // Watched before it is judged, like the ports.
            let watched = match &attempt.address {
                Address::Unix { name: UnixName::Path(path), .. } => self.events.watch_path(path),
                _ => self.events.hears_closings(),
            };
            let (snapshot, verdict) = self.asker.judged(&attempt);
            if verdict.outcome == Outcome::Ok {
                continue;
            }
            if self.is_hopeless(&verdict) {
                return Look::Hopeless(attempt);
            }
            self.at = index;
            let by: Vec<Socket> =
                verdict.by().iter().filter_map(|&index| snapshot.sockets.get(index)).cloned().collect();
            self.blocker = Blocker::of(&attempt, &by, snapshot.path, watched);
            return Look::Blocked(by);
        }
        Look::Ready
    }

    /// Whether somebody serves an address of each group.
    fn served(&mut self) -> Look {
        for step in 0..self.wants.len() {
            let index = (self.at + step) % self.wants.len();
            let Some(group) = self.wants.get(index) else { continue };
            let mut serving =
                Serving { diag: &mut self.diag, netns: self.asker.netns(), asked: &mut self.asked };
            if !group.iter().any(|attempt| serving.serves(attempt)) {
                self.at = index;
                self.blocker = Blocker::Nobody;
                return Look::Blocked(Vec::new());
            }
        }
        Look::Ready
    }

    /// When to ask again if nothing happens; asking takes so long.
    fn plan(&mut self, takes: Duration) {
        let pace = self.blocker.pace(takes);
        let pace = if std::mem::take(&mut self.echo) { pace.min(ECHO) } else { pace };
        self.next = self.looked.0 + pace;
    }

    /// Sleeps until there is reason to look, or until that moment.
    fn sleep(&mut self, until: Option<Instant>) {
        let next = self.next.min(self.anew);
        let now = Instant::now();
        let wake = until.map_or(next, |until| next.min(until));
        let happened = self.events.sleep(Some(wake.saturating_duration_since(now)));
        if happened {
            let (looked, took) = self.looked;
            let rest = (took * REST).min(LONGEST_REST).saturating_sub(looked.elapsed());
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
            self.echo = true;
        } else if Instant::now() < next {
            return;
        }
        let began = cpu();
        // Who served a unix path may be gone and its file still there: that the blocker stands says nothing then.
        let ended = self.events.take_ended();
        if ended || Instant::now() >= self.anew || !self.blocker.still(&mut self.diag) {
            self.due = true;
            return;
        }
        let took = cpu().saturating_sub(began);
        self.looked = (Instant::now(), took);
        self.plan(took);
    }
}

/// The ports whose sockets may be in the way.
fn ports(wants: &[Vec<Attempt>]) -> Vec<(Transport, u16)> {
    let mut ports: Vec<(Transport, u16)> = wants
        .iter()
        .flatten()
        .filter_map(|attempt| attempt.address.inet())
        .map(|(transport, local, _)| (transport, local.port()))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether a refusal passes by itself: duplicate address detection takes a second or two.
fn passes(refusal: &Refusal) -> bool {
    refusal.rule == Rule::Tentative
}

/// The processor time of this thread: unlike a clock's, it is not longer on a busy machine.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// What tells one socket from another.
fn identity(socket: &Socket) -> u64 {
    if socket.cookie != 0 { socket.cookie } else { socket.inode }
}
