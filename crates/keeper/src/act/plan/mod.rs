//! The plan: which rungs of the ladder fit, in order, and what stands against it. A pure function: whoever
//! shows a plan shows the very value that is run.
//!
//! Rungs: stop the processes that hold the address (or their unit, or their container), wait for the kernel
//! where something is closing, then take away what nobody owns. A plan with one obstacle is not run at all.
//!
//! Not here: looking, and doing.

mod holders;
mod managed;
mod path;
mod remains;
pub mod spared;
mod words;

pub use inuse_bind::stale::SocketFile as StaleFile;

use super::surroundings::Surroundings;
use inuse_kernel::destroy::Doomed;
use inuse_rules::address::Address;
use inuse_rules::cure::Command;
use inuse_rules::owner::Process;
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
    /// between two looks does not change.
    pub fn resembles(&self, other: &Plan) -> bool {
        let steps = |plan: &Plan| plan.steps.iter().map(Step::says).collect::<Vec<_>>();
        steps(self) == steps(other) && self.obstacles == other.obstacles
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

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// SIGTERM to each process, then waiting for the sockets to go.
    Stop(Stop),
    /// Units are stopped by their service manager.
    StopUnits(Managed),
    /// A container is stopped by its runtime.
    StopContainer(Managed),
    /// Sockets that are closing this very moment are waited for.
    AwaitClose(Vec<Socket>),
    /// The kernel is told to drop one connection.
    Destroy(Dropped),
    /// A TIME_WAIT is removed without any privilege, by a connection attempt from its other end's address.
    Displace(Socket),
    /// A stale socket file is removed.
    Unlink(StaleFile),
    /// What the stopped ones leave behind is taken away, or waited for.
    Sweep(Sweep),
}

impl Step {
    /// The stable word for it in JSON.
    pub const fn action(&self) -> &'static str {
        match self {
            Step::Stop(_) => "stop-processes",
            Step::StopUnits(_) => "stop-unit",
            Step::StopContainer(_) => "stop-container",
            Step::AwaitClose(_) => "wait",
            Step::Destroy(_) => "destroy",
            Step::Displace(_) => "displace",
            Step::Unlink(_) => "unlink",
            Step::Sweep(_) => "sweep",
        }
    }
}

/// Processes that are asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Every process that has one of the sockets, eldest first.
    pub suspects: Vec<Suspect>,
    /// The sockets that have to go.
    pub sockets: Vec<Socket>,
    /// Whether SIGKILL may follow.
    pub kill: bool,
}

/// A process that is to be signalled, as it was seen. It is looked at again before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The process.
    pub process: Process,
    /// The sockets that it has, and how.
    pub holds: Vec<Hold>,
}

/// How a process has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The socket's inode in sockfs.
    pub inode: u64,
    /// The table, message or ring that has it.
    pub road: Road,
    /// The descriptors' numbers.
    pub fds: Vec<u32>,
}

/// The road from a process to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Its table of open files.
    Process,
    /// The table of one of its threads.
    Thread(u32),
    /// A unix socket of it carries the descriptor in a message.
    Flight,
    /// An io_uring of it has the socket registered.
    Ring,
}

/// Something that a manager is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// What is stopped, by name; hostile until escaped.
    pub names: Vec<String>,
    /// The command that does it.
    pub command: Command,
    /// The sockets that have to go.
    pub sockets: Vec<Socket>,
}

/// A connection that is destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// It, as it was seen.
    pub socket: Socket,
    /// It, as the kernel is told.
    pub doomed: Doomed,
    /// False where its program bound the port itself and keeps it until it closes the socket.
    pub frees: bool,
}

/// What is taken away after something was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// What stands in for the address.
    pub over: Over,
}

/// Where a sweep goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A port, where connections may leave something.
    Port {
        /// Whether the kernel can be told to drop it.
        destroy: bool,
    },
    /// A path, where the file may stay.
    Path,
}

/// Something that stands against the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Its kind: decides the exit code.
    pub kind: ObstacleKind,
    /// What and why, in a sentence.
    pub says: String,
    /// The flag that would take it away.
    pub flag: Option<&'static str>,
    /// What can be done instead.
    pub command: Option<Command>,
}

/// The kinds of obstacles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// It takes an agreement that was not given.
    NeedsFlag,
    /// Nothing can be done but wait.
    Cannot,
    /// It takes a privilege that the asker lacks.
    NeedsPrivilege,
    /// It is never done.
    Never,
    /// The owner cannot be seen.
    Unseen,
}

impl ObstacleKind {
    /// The stable word for it in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            ObstacleKind::NeedsFlag => "needs-flag",
            ObstacleKind::Cannot => "cannot",
            ObstacleKind::NeedsPrivilege => "needs-privilege",
            ObstacleKind::Never => "never",
            ObstacleKind::Unseen => "unseen",
        }
    }
}

impl Obstacle {
    fn new(kind: ObstacleKind, says: impl Into<String>) -> Obstacle {
        Obstacle { kind, says: says.into(), flag: None, command: None }
    }

    fn flag(flag: &'static str, says: impl Into<String>) -> Obstacle {
        Obstacle { flag: Some(flag), ..Obstacle::new(ObstacleKind::NeedsFlag, says) }
    }

    fn with(self, command: Command) -> Obstacle {
        Obstacle { command: Some(command), ..self }
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
    for socket in blockers.iter().filter(|socket| !holds_the_port(socket)) {
        remains::take(&case, socket, &stopped, &mut plan);
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

    /// The command once more, as root: for the same bind, with the same agreements. None for whoever is root.
    fn once_more_as_root(&self) -> Option<Command> {
        if self.around.uid == 0 {
            return None;
        }
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
        let set = flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned());
        let words = ["sudo", "inuse", "free"].map(str::to_owned).into_iter().chain(set);
        Some(Command::new(words.chain([address.to_string()])))
    }
}

/// Refusals that no freeing changes, and verdicts without anybody to name.
fn beyond_freeing(diagnosis: &Diagnosis) -> Option<Obstacle> {
    match &diagnosis.verdict.outcome {
        Outcome::Ok => None,
        Outcome::Refused(refusal) if refusal.errno != Errno::EADDRINUSE => {
            Some(Obstacle::new(ObstacleKind::Never, format!("Freeing cannot help. {}", diagnosis.summary)))
        }
        Outcome::Refused(refusal) if matches!(refusal.rule, Rule::NoFreePort | Rule::NoFreePortToConnect) => {
            Some(Obstacle::new(
                ObstacleKind::Never,
                format!("No single holder is to blame. {}", diagnosis.summary),
            ))
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
