//! The JSON view of `inuse free`, schema `inuse.free/1`: docs/schema/inuse.free-1.json says what each field
//! means. Fields are added, never renamed or removed.

use super::free::{Told, command};
use super::json::to_text;
use crate::exit::ExitStatus;
use inuse_keeper::act::{Ending, Obstacle, Outcome, Plan, Step};
use inuse_rules::Socket;
use inuse_rules::address::escape;
use serde::Serialize;

/// The schema of the view.
pub const SCHEMA: &str = "inuse.free/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    dry_run: bool,
    exit: u8,
    results: Vec<ResultView<'a>>,
}

#[derive(Serialize)]
struct ResultView<'a> {
    address: String,
    cause: &'static str,
    summary: &'a str,
    plan: PlanView<'a>,
    outcome: &'static str,
    says: Option<&'a str>,
    done: Vec<DeedView<'a>>,
    cause_now: Option<&'static str>,
    exit: u8,
}

#[derive(Serialize)]
struct PlanView<'a> {
    steps: Vec<StepView>,
    obstacles: Vec<ObstacleView<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct StepView {
    action: &'static str,
    says: String,
    processes: Vec<ProcessView>,
    sockets: Vec<SocketView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    command: Option<String>,
}

#[derive(Serialize)]
struct ProcessView {
    pid: u32,
    comm: String,
    start_ticks: u64,
}

#[derive(Serialize)]
struct SocketView {
    state: &'static str,
    local: String,
    remote: Option<String>,
    inode: u64,
}

#[derive(Serialize)]
struct ObstacleView<'a> {
    kind: &'static str,
    says: &'a str,
    flag: Option<&'static str>,
    command: Option<String>,
}

#[derive(Serialize)]
struct DeedView<'a> {
    says: &'a str,
    done: bool,
}

/// The whole document, one line, with a line feed at the end.
pub fn document(told: &[Told<'_>], statuses: &[ExitStatus], dry_run: bool) -> String {
    let results = told.iter().zip(statuses).map(|(told, status)| result(told, *status)).collect();
    let exit = statuses.iter().max().map_or(ExitStatus::WrongWords.code(), |worst| worst.code());
    to_text(&Document { schema: SCHEMA, dry_run, exit, results })
}

fn result<'a>(told: &Told<'a>, status: ExitStatus) -> ResultView<'a> {
    let Told { plan, outcome } = *told;
    ResultView {
        address: plan.attempt.address.to_string(),
        cause: plan.cause.code(),
        summary: &plan.summary,
        plan: plan_view(plan),
        outcome: outcome.map_or_else(|| planned(plan), ended),
        says: outcome.map(|outcome| outcome.says.as_str()),
        done: outcome
            .iter()
            .flat_map(|outcome| &outcome.deeds)
            .map(|deed| DeedView { says: &deed.says, done: deed.done })
            .collect(),
        cause_now: outcome.and_then(|outcome| outcome.cause).map(|cause| cause.code()),
        exit: status.code(),
    }
}

fn planned(plan: &Plan) -> &'static str {
    if plan.is_free() {
        "already-free"
    } else if plan.is_ready() {
        "planned"
    } else {
        "refused"
    }
}

fn ended(outcome: &Outcome) -> &'static str {
    match outcome.ending {
        Ending::NothingToDo => "already-free",
        Ending::Free => "free",
        Ending::NotFree => "not-free",
        Ending::Unseen => "unseen",
        Ending::Refused(_) => "refused",
    }
}

fn plan_view(plan: &Plan) -> PlanView<'_> {
    PlanView {
        steps: plan.steps.iter().map(step).collect(),
        obstacles: plan.obstacles.iter().map(obstacle).collect(),
        notes: &plan.notes,
    }
}

fn step(step: &Step) -> StepView {
    let sockets: Vec<&Socket> = match step {
        Step::Stop(stop) => stop.sockets.iter().collect(),
        Step::StopUnits(managed) | Step::StopContainer(managed) => managed.sockets.iter().collect(),
        Step::AwaitClose(sockets) => sockets.iter().collect(),
        Step::Destroy(dropped) => vec![&dropped.socket],
        Step::Displace(socket) => vec![socket],
        Step::Clear(clear) => clear.examples.iter().collect(),
        Step::Unlink(_) | Step::Sweep(_) => vec![],
    };
    let suspects = match step {
        Step::Stop(stop) => stop.suspects.as_slice(),
        _ => &[],
    };
    StepView {
        action: step.action(),
        says: step.says(),
        processes: suspects
            .iter()
            .map(|suspect| ProcessView {
                pid: suspect.process.pid,
                comm: escape(&suspect.process.comm),
                start_ticks: suspect.process.start_ticks,
            })
            .collect(),
        sockets: sockets.into_iter().map(socket).collect(),
        count: match step {
            Step::Clear(clear) => Some(clear.count),
            _ => None,
        },
        command: command(step).map(ToString::to_string),
    }
}

fn socket(socket: &Socket) -> SocketView {
    SocketView {
        state: socket.state.name(),
        local: socket.inet().map_or_else(|| socket.address.to_string(), |(_, local, _)| local.to_string()),
        remote: socket.remote.map(|remote| remote.to_string()),
        inode: socket.inode,
    }
}

fn obstacle(obstacle: &Obstacle) -> ObstacleView<'_> {
    ObstacleView {
        kind: obstacle.kind.code(),
        says: &obstacle.says,
        flag: obstacle.flag,
        command: obstacle.command.as_ref().map(ToString::to_string),
    }
}
