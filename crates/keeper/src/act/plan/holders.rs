//! The first rung: whoever holds the address itself is asked to let go. Every holder of a socket is found
//! here, since one that is left keeps it.

use super::managed::{Manager, manager, stop_units};
use super::{Case, Hold, Managed, Obstacle, ObstacleKind, Plan, Road, Step, Stop, Suspect, spared};
use inuse_rules::address::escape;
use inuse_rules::cure::Command;
use inuse_rules::diagnose::is_forwarder;
use inuse_rules::owner::{Ancestor, Holding, NoOwner, Ownership, Process};
use inuse_rules::{Address, Socket};

/// The holders that were taken in so far.
#[derive(Default)]
pub(super) struct Holders {
    suspects: Vec<Suspect>,
    sockets: Vec<Socket>,
    units: Vec<(String, Option<u32>)>,
    unit_sockets: Vec<Socket>,
    containers: Vec<(String, Command, Vec<Socket>)>,
    closing: Vec<Socket>,
    /// Processes that a manager stops.
    managed: Vec<u32>,
}

/// The processes that will have ended when the first rung is done.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    pub(super) pids: Vec<u32>,
}

impl Holders {
    /// Takes in everybody who has this socket.
    pub(super) fn take(&mut self, case: &Case, socket: &Socket, obstacles: &mut Vec<Obstacle>) {
        let address = &socket.address;
        match &socket.owners {
            Ownership::Held(holdings) if holdings.is_empty() => obstacles.push(unseen(case, socket)),
            Ownership::Held(holdings) => {
                obstacles.extend(shared(case, socket));
                for holding in holdings {
                    let road = holding.tid.map_or(Road::Process, Road::Thread);
                    self.holder(case, socket, holding, road, obstacles);
                }
            }
            Ownership::InFlight { carriers, proven: true } => {
                let what = format!("a message to or from {} carries the socket of {address}", named(case, carriers));
                self.unlisted(case, socket, carriers, Road::Flight, &what, obstacles);
            }
            Ownership::InFlight { carriers, proven: false } => obstacles.push(Obstacle::new(
                ObstacleKind::Unseen,
                format!(
                    "The socket of {address} is in a message that nobody has received yet; which of {} carries it \
                     does not show, and the others are innocent.",
                    named(case, carriers)
                ),
            )),
            Ownership::IoUring(holdings) => {
                let what = format!("an io_uring of {} holds the socket of {address}", named(case, holdings));
                self.unlisted(case, socket, holdings, Road::Ring, &what, obstacles);
            }
            Ownership::Nobody(NoOwner::Kernel) => obstacles.push(Obstacle::new(
                ObstacleKind::Never,
                format!("The kernel itself holds {address}: no process can be asked. Stop the kernel's service."),
            )),
            Ownership::Gone => self.closing.push(socket.clone()),
            Ownership::Hidden | Ownership::NotAsked | Ownership::Nobody(_) => obstacles.push(unseen(case, socket)),
        }
    }

    /// The carrier of a descriptor in flight, or the owner of a ring: a holder only where that was agreed to.
    fn unlisted(
        &mut self,
        case: &Case,
        socket: &Socket,
        holdings: &[Holding],
        road: Road,
        what: &str,
        obstacles: &mut Vec<Obstacle>,
    ) {
        if !case.may.kill {
            let says =
                format!("It is in no process's table of open files: {what}. Stopping that process frees it.");
            obstacles.push(Obstacle::flag("--kill", says));
            return;
        }
        for holding in holdings {
            self.holder(case, socket, holding, road, obstacles);
        }
    }

    fn holder(
        &mut self,
        case: &Case,
        socket: &Socket,
        holding: &Holding,
        road: Road,
        obstacles: &mut Vec<Obstacle>,
    ) {
        let Some(process) = case.snapshot.processes.get(&holding.pid).filter(|p| p.start_ticks != 0) else {
            obstacles.push(Obstacle::new(
                ObstacleKind::Unseen,
                format!("Process {} holds it, and cannot be looked at any closer.", holding.pid),
            ));
            return;
        };
        match (spared::reason(process, case.around), manager(case, socket, process)) {
            (_, Some(Manager::Unit(name, user))) => {
                self.managed.push(process.pid);
                self.unit(case, socket, process, (name, user), obstacles);
            }
            (_, Some(Manager::Container(name, command))) => {
                self.managed.push(process.pid);
                self.container(case, socket, process, (name, command), obstacles);
            }
            (_, Some(Manager::Claimed(name))) => push_once(obstacles, claimed(case, process, &name)),
            (Some(reason), None) => push_once(obstacles, never(case, process, &reason)),
            (None, None) if !may_signal(case, process) => push_once(
                obstacles,
                case.as_root(
                    &format!("{} belongs to {}", one(process), owner(process)),
                    "only that user and root may stop it",
                    "stopping it takes CAP_KILL, which is not there",
                ),
            ),
            (None, None) => {
                self.suspect(process, socket, Hold { inode: socket.inode, road, fds: holding.fds.clone() })
            }
        }
    }

    fn suspect(&mut self, process: &Process, socket: &Socket, hold: Hold) {
        match self.suspects.iter_mut().find(|suspect| suspect.process.pid == process.pid) {
            Some(suspect) => suspect.holds.push(hold),
            None => self.suspects.push(Suspect { process: process.clone(), holds: vec![hold] }),
        }
        push_once(&mut self.sockets, socket.clone());
    }

    fn unit(
        &mut self,
        case: &Case,
        socket: &Socket,
        process: &Process,
        unit: (String, Option<u32>),
        obstacles: &mut Vec<Obstacle>,
    ) {
        if case.may.unit {
            push_once(&mut self.units, unit);
            push_once(&mut self.unit_sockets, socket.clone());
            return;
        }
        let says = format!(
            "{} belongs to the systemd unit {}, which may start it again: the unit is what to stop.",
            one(process),
            escape(unit.0.as_bytes())
        );
        let command = stop_units(&[unit], case.around.uid).pop().map(|(_, command)| command);
        push_once(obstacles, Obstacle { command, ..Obstacle::flag("--unit", says) });
    }

    fn container(
        &mut self,
        case: &Case,
        socket: &Socket,
        process: &Process,
        (name, command): (String, Command),
        obstacles: &mut Vec<Obstacle>,
    ) {
        if case.may.container {
            match self.containers.iter_mut().find(|(_, other, _)| *other == command) {
                Some((_, _, sockets)) => push_once(sockets, socket.clone()),
                None => self.containers.push((name, command, vec![socket.clone()])),
            }
            return;
        }
        let says = format!(
            "{} serves the {}: the container is what to stop, through its runtime.",
            one(process),
            escape(name.as_bytes())
        );
        push_once(obstacles, Obstacle::flag("--container", says).with(command));
    }

    /// Puts the steps into the plan.
    pub(super) fn finish(mut self, case: &Case, plan: &mut Plan) -> Stopped {
        for (names, command) in stop_units(&self.units, case.around.uid) {
            let sockets = self.unit_sockets.clone();
            plan.steps.push(Step::StopUnits(Managed { names, command, sockets }));
        }
        for (name, command, sockets) in self.containers {
            plan.steps.push(Step::StopContainer(Managed { names: vec![name], command, sockets }));
        }
        let mut pids = self.managed;
        if !self.suspects.is_empty() {
            // Parents first: one that is told to end does not replace its children.
            self.suspects.sort_by_key(|suspect| (suspect.process.start_ticks, suspect.process.pid));
            for Suspect { process, .. } in &self.suspects {
                if let Some(Ancestor { comm, pid, .. }) = spared::supervisor(process) {
                    let who = format!("{} (pid {pid})", escape(comm));
                    plan.notes.push(format!("{who} supervises {}, and may start it again.", one(process)));
                }
            }
            pids.extend(self.suspects.iter().map(|suspect| suspect.process.pid));
            plan.steps.push(Step::Stop(Stop {
                suspects: self.suspects,
                sockets: self.sockets,
                kill: case.may.kill,
            }));
        }
        if !self.closing.is_empty() {
            plan.steps.push(Step::AwaitClose(self.closing));
        }
        Stopped { pids }
    }
}

/// Nobody shows.
fn unseen(case: &Case, socket: &Socket) -> Obstacle {
    let whose = match socket.uid {
        Some(uid) => format!("a socket of {}", user(uid)),
        None => "somebody's socket".to_owned(),
    };
    let says = if case.around.uid == 0 {
        format!(
            "{} is held by {whose}, and its process does not show from here: it may live in another container or pid namespace.",
            socket.address
        )
    } else {
        format!(
            "{} is held by {whose}, and only root may see its process. Nobody was signalled.",
            socket.address
        )
    };
    Obstacle { command: case.once_more_as_root(), ..Obstacle::new(ObstacleKind::Unseen, says) }
}

/// A socket that another user made, most likely to hand it down: that user's processes do not show, and whoever is
/// seen with it would be stopped for an address that stays taken.
fn shared(case: &Case, socket: &Socket) -> Option<Obstacle> {
    let maker = socket.uid.filter(|&uid| uid != case.around.uid)?;
    let command = case.once_more_as_root().filter(|_| !case.around.kill)?;
    let says = format!(
        "The socket of {} was made by {}, whose processes may have it as well, and do not show from here. Nobody was \
         signalled.",
        socket.address,
        user(maker)
    );
    Some(Obstacle::new(ObstacleKind::Unseen, says).with(command))
}

/// A process whose cgroup has a container's name, of which the container's runtime does not say so.
fn claimed(case: &Case, process: &Process, container: &str) -> Obstacle {
    let says = format!(
        "{} seems to be of the {}, and its runtime does not confirm it: neither is stopped on the word of a cgroup's \
         name.",
        one(process),
        escape(container.as_bytes())
    );
    match case.once_more_as_root() {
        // Most runtimes answer nobody else.
        Some(command) => Obstacle::new(ObstacleKind::NeedsPrivilege, says).with(command),
        None => Obstacle::new(ObstacleKind::Never, says),
    }
}

/// A process that is spared, and the narrower way where there is one.
fn never(case: &Case, process: &Process, reason: &str) -> Obstacle {
    let port = case.attempt.address.port().unwrap_or_default();
    let narrower = match process.comm.as_slice() {
        _ if !is_forwarder(process) => String::new(),
        b"ssh" | b"autossh" => format!(
            " End only the forwarding: in that session type ~C and then -KL{port}, or, with a control socket, ssh -O cancel -L {port}:HOST:PORT DESTINATION."
        ),
        b"sshd" | b"sshd-session" => {
            format!(
                " End only the forwarding, in the session on the other machine: type ~C and then -KR{port}."
            )
        }
        b"kubectl" => " End it where it was started: Ctrl-C ends that forwarding alone.".to_owned(),
        _ => format!(" Remove port {port} from its list of forwarded ports."),
    };
    let says = format!("{} is never signalled: {reason}.{narrower}", one(process));
    match process.publishes.as_ref().filter(|publishes| publishes.helper != "dockerd") {
        // Its container did not show, or it would be the one to stop.
        Some(publishes) => {
            let words = [publishes.tool(), "ps", "--filter", &format!("publish={port}")];
            let says = format!("{says} Find its container in the list, and stop that.");
            Obstacle::new(ObstacleKind::Never, says).with(Command::new(words))
        }
        None => Obstacle::new(ObstacleKind::Never, says),
    }
}

/// Only the same user and root may signal (`kill_ok_by_cred`); the kernel has the last word.
fn may_signal(case: &Case, process: &Process) -> bool {
    case.around.kill || process.uid == Some(case.around.uid)
}

fn named(case: &Case, holdings: &[Holding]) -> String {
    let names: Vec<String> = holdings
        .iter()
        .take(4)
        .map(|holding| match case.snapshot.processes.get(&holding.pid) {
            Some(process) => one(process),
            None => format!("process {}", holding.pid),
        })
        .collect();
    if names.is_empty() { "some process".to_owned() } else { names.join(", ") }
}

/// "node (pid 4412)".
pub(super) fn one(process: &Process) -> String {
    format!("{} (pid {})", escape(&process.comm), process.pid)
}

fn owner(process: &Process) -> String {
    match (&process.user, process.uid) {
        (Some(name), _) => escape(name.as_bytes()),
        (None, Some(uid)) => user(uid),
        (None, None) => "another user".to_owned(),
    }
}

fn user(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("uid {uid}") }
}

pub(super) fn push_once<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The address without its protocol, as a row shows it.
pub(super) fn ends(socket: &Socket) -> String {
    match (&socket.address, socket.remote) {
        (Address::Inet { local, .. }, Some(remote)) => format!("{local} to {remote}"),
        (address, _) => address.to_string(),
    }
}
