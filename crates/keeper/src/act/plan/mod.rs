//! The plan: which rungs of the ladder fit, in order, and what stands against it. A pure function: whoever
//! shows a plan shows the very value that is run.
//!
//! Rungs: stop the processes that hold the address (or their unit, or their container), wait for the kernel
//! where something is closing, then take away what nobody owns. A plan with one obstacle is not run at all.
//!
//! Not here: what a step and an obstacle are (`step`, `obstacle`), looking, and doing.

mod holders;
mod managed;
mod obstacle;
mod path;
mod remains;
pub mod spared;
mod step;
mod words;

pub use inuse_bind::stale::SocketFile as StaleFile;
pub use obstacle::{Obstacle, ObstacleKind};
pub use step::{Clear, Dropped, Hold, Managed, Over, Road, Step, Stop, Suspect, Sweep};

use super::surroundings::Surroundings;
use inuse_rules::address::Address;
use inuse_rules::cure::Command;
use inuse_rules::verdict::{Errno, Outcome, Rule};
use inuse_rules::{Attempt, Cause, Diagnosis, Snapshot, Socket, State};

/// What the asker has agreed to besides asking processes to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// SIGKILL to what ignores SIGTERM, and stopping the carrier of a descriptor in flight.
    pub kill: bool,
    /// Destroying connections that somebody may still need.
    pub destroy: bool,
    /// Stopping a systemd unit.
    pub unit: bool,
    /// Stopping a container.
    pub container: bool,
}

/// What will be done for one address, in order, or why nothing will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The bind that should succeed in the end.
    pub attempt: Attempt,
    /// Why it fails now.
    pub cause: Cause,
    /// That in one sentence.
    pub summary: String,
    /// What will be done, in order; empty where the address is free already.
    pub steps: Vec<Step>,
    /// What stands against it: with one of these nothing is done.
    pub obstacles: Vec<Obstacle>,
    /// What to know before agreeing.
    pub notes: Vec<String>,
    /// The sockets in the way, as they were seen.
    pub sockets: Vec<Socket>,
    /// What was agreed to.
    pub may: Permissions,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_free(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }

    /// Whether it can be run.
    pub fn is_ready(&self) -> bool {
        !self.steps.is_empty() && self.obstacles.is_empty()
    }

    /// Whether both come to the same: the same steps and obstacles in words, which a timer that ran on
    /// between two looks does not change. Their commands may name the address of either plan.
    pub fn resembles(&self, other: &Plan) -> bool {
        let same_steps = self.steps.len() == other.steps.len()
            && self.steps.iter().zip(&other.steps).all(|(step, other)| step.resembles(other));
        let obstacles = |plan: &Plan| {
            let unnamed = |command: &Command| plan.about(command, &[]);
            let unnamed = |obstacle: &Obstacle| Obstacle {
                command: obstacle.command.as_ref().map(unnamed),
                again: obstacle.again.as_ref().map(unnamed),
                ..obstacle.clone()
            };
            plan.obstacles.iter().map(unnamed).collect::<Vec<_>>()
        };
        same_steps && obstacles(self) == obstacles(other)
    }

    /// A command of this plan, about these addresses where it is about the plan's own.
    pub fn about(&self, command: &Command, addresses: &[String]) -> Command {
        let own = self.attempt.address.to_string();
        match command.0.split_last() {
            Some((last, words)) if *last == own.as_bytes() => {
                let addresses = addresses.iter().map(|address| address.clone().into_bytes());
                Command(words.iter().cloned().chain(addresses).collect())
            }
            _ => command.clone(),
        }
    }

    /// The processes that it would stop.
    pub fn suspects(&self) -> impl Iterator<Item = &Suspect> {
        self.steps.iter().flat_map(|step| match step {
            Step::Stop(stop) => stop.suspects.as_slice(),
            _ => &[],
        })
    }

    /// Whether it has this very connection destroyed.
    pub fn destroys(&self, socket: &Socket) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Destroy(dropped) => dropped.socket.cookie != 0 && dropped.socket.cookie == socket.cookie,
            _ => false,
        })
    }

    /// Whether it stops anything that a supervisor could bring back.
    pub fn stops_something(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Stop(_) | Step::StopUnits(_) | Step::StopContainer(_)))
    }
}

/// What has to be done so that the attempt succeeds.
pub fn plan(snapshot: &Snapshot, diagnosis: &Diagnosis, around: &Surroundings, may: Permissions) -> Plan {
    let mut plan = Plan {
        attempt: diagnosis.attempt.clone(),
        cause: diagnosis.cause,
        summary: diagnosis.summary.clone(),
        steps: Vec::new(),
        obstacles: Vec::new(),
        notes: Vec::new(),
        sockets: Vec::new(),
        may,
    };
    if let Some(obstacle) = beyond_freeing(diagnosis) {
        plan.obstacles.push(obstacle);
        return plan;
    }
    if diagnosis.verdict.outcome == Outcome::Ok {
        return plan;
    }
    let case = Case { snapshot, attempt: &diagnosis.attempt, around, may };
    let blockers = blockers(snapshot, diagnosis);
    plan.sockets = blockers.iter().map(|&socket| socket.clone()).collect();
    if blockers.is_empty() {
        path::nobody(&case, diagnosis.cause, &mut plan);
        return plan;
    }
    let mut holders = holders::Holders::default();
    for socket in blockers.iter().filter(|socket| holds_the_port(socket)) {
        holders.take(&case, socket, &mut plan.obstacles);
    }
    let stopped = holders.finish(&case, &mut plan);
    for remains in remains::together(blockers.iter().copied().filter(|socket| !holds_the_port(socket))) {
        remains::take(&case, &remains, &stopped, &mut plan);
    }
    if plan.stops_something() {
        let over = match diagnosis.attempt.address {
            Address::Inet { .. } => Over::Port { destroy: around.net_admin },
            Address::Unix { .. } => Over::Path,
        };
        if needs_sweep(&diagnosis.attempt.address) {
            plan.steps.push(Step::Sweep(Sweep { over }));
        }
    }
    for obstacle in &mut plan.obstacles {
        obstacle.again = obstacle.flag.map(|flag| case.once_more(&["inuse", "free"], Some(flag)));
    }
    plan
}

/// What the parts of a plan look at.
struct Case<'a> {
    snapshot: &'a Snapshot,
    attempt: &'a Attempt,
    around: &'a Surroundings,
    may: Permissions,
}

impl Case<'_> {
    /// What takes a privilege: in one sentence, for somebody who may become root, or for a root who lacks it.
    fn as_root(&self, what: &str, only_root: &str, lacks: &str) -> Obstacle {
        let command = self.once_more_as_root();
        let why = if command.is_some() { only_root } else { lacks };
        Obstacle { command, ..Obstacle::new(ObstacleKind::NeedsPrivilege, format!("{what}: {why}.")) }
    }

    /// The command once more, as root. None for whoever is root.
    fn once_more_as_root(&self) -> Option<Command> {
        (self.around.uid != 0).then(|| self.once_more(&["sudo", "inuse", "free"], None))
    }

    /// The command once more: for the same bind, with the same agreements and one besides.
    fn once_more(&self, command: &[&str], besides: Option<&str>) -> Command {
        let Attempt { reuseaddr, reuseport, v6only, address, .. } = self.attempt;
        let Permissions { kill, destroy, unit, container } = self.may;
        let flags = [
            (*reuseaddr, "--reuseaddr"),
            (*reuseport, "--reuseport"),
            (*v6only, "--v6only"),
            (kill, "--kill"),
            (destroy, "--destroy"),
            (unit, "--unit"),
            (container, "--container"),
        ];
        let set = flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag);
        let words = command.iter().copied().chain(set).chain(besides).map(str::to_owned);
        Command::new(words.chain([address.to_string()]))
    }
}

/// Refusals that no freeing changes, and verdicts without anybody to name.
fn beyond_freeing(diagnosis: &Diagnosis) -> Option<Obstacle> {
    let never = |why: String| {
        let why_not = Command::new(["inuse", "why", &diagnosis.attempt.address.to_string()]);
        Obstacle::new(ObstacleKind::Never, format!("Freeing cannot help: {why}.")).with(why_not)
    };
    match &diagnosis.verdict.outcome {
        Outcome::Ok => None,
        Outcome::Refused(refusal) if refusal.errno != Errno::EADDRINUSE => Some(never(format!(
            "the bind is refused with {}, and not because somebody has the address",
            refusal.errno
        ))),
        Outcome::Refused(refusal) if matches!(refusal.rule, Rule::NoFreePort | Rule::NoFreePortToConnect) => {
            Some(never("no single holder is to blame".to_owned()))
        }
        Outcome::Unknown { by, .. } if by.is_empty() => {
            Some(Obstacle::new(ObstacleKind::Unseen, "Not enough could be seen to say who is in the way."))
        }
        _ => None,
    }
}

/// The sockets in the way; for a path that is served from another network namespace, those there.
fn blockers<'a>(snapshot: &'a Snapshot, diagnosis: &Diagnosis) -> Vec<&'a Socket> {
    let mut blockers: Vec<&Socket> =
        diagnosis.verdict.by().iter().filter_map(|&index| snapshot.sockets.get(index)).collect();
    if blockers.is_empty() && matches!(diagnosis.attempt.address, Address::Unix { .. }) {
        blockers.extend(snapshot.elsewhere.iter().map(|other| &other.socket));
    }
    blockers
}

/// Whether a socket was bound itself, and goes only with its last descriptor.
fn holds_the_port(socket: &Socket) -> bool {
    socket.inet().is_none() || matches!(socket.state, State::Listen | State::Bound | State::Unconn)
}

/// Abstract names and datagram ports leave nothing behind.
fn needs_sweep(address: &Address) -> bool {
    use inuse_rules::{Transport, UnixName};
    match address {
        Address::Inet { transport, .. } => *transport == Transport::Tcp,
        Address::Unix { name, .. } => matches!(name, UnixName::Path(_)),
    }
}

#[cfg(test)]
mod tests;
