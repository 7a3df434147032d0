//! The words of the state machine: what it is told, what it answers, how it is meant to behave.

use super::Time;
use crate::hold::exit::Exit;
use crate::hold::log::{How, Reason, Step, Who};
use std::time::Duration;

/// How the supervisor is meant to behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The new generation is started while the old one serves.
    pub overlap: bool,
    /// How long a generation may take to end after it was told to.
    pub drain: Duration,
    /// The signal by which a generation is told to end ([`exit::ending_signal`](crate::hold::exit::ending_signal)).
    pub stop_signal: i32,
    /// How long a generation may take until it is ready.
    pub ready_timeout: Duration,
    /// How long a new generation must live on after it was ready, before the old one is forgotten.
    pub rollback_window: Duration,
    /// After so many starts in a row that failed, no further one; `None`: never give up.
    pub give_up: Option<u32>,
    /// How many old generations may drain at once.
    pub most_draining: usize,
    /// A command must succeed before each new generation.
    pub before: bool,
    /// Files are watched: a program that ended may come back with the next change.
    pub watched: bool,
}

/// Who asked for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The connection that waits for an answer.
    pub connection: Option<u64>,
    /// Who that is.
    pub who: Who,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor is set up.
    Begin,
    /// Somebody wants a new generation.
    Asked(Asker),
    /// The command before a start ended; what was wrong, if it failed.
    BeforeEnded(Option<Reason>),
    /// The program could not be started at all: the status to end with, and why.
    NotStarted(u32, u8, Reason),
    /// A generation is ready, and how that was seen.
    Ready(u32, How),
    /// The first process of a generation ended; whether others of it live on.
    Exited(u32, Exit, bool),
    /// The last process of a generation ended after its first one.
    Gone(u32, Exit),
    /// Everything is to end, since this signal came, or is as good as come.
    Stop(i32, Who),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the command that comes before a generation.
    RunBefore,
    /// End it.
    KillBefore,
    /// Start a generation: its number, and which program.
    Spawn(u32, Program),
    /// Send a signal to a generation's first process, or to what is left of it.
    Signal(u32, i32),
    /// SIGKILL to all of a generation.
    Kill(u32),
    /// This generation's program has proven itself: it is the one to come back to.
    Proven(u32),
    /// No program has proven itself yet, and this generation's served until now: it is the one to come back to.
    Served(u32),
    /// Tell those who wait: the generation that serves now, or why none of their asking came to be.
    Answer(Vec<u64>, Result<u32, Failure>),
    /// Tell our own supervisor.
    Tell(Tell),
    /// A line for the log.
    Say(Step),
    /// End with this status.
    Exit(u8),
}

/// Which file a generation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// What the command line names now.
    Fresh,
    /// The file of the generation that has proven itself; before there is one, of the one that served.
    Proven,
}

/// Why a restart failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The generation whose last output tells more; `None`: the command before it.
    pub generation: Option<u32>,
    /// Why.
    pub reason: Reason,
}

/// What our own supervisor is told (sd_notify(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// `READY=1`.
    Ready,
    /// `RELOADING=1` with the time.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
}

/// What a generation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Started, not ready; given up at that time.
    Starting {
        /// When.
        until: Time,
    },
    /// Ready since.
    Serving {
        /// When.
        since: Time,
    },
    /// Told to end; killed at that time.
    Draining {
        /// When.
        until: Time,
    },
    /// Killed.
    Killed,
}
