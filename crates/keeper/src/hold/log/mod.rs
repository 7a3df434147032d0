//! What a supervisor tells: one step, one line.
//!
//! Here are the steps, what each of them knows, and their sentences. When they happened, in which zone and whether as
//! text or JSON, is the view's.

mod part;
mod warning;

pub(super) use part::holders;
pub use part::{How, Reason, Refused, Who};
pub use warning::Warning;

use super::exit::Exit;
use std::fmt;
use std::time::Duration;

/// Gives each variant of an enum its stable word. A variant without one does not compile, so the list is complete.
macro_rules! words {
    ($of:ident, $function:ident, $list:ident: $($variant:ident $word:literal,)*) => {
        impl $of {
            /// Every word of these.
            pub const $list: &[&str] = &[$($word),*];

            /// A stable word for it.
            pub fn $function(&self) -> &'static str {
                match self {
                    $($of::$variant { .. } => $word,)*
                }
            }
        }
    };
}
use words;

/// Something that happened. A view tells every one of them, so a new one is news to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An address is held.
    Holds {
        /// The name that the program is given with it.
        name: String,
        /// The address, with the port that was chosen.
        address: String,
        /// `tcp`, `udp`, `unix`, `unix-dgram` or `unix-seqpacket`; `None` for another family.
        protocol: Option<&'static str>,
    },
    /// An address cannot be held, so that nothing is started.
    NotBound(Refused),
    /// The supervisor cannot be set up, so that nothing is started.
    NotSetUp {
        /// Why.
        error: String,
    },
    /// Where `inuse ctl` reaches this supervisor.
    Reachable {
        /// Its name.
        name: String,
        /// The name that it was to have, and that another one has.
        wanted: Option<String>,
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
        /// As in [`Step::Holds`].
        protocol: &'static str,
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
        /// Where, by whom, and what helps.
        refused: Refused,
    },
    /// A generation is ready.
    Ready {
        /// Which.
        generation: u32,
        /// How that was seen.
        how: How,
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
        who: Who,
    },
    /// A restart was asked for while one is under way.
    Joined {
        /// Who asked.
        who: Who,
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
        reason: Reason,
    },
    /// A generation failed before it was ready.
    FailedStart {
        /// Which.
        generation: u32,
        /// Why.
        reason: Reason,
    },
    /// The program cannot be started.
    NotStarted {
        /// The status to end with, as shells have it.
        status: u8,
        /// Why.
        reason: Reason,
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
        reason: Reason,
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
        /// Who asked.
        who: Who,
        /// What the program is sent; `None`: nothing runs.
        signal: Option<i32>,
    },
    /// What may become trouble.
    Warning(Warning),
}

words! {
    Step, event, EVENTS:
    Holds "holds",
    NotBound "not-bound",
    NotSetUp "not-set-up",
    Reachable "reachable",
    Started "started",
    Listens "listens",
    QueueRaised "queue-raised",
    Taken "taken",
    Ready "ready",
    Forked "forked",
    LeftBehind "left-behind",
    Draining "draining",
    DrainOver "drain-over",
    TooManyDraining "too-many-draining",
    Ended "ended",
    Restart "restart",
    Joined "joined",
    Restarted "restarted",
    RestartFailed "restart-failed",
    FailedStart "failed-start",
    NotStarted "not-started",
    RolledBack "rolled-back",
    BeforeRuns "before",
    BeforeFailed "before-failed",
    ComesBack "comes-back",
    GaveUp "gave-up",
    WaitsForChange "waits-for-change",
    Stopping "stopping",
    Warning "warning",
}

impl Step {
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
            Step::RestartFailed { reason } | Step::NotStarted { reason, .. } => reason.generation(),
            Step::Warning(warning) => warning.generation(),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Holds { name, address, .. } if name == super::UNNAMED => write!(f, "{address} is held"),
            Step::Holds { name, address, .. } => write!(f, "{address} is held as {name}"),
            Step::NotBound(refused) => write!(f, "nothing is started: {refused}"),
            Step::NotSetUp { error } => write!(f, "the supervisor cannot be set up: {error}"),
            Step::Reachable { name, wanted: None } => {
                write!(f, "'inuse ctl --name {name}' reaches this supervisor")
            }
            Step::Reachable { name, wanted: Some(wanted) } => {
                write!(
                    f,
                    "'inuse ctl --name {name}' reaches this supervisor; another one has the name {wanted}"
                )
            }
            Step::Started { generation, pid } => write!(f, "generation {generation} started, pid {pid}"),
            Step::Listens { generation, address, adopted: false, .. } => {
                write!(f, "generation {generation} listens on {address}, which is kept from now on")
            }
            Step::Listens { generation, address, adopted: true, .. } => {
                write!(f, "generation {generation} listens on {address}, as it was kept")
            }
            Step::QueueRaised { address, from, to } => {
                write!(f, "the queue of {address} holds {to} connections, not the {from} that were asked for")
            }
            Step::Ready { generation, how, after } => {
                write!(f, "generation {generation} is ready after {}: {how}", seconds(*after))
            }
            Step::Taken { generation, refused } => write!(f, "generation {generation}: {refused}"),
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
            Step::FailedStart { reason, .. }
            | Step::NotStarted { reason, .. }
            | Step::BeforeFailed { reason } => reason.fmt(f),
            Step::RolledBack { generation } => {
                write!(f, "the program that served before comes back as generation {generation}")
            }
            Step::BeforeRuns => f.write_str("the command of --before runs"),
            Step::ComesBack { after } => write!(f, "it is started again in {}", seconds(*after)),
            Step::GaveUp { failures: 1 } => f.write_str("it failed and is not started again"),
            Step::GaveUp { failures } => {
                write!(f, "it failed {failures} times in a row and is not started again")
            }
            Step::WaitsForChange => f.write_str("nothing runs until a watched file changes"),
            Step::Stopping { who, signal: None } => write!(f, "stopping, asked for by {who}"),
            Step::Stopping { who, signal: Some(signal) } => {
                write!(f, "stopping, asked for by {who}; the program is sent {}", Exit::Signal(*signal))
            }
            Step::Warning(warning) => warning.fmt(f),
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
