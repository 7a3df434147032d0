//! What steps say of who, how and why.

use super::{seconds, words};
use crate::hold::exit::Exit;
use inuse_bind::Report;
use inuse_rules::Outcome;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Who asked for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// `inuse ctl`.
    Ctl,
    /// Somebody who sent a signal.
    Signal {
        /// Which.
        signal: i32,
        /// The process; `None` for one that has no number here.
        sender: Option<u32>,
    },
    /// The terminal: somebody typed, or it was closed.
    Terminal {
        /// The signal that it sent.
        signal: i32,
    },
    /// A file that is watched.
    Change {
        /// Its path, escaped.
        path: String,
    },
}

words! {
    Who, word, WORDS:
    Ctl "ctl",
    Signal "signal",
    Terminal "terminal",
    Change "change",
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Ctl => f.write_str("inuse ctl"),
            Who::Signal { signal, .. } => write!(f, "{}", Exit::Signal(*signal)),
            Who::Terminal { signal } => write!(f, "{} of the terminal", Exit::Signal(*signal)),
            Who::Change { path } => write!(f, "a change of {path}"),
        }
    }
}

/// How it was seen that a generation is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// `READY=1`.
    Notify,
    /// A line on the descriptor of this number.
    Descriptor {
        /// As the program sees it.
        number: i32,
    },
    /// It lives on.
    Alive {
        /// So long.
        time: Duration,
        /// What it waits for cannot be seen.
        blind: bool,
    },
    /// It listens where it is kept.
    Listens {
        /// Where.
        addresses: Vec<String>,
        /// Not wherever the one before it did.
        partly: bool,
    },
    /// It waits for connections on what it was given.
    Waits,
}

words! {
    How, word, WORDS:
    Notify "notify",
    Descriptor "descriptor",
    Alive "alive",
    Listens "listens",
    Waits "waits",
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Notify => f.write_str("it says so (sd_notify)"),
            How::Descriptor { number } => write!(f, "it wrote to descriptor {number}"),
            How::Alive { time, blind: false } => write!(f, "it has lived for {}", seconds(*time)),
            How::Alive { time, blind: true } => {
                write!(f, "it has lived for {}; what it waits for cannot be seen", seconds(*time))
            }
            How::Listens { addresses, partly: false } => write!(f, "it listens on {}", addresses.join(", ")),
            How::Listens { addresses, partly: true } => {
                write!(f, "it listens on {}, and not wherever the one before it did", addresses.join(", "))
            }
            How::Waits => f.write_str("it waits for connections"),
        }
    }
}

/// Why a start or a restart failed: in a sentence without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It ended before it was ready.
    Ended {
        /// Which.
        generation: u32,
        /// How.
        exit: Exit,
    },
    /// It was ready, and ended within the rollback window.
    EndedInWindow {
        /// Which.
        generation: u32,
        /// How.
        exit: Exit,
        /// Since it was ready.
        lived: Duration,
    },
    /// It was not ready in time.
    NotReady {
        /// Which.
        generation: u32,
        /// Since its start.
        waited: Duration,
    },
    /// The program was not found, or cannot be run.
    NotRun {
        /// Its name and what is wrong.
        error: String,
    },
    /// No process can be started.
    NoProcess {
        /// For which generation.
        generation: u32,
        /// What the kernel said.
        error: String,
    },
    /// The command of `--before` failed.
    Before {
        /// How it ended.
        exit: Exit,
    },
    /// The command of `--before` cannot be started.
    BeforeNotRun {
        /// What the kernel said.
        error: String,
    },
    /// The supervisor ends.
    Stopping,
}

words! {
    Reason, word, WORDS:
    Ended "ended",
    EndedInWindow "ended-in-window",
    NotReady "not-ready",
    NotRun "not-run",
    NoProcess "no-process",
    Before "before",
    BeforeNotRun "before-not-run",
    Stopping "stopping",
}

impl Reason {
    /// The generation that it is about.
    pub fn generation(&self) -> Option<u32> {
        match self {
            Reason::Ended { generation, .. }
            | Reason::EndedInWindow { generation, .. }
            | Reason::NotReady { generation, .. }
            | Reason::NoProcess { generation, .. } => Some(*generation),
            Reason::NotRun { .. }
            | Reason::Before { .. }
            | Reason::BeforeNotRun { .. }
            | Reason::Stopping => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Ended { generation, exit } => {
                write!(f, "generation {generation} ended before it was ready: {exit}")
            }
            Reason::EndedInWindow { generation, exit, lived } => {
                write!(f, "generation {generation} ended {} after it was ready: {exit}", seconds(*lived))
            }
            Reason::NotReady { generation, waited } => {
                write!(f, "generation {generation} was not ready within {}", seconds(*waited))
            }
            Reason::NotRun { error } => f.write_str(error),
            Reason::NoProcess { generation, error } => {
                write!(f, "generation {generation} cannot be started: {error}")
            }
            Reason::Before { exit } => write!(f, "the command of --before failed: {exit}"),
            Reason::BeforeNotRun { error } => {
                write!(f, "the command of --before cannot be started: {error}")
            }
            Reason::Stopping => f.write_str("the supervisor is stopping"),
        }
    }
}

/// A bind that is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Where; several where nothing tells which of them it was.
    pub addresses: Vec<String>,
    /// The error by its name, where it was seen.
    pub errno: Option<String>,
    /// The cause by its name, as `inuse why` has it.
    pub cause: Option<String>,
    /// The processes that are known to hold what is in the way.
    pub holders: BTreeSet<u32>,
    /// What to type, the best first.
    pub commands: Vec<String>,
    /// All of it in words.
    pub text: String,
}

impl Refused {
    /// From an answer of `inuse why`. `own`: what helps, where this run itself is in the way; the cures are not for that.
    pub fn of(report: &Report, own: Option<String>) -> Refused {
        let diagnosis = &report.diagnosis;
        let address = diagnosis.attempt.address.to_string();
        let summary = diagnosis.summary.trim_end_matches('.');
        let mut text = format!("{address} cannot be bound (cause: {}). {summary}", diagnosis.cause);
        let typed = diagnosis.cures.iter().find(|cure| !cure.commands.is_empty());
        let mut commands = Vec::new();
        if let Some(own) = own {
            text += &format!(". {own}");
        } else if let Some(cure) = typed.or(diagnosis.cures.first()) {
            commands = cure.commands.iter().map(ToString::to_string).collect();
            text += &format!(". {}", cure.says.trim_end_matches(['.', ':']));
            if !commands.is_empty() {
                text += &format!(": {}", commands.join("; "));
            }
        }
        let errno = match &diagnosis.verdict.outcome {
            Outcome::Refused(refusal) => Some(refusal.errno.to_string()),
            _ => None,
        };
        let cause = Some(diagnosis.cause.to_string());
        Refused { addresses: vec![address], errno, cause, holders: holders(report), commands, text }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The processes that hold what is in the way.
pub(in crate::hold) fn holders(report: &Report) -> BTreeSet<u32> {
    let sockets = report.diagnosis.verdict.by().iter().filter_map(|&at| report.snapshot.sockets.get(at));
    sockets.flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect()
}
