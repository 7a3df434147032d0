//! Cures on the newcomer's side: another address, another option, another privilege, another path.

use super::{Case, as_root, in_source, look_as_root, promise, root};
use crate::address::{Address, UnixName, v4_part};
use crate::attempt::Attempt;
use crate::cure::{Action, Command, Cure, Promise, SourceFix};
use crate::judge::judge;
use crate::snapshot::{FileKind, Locality, PathFact};
use crate::socket::State;
use crate::verdict::{Errno, Outcome, Rule};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

fn cure(
    action: Action,
    says: String,
    commands: Vec<Command>,
    needs: Option<String>,
    promise: Promise,
) -> Cure {
    Cure { action, says, commands, harms: "nobody".into(), needs, source: None, wait_ms: None, promise }
}

/// The question once more.
pub(super) fn why(case: &Case) -> Command {
    Command::new(["inuse", "why", &case.attempt.address.to_string()])
}

/// A port below the unprivileged start.
pub(super) fn privileged(case: &Case) -> Vec<Cure> {
    let port = case.attempt.address.port().unwrap_or_default();
    let start = format!("net.ipv4.ip_unprivileged_port_start={port}");
    let promise = promise(case.snapshot, &Attempt { net_bind_service: true, ..case.attempt.clone() });
    vec![
        cure(
            Action::Privilege,
            "Give the program the one right it lacks (PROGRAM is its file; a script's interpreter would get the right for every script).".into(),
            vec![as_root(case, &["setcap", "cap_net_bind_service=+ep", "PROGRAM"])],
            root(case),
            promise,
        ),
        cure(
            Action::Sysctl,
            format!("Open the ports from {port} on to everybody in this network namespace."),
            vec![as_root(case, &["sysctl", "-w", &start])],
            root(case),
            promise,
        ),
        cure(
            Action::BindElsewhere,
            "Listen on a port that needs no right, behind a proxy, or let the service manager hand over the socket.".into(),
            vec![],
            None,
            Promise::Perhaps,
        ),
    ]
}

/// An address that is on no interface.
pub(super) fn not_local(case: &Case) -> Vec<Cure> {
    if let (Address::Unix { name: UnixName::Path(path), .. }, Outcome::Refused(refusal)) =
        (&case.attempt.address, &case.verdict.outcome)
    {
        let directory = path.iter().rposition(|&b| b == b'/').map(|at| path[..at.max(1)].to_vec());
        return match (refusal.errno, directory) {
            (Errno::ENOENT, Some(directory)) => vec![cure(
                Action::Configure,
                "Make the directory first, owned by the user who binds.".into(),
                vec![Command(vec![b"mkdir".to_vec(), b"-p".to_vec(), directory])],
                None,
                Promise::Now,
            )],
            _ => vec![],
        };
    }
    let Some((_, local, _)) = case.attempt.address.inet() else { return vec![] };
    if case.snapshot.locality.values().any(|l| *l == Locality::Tentative) {
        return vec![cure(
            Action::Wait,
            "Wait two seconds and try again, or add the address with `nodad`.".into(),
            vec![Command::new(["sleep", "2"])],
            None,
            Promise::Perhaps,
        )];
    }
    let any = if local.is_ipv4() { "0.0.0.0" } else { "[::]" };
    let rule = match &case.verdict.outcome {
        Outcome::Refused(refusal) => Some(refusal.rule),
        _ => None,
    };
    let elsewhere = cure(
        Action::BindElsewhere,
        match rule {
            Some(Rule::NeedsScope) => {
                format!(
                    "Write the interface behind the address (the list shows which one has it): {}%eth0.",
                    local.ip()
                )
            }
            _ => format!(
                "Bind an address that this machine has (the list shows them), or {any} for all of them."
            ),
        },
        vec![Command::new(["ip", "-brief", "address"])],
        None,
        Promise::Perhaps,
    );
    if !matches!(rule, Some(Rule::NotLocal | Rule::Tentative)) {
        return vec![elsewhere];
    }
    // An IPv4-mapped address obeys the setting of IPv4.
    let family = if v4_part(local.ip()).is_some() { "ipv4" } else { "ipv6" };
    let sysctl = &*format!("net.{family}.ip_nonlocal_bind=1");
    vec![
        elsewhere,
        cure(
            Action::Sysctl,
            "If the address comes later (a floating address), allow binds to addresses that are not there yet; the program can ask for the same with IP_FREEBIND.".into(),
            vec![as_root(case, &["sysctl", "-w", sysctl])],
            root(case),
            promise(case.snapshot, &Attempt { freebind: true, ..case.attempt.clone() }),
        ),
    ]
}

/// Whether the port is privileged as well, which shows only once the address is there.
pub(super) fn then_privileged(case: &Case) -> bool {
    let there = Attempt { freebind: true, ..case.attempt.clone() };
    let outcome = judge(case.snapshot, &there).outcome;
    matches!(outcome, Outcome::Refused(refusal) if refusal.rule == Rule::PrivilegedPort)
}

/// No port left for port 0.
pub(super) fn exhausted(case: &Case) -> Vec<Cure> {
    let start = case.snapshot.sysctls.unprivileged_port_start.unwrap_or(1024).max(1024);
    let wide = format!("net.ipv4.ip_local_port_range={start} 65535");
    vec![
        cure(
            Action::Sysctl,
            "Widen the range from which the kernel chooses.".into(),
            vec![as_root(case, &["sysctl", "-w", &wide])],
            root(case),
            Promise::Now,
        ),
        in_source(
            "For sockets that connect after a bind to an address: IP_BIND_ADDRESS_NO_PORT lets connect() choose the port, which many connections can then share.".into(),
            SourceFix::BindAddressNoPort,
            Promise::Perhaps,
        ),
    ]
}

/// The wildcard is what collides; a specific address would pass, or another port does.
pub(super) fn specific(case: &Case) -> Cure {
    let Some((transport, local, device)) = case.attempt.address.inet() else {
        return cure(Action::BindElsewhere, "Bind another address.".into(), vec![], None, Promise::Perhaps);
    };
    let wildcard = local.ip().is_unspecified();
    let connection =
        case.blockers().all(|s| !matches!(s.state, State::Listen | State::Bound | State::Unconn));
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, local.port()));
    let (says, promise) = if wildcard && connection && local.is_ipv4() {
        (
            format!("Bind a specific address instead: {loopback} (or that of the interface) is free of it."),
            // Loopback is always there: what the snapshot knows of other addresses does not matter.
            promise(
                case.snapshot,
                &Attempt {
                    address: Address::Inet { transport, local: loopback, device },
                    freebind: true,
                    ..case.attempt.clone()
                },
            ),
        )
    } else if wildcard {
        ("Bind the specific address that you need instead of the wildcard, if that is another one than the holder's.".into(), Promise::Perhaps)
    } else {
        (
            "Have one of the two bind a specific address of its own: a wildcard takes them all.".into(),
            Promise::FromNowOn,
        )
    };
    cure(Action::BindElsewhere, says, vec![], None, promise)
}

/// IPV6_V6ONLY on the side that speaks IPv6.
pub(super) fn v6only(case: &Case) -> Option<Cure> {
    let (_, wanted, _) = case.attempt.address.inet()?;
    Some(if wanted.is_ipv6() && v4_part(wanted.ip()).is_none() {
        in_source(
            "Set IPV6_V6ONLY before bind() in your server: then it takes IPv6 alone and leaves IPv4 to the other.".into(),
            SourceFix::V6only,
            promise(case.snapshot, &Attempt { v6only: true, ..case.attempt.clone() }),
        )
    } else {
        in_source(
            "Have the holder set IPV6_V6ONLY before its bind(): then it leaves IPv4 to you. Or let it serve both, and do not bind a second time.".into(),
            SourceFix::V6only,
            Promise::FromNowOn,
        )
    })
}

/// SO_REUSEPORT on both sides, by one user.
pub(super) fn reuseport(case: &Case) -> Option<Cure> {
    case.attempt.address.inet()?;
    let other_user = case
        .blockers()
        .filter(|socket| socket.options.reuseport == Some(true))
        .find_map(|socket| socket.uid.filter(|uid| *uid != case.attempt.uid));
    if let Some(uid) = other_user {
        let together = promise(case.snapshot, &Attempt { uid, reuseport: true, ..case.attempt.clone() });
        return Some(cure(
            Action::Configure,
            "Run both servers as the same effective user; root is no exception.".into(),
            vec![],
            None,
            together,
        ));
    }
    Some(in_source(
        "To share the port between two servers, set SO_REUSEPORT before bind() in both, and run both as the same user.".into(),
        SourceFix::Reuseport,
        Promise::FromNowOn,
    ))
}

/// A stale socket file.
pub(super) fn unlink(case: &Case) -> Vec<Cure> {
    let Address::Unix { name: UnixName::Path(_), .. } = &case.attempt.address else { return vec![] };
    vec![
        cure(
            Action::Unlink,
            "Remove the file; no server is behind it, which is looked at again just before.".into(),
            vec![Command::new(["inuse", "free", &case.attempt.address.to_string()])],
            None,
            Promise::Now,
        ),
        cure(
            Action::Configure,
            "From now on: unlink the path before bind(), but only after a connect() to it was refused."
                .into(),
            vec![],
            None,
            Promise::FromNowOn,
        ),
    ]
}

/// A socket file whose server may live where nobody could look.
pub(super) fn unlink_if_refused(case: &Case) -> Vec<Cure> {
    let looked = look_as_root(
        case,
        "Look again as root before you remove the file: then its server shows, if there is one.",
    );
    let refused = cure(
        Action::Unlink,
        "Remove the file if a connection to it is refused, which is tried first: whoever serves it, in whatever network namespace, would take the connection."
            .into(),
        vec![Command::new(["inuse", "free", &case.attempt.address.to_string()])],
        None,
        Promise::Perhaps,
    );
    // Where root is not sent to root, there is nothing to type.
    Some(looked).filter(|cure| !cure.commands.is_empty()).into_iter().chain([refused]).collect()
}

/// Something else stands at the path. It may be precious: it is only shown.
pub(super) fn not_a_socket(case: &Case) -> Vec<Cure> {
    let Address::Unix { name: UnixName::Path(path), .. } = &case.attempt.address else { return vec![] };
    let what = match &case.snapshot.path {
        Some(PathFact::Exists { kind: FileKind::DanglingSymlink, .. }) => {
            "see where the link should lead, and remove the link or choose another path"
        }
        _ => "see what it is, and move it away or choose another path",
    };
    vec![cure(
        Action::Configure,
        format!("This is somebody's file, not a leftover socket: {what}."),
        vec![Command(vec![b"ls".to_vec(), b"-ld".to_vec(), b"--".to_vec(), path.clone()])],
        None,
        Promise::Perhaps,
    )]
}
