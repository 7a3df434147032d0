//! Cures for what is left of connections: nobody listens, and still the port is taken.

use super::stop::{peer_processes, terminate};
use super::{Case, as_root, in_source, once_gone, reuseaddr, root, who};
use crate::cause::Cause;
use crate::cure::{Action, Command, Cure, Promise, SourceFix};
use crate::diagnose::summary::longest_timer;
use crate::socket::{Socket, State};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// The kernel's timer wheel may keep a TIME_WAIT this much longer than its timer says: one step, which for
/// a minute is 5.1 s at HZ=100, 2 s at HZ=250 and 4.1 s at HZ=1000 (kernel/time/timer.c).
const WHEEL_MS: u64 = 5_200;

/// What the reserved list does against clients that connect to themselves.
const NO_SELF: &str =
    "Keep outgoing connections off this port: then a client that retries cannot connect to itself.";

/// For sockets that nobody owns: option, wait, peer, destroy.
pub(super) fn by_state(case: &Case) -> Vec<Cure> {
    let mut cures: Vec<Cure> = reuseaddr(case).into_iter().collect();
    let orphans = case.blockers().any(|socket| socket.state != State::TimeWait);
    if case.naming.cause == Cause::ClosingOrphan {
        cures.extend(close_peer(case));
    }
    cures.extend(wait(case));
    let harms = if case.blockers().any(|socket| socket.send_q > 0) {
        "the peer: bytes that it has not received are lost".into()
    } else if orphans {
        "the peer: its connection ends with a reset".into()
    } else {
        String::from("nobody")
    };
    if case.self_connected() {
        cures.push(reserve(case, case.attempt.address.port().unwrap_or_default(), NO_SELF));
    }
    if case.blockers().all(Socket::ownerless) {
        cures.push(destroy(case, "Have the kernel drop what is left; no process is touched.".into(), harms));
    } else {
        let all = who::processes(case.snapshot, case.blockers());
        if let Some(named) = who::several(&all) {
            cures.push(terminate(case, &all, format!("Ask {named} to end.")));
        }
    }
    cures
}

/// A process that keeps connections whose peers have gone.
pub(super) fn close_wait(case: &Case) -> Vec<Cure> {
    let mut cures: Vec<Cure> = reuseaddr(case).into_iter().collect();
    let all = who::processes(case.snapshot, case.blockers());
    if let Some(named) = who::several(&all) {
        cures.push(terminate(
            case,
            &all,
            format!("Restart {named}: it never closes the connections that its peers have closed."),
        ));
    }
    cures.push(destroy(
        case,
        "Have the kernel drop just these connections; the process lives on.".into(),
        "nobody: the peers have closed them already".into(),
    ));
    cures.push(in_source(
        "Close every accepted connection when read() returns 0.".into(),
        SourceFix::CloseConnections,
        Promise::FromNowOn,
    ));
    cures
}

/// Connections that outlived their listener.
pub(super) fn established(case: &Case) -> Vec<Cure> {
    let mut cures: Vec<Cure> = reuseaddr(case).into_iter().collect();
    let all = who::processes(case.snapshot, case.blockers());
    if let Some(named) = who::several(&all) {
        cures.push(terminate(case, &all, format!("Let {named} finish, or ask it to end.")));
    }
    cures.push(destroy(
        case,
        "Have the kernel drop just these connections; the process lives on.".into(),
        "both ends of the connections".into(),
    ));
    cures
}

/// An outgoing connection that was given the port: its process is innocent.
pub(super) fn collision(case: &Case) -> Vec<Cure> {
    let port = case.attempt.address.port().unwrap_or_default();
    // A port that was asked for by name is out of the reach of the reserved list, and stays taken when its
    // connection is destroyed: until its program closes the socket.
    let explicit = case.blockers().any(|socket| socket.bound_explicitly == Some(true));
    let mut cures = Vec::new();
    if case.snapshot.sysctls.ephemeral(port) && !explicit {
        cures.push(reserve(case, port, "Keep outgoing connections off this port from now on; then it cannot happen again. The one that is there has to end first."));
    }
    cures.push(Cure {
        action: Action::BindElsewhere,
        says: if case.snapshot.sysctls.ephemeral(port) {
            "Start the server on a port outside the ephemeral range.".into()
        } else {
            "Start the server on another port.".into()
        },
        commands: vec![Command::new(["inuse".into(), "next".into(), case.attempt.address.to_string()])],
        harms: "nobody".into(),
        needs: None,
        source: None,
        wait_ms: None,
        promise: Promise::Perhaps,
    });
    if case.blockers().all(Socket::ownerless) {
        cures.extend(wait(case));
    }
    cures.push(if explicit {
        in_source(
            "Have the program that connects leave the choice of its port to connect(), or bind another port."
                .into(),
            SourceFix::BindAddressNoPort,
            Promise::FromNowOn,
        )
    } else {
        destroy(
            case,
            "Have the kernel drop that one connection; its process lives on.".into(),
            "that connection, on both ends".into(),
        )
    });
    cures
}

/// A client that became its own server.
pub(super) fn self_connect(case: &Case) -> Vec<Cure> {
    let port = case.attempt.address.port().unwrap_or_default();
    let all = who::processes(case.snapshot, case.blockers());
    let mut cures = Vec::new();
    if let Some(named) = who::several(&all) {
        cures.push(terminate(
            case,
            &all,
            format!("Ask {named} to end, and start the server before its client."),
        ));
    }
    cures.push(reserve(case, port, NO_SELF));
    cures
}

/// Wait until the kernel's own timers have run out, where each socket has one.
fn wait(case: &Case) -> Option<Cure> {
    let sockets: Vec<&Socket> = case.blockers().collect();
    let blockers: BTreeSet<usize> = case.naming.primary.iter().copied().collect();
    let left = u64::from(longest_timer(case.blockers())?);
    let wait_ms = left + WHEEL_MS;
    let seconds = wait_ms.div_ceil(1000);
    Some(Cure {
        action: Action::Wait,
        says: format!(
            "Wait: the kernel lets go by itself in {} s, at most 5 s later{}.",
            left.div_ceil(1000),
            if sockets.iter().any(|socket| socket.state == State::FinWait2) {
                " (a minute more if the other end closes meanwhile)"
            } else {
                ""
            }
        ),
        commands: vec![Command::new(["sleep".into(), seconds.to_string()])],
        harms: "nobody".into(),
        needs: None,
        source: None,
        wait_ms: Some(wait_ms),
        promise: once_gone(case, case.attempt, |index, _| blockers.contains(&index)),
    })
}

/// The other end has to read. Its process is innocent, so nothing is said of ending it. Where it has read
/// all and only has not closed (FIN_WAIT_2), its close would not help: a whole TIME_WAIT follows.
fn close_peer(case: &Case) -> Option<Cure> {
    let named = who::several(&peer_processes(case.snapshot, case))?;
    Some(Cure {
        action: Action::ClosePeer,
        says: format!("Have {named} read what is still to be delivered to it: it has not read for a while."),
        commands: vec![],
        harms: "nobody".into(),
        needs: None,
        source: None,
        wait_ms: None,
        promise: Promise::Perhaps,
    })
}

/// SOCK_DESTROY by our own hand, which looks at each socket once more and never touches a listener.
fn destroy(case: &Case, says: String, harms: String) -> Cure {
    let sockets: Vec<&Socket> = case.blockers().collect();
    let blockers: BTreeSet<usize> = case.naming.primary.iter().copied().collect();
    let finished =
        |socket: &&Socket| socket.ownerless() && matches!(socket.state, State::TimeWait | State::FinWait2);
    let address = case.attempt.address.to_string();
    // What somebody may still need takes an agreement of its own.
    let flag = (!sockets.iter().all(finished)).then_some("--destroy");
    let words: Vec<&str> = ["inuse", "free"].into_iter().chain(flag).chain([address.as_str()]).collect();
    let commands = vec![as_root(case, &words)];
    Cure {
        action: Action::Destroy,
        says,
        commands,
        harms,
        needs: root(case).map(|_| "root (CAP_NET_ADMIN)".into()),
        source: None,
        wait_ms: None,
        // The port of a socket that was bound by name stays taken until its program closes it.
        promise: once_gone(case, case.attempt, |index, socket| {
            blockers.contains(&index) && socket.bound_explicitly != Some(true)
        }),
    }
}

/// Adds the port to the reserved list, keeping what is on it.
fn reserve(case: &Case, port: u16, says: &str) -> Cure {
    let range =
        |&(low, high): &(u16, u16)| if low == high { format!("{low}") } else { format!("{low}-{high}") };
    let mut list: Vec<String> = case.snapshot.sysctls.reserved_ports.iter().flatten().map(range).collect();
    list.push(port.to_string());
    let setting = format!("net.ipv4.ip_local_reserved_ports={}", list.join(","));
    Cure {
        action: Action::Sysctl,
        says: says.into(),
        commands: vec![as_root(case, &["sysctl", "-w", &setting])],
        harms: "nobody".into(),
        needs: root(case),
        source: None,
        wait_ms: None,
        promise: Promise::FromNowOn,
    }
}
