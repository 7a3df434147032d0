//! TCP bind() to an explicit port, and the listen() after it (`inet_csk_get_port`).
//!
//! Every socket that holds the port is compared, whatever its state; half-open requests are not in
//! the bind table. listen() asks again with the newcomer's state set to LISTEN, which changes nothing
//! for a socket that has just passed: it can fail only where somebody listened in between.

use super::newcomer::Newcomer;
use super::overlap::{self, Old};
use super::quirks::Quirks;
use super::{ok, refused, reuseport, unknown};
use crate::address::{Transport, v4_part};
use crate::snapshot::{Depth, Snapshot};
use crate::socket::{Socket, State};
use crate::verdict::{Call, Errno, Fact, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

pub(super) fn judge(snapshot: &Snapshot, port: u16, new: &Newcomer) -> Verdict {
    let depth = snapshot.coverage.of(Transport::Tcp, port);
    if depth.is_none() {
        return unknown(Errno::EADDRINUSE, vec![Fact::Listeners(Transport::Tcp, port)], vec![]);
    }
    let quirks = Quirks::of(snapshot);
    let mut sure: Vec<(usize, Rule)> = Vec::new();
    let mut unsure: Vec<usize> = Vec::new();
    let mut missing: Vec<Fact> = Vec::new();
    for (index, old) in holders(snapshot, port) {
        match stands(new, index, old, quirks) {
            Stands::Aside => {}
            Stands::InTheWay(rule) => sure.push((index, rule)),
            Stands::Perhaps(facts) => {
                unsure.push(index);
                missing.extend(facts);
            }
        }
    }
    let mut verdict = if let Some(&(_, rule)) = sure.first() {
        let by = sure.iter().map(|&(index, _)| index).collect();
        let in_the_way: Vec<&Socket> = sure.iter().map(|&(index, _)| &snapshot.sockets[index]).collect();
        if reuseport::may_be_remembered(holders(snapshot, port).map(|(_, old)| old), new, &in_the_way, quirks)
        {
            unknown(Errno::EADDRINUSE, vec![Fact::ReuseportHistory], by)
        } else {
            refused(Errno::EADDRINUSE, Call::Bind, rule, by)
        }
    } else if depth == Some(Depth::Listening) {
        unknown(Errno::EADDRINUSE, vec![Fact::Sockets(Transport::Tcp, port)], unsure)
    } else if unsure.is_empty() {
        ok()
    } else {
        unknown(Errno::EADDRINUSE, missing, unsure)
    };
    if holders(snapshot, port).next().is_some() {
        verdict.version_note = quirks.note;
    }
    verdict
}

/// The sockets in the port's bind bucket.
fn holders(snapshot: &Snapshot, port: u16) -> impl Iterator<Item = (usize, &Socket)> {
    snapshot.sockets.iter().enumerate().filter(move |(_, old)| {
        old.state != State::SynRecv
            && matches!(old.inet(), Some((Transport::Tcp, local, _)) if local.port() == port)
    })
}

/// How one old socket stands to the newcomer.
enum Stands {
    Aside,
    InTheWay(Rule),
    Perhaps(Vec<Fact>),
}

/// One old socket against the newcomer, over every combination that the unknown facts allow.
fn stands(new: &Newcomer, index: usize, old: &Socket, quirks: Quirks) -> Stands {
    let Some((_, local, device)) = old.inet() else { return Stands::Aside };
    if new.other_device(device) {
        return Stands::Aside;
    }
    let facts = Facts::of(old, local.ip(), new);
    let ways: Vec<Option<Rule>> =
        facts.combinations().map(|settled| conflict(new, old, local.ip(), settled, quirks)).collect();
    let mut rules = ways.iter().flatten().copied();
    let Some(first) = rules.next() else { return Stands::Aside };
    if ways.contains(&None) {
        return Stands::Perhaps(
            facts.that_matter(index, |settled| conflict(new, old, local.ip(), settled, quirks).is_some()),
        );
    }
    // All refuse, perhaps by different rules: one that says nothing of an unknown fact.
    let rule = if facts.bear(first) { first } else { rules.find(|&rule| facts.bear(rule)).unwrap_or(first) };
    Stands::InTheWay(rule)
}

/// `inet_bind_conflict` and the address comparison, with every fact settled.
fn conflict(new: &Newcomer, old: &Socket, ip: IpAddr, facts: Settled, quirks: Quirks) -> Option<Rule> {
    if !overlap::tcp(new, &Old { ip, v6only: facts.v6only }, quirks) {
        return None;
    }
    let listens = old.state == State::Listen;
    if new.reuseaddr && facts.reuseaddr && !listens {
        return None;
    }
    if new.reuseport && facts.reuseport && (old.mini || facts.same_uid) {
        return None;
    }
    Some(if new.reuseport && facts.reuseport {
        Rule::ReuseportUid
    } else if new.reuseport && !new.reuseaddr {
        Rule::OldLacksReuseport
    } else if new.reuseaddr && listens {
        Rule::ListenerNeverShares
    } else if new.reuseaddr {
        Rule::OldLacksReuseaddr
    } else {
        Rule::NewLacksReuseaddr
    })
}

/// The four facts of an old socket on which the answer can rest; `None` is unknown.
struct Facts([Option<bool>; 4]);

/// One way in which the unknown facts may be.
#[derive(Clone, Copy)]
struct Settled {
    v6only: bool,
    reuseaddr: bool,
    reuseport: bool,
    same_uid: bool,
}

impl Facts {
    fn of(old: &Socket, ip: IpAddr, new: &Newcomer) -> Facts {
        // A socket that has an IPv4 address, mapped or not, cannot be V6ONLY (bind refuses that pair).
        let v6only = if v4_part(ip).is_some() { Some(false) } else { old.options.v6only };
        let same_uid = if old.mini { Some(true) } else { old.uid.map(|uid| uid == new.uid) };
        Facts([v6only, old.options.reuseaddr, old.options.reuseport, same_uid])
    }

    /// Whether what the rule says of the old socket's options is known.
    fn bear(&self, rule: Rule) -> bool {
        match rule {
            Rule::OldLacksReuseaddr => self.0[1].is_some(),
            Rule::OldLacksReuseport => self.0[2].is_some(),
            _ => true,
        }
    }

    /// Every way to settle what is unknown; the known facts keep their value.
    fn combinations(&self) -> impl Iterator<Item = Settled> + '_ {
        (0u8..16)
            .filter(|bits| (0..4).all(|i| self.0[i].is_none_or(|known| known == (bits >> i & 1 == 1))))
            .map(|bits| Settled {
                v6only: bits & 1 != 0,
                reuseaddr: bits & 2 != 0,
                reuseport: bits & 4 != 0,
                same_uid: bits & 8 != 0,
            })
    }

    /// The unknown facts whose value changes the answer in at least one combination.
    fn that_matter(&self, index: usize, answer: impl Fn(Settled) -> bool) -> Vec<Fact> {
        let names = [Fact::V6only(index), Fact::Reuseaddr(index), Fact::Reuseport(index), Fact::Uid(index)];
        let flip = |mut settled: Settled, which: usize| {
            let field = match which {
                0 => &mut settled.v6only,
                1 => &mut settled.reuseaddr,
                2 => &mut settled.reuseport,
                _ => &mut settled.same_uid,
            };
            *field = !*field;
            settled
        };
        names
            .into_iter()
            .enumerate()
            .filter(|(which, _)| {
                self.0[*which].is_none()
                    && self.combinations().any(|settled| answer(settled) != answer(flip(settled, *which)))
            })
            .map(|(_, fact)| fact)
            .collect()
    }
}
