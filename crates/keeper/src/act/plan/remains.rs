//! The second rung: connections on the port, and what is left of them.
//!
//! A TIME_WAIT and an orphaned FIN_WAIT_2 have said all that they had to say. Everything else may still matter
//! to somebody, and is destroyed only where that was agreed to; its process is never touched.

use super::holders::{Stopped, ends, one};
use super::words::many;
use super::{Case, Clear, Dropped, Obstacle, ObstacleKind, Plan, Step};
use inuse_kernel::destroy::Doomed;
use inuse_rules::address::v4_part;
use inuse_rules::cure::Command;
use inuse_rules::owner::{NoOwner, Ownership};
use inuse_rules::{Socket, State, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The kernel's timer wheel may keep a TIME_WAIT this much longer than its timer says.
const WHEEL_MS: u64 = 2_000;

/// So many TIME_WAITs of one local address are told one by one; of more it is said how many there are.
const FEW: u64 = 3;

/// Connections, or what is left of some, that are taken in together: one, or many TIME_WAITs of one local address.
pub(super) fn together<'a>(sockets: impl Iterator<Item = &'a Socket>) -> Vec<Vec<&'a Socket>> {
    let mut all: Vec<Vec<&Socket>> = Vec::new();
    let mut time_waits: BTreeMap<(SocketAddr, u32), Vec<usize>> = BTreeMap::new();
    for socket in sockets {
        if let (State::TimeWait, Some((_, local, device))) = (socket.state, socket.inet()) {
            time_waits.entry((local, device)).or_default().push(all.len());
        }
        all.push(vec![socket]);
    }
    for places in time_waits.values() {
        let sockets: Vec<&Socket> = places.iter().flat_map(|&at| all[at].iter().copied()).collect();
        if let Some(&first) = places.first().filter(|_| count(&sockets) > FEW) {
            places.iter().for_each(|&at| all[at].clear());
            all[first] = sockets;
        }
    }
    all.retain(|sockets| !sockets.is_empty());
    all
}

fn count(sockets: &[&Socket]) -> u64 {
    sockets.iter().map(|socket| socket.count()).sum()
}

/// Takes in what [`together`] put together.
pub(super) fn take(case: &Case, sockets: &[&Socket], stopped: &Stopped, plan: &mut Plan) {
    let Some(&socket) = sockets.first() else { return };
    if !matches!(socket.inet(), Some((Transport::Tcp, ..))) {
        plan.obstacles.push(Obstacle::new(ObstacleKind::Never, format!(
            "{} is connected: its program only talks from that port, and a datagram socket that is destroyed keeps it.",
            ends(socket)
        )));
        return;
    }
    match socket.state {
        State::TimeWait => finished(case, sockets, plan),
        State::FinWait2 if socket.ownerless() => finished(case, sockets, plan),
        _ if socket.ownerless() => delivering(case, socket, plan),
        _ if goes_with(socket, stopped) => {}
        _ => in_use(case, socket, plan),
    }
}

/// Whether a connection ends with the processes that are stopped: they are all that have it open, or it waits
/// to be accepted by one of them.
fn goes_with(socket: &Socket, stopped: &Stopped) -> bool {
    let holdings = socket.owners.holdings();
    let waits = matches!(socket.owners, Ownership::Nobody(NoOwner::AcceptQueue));
    (waits && !stopped.pids.is_empty())
        || (!holdings.is_empty() && holdings.iter().all(|holding| stopped.pids.contains(&holding.pid)))
}

/// TIME_WAIT, or FIN_WAIT_2 without owner: nobody loses anything by its end.
fn finished(case: &Case, sockets: &[&Socket], plan: &mut Plan) {
    let Some(&socket) = sockets.first() else { return };
    let clear = |destroy| {
        let (_, local, device) = socket.inet().filter(|_| count(sockets) > FEW)?;
        let examples = sockets.iter().take(FEW as usize).map(|&socket| socket.clone()).collect();
        Some(Clear { local, device, destroy, count: count(sockets), examples })
    };
    // Seen to work in 6.1 and to be refused with EOPNOTSUPP in 5.15; a full socket goes on any kernel.
    let kernel_can =
        !socket.mini || case.snapshot.kernel.as_ref().is_none_or(|k| (k.major, k.minor) >= (6, 1));
    if case.around.net_admin && kernel_can {
        return match clear(true) {
            Some(clear) => plan.steps.push(Step::Clear(clear)),
            None => destroy(socket, true, plan),
        };
    }
    if sockets.iter().all(|socket| displaceable(case, socket)) {
        let note = "Without the right to destroy sockets, a TIME_WAIT is removed by a connection attempt from the \
                    address and port of its other end, which is on this machine: the answer to it ends the TIME_WAIT.";
        if !plan.notes.iter().any(|known| known == note) {
            plan.notes.push(note.to_owned());
        }
        plan.steps.push(clear(false).map_or_else(|| Step::Displace(socket.clone()), Step::Clear));
        return;
    }
    let left = sockets.iter().filter_map(|socket| seconds_left(socket)).max();
    let (what, it, ends_itself) = match clear(false) {
        Some(Clear { local, count, examples, .. }) => {
            let many = many(local, count, &examples).replacen("the ", "The ", 1);
            (format!("{many} are owned by no process"), "them", "They end by themselves")
        }
        None => {
            let what = format!("{} is left in {}, and no process owns it", ends(socket), socket.state.name());
            (what, "it", "It ends by itself")
        }
    };
    let wait = left.map(|seconds| format!(" {ends_itself} in about {seconds} s.")).unwrap_or_default();
    let obstacle = if kernel_can {
        let mut obstacle = denied(case, &what);
        obstacle.says.push_str(&wait);
        obstacle
    } else {
        let obstacle = Obstacle::new(
            ObstacleKind::Cannot,
            format!("{what}. This kernel cannot be told to drop {it}.{wait}"),
        );
        match left {
            Some(seconds) => obstacle.with(Command::new(["sleep".to_owned(), seconds.to_string()])),
            None => obstacle,
        }
    };
    plan.obstacles.push(obstacle);
}

/// FIN_WAIT_1, LAST_ACK and CLOSING without owner: the kernel may still be delivering a dead program's bytes.
fn delivering(case: &Case, socket: &Socket, plan: &mut Plan) {
    let unsent = match socket.send_q {
        0 => "its last bytes may be on their way".to_owned(),
        1 => "1 byte is not delivered yet".to_owned(),
        bytes => format!("{bytes} bytes are not delivered yet"),
    };
    let what = format!("{} is in {} without owner: {unsent}", ends(socket), socket.state.name());
    if !case.may.destroy {
        let says = format!(
            "{what}, and destroying it loses them. It ends by itself when the other end has read them."
        );
        plan.obstacles.push(Obstacle::flag("--destroy", says));
    } else if !case.around.net_admin {
        plan.obstacles.push(denied(case, &what));
    } else {
        plan.notes.push(format!("{what}: destroying it loses them."));
        destroy(socket, true, plan);
    }
}

/// A connection that a process has open and that goes on.
fn in_use(case: &Case, socket: &Socket, plan: &mut Plan) {
    let processes: Vec<String> = socket
        .owners
        .holdings()
        .iter()
        .filter_map(|holding| case.snapshot.processes.get(&holding.pid))
        .map(one)
        .collect();
    let hidden = matches!(socket.owners, Ownership::Hidden | Ownership::NotAsked);
    let whose = match processes.is_empty() {
        true if hidden => "a process that cannot be seen from here".to_owned(),
        true => "nobody yet".to_owned(),
        false => processes.join(", "),
    };
    let what = format!("{} ({}) belongs to {whose}", ends(socket), socket.state.name());
    if hidden && !case.around.net_admin {
        let command = case.once_more_as_root();
        plan.obstacles.push(Obstacle { command, ..Obstacle::new(ObstacleKind::Unseen, format!("{what}.")) });
        return;
    }
    let frees = socket.bound_explicitly != Some(true);
    if !case.may.destroy {
        let but =
            if frees { "" } else { ", and most likely keeps the port: it was bound by that program itself" };
        let says = format!(
            "{what}, which is never stopped for it. The kernel can drop that one connection; the process lives on{but}."
        );
        plan.obstacles.push(Obstacle::flag("--destroy", says));
    } else if !case.around.net_admin {
        plan.obstacles.push(denied(case, &what));
    } else {
        if !frees {
            plan.notes.push(format!(
                "{} was bound to its port by its own program: the connection ends, but the port most likely stays taken until that program closes the socket.",
                ends(socket)
            ));
        }
        destroy(socket, frees, plan);
    }
}

fn destroy(socket: &Socket, frees: bool, plan: &mut Plan) {
    match Doomed::of(socket) {
        Ok(doomed) => plan.steps.push(Step::Destroy(Dropped { socket: socket.clone(), doomed, frees })),
        Err(spared) => plan.obstacles.push(Obstacle::new(
            ObstacleKind::Never,
            format!("{} is not destroyed: {spared}.", ends(socket)),
        )),
    }
}

fn denied(case: &Case, what: &str) -> Obstacle {
    case.as_root(
        what,
        "only root may have the kernel drop it",
        "to have the kernel drop it takes CAP_NET_ADMIN in this network namespace, which is not there",
    )
}

/// Whether a TIME_WAIT can be removed by whoever may bind the address of its other end: that address is ours,
/// nobody listens on the port, and the kernel does not protect TIME_WAITs from resets.
fn displaceable(case: &Case, socket: &Socket) -> bool {
    let (Some((Transport::Tcp, local, 0)), Some(remote)) = (socket.inet(), socket.remote) else {
        return false;
    };
    let snapshot = case.snapshot;
    let ours = |ip: IpAddr| {
        v4_part(ip).map_or(ip.is_loopback(), |v4| v4.is_loopback())
            || ip == local.ip()
            || case.around.local.contains(&ip)
    };
    let privileged = snapshot.sysctls.unprivileged_port_start.unwrap_or(1024);
    socket.state == State::TimeWait
        && ours(remote.ip())
        && snapshot.sysctls.tcp_rfc1337 == Some(false)
        && (case.around.net_bind_service || remote.port() >= privileged)
        && !snapshot.sockets.iter().any(|other| listens_on(other, local.port()))
}

/// Whether a socket listens on that port, on whatever address.
pub(in crate::act) fn listens_on(socket: &Socket, port: u16) -> bool {
    socket.state == State::Listen && socket.address.port() == Some(port)
}

fn seconds_left(socket: &Socket) -> Option<u64> {
    let left = u64::from(socket.timer?.left_ms);
    Some((left + WHEEL_MS).div_ceil(1000))
}
