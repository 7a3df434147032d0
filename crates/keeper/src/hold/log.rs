//! What a supervisor tells: one step, one line.
//!
//! Here are the steps and their sentences. When they happened, in which zone and whether as text or JSON, is
//! the view's.

use super::exit::Exit;
use std::fmt;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An address is held.
    Holds {
        /// The name that the program is given with it.
        name: String,
        /// The address, with the port that was chosen.
        address: String,
    },
    /// Where `inuse ctl` reaches this supervisor.
    Reachable {
        /// Its name.
        name: String,
    },
    /// A generation was started.
    Started {
        /// Which.
        generation: u32,
        /// Its first process.
        pid: u32,
    },
    /// A generation listens, and its listener is kept.
    Listens {
        /// Which.
        generation: u32,
        /// Where.
        address: String,
        /// It is the listener of an earlier generation, or one that was bound for the program.
        adopted: bool,
    },
    /// A program asked for a short queue and got a longer one.
    QueueRaised {
        /// Of which listener.
        address: String,
        /// What it asked for.
        from: u32,
        /// What it got.
        to: u32,
    },
    /// A generation cannot bind an address, since it is taken.
    Taken {
        /// Which.
        generation: u32,
        /// Where, by whom, and what helps: a sentence.
        text: String,
    },
    /// A generation is ready.
    Ready {
        /// Which.
        generation: u32,
        /// How that was seen.
        how: String,
        /// Since its start.
        after: Duration,
    },
    /// The first process ended well and left others behind.
    Forked {
        /// Which.
        generation: u32,
    },
    /// A generation that was told to end left others behind.
    LeftBehind {
        /// Which.
        generation: u32,
        /// How its first process ended.
        exit: Exit,
    },
    /// A generation was told to end.
    Draining {
        /// Which.
        generation: u32,
        /// By which signal.
        signal: i32,
    },
    /// A generation did not end in time.
    DrainOver {
        /// Which.
        generation: u32,
    },
    /// More old generations than may drain at once.
    TooManyDraining {
        /// The one that is killed.
        generation: u32,
    },
    /// A generation ended.
    Ended {
        /// Which.
        generation: u32,
        /// How.
        exit: Exit,
    },
    /// A restart begins.
    Restart {
        /// Who asked.
        who: String,
    },
    /// A restart was asked for while one is under way.
    Joined {
        /// Who asked.
        who: String,
    },
    /// A restart came to its end.
    Restarted {
        /// The generation that serves.
        generation: u32,
        /// Since it was asked for.
        took: Duration,
    },
    /// A restart did not.
    RestartFailed {
        /// Why.
        reason: String,
    },
    /// A generation failed before it was ready.
    FailedStart {
        /// Which.
        generation: u32,
        /// Why.
        reason: String,
    },
    /// The program cannot be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The generation before is started again.
    RolledBack {
        /// Its number now.
        generation: u32,
    },
    /// The command before a start runs.
    BeforeRuns,
    /// The command before a start failed.
    BeforeFailed {
        /// How.
        reason: String,
    },
    /// A program that crashed is started again.
    ComesBack {
        /// After this pause.
        after: Duration,
    },
    /// It crashed too often.
    GaveUp {
        /// So often in a row.
        failures: u32,
    },
    /// Nothing runs until a file changes.
    WaitsForChange,
    /// Everything ends.
    Stopping {
        /// The signal that said so.
        signal: i32,
    },
    /// What may become trouble.
    Warning {
        /// In a sentence.
        text: String,
    },
}

impl Step {
    /// A stable word for it.
    pub fn event(&self) -> &'static str {
        match self {
            Step::Holds { .. } => "holds",
            Step::Reachable { .. } => "reachable",
            Step::Started { .. } => "started",
            Step::Listens { .. } => "listens",
            Step::QueueRaised { .. } => "queue-raised",
            Step::Ready { .. } => "ready",
            Step::Forked { .. } => "forked",
            Step::LeftBehind { .. } => "left-behind",
            Step::Draining { .. } => "draining",
            Step::DrainOver { .. } => "drain-over",
            Step::TooManyDraining { .. } => "too-many-draining",
            Step::Ended { .. } => "ended",
            Step::Restart { .. } => "restart",
            Step::Joined { .. } => "joined",
            Step::Restarted { .. } => "restarted",
            Step::RestartFailed { .. } => "restart-failed",
            Step::FailedStart { .. } => "failed-start",
            Step::NotStarted { .. } => "not-started",
            Step::RolledBack { .. } => "rolled-back",
            Step::BeforeRuns => "before",
            Step::BeforeFailed { .. } => "before-failed",
            Step::Taken { .. } => "taken",
            Step::ComesBack { .. } => "comes-back",
            Step::GaveUp { .. } => "gave-up",
            Step::WaitsForChange => "waits-for-change",
            Step::Stopping { .. } => "stopping",
            Step::Warning { .. } => "warning",
        }
    }

    /// The generation that it is about.
    pub fn generation(&self) -> Option<u32> {
        match self {
            Step::Started { generation, .. }
            | Step::Listens { generation, .. }
            | Step::Ready { generation, .. }
            | Step::Taken { generation, .. }
            | Step::Forked { generation }
            | Step::LeftBehind { generation, .. }
            | Step::Draining { generation, .. }
            | Step::DrainOver { generation }
            | Step::TooManyDraining { generation }
            | Step::Ended { generation, .. }
            | Step::Restarted { generation, .. }
            | Step::FailedStart { generation, .. }
            | Step::RolledBack { generation } => Some(*generation),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Holds { name, address } if name == super::UNNAMED => write!(f, "{address} is held"),
            Step::Holds { name, address } => write!(f, "{address} is held as {name}"),
            Step::Reachable { name } => write!(f, "'inuse ctl --name {name}' reaches this supervisor"),
            Step::Started { generation, pid } => write!(f, "generation {generation} started, pid {pid}"),
            Step::Listens { generation, address, adopted: false } => {
                write!(f, "generation {generation} listens on {address}, which is kept from now on")
            }
            Step::Listens { generation, address, adopted: true } => {
                write!(f, "generation {generation} listens on {address}, as it was kept")
            }
            Step::QueueRaised { address, from, to } => {
                write!(f, "the queue of {address} holds {to} connections, not the {from} that were asked for")
            }
            Step::Ready { generation, how, after } => {
                write!(f, "generation {generation} is ready after {}: {how}", seconds(*after))
            }
            Step::Taken { generation, text } => write!(f, "generation {generation}: {text}"),
            Step::Forked { generation } => {
                write!(f, "generation {generation} went into the background and is followed there")
            }
            Step::LeftBehind { generation, exit } => {
                write!(
                    f,
                    "generation {generation} ended ({exit}) and left processes behind; they are told to end"
                )
            }
            Step::Draining { generation, signal } => {
                write!(f, "generation {generation} is told to end ({})", Exit::Signal(*signal))
            }
            Step::DrainOver { generation } => {
                write!(f, "generation {generation} did not end in time and is killed")
            }
            Step::TooManyDraining { generation } => {
                write!(f, "generation {generation} is killed: too many old ones are still ending")
            }
            Step::Ended { generation, exit } => write!(f, "generation {generation} ended: {exit}"),
            Step::Restart { who } => write!(f, "restart, asked for by {who}"),
            Step::Joined { who } => {
                write!(
                    f,
                    "a restart is under way already; the one that {who} asks for joins it or follows it"
                )
            }
            Step::Restarted { generation, took } => {
                write!(f, "restarted: generation {generation} serves, {} after the asking", seconds(*took))
            }
            Step::RestartFailed { reason } => write!(f, "the restart failed: {reason}"),
            Step::FailedStart { reason, .. } | Step::NotStarted { reason } => f.write_str(reason),
            Step::RolledBack { generation } => {
                write!(f, "the program that served before comes back as generation {generation}")
            }
            Step::BeforeRuns => f.write_str("the command of --before runs"),
            Step::BeforeFailed { reason } => f.write_str(reason),
            Step::ComesBack { after } => write!(f, "it is started again in {}", seconds(*after)),
            Step::GaveUp { failures: 1 } => f.write_str("it failed and is not started again"),
            Step::GaveUp { failures } => {
                write!(f, "it failed {failures} times in a row and is not started again")
            }
            Step::WaitsForChange => f.write_str("nothing runs until a watched file changes"),
            Step::Stopping { signal } => write!(f, "stopping ({})", Exit::Signal(*signal)),
            Step::Warning { text } => f.write_str(text),
        }
    }
}

/// A span of time as people read it.
pub(super) fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{:.3} s", span.as_secs_f64())
    } else {
        format!("{:.0} s", span.as_secs_f64())
    }
}
