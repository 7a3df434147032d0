//! `inuse free`: get an address back, harm nobody, prove it.
//!
//! Four steps: the words, the plans of all addresses, one question where a person is there to answer it, and
//! the run, which ends with a proof. The plan that is shown is the plan that is run.

use super::asked::{no_port_zero, words};
use super::stop::Stop;
use super::typed;
use crate::args::FreeArgs;
use crate::caller::caller;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::free::{self, Told};
use crate::render::free_json;
use inuse_bind::WhyOptions;
use inuse_bind::resolve::resolve;
use inuse_keeper::act::{Ending, Freer, ObstacleKind, Outcome, Permissions, Plan};
use inuse_rules::Cause;
use std::io::{self, BufRead as _, IsTerminal as _};

/// Frees, or says why not.
pub fn run(args: &FreeArgs, output: &mut Output) -> ExitStatus {
    let (mut freer, plans) = match plans(args, output) {
        Ok(planned) => planned,
        Err(stop) => return stop.tell(output),
    };
    let width = output.width();
    if args.dry_run {
        let told: Vec<Told> = plans.iter().map(|plan| Told { plan, outcome: None }).collect();
        tell(args, &told, output);
        return plans.iter().map(planned).max().unwrap_or(ExitStatus::WrongWords);
    }
    if plans.iter().any(Plan::is_ready) && !args.yes {
        output.lines(&free::plans(&plans, width));
        if !agreed(output) {
            return ExitStatus::WrongWords;
        }
    }
    let outcomes = freer.run_all(&plans, args.grace);
    let told: Vec<Told> =
        plans.iter().zip(&outcomes).map(|(plan, outcome)| Told { plan, outcome: Some(outcome) }).collect();
    tell(args, &told, output);
    outcomes.iter().map(ended).max().unwrap_or(ExitStatus::WrongWords)
}

fn tell(args: &FreeArgs, told: &[Told<'_>], output: &mut Output) {
    if args.json {
        let statuses: Vec<ExitStatus> =
            told.iter().map(|told| told.outcome.map_or_else(|| planned(told.plan), ended)).collect();
        output.data(&free_json::document(told, &statuses, args.dry_run));
    } else {
        let text = free::results(told, output.width());
        output.data(&text);
    }
}

/// The plan for each address, all of them before anything is done.
fn plans(args: &FreeArgs, output: &mut Output) -> Result<(Freer, Vec<Plan>), Stop> {
    let mut piped = None;
    let written = words(&args.addresses, &mut piped)?;
    if let Some(mut piped) = piped {
        piped.pass_on();
    }
    no_port_zero(&written)?;
    let netns = args.attempt.netns();
    let named = netns.is_some();
    let mut freer =
        Freer::new(&WhyOptions { netns, ..WhyOptions::default() }).map_err(|error| match named {
            true => Stop::Words(format!("--netns: {error}")),
            false => Stop::Blind(format!("the kernel cannot be asked: {error}")),
        })?;
    let caller = caller(args.attempt.as_uid.as_deref(), freer.asker().netns()).map_err(Stop::Words)?;
    let mut asks = Vec::new();
    for written in &written {
        let netns = freer.asker().netns();
        let interface = |name: &str| inuse_kernel::locality::interface_index(netns, name);
        asks.extend(resolve(written, interface).map_err(Stop::Mistake)?);
    }
    if let Some(note) = &caller.note {
        output.say(note);
    }
    let may =
        Permissions { kill: args.kill, destroy: args.destroy, unit: args.unit, container: args.container };
    let mut plans: Vec<Plan> = Vec::new();
    for ask in asks {
        let plan = freer.look(&args.attempt.attempt(&ask.address, &caller)).plan(may);
        let told = |other: &Plan| other.resembles(&plan);
        if !ask.only_if_different
            || !(plan.is_free() || plan.cause == Cause::NotLocal || plans.iter().any(told))
        {
            plans.push(plan);
        }
    }
    for plan in &mut plans {
        typed::adapt_plan(plan, &args.attempt);
    }
    Ok((freer, plans))
}

/// Asks once, where somebody can see the question and answer it.
pub(super) fn agreed(output: &mut Output) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        output.say("nothing was done: there is no terminal to ask on; '--yes' agrees to this plan");
        return false;
    }
    output.lines("Do this? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    let yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES");
    if !yes {
        output.say("nothing was done");
    }
    yes
}

/// What a plan alone means for the exit code.
fn planned(plan: &Plan) -> ExitStatus {
    plan.obstacles.iter().map(|obstacle| refused(obstacle.kind)).max().unwrap_or(ExitStatus::Success)
}

fn ended(outcome: &Outcome) -> ExitStatus {
    match outcome.ending {
        Ending::NothingToDo | Ending::Free => ExitStatus::Success,
        Ending::NotFree => ExitStatus::InUse,
        Ending::Unseen => ExitStatus::CannotSay,
        Ending::Refused(kind) => refused(kind),
    }
}

fn refused(kind: ObstacleKind) -> ExitStatus {
    match kind {
        ObstacleKind::NeedsFlag | ObstacleKind::Cannot => ExitStatus::InUse,
        ObstacleKind::NeedsPrivilege | ObstacleKind::Never => ExitStatus::OtherRefusal,
        ObstacleKind::Unseen => ExitStatus::CannotSay,
    }
}
