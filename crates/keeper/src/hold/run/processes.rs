//! The processes of the generations: started, signalled, reaped, and seen to be ready.

use super::{MOST_TAILS, Supervisor};
use crate::hold::before::Before;
use crate::hold::exit::Exit;
use crate::hold::generation::Generation;
use crate::hold::held::Held;
use crate::hold::listeners::Listeners;
use crate::hold::log::{Reason, Step, Who};
use crate::hold::program::{self, Program};
use crate::hold::spawn::Refused;
use crate::hold::supervise::{self, Asker, Event};
use crate::hold::sys::inherit::AtStart;
use crate::hold::sys::signals::Arrived;
use rustix::process::{Signal, WaitOptions};
use std::collections::BTreeSet;
use std::rc::Rc;

impl Supervisor<'_> {
    pub(super) fn spawn(&mut self, number: u32, which: supervise::Program) {
        let Some(name) = self.options.command.first() else { return };
        let found = match (which, &self.proven) {
            (supervise::Program::Proven, Some(proven)) => Ok(proven.clone()),
            _ => Program::find(name, std::env::var_os("PATH")).map(Rc::new),
        };
        match found {
            Ok(program) => self.start(number, program),
            Err(unrunnable) => {
                let reason = Reason::NotRun { error: unrunnable.reason };
                self.handle(Event::NotStarted(number, unrunnable.status, reason));
            }
        }
    }

    /// From now on this generation's program is the one to come back to.
    pub(super) fn comes_back(&mut self, number: u32) {
        self.proven = self.generations.get(&number).map(|generation| generation.program.clone());
    }

    fn start(&mut self, number: u32, program: Rc<Program>) {
        self.see_rights(&program);
        let (words, ready, sockets) = (&self.options.command, self.options.ready, &self.options.sockets);
        let signals = AtStart { blocked: self.signals.before(), ignored: self.options.ignored };
        let keep = self.listeners.as_ref().map(Listeners::channel);
        match Generation::start(number, words, program, sockets, ready, signals, keep) {
            Ok((generation, tail)) => {
                let pid = u32::try_from(generation.pid.as_raw_pid()).unwrap_or(0);
                self.generations.insert(number, generation);
                self.tails.retain(|(of, _)| *of != number);
                self.tails.extend(tail.map(|tail| (number, tail)));
                if self.tails.len() > MOST_TAILS {
                    self.tails.pop_front();
                }
                self.tell(&Step::Started { generation: number, pid });
            }
            Err(error) => {
                let reason = Reason::NoProcess { generation: number, error: error.to_string() };
                self.handle(Event::NotStarted(number, program::NOT_RUNNABLE, reason));
            }
        }
    }

    pub(super) fn run_before(&mut self) {
        let Some(command) = &self.options.before else { return };
        match Before::start(command) {
            Ok(before) => {
                self.before = Some(before);
                self.tell(&Step::BeforeRuns);
            }
            Err(error) => {
                let reason = Reason::BeforeNotRun { error: error.to_string() };
                self.handle(Event::BeforeEnded(Some(reason)));
            }
        }
    }

    pub(super) fn see_starts(&mut self) {
        let numbers: Vec<u32> = self.generations.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.see_start(number));
    }

    /// Whether exec succeeded, if that is news.
    pub(super) fn see_start(&mut self, number: u32) {
        let Some(name) = self.options.command.first() else { return };
        let Some(generation) = self.generations.get_mut(&number) else { return };
        match generation.started(name) {
            Some(Err(Refused::Unrunnable(unrunnable))) => {
                self.forget(number);
                let reason = Reason::NotRun { error: unrunnable.reason };
                self.handle(Event::NotStarted(number, unrunnable.status, reason));
            }
            Some(Err(Refused::NotKept(sentence))) => {
                let program = generation.program.clone();
                self.forget(number);
                self.stop_keeping(&sentence);
                self.start(number, program);
            }
            Some(Ok(())) | None => {}
        }
    }

    /// Nothing of a generation lives any more.
    fn forget(&mut self, number: u32) -> Option<Generation> {
        if let Some(listeners) = &mut self.listeners {
            listeners.ended(number);
        }
        self.generations.remove(&number)
    }

    pub(super) fn signalled(&mut self, signal: Arrived) {
        let Arrived { number, from_terminal, sender, was_ignored } = signal;
        let hung_up = number == libc::SIGHUP && (from_terminal || self.terminal.is_gone_says(sender));
        let who = match from_terminal || hung_up {
            true => Who::Terminal { signal: number },
            false => Who::Signal { signal: number, sender },
        };
        match number {
            libc::SIGCHLD => {}
            // The terminal's signals are not for who was told to ignore them; those that somebody sends are.
            _ if (from_terminal || hung_up) && was_ignored => {}
            // Servers that got it too took it for something else than the end.
            libc::SIGHUP if hung_up => self.handle(Event::Stop(number, who)),
            // A person or a script that sends this wants a restart.
            libc::SIGHUP => self.handle(Event::Asked(Asker { connection: None, who })),
            libc::SIGUSR1 | libc::SIGUSR2 => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    self.generations.values_mut().for_each(|generation| generation.signal(signal));
                }
            }
            _ => {
                self.sent_by_terminal = from_terminal.then_some(number);
                self.handle(Event::Stop(number, who));
                self.sent_by_terminal = None;
            }
        }
    }

    /// Takes every child that has ended, also those that became ours.
    pub(super) fn reap(&mut self) {
        let mut last = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(exit) = Exit::of(status) else { continue };
            last = Some(exit);
            if self.before.as_ref().is_some_and(|before| i64::from(before.pid) == i64::from(pid.as_raw_pid()))
            {
                if let Some(before) = self.before.take() {
                    let (failure, lines) = before.ended(exit);
                    self.before_lines = lines;
                    self.handle(Event::BeforeEnded(failure));
                }
                continue;
            }
            let of = self.generations.values().find(|generation| generation.pid == pid);
            if let Some(number) = of.map(|generation| generation.number) {
                self.see_start(number);
                // A stub that did not become the program has a successor under the same number.
                if self.generations.get(&number).is_some_and(|generation| generation.pid == pid) {
                    self.first_ended(number, exit);
                }
            }
        }
        let Some(last) = last else { return };
        let mut left = Vec::new();
        for generation in self.generations.values_mut() {
            let Some(first) = generation.exit else { continue };
            if generation.tree.members().is_empty() {
                let exit = if first.is_success() { last } else { first };
                left.push((generation.number, exit));
            }
        }
        for (number, exit) in left {
            self.forget(number);
            self.handle(Event::Gone(number, exit));
        }
    }

    pub(super) fn first_ended(&mut self, number: u32, exit: Exit) {
        let others = self.generations.values().filter(|generation| generation.number != number);
        let others: BTreeSet<u32> = others.flat_map(|generation| generation.tree.pids()).collect();
        let before = self.before.as_ref().map(|before| before.pid);
        let Some(generation) = self.generations.get_mut(&number) else { return };
        generation.exit = Some(exit);
        generation.tree.adopt(|pid| others.contains(&pid) || before == Some(pid));
        let survivors = !generation.tree.members().is_empty();
        if !survivors {
            // What it has said of its listeners comes before its end.
            self.hear_listeners();
            if !exit.is_success() && self.machine.is_starting(number) {
                self.see_taken(number, true);
            }
            self.forget(number);
        }
        self.handle(Event::Exited(number, exit, survivors));
    }

    pub(super) fn see_ready(&mut self) -> Vec<Step> {
        let mut news = Vec::new();
        let mut warnings = Vec::new();
        for generation in self.generations.values_mut() {
            // One that was not ready in time is never so: what it binds while it ends is no measure for the next.
            if !self.machine.is_starting(generation.number) {
                generation.listen();
                continue;
            }
            let listening = self.listeners.as_ref().map(|listeners| listeners.of(generation.number));
            let ready = generation.is_ready(self.options.ready, &self.options.sockets, listening);
            if let Some((how, warning)) = ready {
                news.push((generation.number, how));
                warnings.extend(warning.map(Step::Warning));
            }
        }
        for (number, how) in news {
            warnings.extend(self.options.sockets.iter_mut().filter_map(Held::changed));
            if let Some(listeners) = &mut self.listeners {
                listeners.serves(number);
            }
            self.handle(Event::Ready(number, how));
            self.refusals.tell_again();
            self.see_taken(number, true);
        }
        let starting: Vec<u32> =
            self.generations.keys().copied().filter(|number| self.machine.is_starting(*number)).collect();
        starting.into_iter().for_each(|number| self.see_taken(number, false));
        warnings
    }
}
