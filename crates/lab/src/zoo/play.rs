//! One program: restarted under a load, then killed with a full queue.

use super::programs::{Program, Way};
use super::supervisor::{Scratch, Supervisor, run, send, tree};
use crate::load::{Load, PATIENCE, Plan, Tally, ask, connect, finish};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Connections that wait in the queue when the program is killed.
pub const QUEUED: usize = 50;

/// The supervisor's `--rollback-window`.
const WINDOW: Duration = Duration::from_millis(100);

/// How often.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Restarts, each under load.
    pub restarts: u32,
    /// SIGKILLs, each with a full queue.
    pub kills: u32,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// While it was restarted.
    pub restarted: Tally,
    /// While it was killed.
    pub killed: Tally,
    /// Connections that were in the queue when it was killed and were never answered.
    pub lost_from_queue: usize,
    /// From the start of a new process to its being ready, in each restart.
    pub ready_after: Vec<Duration>,
}

/// Plays it, at this address.
///
/// # Errors
/// When anything does not go on; what went wrong with requests is in the figures.
pub fn play(inuse: &Path, program: &Program, at: SocketAddr, rounds: Rounds) -> Result<Figures, String> {
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let words = program.command(at, &scratch).map_err(|error| error.to_string())?;
    let at_words = at.to_string();
    let window = format!("{}ms", WINDOW.as_millis());
    let mut options = vec!["--drain", "10s", "--rollback-window", &window, "--give-up", "0"];
    match program.way {
        Way::Pass => options.extend(["-l", &at_words]),
        // On a busy machine it may live for a second before it listens.
        Way::Keep => options.extend(["--ready", "listen"]),
    }
    if let Some(signal) = program.stop_signal {
        options.extend(["--stop-signal", signal]);
    }
    let mut supervisor =
        Supervisor::start(inuse, run(inuse, &options, &words)).map_err(|error| error.to_string())?;
    supervisor.ready(1)?;
    // A first one that listens only after a second is taken for ready before it does.
    let until = Instant::now() + PATIENCE;
    while let Err(error) = ask(at, program.speaks) {
        if Instant::now() > until {
            return Err(format!("no answer at all: {error}\n{}", supervisor.log()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut figures = Figures::default();
    let slow = if program.slow { 2 } else { 0 };
    let plan = Plan { slow, ..Plan::new(at, program.speaks) };
    let goes_on = |load: &Load, supervisor: &Supervisor, what: &str| match load.goes_on(20) {
        true => Ok(()),
        false => Err(format!("no answers {what}: {}\n{}", load.so_far(), supervisor.log())),
    };

    let load = Load::start(&plan).map_err(|error| error.to_string())?;
    goes_on(&load, &supervisor, "at first")?;
    for number in 1..=rounds.restarts {
        supervisor.restart()?;
        let generation = supervisor.last();
        let (started, ready) =
            (supervisor.event("started", Some(generation))?, supervisor.ready(generation)?);
        figures.ready_after.push(ready.at.saturating_duration_since(started.at));
        goes_on(&load, &supervisor, &format!("after restart {number}"))?;
    }
    figures.restarted = load.stop();

    let load = Load::start(&Plan { slow: 0, ..plan }).map_err(|error| error.to_string())?;
    for number in 1..=rounds.kills {
        goes_on(&load, &supervisor, &format!("before kill {number}"))?;
        // It lives through its window: kills in a row would be a crash loop, with pauses that double.
        std::thread::sleep(2 * WINDOW);
        let generation = supervisor.last();
        figures.lost_from_queue += kill_with_a_queue(&supervisor, program, at, generation)?;
    }
    goes_on(&load, &supervisor, "in the end")?;
    figures.killed = load.stop();
    supervisor.stop()?;
    Ok(figures)
}

/// Stops all of a generation, fills the queue, kills it; gives how many connections its successor did not answer.
fn kill_with_a_queue(
    supervisor: &Supervisor,
    program: &Program,
    at: SocketAddr,
    generation: u32,
) -> Result<usize, String> {
    let first = supervisor.process(generation)?;
    let all = tree(first);
    for pid in &all {
        // One that has just ended is not missed.
        let _ = send(*pid, Signal::STOP);
    }
    wait_stopped(&all);
    let waiting: Vec<TcpStream> = (0..QUEUED)
        .map(|_| connect(at, program.speaks))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("a connection to the queue: {error}"))?;
    for pid in all.iter().rev() {
        let _ = send(*pid, Signal::KILL);
    }
    supervisor.wait(&format!("a generation after {generation}"), |told| {
        told.iter().find(|told| told.event == "ready" && told.generation > Some(generation)).cloned()
    })?;
    let answered = |stream| finish(stream, program.speaks).is_ok();
    Ok(waiting.into_iter().filter_map(|stream| (!answered(stream)).then_some(())).count())
}

/// Waits until each of them is stopped or has ended.
fn wait_stopped(all: &[u32]) {
    let until = Instant::now() + Duration::from_secs(5);
    let runs = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'T' | 'Z' | 'X'))
    };
    while all.iter().any(runs) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}
