//! Setting: step by step, each through evidence made anew, until one fails.

use super::evidence::{Proven, Unproven};
use super::look::look;
use super::plan::{Plan, Step};
use super::seen::{Found, Look, Question, Subject};
use super::sentence::{place, sentence};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::form::{Form, Unit};
use inuse_kernel::options::spec::Spec;
use inuse_kernel::options::value::{Value, show};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often connections are looked for that were accepted meanwhile. Those that come after the listener was set
/// have it already, so the first round finds nearly all.
const ROUNDS: usize = 3;

/// What became of one step.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The option.
    pub spec: &'static Spec,
    /// What was to be set.
    pub value: Value,
    /// Which socket, in words.
    pub place: String,
    /// Its cookie.
    pub cookie: u64,
    /// What became of it.
    pub ending: Ending,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is in force.
    Set {
        /// The value that it had.
        before: Option<Value>,
        /// The value that the kernel reports now; `None` where it reports none.
        after: Option<Value>,
        /// What the kernel made of it, where that is not what was asked.
        remark: Option<String>,
    },
    /// The socket was closed first.
    Gone,
    /// The kernel refused.
    Failed(Errno, String),
    /// It may not be looked at again, or that failed.
    Unproven(Unproven),
    /// An earlier step failed.
    NotTried,
}

/// What came of it all.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Each step, in order; those for sockets that came meanwhile at the end.
    pub deeds: Vec<Deed>,
    /// What to know besides.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether a step failed.
    pub fn failed(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed.ending, Ending::Failed(..) | Ending::Unproven(_)))
    }

    /// Whether the kernel made something else of a value.
    pub fn altered(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed.ending, Ending::Set { remark: Some(_), .. }))
    }

    /// Whether anything is in force.
    pub fn any_set(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed.ending, Ending::Set { .. }))
    }
}

/// Sets what was planned, in order. The first failure ends it; a socket that was closed meanwhile is none.
pub fn set(netns: &Netns, seen: &Look, plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    steps(&mut outcome, seen, &plan.steps);
    if matches!(seen.subject, Subject::Addresses(_)) {
        let mut known: BTreeSet<u64> = seen.found.iter().map(|found| found.traits.cookie).collect();
        for _ in 0..ROUNDS {
            if outcome.failed() || !latecomers(netns, seen, plan, &mut known, &mut outcome) {
                break;
            }
        }
    }
    outcome
}

fn steps(outcome: &mut Outcome, look: &Look, steps: &[Step]) {
    let mut failed = outcome.failed();
    for step in steps {
        let Some(found) = look.found.get(step.found) else { continue };
        let ending = if failed { Ending::NotTried } else { one(step, found) };
        failed |= matches!(ending, Ending::Failed(..) | Ending::Unproven(_));
        outcome.deeds.push(Deed {
            spec: step.spec,
            value: step.value.clone(),
            place: place(&found.traits),
            cookie: found.traits.cookie,
            ending,
        });
    }
}

/// Sets the same on connections that were accepted since the look. Whether there were any.
fn latecomers(
    netns: &Netns,
    seen: &Look,
    plan: &Plan,
    known: &mut BTreeSet<u64>,
    outcome: &mut Outcome,
) -> bool {
    let wanted: Vec<&'static Spec> = plan.steps.iter().map(|step| step.spec).collect();
    let Ok(again) = look(netns, &seen.subject, Question { wanted: &wanted, in_full: false }) else {
        return false;
    };
    // Of an option that was given twice the last value counts.
    let mut asked: Vec<&Step> = Vec::new();
    for step in plan.steps.iter().rev() {
        if asked.iter().all(|other| other.spec.name != step.spec.name) {
            asked.push(step);
        }
    }
    asked.reverse();
    let mut late: Vec<Step> = Vec::new();
    for step in asked {
        for (at, found) in again.found.iter().enumerate() {
            let reading = found.readings.iter().find(|reading| reading.spec.name == step.spec.name);
            let before = reading.and_then(|reading| reading.value.clone().ok());
            if !known.contains(&found.traits.cookie)
                && found.traits.kind.has(step.spec)
                && before.as_ref() != Some(&step.value)
            {
                late.push(Step { found: at, before, ..step.clone() });
            }
        }
    }
    known.extend(again.found.iter().map(|found| found.traits.cookie));
    steps(outcome, &again, &late);
    !late.is_empty()
}

/// One step. The duplicate lives for its two or three calls.
fn one(step: &Step, found: &Found) -> Ending {
    let proven = match Proven::check(found) {
        Ok(proven) => proven,
        Err(Unproven::Gone) => return Ending::Gone,
        Err(why) => return Ending::Unproven(why),
    };
    let before = proven.live().get(step.spec).ok();
    if let Err(errno) = proven.live().set(step.spec, &step.value) {
        return Ending::Failed(errno, sentence(errno, step.spec, &found.traits));
    }
    let after = proven.live().get(step.spec).ok();
    let remark = after.as_ref().and_then(|after| remark(step.spec, &step.value, after));
    Ending::Set { before, after, remark }
}

/// What the kernel made of a value.
fn remark(spec: &Spec, asked: &Value, after: &Value) -> Option<String> {
    if asked == after {
        return None;
    }
    let (what, now) = (show(spec.form, asked), show(spec.form, after));
    Some(match (spec.name, asked, after) {
        ("SO_SNDBUF" | "SO_RCVBUF", Value::Int(asked), Value::Int(after)) => {
            let (asked, after) = (i64::from(*asked), i64::from(*after));
            let most = if spec.name == "SO_SNDBUF" { "net.core.wmem_max" } else { "net.core.rmem_max" };
            match after.cmp(&(2 * asked)) {
                std::cmp::Ordering::Equal => {
                    "the kernel doubles it, to have room for its own bookkeeping".to_owned()
                }
                std::cmp::Ordering::Less => format!("the kernel cut it at {most}, and doubled that"),
                std::cmp::Ordering::Greater => "the kernel raised it to the least that it allows".to_owned(),
            }
        }
        _ if is_time(spec.form) => format!("the kernel rounded {what} to what its clock can count"),
        (_, Value::Time(asked), Value::Time(after)) if after.abs_diff(*asked) < Duration::from_millis(20) => {
            format!("the kernel rounded {what} to what its clock can count")
        }
        _ => format!("the kernel made {now} of {what}"),
    })
}

fn is_time(form: Form) -> bool {
    matches!(form, Form::Number { unit: Unit::Seconds | Unit::Milliseconds | Unit::Microseconds, .. })
}
