//! Programs that people run, restarted under load and killed with a full queue.
//!
//! `INUSE_ZOO_RESTARTS` and `INUSE_ZOO_KILLS` say how often; `scripts/soak` asks for more than the gate does.

use crate::{cannot, holds, inuse};
use inuse_lab::zoo::{ALL, Program, QUEUED, Rounds, Way, address, play};
use libtest_mimic::{Completion, Failed, Trial};

pub(crate) fn trials() -> Vec<Trial> {
    ALL.iter().map(|program| Trial::ignorable_test(name(program), move || trial(program))).collect()
}

fn name(program: &Program) -> String {
    let way = match program.way {
        Way::Pass => "pass",
        Way::Keep => "keep",
    };
    format!("zoo::{way}::{}", program.name)
}

fn trial(program: &Program) -> Result<Completion, Failed> {
    match program.missing() {
        Some(missing) => cannot(format!("it needs {missing}")),
        None => played(program).map(|()| Completion::Completed),
    }
}

/// Nothing is refused and nothing is lost from the queue; of programs that end well, nothing is lost at all.
#[allow(clippy::print_stdout, reason = "figures for whoever runs it to see them")]
fn played(program: &Program) -> Result<(), Failed> {
    let number =
        |name: &str, otherwise| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let rounds = Rounds { restarts: number("INUSE_ZOO_RESTARTS", 3), kills: number("INUSE_ZOO_KILLS", 2) };
    let figures = play(inuse(), program, address(), rounds)?;
    let (restarted, killed) = (&figures.restarted, &figures.killed);
    let ready: Vec<u128> = figures.ready_after.iter().map(std::time::Duration::as_millis).collect();
    println!(
        "{}: {} restarts: {restarted}, ready after {ready:?} ms; {} kills: {killed}, {} of {} lost from the queue",
        name(program),
        rounds.restarts,
        rounds.kills,
        figures.lost_from_queue,
        u32::try_from(QUEUED).unwrap_or(0) * rounds.kills,
    );
    holds(restarted.turned_away() == 0, format!("restarted: {restarted}"))?;
    holds(killed.turned_away() == 0, format!("killed: {killed}"))?;
    holds(figures.lost_from_queue == 0, format!("{} lost from the queue", figures.lost_from_queue))?;
    holds(!program.ends_well || restarted.lost() == 0, format!("restarted: {restarted}"))?;
    let seen = restarted.generations.len();
    holds(seen > rounds.restarts as usize, format!("only {seen} generations answered: {restarted}"))
}
