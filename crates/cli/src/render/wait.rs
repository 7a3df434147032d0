//! The view of waiting: for people a line when it begins, one that counts while it lasts, and one when it
//! ends, all on stderr; for programs one JSON object a line on stdout, schema `inuse.wait/1`:
//! docs/schema/inuse.wait-1.json says what each field means.

use super::json::to_text;
use super::wording::{duration, list};
use crate::output::Output;
use inuse_bind::Report;
use inuse_bind::wait::{Goal, Waiting};
use inuse_rules::written::Written;
use inuse_rules::{Attempt, Diagnosis, Outcome};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The schema of the view.
pub const SCHEMA: &str = "inuse.wait/1";
/// The most addresses that a sentence names.
const FEW: usize = 4;

#[derive(Serialize)]
struct Event<'a> {
    schema: &'static str,
    event: &'static str,
    goal: &'static str,
    elapsed_ms: u64,
    addresses: &'a [String],
    #[serde(flatten)]
    about: Option<About<'a>>,
}

/// What an event is about, where it is about one address.
#[derive(Serialize)]
struct About<'a> {
    address: String,
    errno: Option<&'static str>,
    cause: &'static str,
    also: Vec<&'static str>,
    summary: &'a str,
    left_ms: Option<u64>,
    pids: Vec<u32>,
}

/// The view of one run.
pub struct View {
    json: bool,
    /// What was asked for, as it is written.
    words: Vec<String>,
    /// The addresses that this means.
    addresses: Vec<String>,
    said: bool,
    /// What is waited for now, for the last line.
    last: Option<Last>,
}

struct Last {
    address: String,
    cause: &'static str,
    /// When the kernel may let go by itself.
    ends: Option<Instant>,
}

impl View {
    /// A view of waiting for these.
    pub fn new(json: bool, written: &[Written], groups: &[Vec<Attempt>]) -> View {
        let words = written.iter().map(Written::to_string).collect();
        let addresses = groups.iter().flatten().map(|attempt| attempt.address.to_string()).collect();
        View { json, words, addresses, said: false, last: None }
    }

    /// Whether somebody looks at a line that counts.
    pub fn counts(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// It is waited for this, because of that.
    pub fn waiting(&mut self, goal: Goal, waiting: &Waiting, passed: Duration, output: &mut Output) {
        let Diagnosis { attempt, cause, summary, .. } = &waiting.report.diagnosis;
        let address = attempt.address.to_string();
        if self.json {
            let about = about(&waiting.report, waiting.left, goal);
            self.event("waiting", goal, passed, Some(about), output);
        } else {
            let line = match goal {
                Goal::Bindable => format!("waiting: {summary}"),
                Goal::Listening => format!("waiting until somebody listens on {}", list(&self.words, FEW)),
            };
            output.say(&line);
        }
        self.said = true;
        let ends = waiting.left.map(|left| Instant::now() + left);
        self.last = Some(Last { address, cause: cause.code(), ends });
    }

    /// A second has passed.
    pub fn tick(&self, deadline: Option<Instant>, passed: Duration, output: &mut Output) {
        let mut line = format!("  {} so far", seconds(passed));
        let now = Instant::now();
        if let Some(ends) = self.last.as_ref().and_then(|last| last.ends) {
            line.push_str(&match ends.saturating_duration_since(now) {
                Duration::ZERO => "; any moment now".to_owned(),
                left => format!("; at least {} left", seconds(left)),
            });
        }
        if let Some(deadline) = deadline {
            line.push_str(&format!("; gives up in {}", seconds(deadline.saturating_duration_since(now))));
        }
        output.status(&line);
    }

    /// All is ready.
    pub fn ready(&self, goal: Goal, passed: Duration, output: &mut Output) {
        if self.json {
            self.event("ready", goal, passed, None, output);
        } else if self.said {
            let all = list(&self.words, FEW);
            let after = exact(passed);
            output.say(&match goal {
                Goal::Bindable => format!("{all} can be bound now, after {after}"),
                Goal::Listening => format!("{all}: somebody listens now, after {after}"),
            });
        }
    }

    /// Waiting does not help.
    pub fn hopeless(&self, goal: Goal, report: &Report, passed: Duration, output: &mut Output) {
        if self.json {
            self.event("hopeless", goal, passed, Some(about(report, None, goal)), output);
        } else {
            output.say(&format!("waiting does not help: {}", report.diagnosis.summary));
        }
    }

    /// The time is over.
    pub fn timed_out(&self, goal: Goal, passed: Duration, output: &mut Output) {
        if self.json {
            self.event("timeout", goal, passed, None, output);
            return;
        }
        let after = exact(passed);
        let Some(Last { address, cause, .. }) = &self.last else {
            return output.say(&format!("given up after {after}"));
        };
        output.say(&match goal {
            Goal::Bindable => format!("{address} is still in use after {after} ({cause})"),
            Goal::Listening => match self.words.as_slice() {
                [word] => format!("nobody listens on {word} after {after}"),
                _ => format!("nobody listens on {address} after {after}"),
            },
        });
    }

    fn event(
        &self,
        event: &'static str,
        goal: Goal,
        passed: Duration,
        about: Option<About<'_>>,
        output: &mut Output,
    ) {
        let goal = match goal {
            Goal::Bindable => "bindable",
            Goal::Listening => "listening",
        };
        let addresses = &self.addresses;
        let event = Event { schema: SCHEMA, event, goal, elapsed_ms: ms(passed), addresses, about };
        output.data(&to_text(&event));
    }
}

fn about(report: &Report, left: Option<Duration>, goal: Goal) -> About<'_> {
    let Report { diagnosis, snapshot } = report;
    let holders = diagnosis.verdict.by().iter().filter_map(|&index| snapshot.sockets.get(index));
    let pids: BTreeSet<u32> = match goal {
        Goal::Bindable => holders.flat_map(|s| s.owners.holdings()).map(|holding| holding.pid).collect(),
        Goal::Listening => BTreeSet::new(),
    };
    About {
        address: diagnosis.attempt.address.to_string(),
        errno: match &diagnosis.verdict.outcome {
            Outcome::Refused(refusal) => Some(refusal.errno.name()),
            _ => None,
        },
        cause: diagnosis.cause.code(),
        also: diagnosis.also.iter().map(|cause| cause.code()).collect(),
        summary: &diagnosis.summary,
        left_ms: left.map(ms),
        pids: pids.into_iter().collect(),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up: "1 s left" is said until it is over.
fn seconds(time: Duration) -> String {
    duration(ms(time).div_ceil(1000) * 1000)
}

/// "240 ms", "1.2 s", "43 s", "3 min".
fn exact(time: Duration) -> String {
    match ms(time) {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..10_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        ms => duration(ms),
    }
}
