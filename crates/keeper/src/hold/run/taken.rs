//! Why a program that binds for itself could not: once the kernel has refused it, the question of `inuse why` is asked
//! about its bind, and the answer goes into the log and to who asked for the restart.
//!
//! Nobody waits for it but the supervisor: the program has its errno by then. What the kernel answered is not seen;
//! a bind counts as refused where no listener came of it, and where it would be refused now, by others.

use super::Supervisor;
use crate::hold::keep::Bind;
use crate::hold::log::{Refused, Step, holders};
use crate::hold::ready::Ready;
use inuse_bind::{Asker, WhyOptions};
use inuse_rules::{Attempt, Outcome};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long after its bind a program that goes on may take to listen.
const TO_LISTEN: Duration = Duration::from_secs(1);

/// The longest search for who holds an address.
const OWNERS_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer is good for: a program that fails again and again is told the same.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// What is known of binds that were refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The last question, when it was asked, and the answer.
    asked: Option<(Bind, Instant, Option<Refused>)>,
    /// Why the last generations could not bind.
    of: VecDeque<(u32, String)>,
    /// What was told last.
    told: Option<String>,
}

impl Refusals {
    /// Why this generation could not bind.
    pub(super) fn of(&self, number: u32) -> Option<&str> {
        self.of.iter().find(|(of, _)| *of == number).map(|(_, text)| text.as_str())
    }

    /// Something serves: what hinders the next one is news, even if it is the same.
    pub(super) fn tell_again(&mut self) {
        self.told = None;
    }

    /// Remembers it for who asked for the restart. `true`: it is not what was told last.
    fn note(&mut self, number: u32, text: &str) -> bool {
        self.of.retain(|(of, _)| *of != number);
        self.of.push_back((number, text.to_owned()));
        if self.of.len() > super::MOST_TAILS {
            self.of.pop_front();
        }
        let is_news = self.told.as_deref() != Some(text);
        self.told = Some(text.to_owned());
        is_news
    }
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
            let Some(refused) = self.taken(number, &bind) else { continue };
            ports.extend(bind.address.port());
            self.hindered(number, refused);
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
        let addresses: Vec<String> = self.options.sockets.iter().map(|held| held.address.clone()).collect();
        let text = format!(
            "{what} this very run holds {} for it: for a program that binds for itself leave out -l, or add --keep",
            addresses.join(", ")
        );
        self.hindered(number, Refused { addresses, text, ..Refused::default() });
    }

    fn hindered(&mut self, number: u32, refused: Refused) {
        if let Some(generation) = self.generations.get_mut(&number) {
            generation.hindered = true;
        }
        if self.refusals.note(number, &refused.text) {
            self.tell(&Step::Taken { generation: number, refused });
        }
    }

    fn taken(&mut self, number: u32, bind: &Bind) -> Option<Refused> {
        if let Some((asked, at, refused)) = &self.refusals.asked
            && asked == bind
            && at.elapsed() < GOOD_FOR
        {
            return refused.clone();
        }
        let refused = self.ask_taken(number, bind);
        self.refusals.asked = Some((bind.clone(), Instant::now(), refused.clone()));
        refused
    }

    fn ask_taken(&mut self, number: u32, bind: &Bind) -> Option<Refused> {
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
        Some(Refused::of(&report, own))
    }
}

/// What stands in the way is the generation before and its kept listener.
const OVERLAPS: &str = "That is what this very run keeps: a new address that overlaps with the old one takes 'inuse ctl \
                        stop' and a new start";
