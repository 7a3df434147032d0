//! The port's memory of SO_REUSEPORT (`tb->fastreuseport`, `sk_reuseport_match`): the one thing about
//! a TCP bind that no snapshot shows.
//!
//! After every bind() or listen() by a socket with SO_REUSEPORT the kernel's bind bucket remembers its
//! uid, address and V6ONLY; one without the option makes it forget. A newcomer with the option, of the
//! remembered uid, whose address the remembered one covers, passes *without a look at anybody else*.
//! So where the plain rule refuses, the answer is open exactly if somebody visible on the port may be
//! the one remembered, and could have come to stand beside everybody who is now in the way.
//!
//! Not seen: a rememberer of whom no trace is left on the port, neither socket nor connection.

use super::newcomer::Newcomer;
use super::overlap::{self, Old};
use super::quirks::Quirks;
use crate::address::v4_part;
use crate::socket::{Options, Socket, State};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the bucket may remember somebody who lets the newcomer pass everyone `in_the_way`.
///
/// Cost: near-linear. Sockets that the rule cannot tell apart are compared once, and of the binders only
/// those that cover the newcomer: a handful, whatever the number of sockets.
pub(super) fn may_be_remembered<'a>(
    on_the_port: impl Iterator<Item = &'a Socket>,
    new: &Newcomer,
    in_the_way: &[&Socket],
    quirks: Quirks,
) -> bool {
    if !new.reuseport {
        return false;
    }
    let witnesses: BTreeMap<Kind, &Socket> = on_the_port
        .filter(|old| old.options.reuseport != Some(false) && may_be_of(old, new.uid, quirks))
        .map(|old| (Kind::of(old), old))
        .collect();
    let mut binders: BTreeMap<(IpAddr, bool, u32), (Newcomer, BTreeSet<Kind>)> = BTreeMap::new();
    for (kind, witness) in witnesses {
        for binder in self::binders(witness) {
            if quirks.remembers_any_address || covers(&binder, new) {
                let key = (binder.ip, binder.v6only, binder.device);
                binders.entry(key).or_insert_with(|| (binder, BTreeSet::new())).1.insert(kind);
            }
        }
    }
    if binders.is_empty() {
        return false;
    }
    let mut ways: BTreeMap<Kind, (u64, &Socket)> = BTreeMap::new();
    for old in in_the_way {
        ways.entry(Kind::of(old)).or_insert((0, old)).0 += old.count();
    }
    binders.values().any(|(binder, witnesses)| {
        let mut apart = ways.iter().filter(|(_, (_, old))| !beside(binder, old, quirks));
        match (apart.next(), apart.next()) {
            (None, _) => true,
            // The one who came between may be the witness itself.
            (Some((kind, (1, _))), None) => witnesses.contains(kind),
            _ => false,
        }
    })
}

/// Everything of a socket that the rule looks at. Of two sockets of a kind either both stand in the way or
/// neither.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    place: Option<(IpAddr, u32)>,
    state: (State, bool),
    options: [Option<bool>; 3],
    explicit: Option<bool>,
    uid: Option<u32>,
    no_inode: bool,
}

impl Kind {
    fn of(socket: &Socket) -> Kind {
        let Options { reuseaddr, reuseport, v6only, .. } = socket.options;
        Kind {
            place: socket.inet().map(|(_, local, device)| (local.ip(), device)),
            state: (socket.state, socket.mini),
            options: [reuseaddr, reuseport, v6only],
            explicit: socket.bound_explicitly,
            uid: socket.uid,
            no_inode: socket.inode == 0,
        }
    }
}

/// Whether whoever bound for the witness may be that user.
fn may_be_of(witness: &Socket, uid: u32, quirks: Quirks) -> bool {
    let hidden = quirks.orphans_are_root && witness.inode == 0 && witness.uid == Some(0);
    witness.mini || hidden || witness.uid.is_none_or(|seen| seen == uid)
}

/// The sockets that a visible one proves to have bound this port: itself, or for a connection and what
/// is left of one, the listener it came from. Only a listener's address is surely the one it bound:
/// connect() makes a wildcard concrete.
fn binders(witness: &Socket) -> Vec<Newcomer> {
    let Some((_, local, device)) = witness.inet() else { return vec![] };
    let mut addresses = vec![local.ip()];
    if witness.state != State::Listen {
        if local.is_ipv4() || v4_part(local.ip()).is_some() {
            addresses.push(Ipv4Addr::UNSPECIFIED.into());
        }
        if local.is_ipv6() {
            addresses.push(Ipv6Addr::UNSPECIFIED.into());
        }
    }
    let only = witness.options.v6only;
    addresses
        .into_iter()
        .flat_map(|ip| {
            [false, true].into_iter().filter(move |&v| only.is_none_or(|o| o == v)).map(move |v| (ip, v))
        })
        .map(|(ip, v6only)| Newcomer {
            ip,
            v4: v4_part(ip),
            v6only: v6only && v4_part(ip).is_none(),
            device,
            // It may have had the option when it came.
            reuseaddr: true,
            reuseport: true,
            uid: 0,
        })
        .collect()
}

/// Whether the socket went through bind() or listen() itself.
fn bound_itself(socket: &Socket) -> bool {
    matches!(socket.state, State::Listen | State::Bound) || socket.bound_explicitly == Some(true)
}

/// `sk_reuseport_match` with the binder as the remembered one: equal, or a wildcard that covers; a
/// wildcard on the newcomer's side does not count.
fn covers(binder: &Newcomer, new: &Newcomer) -> bool {
    if let IpAddr::V4(v4) = binder.ip {
        let new_v4 = new.v4.or(new.ip.is_unspecified().then_some(Ipv4Addr::UNSPECIFIED));
        return !new.v6only && (v4.is_unspecified() || new_v4 == Some(v4));
    }
    match (binder.v4, new.v4) {
        (Some(ours), Some(theirs)) => ours == theirs || ours.is_unspecified(),
        (None, _) if binder.ip.is_unspecified() => {
            new.ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) || !(binder.v6only && new.v4.is_some())
        }
        _ => binder.ip == new.ip,
    }
}

/// Whether the binder can have come to a port where that socket stood, or that socket can have come
/// later without making the bucket forget.
fn beside(binder: &Newcomer, other: &Socket, quirks: Quirks) -> bool {
    let Some((_, local, device)) = other.inet() else { return true };
    if binder.other_device(device) {
        return true;
    }
    let both_reuseaddr =
        binder.reuseaddr && other.options.reuseaddr != Some(false) && other.state != State::Listen;
    // A connection comes without bind(); it may be the binder's own, accepted by another user.
    let descendant = !bound_itself(other) && other.options.reuseport != Some(false);
    let v6only = other.options.v6only.unwrap_or(true);
    both_reuseaddr || descendant || !overlap::tcp(binder, &Old { ip: local.ip(), v6only }, quirks)
}
