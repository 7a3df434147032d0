//! What a supervisor decides: events in, actions out. It is pure: time is an argument, and nothing here starts,
//! signals or asks anything.
//!
//! One generation is one run of the program. At most one restart is under way; what is asked meanwhile becomes
//! one further restart. An old generation is told to end only when the new one is ready (or, without overlap,
//! before the new one is started), so that a new one that fails leaves the old one as it was.
//!
//! Not here: what a process is (`generation`), when it is ready (`ready`), who may ask (`ctl`).

mod event;
mod restart;
#[cfg(test)]
mod tests;

pub use event::{Action, Asker, Event, Failure, Phase, Program, Rules, Tell};

use super::exit::Exit;
use super::log::{How, Reason, Step, Who};
use std::time::Duration;

/// Time since the supervisor began.
pub type Time = Duration;

/// The shortest and the longest pause before a program that crashed is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A run of the program that has a process left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// What it is doing.
    pub phase: Phase,
    /// When it was started.
    pub began: Time,
    /// It became ready, lived through the rollback window, and is the one to come back to.
    pub proven: bool,
}

/// The state of a supervisor.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    now: Time,
    generations: Vec<Generation>,
    last: u32,
    restart: Option<Restart>,
    next: Vec<Asker>,
    proven: Option<u32>,
    failures: u32,
    comeback: Option<Comeback>,
    stopping: Option<Stopping>,
    jitter: u64,
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Restart {
    askers: Vec<Asker>,
    began: Time,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The command before it runs.
    Before,
    /// The old generation ends first.
    DrainingOld,
    /// This new generation is not ready yet.
    Starting(u32),
    /// This new generation is ready, and watched until then.
    Window(u32, Time),
}

/// A start that nobody asked for.
#[derive(Clone, Copy, Debug)]
struct Comeback {
    due: Time,
    /// It takes back a restart.
    rolls_back: bool,
}

#[derive(Debug)]
struct Stopping {
    /// The generation whose exit status is ours.
    of: u32,
    status: u8,
}

impl Machine {
    /// A supervisor that has done nothing yet. `seed` spreads the pauses after crashes.
    pub fn new(rules: Rules, seed: u64) -> Machine {
        Machine {
            rules,
            now: Time::ZERO,
            generations: Vec::new(),
            last: 0,
            restart: None,
            next: Vec::new(),
            proven: None,
            failures: 0,
            comeback: None,
            stopping: None,
            jitter: seed | 1,
            actions: Vec::new(),
        }
    }

    /// What an event leads to.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        match event {
            Event::Begin => self.begin(),
            Event::Asked(asker) => self.asked(asker),
            Event::BeforeEnded(failure) => self.before_ended(failure),
            Event::NotStarted(generation, status, reason) => self.not_started(generation, status, reason),
            Event::Ready(generation, how) => self.ready(generation, how),
            Event::Exited(generation, exit, survivors) => self.exited(generation, exit, survivors),
            Event::Gone(generation, exit) => self.gone(generation, exit),
            Event::Stop(signal, who) => self.stop(signal, who),
            Event::Tick => self.tick(),
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let phases = self.generations.iter().filter_map(|generation| match generation.phase {
            Phase::Starting { until } | Phase::Draining { until } => Some(until),
            Phase::Serving { since } if !generation.proven => Some(since + self.rules.rollback_window),
            _ => None,
        });
        phases.chain(self.comeback_due()).min()
    }

    /// The generations that have a process left, oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// From now on a new generation is started while the old one serves, or is not.
    pub fn set_overlap(&mut self, overlap: bool) {
        self.rules.overlap = overlap;
    }

    /// Whether this generation may still become ready.
    pub fn is_starting(&self, number: u32) -> bool {
        let starts = |g: &Generation| g.number == number && matches!(g.phase, Phase::Starting { .. });
        self.generations.iter().any(starts)
    }

    /// Whether a restart is under way.
    pub fn is_restarting(&self) -> bool {
        self.restart.is_some()
    }

    fn begin(&mut self) {
        if self.rules.before {
            self.restart = Some(Restart { askers: Vec::new(), began: self.now, stage: Stage::Before });
            self.act(Action::RunBefore);
        } else {
            self.spawn(Program::Fresh);
        }
    }

    fn ready(&mut self, number: u32, how: How) {
        let now = self.now;
        let Some(generation) = self.generation(number) else { return };
        if !matches!(generation.phase, Phase::Starting { .. }) {
            return;
        }
        generation.phase = Phase::Serving { since: now };
        let after = now.saturating_sub(generation.began);
        self.say(Step::Ready { generation: number, how, after });
        if matches!(self.restart, Some(Restart { stage: Stage::Starting(new), .. }) if new == number) {
            let old = |g: &&Generation| g.number != number && matches!(g.phase, Phase::Serving { .. });
            let old = self.generations.iter().rev().find(old).map(|generation| generation.number);
            if let (None, Some(old)) = (self.proven, old) {
                self.proven = Some(old);
                self.act(Action::Served(old));
            }
            self.drain_others(number);
            let until = now + self.rules.rollback_window;
            if let Some(restart) = &mut self.restart {
                restart.stage = Stage::Window(number, until);
            }
        }
        self.act(Action::Tell(Tell::Ready));
        self.tick();
    }

    fn exited(&mut self, number: u32, exit: Exit, survivors: bool) {
        let until = self.now + self.rules.drain;
        let Some(generation) = self.generation(number) else { return };
        let phase = generation.phase;
        if !survivors {
            return self.gone(number, exit);
        }
        let told_to_end = matches!(phase, Phase::Draining { .. } | Phase::Killed);
        if exit.is_success() && !told_to_end {
            // A program that puts itself into the background: the rest of it is followed.
            return self.say(Step::Forked { generation: number });
        }
        self.count_status(number, exit);
        if !told_to_end {
            // What is left of a crash ends too; the generation counts as ended already.
            if let Some(generation) = self.generation(number) {
                generation.phase = Phase::Draining { until };
            }
            self.act(Action::Signal(number, self.rules.stop_signal));
            return self.ended(number, phase, exit);
        }
        self.say(Step::LeftBehind { generation: number, exit });
        match phase {
            Phase::Killed => self.act(Action::Kill(number)),
            _ => self.act(Action::Signal(number, self.rules.stop_signal)),
        }
    }

    fn gone(&mut self, number: u32, exit: Exit) {
        let Some(at) = self.generations.iter().position(|generation| generation.number == number) else {
            return;
        };
        let phase = self.generations.remove(at).phase;
        self.count_status(number, exit);
        self.ended(number, phase, exit);
    }

    /// A generation no longer serves.
    fn ended(&mut self, number: u32, phase: Phase, exit: Exit) {
        let started = self.now;
        match phase {
            Phase::Starting { .. } => {
                self.failed_start(number, Reason::Ended { generation: number, exit }, exit)
            }
            Phase::Serving { since } => {
                self.say(Step::Ended { generation: number, exit });
                let lived = started.saturating_sub(since);
                match self.restart.as_ref().map(|restart| restart.stage) {
                    Some(Stage::Window(new, _)) if new == number => {
                        self.finish(Err(Failure {
                            generation: Some(number),
                            reason: Reason::EndedInWindow { generation: number, exit, lived },
                        }));
                        self.come_back(exit);
                    }
                    _ if exit.is_success() => self.ended_well(),
                    _ => self.crashed(exit),
                }
            }
            Phase::Draining { .. } | Phase::Killed => self.say(Step::Ended { generation: number, exit }),
        }
        self.old_ended();
        self.leave_if_done();
    }

    fn ended_well(&mut self) {
        if self.stopping.is_some() || self.restart.is_some() {
            return;
        }
        if self.rules.watched {
            return self.say(Step::WaitsForChange);
        }
        self.stopping = Some(Stopping { of: 0, status: 0 });
    }

    fn crashed(&mut self, exit: Exit) {
        if self.stopping.is_some() || self.serving().is_some() || self.starting().is_some() {
            return;
        }
        self.failures += 1;
        if self.rules.give_up.is_some_and(|most| self.failures >= most) {
            self.say(Step::GaveUp { failures: self.failures });
            if self.rules.watched {
                self.failures = 0;
                return self.say(Step::WaitsForChange);
            }
            self.stopping = Some(Stopping { of: 0, status: exit.status().max(1) });
            return;
        }
        let pause = self.pause();
        self.say(Step::ComesBack { after: pause });
        self.comeback = Some(Comeback { due: self.now + pause, rolls_back: false });
    }

    fn stop(&mut self, asked: i32, who: Who) {
        // That a terminal is gone is told by the kernel and by the shell, and the second is no new wish: a program that
        // ends well may no longer be prepared for its signal.
        if self.stopping.is_some() && asked == libc::SIGHUP {
            return;
        }
        // A good end is asked for, whatever the program calls that; what a person types is passed on as it is.
        let signal = match asked {
            libc::SIGTERM | libc::SIGHUP => self.rules.stop_signal,
            typed => typed,
        };
        if self.stopping.is_none() {
            let runs = self.generations.iter().any(|generation| generation.phase != Phase::Killed);
            self.say(Step::Stopping { who, signal: runs.then_some(signal) });
            self.act(Action::Tell(Tell::Stopping));
            let of = self.generations.iter().rev().find(|g| !told_to_end(g.phase)).map_or(0, |g| g.number);
            let none = Exit::Signal(asked).status();
            self.stopping = Some(Stopping { of, status: none });
            self.comeback = None;
            if self.restart.as_ref().is_some_and(|restart| restart.stage == Stage::Before) {
                self.act(Action::KillBefore);
            }
            self.join_all();
            self.finish(match self.restart.as_ref().map(|restart| restart.stage) {
                Some(Stage::Window(new, _)) => Ok(new),
                _ => Err(Failure { generation: None, reason: Reason::Stopping }),
            });
        }
        let until = self.now + self.rules.drain;
        for at in 0..self.generations.len() {
            let Some(generation) = self.generations.get_mut(at) else { continue };
            let number = generation.number;
            if !told_to_end(generation.phase) {
                generation.phase = Phase::Draining { until };
            }
            if generation.phase != Phase::Killed {
                self.act(Action::Signal(number, signal));
            }
        }
        self.leave_if_done();
    }

    fn tick(&mut self) {
        let now = self.now;
        for at in 0..self.generations.len() {
            let Some(generation) = self.generations.get_mut(at) else { continue };
            let number = generation.number;
            match generation.phase {
                Phase::Starting { until } if until <= now => {
                    let waited = now.saturating_sub(generation.began);
                    let reason = Reason::NotReady { generation: number, waited };
                    self.late(number, reason);
                }
                Phase::Draining { until } if until <= now => {
                    generation.phase = Phase::Killed;
                    self.say(Step::DrainOver { generation: number });
                    self.act(Action::Kill(number));
                }
                Phase::Serving { since }
                    if !generation.proven && since + self.rules.rollback_window <= now =>
                {
                    generation.proven = true;
                    self.proven = Some(number);
                    self.failures = 0;
                    self.act(Action::Proven(number));
                    if matches!(self.restart, Some(Restart { stage: Stage::Window(new, _), .. }) if new == number)
                    {
                        self.finish(Ok(number));
                    }
                }
                _ => {}
            }
        }
        if self.comeback_due().is_some_and(|due| due <= now) {
            let program = if self.proven.is_some() { Program::Proven } else { Program::Fresh };
            let rolls_back = self.comeback.take().is_some_and(|comeback| comeback.rolls_back);
            let generation = self.spawn(program);
            if rolls_back {
                self.say(Step::RolledBack { generation });
            }
        }
    }

    /// When the program is started again. Without overlap what a crash left behind must have ended before.
    fn comeback_due(&self) -> Option<Time> {
        let comeback = self.comeback.filter(|_| self.rules.overlap || self.generations.is_empty());
        comeback.map(|comeback| comeback.due)
    }

    fn spawn(&mut self, program: Program) -> u32 {
        self.last += 1;
        self.comeback = None;
        let until = self.now + self.rules.ready_timeout;
        self.generations.push(Generation {
            number: self.last,
            phase: Phase::Starting { until },
            began: self.now,
            proven: false,
        });
        self.act(Action::Spawn(self.last, program));
        self.last
    }

    /// Tells a generation to end.
    fn drain(&mut self, number: u32) {
        let until = self.now + self.rules.drain;
        let Some(generation) = self.generation(number) else { return };
        if !told_to_end(generation.phase) {
            generation.phase = Phase::Draining { until };
            self.say(Step::Draining { generation: number, signal: self.rules.stop_signal });
            self.act(Action::Signal(number, self.rules.stop_signal));
        }
    }

    /// Tells every other generation to end, and kills those that are too many.
    fn drain_others(&mut self, new: u32) {
        let others: Vec<u32> = self.generations.iter().map(|g| g.number).filter(|n| *n != new).collect();
        others.iter().for_each(|number| self.drain(*number));
        let draining = |g: &&mut Generation| matches!(g.phase, Phase::Draining { .. });
        let surplus = self.generations.iter_mut().filter(draining).count();
        let surplus = surplus.saturating_sub(self.rules.most_draining);
        let oldest: Vec<u32> = self
            .generations
            .iter_mut()
            .filter(draining)
            .take(surplus)
            .map(|generation| {
                generation.phase = Phase::Killed;
                generation.number
            })
            .collect();
        for number in oldest {
            self.say(Step::TooManyDraining { generation: number });
            self.act(Action::Kill(number));
        }
    }

    fn leave_if_done(&mut self) {
        let Some(stopping) = &self.stopping else { return };
        let status = stopping.status;
        let alive: Vec<u32> =
            self.generations.iter().filter(|g| !told_to_end(g.phase)).map(|g| g.number).collect();
        if self.generations.is_empty() {
            return self.act(Action::Exit(status));
        }
        alive.into_iter().for_each(|number| self.drain(number));
    }

    /// The exit status of the generation that served last is the supervisor's.
    fn count_status(&mut self, number: u32, exit: Exit) {
        if let Some(stopping) = self.stopping.as_mut().filter(|stopping| stopping.of == number) {
            stopping.status = exit.status();
        }
    }

    /// Twice as long after each failure, and a quarter more or less.
    fn pause(&mut self) -> Duration {
        let doubled = BACK_OFF.0.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let whole = doubled.min(BACK_OFF.1);
        // xorshift64
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let percent = u32::try_from(self.jitter % 51).unwrap_or(25) + 75;
        whole * percent / 100
    }

    fn generation(&mut self, number: u32) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| generation.number == number)
    }

    fn serving(&self) -> Option<u32> {
        let serves = |g: &&Generation| matches!(g.phase, Phase::Serving { .. });
        self.generations.iter().rev().find(serves).map(|g| g.number)
    }

    fn starting(&self) -> Option<u32> {
        let starts = |g: &&Generation| matches!(g.phase, Phase::Starting { .. });
        self.generations.iter().rev().find(starts).map(|g| g.number)
    }

    fn say(&mut self, step: Step) {
        self.act(Action::Say(step));
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}

fn told_to_end(phase: Phase) -> bool {
    matches!(phase, Phase::Draining { .. } | Phase::Killed)
}
