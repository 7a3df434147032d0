//! UDP bind() to an explicit port (`udp_lib_get_port`).
//!
//! The port's hash chain is walked in its order, and the *first* socket that overlaps and does not
//! share by SO_REUSEADDR decides: a SO_REUSEPORT mate of the same user lets the newcomer in without a
//! look at the rest. Where the chain is long and the address concrete, the kernel walks two shorter
//! chains instead, that of the address and that of the wildcard. The dump does not show every order.

use super::newcomer::Newcomer;
use super::overlap::{self, Old};
use super::{ok, refused, unknown};
use crate::address::{Transport, is_wildcard, same_ip, v4_part};
use crate::snapshot::{Depth, Snapshot};
use crate::socket::Socket;
use crate::verdict::{Call, Errno, Fact, Outcome, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// `udp_lib_get_port` walks the two short chains when the long one has more sockets than this.
const LONG_CHAIN: usize = 10;

pub(super) fn judge(snapshot: &Snapshot, port: u16, new: &Newcomer) -> Verdict {
    if snapshot.coverage.of(Transport::Udp, port) != Some(Depth::Every) {
        return unknown(Errno::EADDRINUSE, vec![Fact::Sockets(Transport::Udp, port)], vec![]);
    }
    let chain: Vec<(usize, &Socket)> = holders(snapshot, port).collect();
    if chain.len() > LONG_CHAIN && new.concrete() {
        let own = |ip| same_ip(ip, new.ip);
        let exact = chain.iter().copied().filter(|(_, old)| address(old).is_some_and(own));
        let wild = chain.iter().copied().filter(|(_, old)| address(old).is_some_and(is_wildcard));
        let exact = agreed(orders_of_one_address(snapshot, exact.collect()), new);
        return both(exact, agreed(orders(snapshot, wild.collect()), new));
    }
    agreed(orders(snapshot, chain), new)
}

fn holders(snapshot: &Snapshot, port: u16) -> impl Iterator<Item = (usize, &Socket)> {
    snapshot.sockets.iter().enumerate().filter(
        move |(_, old)| matches!(old.inet(), Some((Transport::Udp, local, _)) if local.port() == port),
    )
}

fn address(old: &Socket) -> Option<IpAddr> {
    old.inet().map(|(_, local, _)| local.ip())
}

/// A chain in an order that it may have.
type Chain<'a> = Vec<(usize, &'a Socket)>;

/// The orders that the port's chain may have. Before Linux 5.9 sock_diag dumps each family by itself, so
/// the order between IPv4 and IPv6 sockets is not known; only the first that decides counts, so two orders
/// stand for all. A new socket goes to the head, but an IPv6 one with SO_REUSEPORT to the tail
/// (`sk_add_node_rcu`), behind every IPv4 one.
fn orders<'a>(snapshot: &Snapshot, chain: Chain<'a>) -> Vec<Chain<'a>> {
    if snapshot.coverage.one_chain {
        return vec![chain];
    }
    let (v4, mut v6): (Chain<'a>, Chain<'a>) =
        chain.into_iter().partition(|(_, old)| address(old).is_some_and(|ip| ip.is_ipv4()));
    let at_head = v6.iter().rposition(|(_, old)| old.options.reuseport != Some(true)).map_or(0, |i| i + 1);
    let tail = v6.split_off(at_head);
    let join = |first: &Chain<'a>, second: &Chain<'a>| [&first[..], &second[..], &tail[..]].concat();
    vec![join(&v4, &v6), join(&v6, &v4)]
}

/// The orders that the short chain of one concrete address may have: connect() of a socket that was
/// bound to the wildcard moves it to the head there (`udp_lib_rehash`), whenever that was.
fn orders_of_one_address<'a>(snapshot: &Snapshot, chain: Chain<'a>) -> Vec<Chain<'a>> {
    let mut all = orders(snapshot, chain);
    let Some(base) = all.first().cloned() else { return all };
    for (place, moved) in base.iter().enumerate().filter(|(_, (_, old))| old.remote.is_some()) {
        let mut order = base.clone();
        order.remove(place);
        order.insert(0, *moved);
        all.push(order);
    }
    all
}

/// The verdict of all orders, or that it is open.
fn agreed(orders: Vec<Chain<'_>>, new: &Newcomer) -> Verdict {
    let mut verdicts = orders.into_iter().map(|chain| walk(chain.into_iter(), new));
    let Some(first) = verdicts.next() else { return ok() };
    verdicts.fold(first, |sum, next| match (&sum.outcome, &next.outcome) {
        (Outcome::Ok, Outcome::Ok) => sum,
        (Outcome::Refused(a), Outcome::Refused(b)) => refused(a.errno, a.at, a.rule, union(&a.by, &b.by)),
        _ => {
            let mut missing: Vec<Fact> = sum.missing().iter().chain(next.missing()).cloned().collect();
            if missing.is_empty() {
                missing.push(Fact::UdpOrder);
            }
            unknown(Errno::EADDRINUSE, missing, union(sum.by(), next.by()))
        }
    })
}

/// `udp_lib_lport_inuse`: the chain in its order.
fn walk<'a>(chain: impl Iterator<Item = (usize, &'a Socket)>, new: &Newcomer) -> Verdict {
    let mut missing: Vec<Fact> = Vec::new();
    let mut unsure: Vec<usize> = Vec::new();
    // The answers of the sockets passed so far, had their unknown facts made them decide.
    let (mut may_pass, mut may_refuse) = (false, false);
    for (index, old) in chain {
        match first_word(new, index, old) {
            Word::Silent => {}
            Word::Mate => {
                if may_refuse {
                    return unknown(Errno::EADDRINUSE, missing, unsure);
                }
                return ok();
            }
            Word::Refuses => {
                unsure.push(index);
                if may_pass {
                    return unknown(Errno::EADDRINUSE, missing, unsure);
                }
                let by = if may_refuse { unsure } else { vec![index] };
                return refused(Errno::EADDRINUSE, Call::Bind, Rule::UdpTaken, by);
            }
            Word::Open { facts, pass, refuse } => {
                missing.extend(facts);
                unsure.push(index);
                may_pass |= pass;
                may_refuse |= refuse;
            }
        }
    }
    if may_refuse { unknown(Errno::EADDRINUSE, missing, unsure) } else { ok() }
}

/// What one socket of the chain says.
enum Word {
    Silent,
    Mate,
    Refuses,
    Open { facts: Vec<Fact>, pass: bool, refuse: bool },
}

fn first_word(new: &Newcomer, index: usize, old: &Socket) -> Word {
    let Some((_, local, device)) = old.inet() else { return Word::Silent };
    if new.other_device(device) {
        return Word::Silent;
    }
    let both = |known: Option<bool>| known.map_or(vec![false, true], |v| vec![v]);
    let (mut silent, mut pass, mut refuse) = (false, false, false);
    let v6only = if v4_part(local.ip()).is_some() { Some(false) } else { old.options.v6only };
    for v6only in both(v6only) {
        for reuseaddr in both(old.options.reuseaddr) {
            if (new.reuseaddr && reuseaddr) || !overlap::rcv_saddr_equal(new, &Old { ip: local.ip(), v6only })
            {
                silent = true;
                continue;
            }
            for reuseport in both(old.options.reuseport) {
                for same_uid in both(old.uid.map(|uid| uid == new.uid)) {
                    if new.reuseport && reuseport && same_uid { pass = true } else { refuse = true }
                }
            }
        }
    }
    match (silent, pass, refuse) {
        (_, false, false) => Word::Silent,
        (false, true, false) => Word::Mate,
        (false, false, true) => Word::Refuses,
        _ => {
            let mut facts = Vec::new();
            if v6only.is_none() && silent {
                facts.push(Fact::V6only(index));
            }
            if new.reuseaddr && old.options.reuseaddr.is_none() {
                facts.push(Fact::Reuseaddr(index));
            }
            if new.reuseport && old.options.reuseport.is_none() {
                facts.push(Fact::Reuseport(index));
            }
            if new.reuseport && old.uid.is_none() && old.options.reuseport != Some(false) {
                facts.push(Fact::Uid(index));
            }
            Word::Open { facts, pass, refuse }
        }
    }
}

/// Both chains must let the newcomer in; a mate ends its own chain only.
fn both(first: Verdict, second: Verdict) -> Verdict {
    match (&first.outcome, &second.outcome) {
        (Outcome::Refused(_), _) | (_, Outcome::Ok) => first,
        (_, Outcome::Refused(_)) | (Outcome::Ok, _) => second,
        (Outcome::Unknown { .. }, Outcome::Unknown { .. }) => {
            let missing = first.missing().iter().chain(second.missing()).cloned().collect();
            unknown(Errno::EADDRINUSE, missing, union(first.by(), second.by()))
        }
    }
}

fn union(a: &[usize], b: &[usize]) -> Vec<usize> {
    let mut all: Vec<usize> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
