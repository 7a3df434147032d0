//! Why a program that binds for itself could not: once the kernel has refused it, the question of `inuse why` is asked
//! about its bind, and the answer goes into the log and to who asked for the restart.
//!
//! Nobody waits for it but the supervisor: the program has its errno by then. What the kernel answered is not seen;
//! a bind counts as refused where no listener came of it, and where it would be refused now, by others.

use super::Supervisor;
use crate::hold::keep::Bind;
use crate::hold::log::Step;
use crate::hold::ready::Ready;
use inuse_bind::{Asker, Report, WhyOptions};
use inuse_rules::{Attempt, Outcome};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long after its bind a program that goes on may take to listen.
const TO_LISTEN: Duration = Duration::from_secs(1);

/// The longest search for who holds an address.
const OWNERS_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer is good for: a program that fails again and again is told the same.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Debug)]
pub(super) struct Asked {
    bind: Bind,
    at: Instant,
    text: Option<String>,
}

impl Supervisor<'_> {
    /// Looks at the binds of a generation from which no listener came. `over`: none will come any more.
    pub(super) fn see_taken(&mut self, number: u32, over: bool) {
        let age = if over { Duration::ZERO } else { TO_LISTEN };
        let binds = self.listeners.as_mut().map(|listeners| listeners.take_binds(number, age));
        // One port in several forms has one holder: the first answer tells it.
        let mut ports = BTreeSet::new();
        for bind in binds.unwrap_or_default() {
            if bind.address.port().is_some_and(|port| ports.contains(&port)) {
                continue;
            }
            let Some(text) = self.taken(number, &bind) else { continue };
            ports.extend(bind.address.port());
            self.hindered(number, text);
        }
    }

    /// A generation was not ready, and what it was given may be what it binds for itself. Its binds are not seen.
    pub(super) fn see_untaken(&mut self, number: u32) {
        if self.listeners.is_some() || self.options.sockets.is_empty() {
            return;
        }
        let lines = self.tails.iter().find(|(of, _)| *of == number).map(|(_, tail)| tail.settled_lines());
        let says = |line: &String| line.contains("ddress already in use") || line.contains("EADDRINUSE");
        let waits = matches!(self.options.ready, Ready::Auto | Ready::Listen);
        let lives = self.generations.get(&number).is_some_and(|generation| generation.exit.is_none());
        let what = if lines.is_some_and(|lines| lines.iter().any(says)) {
            "it says that an address is in use, and"
        } else if waits && lives {
            "it does not take what it is given (LISTEN_FDS);"
        } else {
            return;
        };
        let held: Vec<&str> = self.options.sockets.iter().map(|held| held.address.as_str()).collect();
        let text = format!(
            "{what} this very run holds {} for it: for a program that binds for itself leave out -l, or add --keep",
            held.join(", ")
        );
        self.hindered(number, text);
    }

    /// Tells it, unless it is what was told last, and keeps it for who asked for the restart.
    fn hindered(&mut self, number: u32, text: String) {
        if self.told_taken.as_ref() != Some(&text) {
            self.tell(&Step::Taken { generation: number, text: text.clone() });
            self.told_taken = Some(text.clone());
        }
        self.hindrances.retain(|(of, _)| *of != number);
        self.hindrances.push_back((number, text));
        if self.hindrances.len() > super::MOST_TAILS {
            self.hindrances.pop_front();
        }
    }

    fn taken(&mut self, number: u32, bind: &Bind) -> Option<String> {
        let fresh = |asked: &&Asked| asked.bind == *bind && asked.at.elapsed() < GOOD_FOR;
        if let Some(asked) = self.asked_taken.as_ref().filter(fresh) {
            return asked.text.clone();
        }
        let text = self.ask_taken(number, bind);
        self.asked_taken = Some(Asked { bind: bind.clone(), at: Instant::now(), text: text.clone() });
        text
    }

    fn ask_taken(&mut self, number: u32, bind: &Bind) -> Option<String> {
        let attempt = Attempt {
            address: bind.address.clone(),
            reuseaddr: bind.reuseaddr,
            reuseport: bind.reuseport,
            v6only: bind.v6only,
            uid: rustix::process::geteuid().as_raw(),
            // Which rights the program has is its own affair, and its own message.
            net_bind_service: true,
            freebind: false,
        };
        let options = WhyOptions { owners_within: Some(OWNERS_WITHIN), ..WhyOptions::default() };
        let report = Asker::new(&options).ok()?.why(&attempt);
        if !matches!(report.diagnosis.verdict.outcome, Outcome::Refused(_)) {
            return None;
        }
        let holders = holders(&report);
        let members = self.generations.get_mut(&number).map(|own| own.tree.members()).unwrap_or_default();
        let has_it = members.iter().any(|member| holders.contains(&member.pid));
        if has_it || (holders.is_empty() && !members.is_empty()) {
            // It has it and does not listen, or nobody can be named and that may be so.
            return None;
        }
        let ours = |pid: &u32| {
            *pid == std::process::id() || self.generations.values_mut().any(|other| other.tree.has(*pid))
        };
        let is_ours = !holders.is_empty() && holders.iter().all(ours);
        let bound: Vec<&str> = self.bound.iter().map(|held| held.address.as_str()).collect();
        let own = match (is_ours, bound.is_empty()) {
            (false, _) => None,
            (true, true) => Some(String::from(OVERLAPS)),
            (true, false) => Some(format!(
                "That overlaps with what -l holds for this very run ({}): give -l the address that the program binds",
                bound.join(", ")
            )),
        };
        Some(said(&report, own))
    }
}

/// The processes that hold what is in the way.
fn holders(report: &Report) -> BTreeSet<u32> {
    let sockets = report.diagnosis.verdict.by().iter().filter_map(|&at| report.snapshot.sockets.get(at));
    sockets.flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect()
}

/// What stands in the way is the generation before and its kept listener.
const OVERLAPS: &str = "That is what this very run keeps: a new address that overlaps with the old one takes 'inuse ctl \
                        stop' and a new start";

/// Who holds it, the cause by name, and what to type; where this run has it itself, only that.
fn said(report: &Report, own: Option<String>) -> String {
    let diagnosis = &report.diagnosis;
    let summary = diagnosis.summary.trim_end_matches('.');
    let mut text =
        format!("{} cannot be bound (cause: {}). {summary}", diagnosis.attempt.address, diagnosis.cause);
    let typed = diagnosis.cures.iter().find(|cure| !cure.commands.is_empty());
    if let Some(own) = own {
        text += &format!(". {own}");
    } else if let Some(cure) = typed.or(diagnosis.cures.first()) {
        let commands: Vec<String> = cure.commands.iter().map(ToString::to_string).collect();
        text += &format!(". {}", cure.says.trim_end_matches(['.', ':']));
        if !commands.is_empty() {
            text += &format!(": {}", commands.join("; "));
        }
    }
    text
}
