//! The supervisor's loop: what happened goes into the state machine, and what that says is done.

mod answers;
mod clock;
mod kept;
mod processes;
mod taken;
mod terminal;

use crate::hold::before::Before;
use crate::hold::ctl::{Place, Server};
use crate::hold::generation::Generation;
use crate::hold::held::Held;
use crate::hold::listeners::Listeners;
use crate::hold::log::{Step, Warning, Who};
use crate::hold::notify::Upwards;
use crate::hold::output::Tail;
use crate::hold::program::Program;
use crate::hold::ready::Ready;
use crate::hold::supervise::{Action, Asker, Event, Machine, Rules};
use crate::hold::sys::signals::Signals;
use crate::hold::watch::Watch;
use clock::{Clock, STRIDE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use taken::Refusals;
use terminal::Terminal;

/// How often a generation that is not ready is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Outputs of generations that are kept after their end.
const MOST_TAILS: usize = 8;

/// Signals that are read: those that end or steer us, and those that are passed on.
const READ: [i32; 7] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD];

/// What is to be supervised, and how.
#[derive(Debug)]
pub struct Options {
    /// The supervisor's name, for `inuse ctl`. Where another one has it, a number comes behind it.
    pub name: String,
    /// The program and its arguments; not empty.
    pub command: Vec<OsString>,
    /// The sockets that it is given, or that take the place of its own where `keep` is set.
    pub sockets: Vec<Held>,
    /// The program's own listeners are kept for the next generation ([`keep`](super::keep)).
    pub keep: bool,
    /// How to decide.
    pub rules: Rules,
    /// What makes a generation ready.
    pub ready: Ready,
    /// A shell command that must succeed before each start.
    pub before: Option<OsString>,
    /// Files whose change is a reason to restart.
    pub watch: Vec<PathBuf>,
    /// Signals that the program is to start with ignored, besides those that we ignore ourselves: bit `n - 1` for
    /// signal `n`. Rust's own start hides whether SIGPIPE is one, and SIGCHLD must not be ignored here.
    pub ignored: u64,
    /// Where to be reached; `None`: nowhere.
    pub place: Option<Place>,
}

/// Supervises until everything has ended; gives the status to end with. `say` is told each step.
///
/// # Errors
/// When the supervisor cannot be set up; nothing was started then.
pub fn run(options: Options, say: &mut dyn FnMut(&Step)) -> io::Result<u8> {
    let mut supervisor = Supervisor::new(options, say)?;
    supervisor.handle(Event::Begin);
    loop {
        if let Some(status) = supervisor.ended {
            supervisor.farewell(status);
            return Ok(status);
        }
        supervisor.wait()?;
        supervisor.look_around();
    }
}

struct Supervisor<'a> {
    options: Options,
    say: &'a mut dyn FnMut(&Step),
    clock: Clock,
    began: Instant,
    machine: Machine,
    signals: Signals,
    generations: BTreeMap<u32, Generation>,
    tails: VecDeque<(u32, Tail)>,
    proven: Option<Rc<Program>>,
    before: Option<Before>,
    before_lines: Vec<String>,
    server: Option<Server>,
    watch: Option<Watch>,
    upwards: Upwards,
    /// Every so often our own supervisor wants a sign of life, next at that time.
    watchdog: Option<(Duration, Instant)>,
    told_status: String,
    stops_asked: Vec<u64>,
    /// `None`: listeners are not kept.
    listeners: Option<Listeners>,
    /// What is bound for the program and takes the place of its own.
    bound: Vec<Held>,
    refusals: Refusals,
    told_unseen: bool,
    terminal: Terminal,
    /// This signal reached the program from the terminal already.
    sent_by_terminal: Option<i32>,
    ended: Option<u8>,
}

impl<'a> Supervisor<'a> {
    fn new(options: Options, say: &'a mut dyn FnMut(&Step)) -> io::Result<Supervisor<'a>> {
        let signals = Signals::read(&READ)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let watch = if options.watch.is_empty() { None } else { Some(Watch::new(&options.watch)?) };
        let server = options.place.as_ref().map(|place| Server::open(place, &options.name));
        let mut seed = [0u8; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        let machine = Machine::new(options.rules.clone(), u64::from_ne_bytes(seed));
        let mut supervisor = Supervisor {
            say,
            clock: Clock::start(),
            began: Instant::now(),
            machine,
            signals,
            generations: BTreeMap::new(),
            tails: VecDeque::new(),
            proven: None,
            before: None,
            before_lines: Vec::new(),
            server: None,
            watch,
            upwards: Upwards::new(std::env::var_os("NOTIFY_SOCKET").as_ref()),
            watchdog: watchdog(),
            told_status: String::new(),
            stops_asked: Vec::new(),
            listeners: None,
            bound: Vec::new(),
            refusals: Refusals::default(),
            told_unseen: false,
            terminal: Terminal::now(),
            sent_by_terminal: None,
            ended: None,
            options,
        };
        match server {
            Some(Ok(server)) => {
                let name = server.name().to_owned();
                let wanted = std::mem::replace(&mut supervisor.options.name, name.clone());
                supervisor.server = Some(server);
                supervisor.tell(&Step::Reachable { wanted: (wanted != name).then_some(wanted), name });
            }
            // The program matters more.
            Some(Err(error)) => {
                supervisor.tell(&Step::Warning(Warning::NoCtl { error: error.to_string() }));
            }
            None => {}
        }
        supervisor.start_keeping();
        Ok(supervisor)
    }

    fn tell(&mut self, step: &Step) {
        (self.say)(step);
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let deadline = self.machine.deadline().map(|time| self.clock.at(time));
        let due = [
            deadline,
            deadline.map(|_| now + STRIDE),
            self.generations.keys().any(|number| self.machine.is_starting(*number)).then(|| now + LOOK),
            self.watch.as_ref().and_then(Watch::deadline),
            self.server.as_ref().and_then(Server::deadline),
            self.watchdog.map(|(_, due)| due),
        ];
        let at_most = due.into_iter().flatten().min().map(|due| due.saturating_duration_since(now));
        self.clock.sleeps(at_most);
        // Rounded up: a timer that is looked at too early would be looked at again at once.
        let timeout = at_most.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let own: Vec<BorrowedFd<'_>> = [self.signals.as_fd()]
            .into_iter()
            .chain(self.watch.as_ref().map(|watch| watch.as_fd()))
            .chain(self.server.iter().flat_map(Server::fds))
            .chain(self.generations.values().flat_map(Generation::fds))
            .chain(self.listeners_fd())
            .collect();
        let mut polled: Vec<PollFd<'_>> =
            own.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        // Only their being shut down is of interest, and poll(2) always tells that.
        let listeners = self.options.sockets.iter().filter(|held| held.listens());
        polled.extend(listeners.map(|held| PollFd::from_borrowed_fd(held.as_fd(), PollFlags::empty())));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Everything that may have happened.
    fn look_around(&mut self) {
        let mut warnings: Vec<Step> = self.options.sockets.iter_mut().filter_map(Held::revive).collect();
        self.hear_listeners();
        self.see_starts();
        while let Some(signal) = self.signals.next() {
            self.signalled(signal);
        }
        self.reap();
        warnings.extend(self.see_ready());
        for warning in &warnings {
            self.tell(warning);
        }
        self.serve();
        let now = Instant::now();
        let changed = self.watch.as_mut().and_then(|watch| {
            watch.read(now);
            watch.take(now)
        });
        if let Some(path) = changed {
            let who = Who::Change { path: inuse_rules::address::escape(path.as_os_str().as_bytes()) };
            self.handle(Event::Asked(Asker { connection: None, who }));
        }
        if let Some((every, due)) = self.watchdog.filter(|(_, due)| *due <= now) {
            self.upwards.say("WATCHDOG=1");
            self.watchdog = Some((every, due.max(now) + every));
        }
        self.handle(Event::Tick);
        self.tell_status();
    }

    fn handle(&mut self, event: Event) {
        for action in self.machine.handle(self.clock.look(), event) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Say(step) => {
                self.tell(&step);
                if let Step::FailedStart { generation, .. } = step {
                    self.see_untaken(generation);
                }
            }
            Action::Spawn(number, program) => self.spawn(number, program),
            Action::Signal(number, raw) => {
                let by_terminal = self.sent_by_terminal == Some(raw);
                let generation = self.generations.get_mut(&number);
                let generation =
                    generation.filter(|generation| !(by_terminal && generation.is_in_our_group()));
                if let (Some(generation), Some(signal)) = (generation, Signal::from_named_raw(raw)) {
                    generation.signal(signal);
                }
            }
            Action::Kill(number) => {
                if let Some(generation) = self.generations.get_mut(&number) {
                    generation.tree.kill();
                }
            }
            Action::Served(number) => self.comes_back(number),
            Action::Proven(number) => {
                self.comes_back(number);
                self.listeners_proven(number);
            }
            Action::RunBefore => self.run_before(),
            Action::KillBefore => {
                if let Some(before) = &mut self.before {
                    before.kill();
                }
            }
            Action::Answer(connections, result) => {
                let answer = self.result(result);
                connections.into_iter().for_each(|connection| self.answer(connection, &answer));
            }
            Action::Tell(tell) => self.tell_upwards(tell),
            Action::Exit(status) => self.ended = Some(status),
        }
    }
}

/// How often our own supervisor wants to hear of us (sd_watchdog_enabled(3)): we speak twice as often.
fn watchdog() -> Option<(Duration, Instant)> {
    let variable = |name| std::env::var(name).ok();
    let usec: u64 = variable("WATCHDOG_USEC")?.parse().ok().filter(|usec| *usec > 0)?;
    let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let every = Duration::from_micros(usec / 2).max(Duration::from_millis(10));
    ours.then(|| (every, Instant::now()))
}
