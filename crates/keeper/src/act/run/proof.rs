//! The end: a new look, a new verdict, and where it is not "free" the reason by name.

use super::{Deed, Ending, Outcome, Progress, stop::name};
use crate::act::plan::{Plan, Step, Suspect, spared};
use crate::act::{Freer, Look};
use inuse_rules::address::escape;
use inuse_rules::owner::{Ancestor, Process};
use inuse_rules::verdict::Outcome as Answer;
use inuse_rules::{Cause, Ownership, Socket};
use std::time::{Duration, Instant};

/// Whoever starts its server again at once has it back in this time: most do, systemd after 100 ms, and a program
/// has to start. Longer would be a wait for everybody, on the suspicion of something that is rare.
const SETTLED: Duration = Duration::from_millis(500);
/// Where the parent is a supervisor the suspicion is none: daemontools, runit and s6 wait a second before they
/// start their service again, and an interpreter takes most of another one. A unit with a longer `RestartSec` is
/// not waited for; that is what the plan's note is for.
const SUPERVISED: Duration = Duration::from_millis(2500);
/// How often that is looked at.
const PACE: Duration = Duration::from_millis(10);

/// Looks again, and says what came of it.
pub(super) fn prove(freer: &mut Freer, plan: &Plan, progress: Progress) -> Outcome {
    let Progress { deeds, stubborn } = progress;
    if plan.stops_something() && stubborn.is_empty() {
        stays_free(freer, plan);
    }
    let look = freer.look(&plan.attempt);
    let (ending, says, cause) = judge(plan, &look, &stubborn, &deeds);
    Outcome { ending, deeds, says, cause, after: Some(Box::new(look)) }
}

/// Watches a free address for as long as a supervisor may need.
fn stays_free(freer: &mut Freer, plan: &Plan) {
    let supervised = plan.suspects().any(|suspect| spared::supervisor(&suspect.process).is_some());
    let end = Instant::now() + if supervised { SUPERVISED } else { SETTLED };
    while Instant::now() < end && freer.asker().verdict(&plan.attempt).outcome == Answer::Ok {
        std::thread::sleep(PACE);
    }
}

fn judge(plan: &Plan, look: &Look, stubborn: &[Suspect], deeds: &[Deed]) -> (Ending, String, Option<Cause>) {
    let diagnosis = &look.report.diagnosis;
    let address = &plan.attempt.address;
    match &diagnosis.verdict.outcome {
        Answer::Ok => return (Ending::Free, format!("{address} is free."), None),
        Answer::Unknown { by, .. } if by.is_empty() => {
            let says =
                format!("What was planned is done; whether {address} is free now does not show from here.");
            return (Ending::Unseen, says, Some(diagnosis.cause));
        }
        _ => {}
    }
    if !stubborn.is_empty() {
        let who: Vec<String> = stubborn.iter().map(name).collect();
        let kill = plan.steps.iter().any(|step| matches!(step, Step::Stop(stop) if stop.kill));
        let advice = if kill { "" } else { " '--kill' lets SIGKILL follow." };
        let says = format!(
            "{address} is still in use: {} did not let go of it after SIGTERM.{advice}",
            who.join(", ")
        );
        return (Ending::NotFree, says, Some(diagnosis.cause));
    }
    if let Some((process, supervisor)) = respawned(plan, look) {
        let says = format!(
            "{address} is in use again: {supervisor} started {} (pid {}) in its place. Stop {supervisor}, not the server.",
            escape(&process.comm),
            process.pid
        );
        return (Ending::NotFree, says, Some(Cause::Respawned));
    }
    if let Some(process) = newcomers(plan, look).next() {
        let says = format!(
            "{address} was let go, and {} (pid {}) took it meanwhile. It was left alone.",
            escape(&process.comm),
            process.pid
        );
        return (Ending::NotFree, says, Some(diagnosis.cause));
    }
    let hidden = diagnosis.cause == Cause::OwnerHidden
        || in_the_way(look).any(|socket| socket.owners == Ownership::Hidden);
    let ending = if hidden { Ending::Unseen } else { Ending::NotFree };
    let failed: Vec<&str> = deeds.iter().filter(|deed| !deed.done).map(|deed| deed.says.as_str()).collect();
    let because =
        if failed.is_empty() { String::new() } else { format!(" Not done: {}.", failed.join("; ")) };
    (ending, format!("{address} is still in use. {}{because}", diagnosis.summary), Some(diagnosis.cause))
}

/// The sockets that are in the way now.
fn in_the_way(look: &Look) -> impl Iterator<Item = &Socket> {
    let sockets = &look.report.snapshot.sockets;
    look.report.diagnosis.verdict.by().iter().filter_map(|&index| sockets.get(index))
}

/// Holders of sockets that were not there when the plan was made.
fn newcomers<'a>(plan: &'a Plan, look: &'a Look) -> impl Iterator<Item = &'a Process> {
    in_the_way(look)
        .filter(|socket| socket.inode != 0 && plan.sockets.iter().all(|old| old.inode != socket.inode))
        .flat_map(|socket| socket.owners.holdings())
        .filter_map(|holding| look.report.snapshot.processes.get(&holding.pid))
}

/// A new holder that whoever started the old one has started again: the process, and the supervisor by name.
fn respawned<'a>(plan: &'a Plan, look: &'a Look) -> Option<(&'a Process, String)> {
    newcomers(plan, look).find_map(|process| {
        let supervisor = plan.suspects().find_map(|old| supervisor(&old.process, process))?;
        Some((process, supervisor))
    })
}

/// Who has started both: an ancestor of both that is the parent of one of them, or the same unit's manager.
fn supervisor(old: &Process, new: &Process) -> Option<String> {
    let common = |ancestor: &&Ancestor| old.ancestry.iter().any(|other| other == *ancestor);
    let parents = [old, new].map(|process| process.ancestry.first());
    let nearest = new.ancestry.iter().find(common).filter(|nearest| parents.contains(&Some(nearest)));
    let named = |by: &Ancestor| format!("{} (pid {})", escape(&by.comm), by.pid);
    // Within a unit somebody nearer may have done it: cron's jobs are all of cron's unit.
    if let Some(by) = nearest.filter(|by| by.pid != 1 && by.comm != b"systemd") {
        return Some(named(by));
    }
    if let (Some(unit), true) = (&new.unit, old.unit == new.unit)
        && unit.name.ends_with(".service")
        && !unit.name.starts_with("user@")
        && new.ancestry.iter().any(|ancestor| ancestor.comm == b"systemd")
    {
        return Some(format!("systemd (unit {})", escape(unit.name.as_bytes())));
    }
    // Process 1 adopts everybody: it is taken for the supervisor only of the same program, started by itself.
    let own = |by: &Ancestor| parents == [Some(by); 2] && old.exe == new.exe && old.comm == new.comm;
    nearest.filter(|by| by.pid != 1 || own(by)).map(named)
}
