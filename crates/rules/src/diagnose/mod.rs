//! From a verdict to an answer for a person: the cause by name, the sockets to show, one sentence, the
//! cures.
//!
//! Not here: the verdict itself (`judge`), and any wording of a view beyond the one sentence.

mod cures;
mod name;
mod programs;
mod summary;
mod who;

use crate::address::Address;
use crate::attempt::Attempt;
use crate::cause::Cause;
use crate::diagnosis::Diagnosis;
use crate::judge::judge;
use crate::snapshot::Snapshot;
use crate::socket::{Socket, State};
use crate::verdict::{Outcome, Verdict};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

pub use name::{Naming, heir};
pub use who::{holds_for_a_program, is_forwarder, program};

/// The whole answer for one attempt, from the facts of the snapshot.
pub fn diagnose(snapshot: &Snapshot, attempt: &Attempt) -> Diagnosis {
    let with = |reuseaddr, reuseport| judge(snapshot, &Attempt { reuseaddr, reuseport, ..attempt.clone() });
    let verdict = judge(snapshot, attempt);
    let (plain, reuseaddr, reuseport) = (with(false, false), with(true, false), with(false, true));
    let naming = name::name(snapshot, attempt, &verdict);
    let case =
        Case { snapshot, attempt, verdict: &verdict, plain: &plain, reuseaddr: &reuseaddr, naming: &naming };
    let summary = summary::summary(&case);
    let cures = cures::cures(&case);
    let mut warnings = warnings(snapshot, attempt);
    warnings.splice(0..0, cures::useless_option(&case));
    warnings.extend(shared(snapshot, &case));
    Diagnosis {
        attempt: attempt.clone(),
        cause: naming.cause,
        also: naming.also.clone(),
        summary,
        holders: holders(snapshot, attempt, &verdict),
        cures,
        warnings,
        plain,
        reuseaddr,
        reuseport,
        verdict,
    }
}

/// What the writers of sentences and cures look at.
struct Case<'a> {
    snapshot: &'a Snapshot,
    attempt: &'a Attempt,
    verdict: &'a Verdict,
    plain: &'a Verdict,
    reuseaddr: &'a Verdict,
    naming: &'a Naming,
}

impl<'a> Case<'a> {
    /// The sockets on account of which the cause got its name: for a unix path that may be one of another
    /// network namespace.
    fn blockers(&self) -> impl Iterator<Item = &'a Socket> + '_ {
        let elsewhere = self.naming.cause == Cause::UnixLive && self.naming.primary.is_empty();
        let elsewhere = self.snapshot.elsewhere.iter().filter(move |_| elsewhere).map(|other| &other.socket);
        self.naming.primary.iter().filter_map(|&index| self.snapshot.sockets.get(index)).chain(elsewhere)
    }

    /// Whether all that is in the way comes from a client that had connected to itself: no server was there.
    fn self_connected(&self) -> bool {
        let mut blockers = self.blockers().peekable();
        blockers.peek().is_some() && blockers.all(name::self_connected)
    }
}

/// The sockets to show: those in the way first, then the others of the port.
fn holders(snapshot: &Snapshot, attempt: &Attempt, verdict: &Verdict) -> Vec<usize> {
    let mut shown: Vec<usize> = verdict.by().to_vec();
    let in_the_way: BTreeSet<usize> = shown.iter().copied().collect();
    let same_port = |old: &Socket| match (old.inet(), attempt.address.inet()) {
        (Some((a, local, _)), Some((b, wanted, _))) => {
            a == b && wanted.port() != 0 && local.port() == wanted.port() && old.state != State::SynRecv
        }
        (None, None) => old.address == attempt.address,
        _ => false,
    };
    for (index, old) in snapshot.sockets.iter().enumerate() {
        if same_port(old) && !in_the_way.contains(&index) {
            shown.push(index);
        }
    }
    shown
}

/// Whether a socket answers, rather than being the remains or the connection of something.
fn serves(socket: &Socket) -> bool {
    matches!(socket.state, State::Listen | State::Unconn)
}

/// Where an option would let a second server in beside a living one, what that means for both.
fn shared(snapshot: &Snapshot, case: &Case) -> Option<String> {
    let option = match (&case.verdict.outcome, &case.reuseaddr.outcome) {
        (Outcome::Ok, _) if case.attempt.reuseport => "SO_REUSEPORT",
        (Outcome::Ok, _) if case.attempt.reuseaddr => "SO_REUSEADDR",
        (Outcome::Refused(_), Outcome::Ok) => "SO_REUSEADDR",
        _ => return None,
    };
    let mut servers =
        case.plain.by().iter().filter_map(|&index| snapshot.sockets.get(index)).filter(|s| serves(s));
    let server = servers.next()?;
    Some(match (server.state, option) {
        (State::Listen, _) => "Two servers on one address: the kernel then splits new connections between them, so that each client reaches one or the other.".into(),
        (_, "SO_REUSEPORT") => "Two sockets on one address: the kernel then splits the datagrams between them.".into(),
        _ => format!("With {option} both sockets have the address, and the newest one gets the datagrams: the other goes deaf."),
    })
}

/// The addresses on which somebody serves the same port in the other protocol, each once.
pub fn other_protocol<'a>(snapshot: &'a Snapshot, attempt: &Attempt) -> Vec<&'a Address> {
    let Some((transport, wanted, _)) = attempt.address.inet() else { return Vec::new() };
    let mut found: Vec<&Address> = Vec::new();
    for socket in snapshot.sockets.iter().filter(|socket| serves(socket)) {
        let same_port =
            |(other, local, _): (_, SocketAddr, _)| other != transport && local.port() == wanted.port();
        if socket.inet().is_some_and(same_port) && !found.contains(&&socket.address) {
            found.push(&socket.address);
        }
    }
    found
}

/// What to know besides: true of the address, and no reason for the verdict.
fn warnings(snapshot: &Snapshot, attempt: &Attempt) -> Vec<String> {
    let mut warnings = Vec::new();
    if let [first, others @ ..] = other_protocol(snapshot, attempt).as_slice()
        && let Some((transport, local, _)) = first.inet()
    {
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        warnings.push(format!(
            "{first}{more} is held too: another protocol, so that is no conflict. `inuse {}/{}` says by whom.",
            transport.name(),
            local.port()
        ));
    }
    if let Some(port) = attempt.address.port().filter(|&port| port != 0 && snapshot.sysctls.ephemeral(port)) {
        let (low, high) = snapshot.sysctls.local_port_range.unwrap_or_default();
        warnings.push(format!(
            "Port {port} lies in the ephemeral range ({low}-{high}): any outgoing connection may be given it at any time. A server's port belongs below the range, or into net.ipv4.ip_local_reserved_ports."
        ));
    }
    warnings
}
