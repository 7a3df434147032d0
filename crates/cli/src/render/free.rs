//! What `inuse free` says to people: the plan, what stands against it, what was done, and the proof.
//!
//! Addresses with one and the same plan are told together.

use super::wording::list;
use super::wrap::{hanging, wrapped};
use inuse_keeper::act::{Ending, Obstacle, Outcome, Plan, Step};
use inuse_rules::cure::Command;

/// The most addresses or steps of a kind that are listed by name.
const FEW: usize = 8;

/// A plan, and what came of it where it was run.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: Option<&'a Outcome>,
}

/// The plans, before the question.
pub fn plans(plans: &[Plan], width: usize) -> String {
    let told: Vec<Told> = plans.iter().map(|plan| Told { plan, outcome: None }).collect();
    results(&told, width)
}

/// The plans, or what came of them.
pub fn results(told: &[Told<'_>], width: usize) -> String {
    let mut groups: Vec<Vec<Told>> = Vec::new();
    for &one in told {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same(first, &one))) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let texts: Vec<String> = groups.iter().map(|group| text(group, width)).collect();
    texts.join("\n")
}

/// Whether two addresses have one story.
fn same(a: &Told<'_>, b: &Told<'_>) -> bool {
    let ending = |told: &Told<'_>| told.outcome.map(|outcome| outcome.ending);
    a.plan.resembles(b.plan) && ending(a) == ending(b)
}

fn text(group: &[Told<'_>], width: usize) -> String {
    let Some(first) = group.first() else { return String::new() };
    let names: Vec<String> = group.iter().map(|told| told.plan.attempt.address.to_string()).collect();
    let (are, names) = (if names.len() > 1 { "are" } else { "is" }, list(&names, FEW));
    let plan = first.plan;
    if plan.is_free() {
        return wrapped(&format!("{names} {are} free already: nothing to do."), "", width);
    }
    let mut out = String::new();
    match first.outcome {
        Some(outcome) if !matches!(outcome.ending, Ending::Refused(_)) => {
            for told in group {
                for deed in told.outcome.iter().flat_map(|outcome| &outcome.deeds) {
                    out.push_str(&hanging(&format!("{}.", deed.says), "  - ", "    ", width));
                }
            }
            match outcome.ending {
                Ending::Free => out.push_str(&wrapped(&format!("{names} {are} free."), "", width)),
                _ => {
                    for told in group {
                        let says = told.outcome.map(|outcome| outcome.says.as_str()).unwrap_or_default();
                        out.push_str(&wrapped(says, "", width));
                    }
                }
            }
        }
        _ => {
            out.push_str(&wrapped(&plan.summary, "", width));
            out.push_str(&format!("\nPlan for {names}\n"));
            steps(&mut out, plan, width);
            for note in &plan.notes {
                out.push_str(&hanging(note, "  note: ", "        ", width));
            }
            if !plan.obstacles.is_empty() {
                out.push_str("  Nothing is done:\n");
            }
            for obstacle in &plan.obstacles {
                self::obstacle(&mut out, obstacle, plan, width);
            }
        }
    }
    out
}

/// The steps in order; many of one kind are counted.
fn steps(out: &mut String, plan: &Plan, width: usize) {
    if !plan.obstacles.is_empty() {
        return;
    }
    for (number, step) in plan.steps.iter().enumerate() {
        if number >= FEW && plan.steps.len() > FEW + 1 {
            let more = plan.steps.len() - number;
            out.push_str(&hanging(&format!("and {more} more steps of this kind."), "     ", "     ", width));
            break;
        }
        out.push_str(&hanging(&step.says(), &format!("  {}. ", number + 1), "     ", width));
        if let Some(command) = command(step) {
            out.push_str(&format!("       {command}\n"));
        }
    }
}

/// The command of another program that a step runs.
pub(super) fn command(step: &Step) -> Option<&Command> {
    match step {
        Step::StopUnits(managed) | Step::StopContainer(managed) => Some(&managed.command),
        _ => None,
    }
}

fn obstacle(out: &mut String, obstacle: &Obstacle, plan: &Plan, width: usize) {
    out.push_str(&hanging(&obstacle.says, "  - ", "    ", width));
    if let Some(flag) = obstacle.flag {
        out.push_str(&format!("      inuse free {flag} {}\n", plan.attempt.address));
    }
    if let Some(command) = &obstacle.command {
        out.push_str(&format!("      {command}\n"));
    }
}
