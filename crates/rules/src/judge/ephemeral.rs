//! bind() to port 0: the kernel chooses (`inet_csk_find_open_port`, `udp_lib_get_port`).
//!
//! TCP wants a port on which *no* overlapping socket stands: options do not help, unless
//! `ip_autobind_reuse` adds a second, relaxed pass. UDP lets a port pass whose sockets all share.
//! The model answers whether there is a port, not which: the kernel begins at a random place.

use super::newcomer::Newcomer;
use super::overlap::{self, Old};
use super::quirks::Quirks;
use super::{ok, refused, unknown};
use crate::address::{Transport, v4_part};
use crate::snapshot::Snapshot;
use crate::socket::{Socket, State};
use crate::verdict::{Call, Errno, Fact, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;

pub(super) fn judge(snapshot: &Snapshot, transport: Transport, new: &Newcomer) -> Verdict {
    let Some(range) = snapshot.sysctls.local_port_range else {
        return unknown(Errno::EADDRINUSE, vec![Fact::LocalPortRange], vec![]);
    };
    if !snapshot.coverage.whole.contains(&transport) {
        return unknown(Errno::EADDRINUSE, vec![Fact::Everything(transport)], vec![]);
    }
    let mut ports = Ports::new();
    let (mut by, mut missing) = (Vec::new(), Vec::new());
    let quirks = Quirks::of(snapshot);
    for (index, old) in snapshot.sockets.iter().enumerate() {
        let Some((of, local, _)) = old.inet() else { continue };
        if of != transport || !(range.0..=range.1).contains(&local.port()) {
            continue;
        }
        let relaxed = snapshot.sysctls.autobind_reuse == Some(true);
        match keeps_the_port(transport, new, index, old, relaxed, quirks) {
            Keeps::No => {}
            Keeps::Yes => {
                ports.set(local.port(), Taken::Yes);
                by.push(index);
            }
            Keeps::Perhaps(facts) => {
                ports.set(local.port(), Taken::Perhaps);
                by.push(index);
                missing.extend(facts);
            }
        }
    }
    let tried = tried(transport, range).filter(|&port| !snapshot.sysctls.reserves(port));
    let mut perhaps = false;
    for port in tried {
        match ports.get(port) {
            Taken::No => return ok(),
            Taken::Perhaps => perhaps = true,
            Taken::Yes => {}
        }
    }
    if perhaps {
        unknown(Errno::EADDRINUSE, missing, by)
    } else {
        refused(Errno::EADDRINUSE, Call::Bind, Rule::NoFreePort, by)
    }
}

/// The ports that the search comes by. TCP walks in steps of two over an even number of ports, so the
/// last port of an odd range is never tried, unless it is the only one.
pub(super) fn tried(transport: Transport, (low, high): (u16, u16)) -> impl Iterator<Item = u16> {
    let count = u32::from(high).saturating_sub(u32::from(low)) + 1;
    let count = if transport == Transport::Tcp && count > 1 { count & !1 } else { count };
    (u32::from(low)..u32::from(low) + count).filter_map(|port| u16::try_from(port).ok())
}

enum Keeps {
    No,
    Yes,
    Perhaps(Vec<Fact>),
}

/// `inet_csk_bind_conflict(…, relax = false, reuseport_ok = false)`, or `udp_lib_lport_inuse` with its
/// bitmap: whether one old socket keeps its port from a newcomer that asks for any.
fn keeps_the_port(
    transport: Transport,
    new: &Newcomer,
    index: usize,
    old: &Socket,
    relaxed: bool,
    quirks: Quirks,
) -> Keeps {
    let Some((_, local, device)) = old.inet() else { return Keeps::No };
    if new.other_device(device) || old.state == State::SynRecv {
        return Keeps::No;
    }
    let ip = local.ip();
    let meets = |v6only| match transport {
        Transport::Tcp => overlap::tcp(new, &Old { ip, v6only }, quirks),
        Transport::Udp => overlap::rcv_saddr_equal(new, &Old { ip, v6only }),
    };
    let v6only = if v4_part(ip).is_some() { Some(false) } else { old.options.v6only };
    let overlaps = match v6only {
        Some(v6only) => Some(meets(v6only)),
        None => Some(meets(false)).filter(|&without| without == meets(true)),
    };
    if overlaps == Some(false) {
        return Keeps::No;
    }
    let same_uid = if old.mini { Some(true) } else { old.uid.map(|uid| uid == new.uid) };
    let mates = all(both(new.reuseport, old.options.reuseport), same_uid);
    let shares = both(new.reuseaddr, old.options.reuseaddr);
    let let_in = match transport {
        Transport::Udp => any(shares, mates),
        Transport::Tcp if relaxed && old.state != State::Listen => all(shares, not(mates)),
        Transport::Tcp => Some(false),
    };
    match (overlaps, let_in) {
        (_, Some(true)) => Keeps::No,
        (Some(true), Some(false)) => Keeps::Yes,
        _ => Keeps::Perhaps(facts(index, old, overlaps.is_none())),
    }
}

fn facts(index: usize, old: &Socket, v6only_matters: bool) -> Vec<Fact> {
    let mut facts = Vec::new();
    if v6only_matters {
        facts.push(Fact::V6only(index));
    }
    if old.options.reuseaddr.is_none() {
        facts.push(Fact::Reuseaddr(index));
    }
    if old.options.reuseport.is_none() {
        facts.push(Fact::Reuseport(index));
    }
    facts
}

/// An option that counts only where both sides have it.
fn both(new: bool, old: Option<bool>) -> Option<bool> {
    if new { old } else { Some(false) }
}

/// Both, where either may be unknown.
fn all(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// At least one, where either may be unknown.
fn any(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    not(all(not(a), not(b)))
}

fn not(a: Option<bool>) -> Option<bool> {
    a.map(|known| !known)
}

/// How a port stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    No,
    Perhaps,
    Yes,
}

/// One mark for each of the 65,536 ports.
struct Ports(Vec<Taken>);

impl Ports {
    fn new() -> Ports {
        Ports(vec![Taken::No; 1 << 16])
    }

    fn get(&self, port: u16) -> Taken {
        self.0[usize::from(port)]
    }

    /// A sure mark wins over an unsure one.
    fn set(&mut self, port: u16, taken: Taken) {
        let mark = &mut self.0[usize::from(port)];
        if *mark != Taken::Yes {
            *mark = taken;
        }
    }
}
