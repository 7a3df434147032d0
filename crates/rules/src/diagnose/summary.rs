//! The one sentence that comes first: what happened, to whom it is due, and how long it lasts where
//! the kernel knows. Cures follow elsewhere.

use super::{Case, serves, who};
use crate::address::{Address, Transport, escape};
use crate::cause::Cause;
use crate::owner::Ownership;
use crate::snapshot::{Locality, PathFact};
use crate::socket::{Socket, State, TimerKind};
use crate::verdict::{Errno, Fact, Outcome, Rule};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

pub(super) fn summary(case: &Case) -> String {
    let text = sentence(case);
    match &case.verdict.outcome {
        Outcome::Unknown { missing, .. } if case.naming.cause != Cause::Unknown => {
            format!("{text} {}", open_question(case, missing))
        }
        _ => text,
    }
}

/// What is not known, where it decides.
fn open_question(case: &Case, missing: &[Fact]) -> String {
    let option = match missing.first() {
        Some(Fact::Reuseaddr(_)) if missing.iter().all(|f| matches!(f, Fact::Reuseaddr(_))) => "SO_REUSEADDR",
        Some(Fact::Reuseport(_)) if missing.iter().all(|f| matches!(f, Fact::Reuseport(_))) => "SO_REUSEPORT",
        _ => {
            let mut facts: Vec<String> =
                missing.iter().map(|fact| fact.describe(|i| name_socket(case, i))).collect();
            facts.dedup();
            facts.truncate(2);
            return format!(
                "Whether that refuses this bind cannot be said: not known is {}.",
                facts.join("; ")
            );
        }
    };
    format!(
        "Whether that refuses this bind cannot be said: it is not known whether the old socket had {option}, which root or --probe finds out."
    )
}

fn name_socket(case: &Case, index: usize) -> String {
    match case.snapshot.sockets.get(index) {
        Some(socket) => format!("the {} of {}", socket.state.name(), spoken(&socket.address)),
        None => "a socket".into(),
    }
}

fn sentence(case: &Case) -> String {
    let wanted = &asked_for(&case.attempt.address);
    let holders = who::processes(case.snapshot, case.blockers());
    let listen = if who::are_many(&holders) { "listen" } else { "listens" };
    let holder = who::several(&holders);
    let somebody = holder.clone().unwrap_or_else(|| "A process".into());
    let there = case.blockers().next().map(|socket| spoken(&socket.address)).unwrap_or_default();
    match case.naming.cause {
        Cause::Free => match sharer(case) {
            Some(sharer) => {
                format!("{wanted} can be bound, and would then be shared with {sharer}, who has it now.")
            }
            None => format!("{wanted} is free: nothing stands in the way of this bind."),
        },
        Cause::OtherNetns => {
            let sockets = case.snapshot.elsewhere.iter().map(|other| &other.socket);
            let who = who::several(&who::processes(case.snapshot, sockets));
            format!(
                "{wanted} is free here; in another network namespace it is taken, by {}, which is no conflict.",
                who.unwrap_or_else(|| "a process".into())
            )
        }
        Cause::SplitBrain if sharer(case).is_some() => format!(
            "{wanted} can be bound, and others already listen on it ({}): the kernel shares the connections out among all of them.",
            sharer(case).unwrap_or_default()
        ),
        Cause::SplitBrain => format!(
            "{wanted} can be bound, and other servers already answer on this port at other addresses: which of them a client reaches depends on the address it asks for."
        ),
        Cause::Unknown => unknown(case),
        Cause::Privileged => privileged(case),
        Cause::NotLocal => not_local(case),
        Cause::Denied => match case.snapshot.path {
            Some(PathFact::NotSearchable) => {
                format!("A directory on the way to {wanted} may not be entered by this user.")
            }
            Some(PathFact::ReadOnly) => {
                format!(
                    "{wanted} lies on a file system that is mounted read-only; no socket can be made there."
                )
            }
            _ => format!("The directory of {wanted} may not be written by this user."),
        },
        Cause::EphemeralExhausted => {
            let (low, high) = case.snapshot.sysctls.local_port_range.unwrap_or_default();
            format!(
                "Every port of the ephemeral range ({low}-{high}) has a socket on it, so the kernel finds none for port 0."
            )
        }
        Cause::Listener => format!("{somebody} {listen} on {there}."),
        Cause::Udp => format!("{somebody} has {there} open."),
        Cause::BoundNotListening => {
            format!("{somebody} has bound {there} and does not listen; ordinary lists do not show it.")
        }
        Cause::Suspended => format!(
            "{somebody} holds {there} and is stopped (Ctrl-Z or SIGSTOP): it cannot answer or end until it is continued."
        ),
        Cause::ListenerInherited => format!(
            "{somebody} inherited {there} from a server that is gone, and keeps it open without serving it."
        ),
        Cause::WorkersOutlivedMaster => {
            format!("{somebody} still hold {there}: their parent process died and left them.")
        }
        Cause::SocketUnit => format!("systemd itself holds {there} for socket activation."),
        Cause::ContainerProxy => container(case, &somebody, &there),
        Cause::ContainerProxyStale => {
            format!("{somebody} still publishes {there} for a container that is gone.")
        }
        Cause::Forwarded => format!("{somebody} forwards {there} for a session."),
        Cause::Respawned => format!("{there} was freed, and {somebody} took it again."),
        Cause::InFlight => in_flight(case, &there),
        Cause::IoUringFile => format!(
            "{somebody} holds {there} as a registered file of an io_uring, where ordinary lists do not look."
        ),
        Cause::ThreadFdTable => format!(
            "A thread of {somebody} holds {there} in a table of open files that ordinary lists do not show."
        ),
        Cause::KernelSocket => format!("The kernel itself holds {there}; no process has it open."),
        Cause::TearingDown => format!("The holder of {there} closed it while this was being looked at."),
        Cause::OwnerHidden if case.blockers().next().is_none() => format!(
            "Nobody whom you may see serves {wanted}; but not every network namespace could be searched, so the file is either stale or served by somebody you may not see."
        ),
        Cause::OwnerHidden => hidden(case, &there),
        Cause::OwnProcess => format!("This very process already holds {there}."),
        Cause::SelfConnect => format!(
            "{somebody} connected to {there} while nobody listened there, and so was connected to itself."
        ),
        Cause::EphemeralCollision if case.blockers().all(Socket::ownerless) => format!(
            "No process holds {there} any more: what is left of an outgoing connection{} keeps it{}.",
            to_whom(case),
            left(case)
        ),
        Cause::EphemeralCollision => {
            format!("{somebody} uses {there} as the local end of an outgoing connection{}.", to_whom(case))
        }
        Cause::V6BlocksV4 => format!(
            "An IPv6 connection on this port ({there}{}) also takes the IPv4 wildcard, because its socket is not IPv6-only.",
            left(case)
        ),
        Cause::DualStack => dual_stack(case, &somebody, &there),
        Cause::WildcardVsSpecific => format!("{somebody} {} {there}, which overlaps {wanted}.", holds(case)),
        Cause::SecondListen => format!(
            "{somebody} already {listen} on {there}: both sockets may bind it with SO_REUSEADDR, only one may listen."
        ),
        Cause::ReuseportMismatch => reuseport(case, &somebody, &there),
        Cause::UnixNotASocket => match &case.snapshot.path {
            Some(PathFact::Exists { kind, .. }) => {
                format!("A {} stands at {wanted}; only a name that does not exist can be bound.", kind.name())
            }
            _ => format!("Something that is no socket stands at {wanted}."),
        },
        Cause::UnixStale => format!("A socket file was left at {wanted}, and nobody serves it any more."),
        Cause::UnixLive => match holder {
            Some(holder) => format!("{holder} serves {wanted}."),
            None => format!("Somebody serves {wanted}."),
        },
        Cause::CloseWait => format!(
            "{somebody} no longer listens, and leaks connections on {there} that their peers have closed."
        ),
        Cause::EstablishedLeftover => format!(
            "Nobody listens on {there} any more, but {somebody} still has connections on it{}.",
            to_whom(case)
        ),
        Cause::ClosingOrphan => {
            let unsent: u64 = case.blockers().map(|socket| u64::from(socket.send_q)).sum();
            format!(
                "The server is gone, but the kernel is still delivering what it sent on {there} ({unsent} bytes not acknowledged)."
            )
        }
        Cause::FinWait2 => format!(
            "The server is gone, but its peer has not closed the connection on {there}{}{}.",
            to_whom(case),
            left(case)
        ),
        Cause::TimeWait => format!(
            "No process holds {there}: {} in TIME_WAIT, left by {}{}.",
            count(case.blockers().map(Socket::count).sum(), "connection is", "connections are"),
            if case.self_connected() {
                "a client that had connected to itself"
            } else {
                "a server that closed first"
            },
            left(case)
        ),
        Cause::NoSocket => format!("No socket stands in the way of {wanted}, yet traffic to it is diverted."),
    }
}

/// Who serves the address now and would let this bind in beside it, by an option of both.
fn sharer(case: &Case) -> Option<String> {
    let servers = case.plain.by().iter().filter_map(|&index| case.snapshot.sockets.get(index));
    who::several(&who::processes(case.snapshot, servers.filter(|socket| serves(socket))))
}

/// An address as people say it: TCP goes without saying.
/// With the interface that it is asked for on: another one may have another answer.
fn asked_for(address: &Address) -> String {
    match address {
        Address::Inet { local, device, .. } if *device != 0 && !has_scope(local) => {
            format!("{} on interface {device}", spoken(address))
        }
        _ => spoken(address),
    }
}

/// Whether the interface stands in the address.
fn has_scope(local: &SocketAddr) -> bool {
    matches!(local, SocketAddr::V6(six) if six.scope_id() != 0)
}

fn spoken(address: &Address) -> String {
    match address {
        Address::Inet { transport: Transport::Tcp, local, .. } => local.to_string(),
        other => other.to_string(),
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// "listens on", "has bound" or "has open", by the first socket in the way.
fn holds(case: &Case) -> &'static str {
    let many = who::are_many(&who::processes(case.snapshot, case.blockers()));
    match case.blockers().next().map(|socket| socket.state) {
        Some(State::Listen) if many => "listen on",
        Some(State::Listen) => "listens on",
        Some(State::Bound) if many => "have bound",
        Some(State::Bound) => "has bound",
        _ if many => "have open",
        _ => "has open",
    }
}

/// " (43 s left)", by the longest timer; nothing where the kernel has none.
fn left(case: &Case) -> String {
    match longest_timer(case.blockers()) {
        Some(ms) => format!(" ({} s left)", ms.div_ceil(1000)),
        None => String::new(),
    }
}

/// `TCP_TIMEWAIT_LEN`.
const TIME_WAIT_MS: u32 = 60_000;

/// The longest timer after which the sockets end by themselves; `None` unless each has one.
pub(super) fn longest_timer<'a>(sockets: impl Iterator<Item = &'a Socket>) -> Option<u32> {
    let mut longest = None;
    for socket in sockets {
        let timer = socket.timer.filter(|_| socket.ownerless())?;
        let left = match (timer.kind, socket.state) {
            (TimerKind::TimeWait, _) => timer.left_ms,
            // With a tcp_fin_timeout of more than a minute, the last minute is on another timer.
            (TimerKind::Keepalive, State::FinWait2) => timer.left_ms.saturating_add(TIME_WAIT_MS),
            // A retransmission or a probe: the timer starts again.
            _ => return None,
        };
        longest = longest.max(Some(left));
    }
    longest
}

/// " to 127.0.0.1:5432", when there is one other end; with its owner where that is known.
fn to_whom(case: &Case) -> String {
    let mut blockers = case.blockers();
    let (Some(socket), None) = (blockers.next(), blockers.next()) else { return String::new() };
    let Some(remote) = socket.remote else { return String::new() };
    let peer = case.snapshot.peers.iter().find(|peer| peer.is_other_end_of(socket));
    let process = peer.and_then(|peer| who::several(&who::processes(case.snapshot, core::iter::once(peer))));
    match process {
        Some(process) => format!(" with {remote}, which is {process}"),
        None => format!(" with {remote}"),
    }
}

fn unknown(case: &Case) -> String {
    let facts: Vec<String> =
        case.verdict.missing().iter().take(3).map(|fact| fact.describe(|i| name_socket(case, i))).collect();
    format!(
        "Not enough could be seen to say whether {} can be bound: missing is {}.",
        spoken(&case.attempt.address),
        facts.join("; ")
    )
}

fn privileged(case: &Case) -> String {
    let start = case.snapshot.sysctls.unprivileged_port_start.unwrap_or(1024);
    format!(
        "Ports below {start} are for privileged programs, and this user may not bind {}.",
        spoken(&case.attempt.address)
    )
}

fn not_local(case: &Case) -> String {
    let wanted = spoken(&case.attempt.address);
    let rule = match &case.verdict.outcome {
        Outcome::Refused(refusal) if refusal.errno == Errno::ENOENT => {
            return format!("The directory of {wanted} does not exist.");
        }
        Outcome::Refused(refusal) => refusal.rule,
        _ => Rule::NotLocal,
    };
    let failed = case.snapshot.locality.values().any(|l| *l == Locality::DadFailed);
    match rule {
        Rule::Tentative if failed => format!(
            "{wanted} is a duplicate: another machine on the link has this address, so it will not become usable by itself."
        ),
        Rule::Tentative => format!(
            "{wanted} is too fresh: the kernel is still checking that no other machine has it, which takes one to two seconds."
        ),
        Rule::NeedsScope => format!(
            "{wanted} is a link-local address, and says not on which interface: write it as fe80::1%eth0."
        ),
        Rule::NoDevice => format!("The interface of {wanted} does not exist."),
        Rule::Multicast => format!("{wanted} is a multicast address, which a TCP socket cannot have."),
        Rule::MappedV6only => {
            format!("{wanted} is an IPv4 address, and the socket is set to speak IPv6 only.")
        }
        _ => format!("{wanted} is on no interface of this machine."),
    }
}

fn container(case: &Case, somebody: &str, there: &str) -> String {
    let published =
        who::processes(case.snapshot, case.blockers()).into_iter().find_map(|p| p.publishes.as_ref());
    let container = match published.and_then(|p| p.container.as_ref()) {
        Some(container) => {
            format!("The {} container {}", container.runtime.name(), escape(container.short_id().as_bytes()))
        }
        None => "A container".to_string(),
    };
    match published.and_then(|p| Some((p.container_ip?, p.container_port?))) {
        Some((ip, port)) => format!(
            "{container} at {ip} publishes its port {port} as {there}; {somebody} is only its helper."
        ),
        None => format!("{container} publishes {there}; {somebody} is only its helper."),
    }
}

fn in_flight(case: &Case, there: &str) -> String {
    let carriers = who::several(&who::processes(case.snapshot, case.blockers()));
    let proven = case.blockers().all(|s| matches!(s.owners, Ownership::InFlight { proven: true, .. }));
    match carriers {
        Some(carriers) if proven => format!(
            "{there} is in no process: it was sent over a unix socket to {carriers}, which has not received it."
        ),
        Some(carriers) => format!(
            "{there} is in no process: it was sent over a unix socket, most likely to {carriers}, and not received."
        ),
        None => format!("{there} is in no process: it was sent over a unix socket and never received."),
    }
}

fn hidden(case: &Case, there: &str) -> String {
    let uid = case.blockers().find_map(|socket| socket.uid);
    match uid {
        Some(0) => format!("A process of root holds {there}; you may not see which."),
        Some(uid) => format!("A process of user {uid} holds {there}; you may not see which."),
        None => format!("Somebody holds {there} whom you may not see."),
    }
}

fn dual_stack(case: &Case, somebody: &str, there: &str) -> String {
    let wanted_v4 = matches!(&case.attempt.address, Address::Inet { local, .. } if local.is_ipv4());
    let verb = holds(case);
    if wanted_v4 {
        format!("{somebody} {verb} {there}, and that socket takes IPv4 too.")
    } else {
        format!(
            "{somebody} {verb} {there}, and a socket on {} would take IPv4 too.",
            spoken(&case.attempt.address)
        )
    }
}

fn reuseport(case: &Case, somebody: &str, there: &str) -> String {
    let users = case.blockers().any(|socket| {
        socket.options.reuseport == Some(true) && socket.uid.is_some_and(|uid| uid != case.attempt.uid)
    });
    match (&case.attempt.address, users) {
        (Address::Unix { .. }, _) => "Unix sockets do not have SO_REUSEPORT.".into(),
        (_, true) => format!("{somebody} shares {there} by SO_REUSEPORT only with sockets of its own user."),
        (_, false) => format!(
            "{somebody} {} {there} without SO_REUSEPORT; sharing needs the option on both sides.",
            holds(case)
        ),
    }
}
