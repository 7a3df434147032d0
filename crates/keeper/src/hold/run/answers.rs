//! What is said to those outside: to `inuse ctl`, and to our own supervisor.

use super::Supervisor;
use crate::hold::UNNAMED;
use crate::hold::ctl::Server;
use crate::hold::ctl::protocol::{Answer, GenerationStatus, SocketStatus, Status, Verb};
use crate::hold::held::{Held, protocol};
use crate::hold::keep::Kept;
use crate::hold::listeners::Listeners;
use crate::hold::log::Who;
use crate::hold::output::Tail;
use crate::hold::supervise::{Asker, Event, Failure, Phase, Tell};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

impl Supervisor<'_> {
    pub(super) fn serve(&mut self) {
        let asked = self.server.as_mut().map(Server::serve).unwrap_or_default();
        for asked in asked {
            match asked.request.verb {
                Verb::Status => {
                    let answer = Answer { status: Some(self.status()), ..Answer::done() };
                    self.answer(asked.connection, &answer);
                }
                Verb::Restart => {
                    let asker = Asker { connection: Some(asked.connection), who: Who::Ctl };
                    self.handle(Event::Asked(asker));
                }
                Verb::Stop => {
                    self.stops_asked.push(asked.connection);
                    self.handle(Event::Stop(libc::SIGTERM, Who::Ctl));
                }
            }
        }
    }

    pub(super) fn answer(&mut self, connection: u64, answer: &Answer) {
        if let Some(server) = &mut self.server {
            server.answer(connection, answer);
        }
    }

    pub(super) fn result(&self, result: Result<u32, Failure>) -> Answer {
        match result {
            Ok(generation) => Answer { generation: Some(generation), ..Answer::done() },
            Err(Failure { generation: None, reason }) => {
                Answer { output: self.before_lines.clone(), ..Answer::failed(reason.to_string()) }
            }
            Err(Failure { generation: Some(number), reason }) => {
                let tail = self.tails.iter().find(|(of, _)| *of == number).map(|(_, tail)| tail);
                let output = tail.map(Tail::settled_lines).unwrap_or_default();
                let reason = match self.refusals.of(number) {
                    Some(text) => format!("{reason}; {text}"),
                    None => reason.to_string(),
                };
                Answer { output, ..Answer::failed(reason) }
            }
        }
    }

    pub(super) fn tell_upwards(&mut self, tell: Tell) {
        match tell {
            Tell::Ready => self.upwards.say("READY=1"),
            Tell::Stopping => self.upwards.say("STOPPING=1"),
            Tell::Reloading => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let usec = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
                self.upwards.say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
            }
        }
    }

    /// Tells our own supervisor how things are, when that changed.
    pub(super) fn tell_status(&mut self) {
        if !self.upwards.is_there() {
            return;
        }
        let words: Vec<String> = self
            .machine
            .generations()
            .iter()
            .map(|generation| format!("generation {} {}", generation.number, state(generation.phase)))
            .collect();
        let status = if words.is_empty() { "nothing runs".into() } else { words.join(", ") };
        if status != self.told_status {
            self.upwards.say(&format!("STATUS={status}"));
            self.told_status = status;
        }
    }

    pub(super) fn status(&mut self) -> Status {
        let phases: Vec<(u32, Phase)> = self
            .machine
            .generations()
            .iter()
            .map(|generation| (generation.number, generation.phase))
            .collect();
        let mut generations = Vec::new();
        for (number, phase) in phases {
            let Some(generation) = self.generations.get_mut(&number) else { continue };
            generations.push(GenerationStatus {
                generation: number,
                state: state(phase).into(),
                pid: u32::try_from(generation.pid.as_raw_pid()).unwrap_or(0),
                processes: generation.tree.members().len(),
                age_ms: ms(generation.began.elapsed()),
                says: generation.says.clone(),
            });
        }
        let shown = |word: &OsString| inuse_rules::address::escape(word.as_bytes());
        let alive: Vec<u32> = generations.iter().map(|generation| generation.generation).collect();
        let named = |name: String| Some(name).filter(|name| name != UNNAMED);
        let given = |held: &Held| SocketStatus {
            name: named(held.name.clone()),
            address: held.address.clone(),
            protocol: held.protocol().map(str::to_owned),
            kept: false,
            listening: held.listens(),
            queued: held.queued(),
            generations: alive.clone(),
        };
        let kept = |kept: Kept| SocketStatus {
            protocol: Some(protocol(&kept.address).into()),
            name: kept.name.and_then(named),
            address: kept.address.to_string(),
            kept: true,
            listening: kept.listening,
            queued: kept.queue.map(|(waiting, _)| waiting),
            generations: kept.generations,
        };
        let all_kept = self.listeners.as_ref().map(Listeners::status).unwrap_or_default();
        Status {
            name: self.options.name.clone(),
            pid: std::process::id(),
            uptime_ms: ms(self.began.elapsed()),
            command: self.options.command.iter().map(shown).collect(),
            restarting: self.machine.is_restarting(),
            sockets: self.options.sockets.iter().map(given).chain(all_kept.into_iter().map(kept)).collect(),
            generations,
        }
    }

    pub(super) fn farewell(&mut self, status: u8) {
        let answer = Answer { exit_status: Some(status), ..Answer::done() };
        for connection in std::mem::take(&mut self.stops_asked) {
            self.answer(connection, &answer);
        }
    }
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting { .. } => "starting",
        Phase::Serving { .. } => "serving",
        Phase::Draining { .. } => "draining",
        Phase::Killed => "killed",
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
