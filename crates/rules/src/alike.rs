//! Many rows that no answer tells apart, as a few of them and a count.
//!
//! A busy server leaves a hundred thousand TIME_WAITs on its port, and has as many connections. Of those on one
//! local address the rule sees no difference, a person wants a few examples and their number, and each row would
//! cost memory and time in every judgement. So the first of a kind stay rows of their own, and one row more
//! stands for the rest.
//!
//! Not here: walking the kernel's list, and what only the whole list can do (freeing each of them).

use crate::address::Transport;
use crate::owner::{NoOwner, Ownership};
use crate::snapshot::Sysctls;
use crate::socket::{Learned, Options, Socket, State};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// So many TIME_WAITs of a kind stay rows of their own.
const TIME_WAITS: usize = 8;
/// So many connections of a kind do: of them somebody may look for a certain one.
const CONNECTIONS: usize = 64;

/// What makes rows of one kind: everything but the other end, its socket, and how long it stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    place: (Transport, SocketAddr, u32),
    state: State,
    uid: Option<u32>,
    options: ([Option<bool>; 3], Option<bool>),
    /// Whether the other end has a client's port: says which side was the server.
    from_client: bool,
    holders: Vec<(u32, Option<u32>)>,
}

impl Kind {
    fn of(row: &Socket, sysctls: &Sysctls) -> Option<Kind> {
        let (place, remote) = row.inet().zip(row.remote)?;
        let Options { reuseaddr, reuseport, v6only, .. } = row.options;
        Some(Kind {
            place,
            state: row.state,
            uid: row.uid,
            options: ([reuseaddr, reuseport, v6only], row.bound_explicitly),
            from_client: sysctls.ephemeral(remote.port()),
            holders: row.owners.holdings().iter().map(|holding| (holding.pid, holding.tid)).collect(),
        })
    }
}

/// A TIME_WAIT of which nothing but its row is known.
fn is_spent(row: &Socket) -> bool {
    row.mini
        && row.state == State::TimeWait
        && row.inode == 0
        && row.owners == Ownership::Nobody(NoOwner::TimeWait)
        && row.options.learned == Learned::NotYet
}

/// A connection that processes have open, and that is nothing special.
fn is_held(row: &Socket) -> bool {
    matches!(row.state, State::Established | State::CloseWait)
        && row.inode != 0
        && matches!(row.owners, Ownership::Held(_))
        && row
            .inet()
            .is_some_and(|(transport, local, _)| transport == Transport::Tcp && Some(local) != row.remote)
}

/// Takes in rows one by one.
#[derive(Debug)]
pub struct Merger<'a> {
    sysctls: &'a Sysctls,
    /// Which may be counted, and how many of a kind are not.
    which: (fn(&Socket) -> bool, usize),
    rows: Vec<Socket>,
    /// How many of a kind are rows of their own, and where the row is that stands for the rest.
    kinds: BTreeMap<Kind, (usize, Option<usize>)>,
}

impl<'a> Merger<'a> {
    /// Counts TIME_WAITs, as the kernel lists them. The settings say which ports are clients'.
    pub const fn of_time_waits(sysctls: &'a Sysctls) -> Merger<'a> {
        Merger { sysctls, which: (is_spent, TIME_WAITS), rows: Vec::new(), kinds: BTreeMap::new() }
    }

    /// Counts connections of which everything is known: their owners, and as much of their options as there is.
    pub fn of_connections(sysctls: &'a Sysctls) -> Merger<'a> {
        Merger { which: (is_held, CONNECTIONS), ..Merger::of_time_waits(sysctls) }
    }

    /// Forgets everything, for another walk.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.kinds.clear();
    }

    /// Takes in a row.
    pub fn take(&mut self, row: Socket) {
        let (may_count, kept) = self.which;
        if may_count(&row)
            && let Some(kind) = Kind::of(&row, self.sysctls)
        {
            let (own, rest) = self.kinds.entry(kind).or_default();
            if let Some(rest) = rest.and_then(|rest| self.rows.get_mut(rest)) {
                return rest.stand_for(row);
            }
            match *own < kept {
                true => *own += 1,
                false => *rest = Some(self.rows.len()),
            }
        }
        self.rows.push(row);
    }

    /// The rows, in the order of the first of each.
    pub fn into_rows(self) -> Vec<Socket> {
        self.rows
    }
}

impl Socket {
    /// Stands for another row of its kind as well. The one that stays longest is shown.
    fn stand_for(&mut self, other: Socket) {
        let alike = u64::from(self.alike) + other.count();
        let left = |socket: &Socket| socket.timer.map(|timer| timer.left_ms);
        if left(&other) > left(self) {
            *self = other;
        }
        self.alike = u32::try_from(alike).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::socket::{Timer, TimerKind};

    fn time_wait(local: &str, remote: &str, left_ms: u32) -> Socket {
        let mut row = Socket::new(Address::tcp(local.parse().unwrap()), State::TimeWait);
        row.remote = Some(remote.parse().unwrap());
        row.owners = Ownership::Nobody(NoOwner::TimeWait);
        row.timer = Some(Timer { kind: TimerKind::TimeWait, left_ms });
        row
    }

    /// How many rows stay, how many each stands for, and the timer of the last.
    #[track_caller]
    fn check(rows: impl IntoIterator<Item = Socket>, expect: &[u64], last_ms: u32) {
        let sysctls = Sysctls { local_port_range: Some((32768, 60999)), ..Sysctls::default() };
        let mut merger = Merger::of_time_waits(&sysctls);
        rows.into_iter().for_each(|row| merger.take(row));
        let rows = merger.into_rows();
        assert_eq!(rows.iter().map(Socket::count).collect::<Vec<_>>(), expect);
        assert_eq!(rows.last().and_then(|row| row.timer).map(|timer| timer.left_ms), Some(last_ms));
    }

    #[test]
    fn the_first_of_a_kind_stay() {
        let some = |count: u32| (0..count).map(|left| time_wait("10.0.0.1:80", "10.0.0.2:40000", left));
        check(some(3), &[1; 3], 2);
        check(some(9), &[1; 9], 8);
        check(some(12), &[1, 1, 1, 1, 1, 1, 1, 1, 4], 11);
        check(some(12).collect::<Vec<_>>().into_iter().rev(), &[1, 1, 1, 1, 1, 1, 1, 1, 4], 3);
    }

    #[test]
    fn another_kind_has_rows_of_its_own() {
        let many = || (0..20).map(|_| time_wait("10.0.0.1:80", "10.0.0.2:40000", 5));
        let both = |other: Socket| many().chain([other]).chain(many());
        let expect = &[1, 1, 1, 1, 1, 1, 1, 1, 32, 1];
        check(both(time_wait("10.0.0.3:80", "10.0.0.2:40000", 7)), expect, 7);
        check(both(time_wait("10.0.0.1:80", "10.0.0.2:443", 7)), expect, 7);
        let orphan = Socket { state: State::FinWait2, ..time_wait("10.0.0.1:80", "10.0.0.2:40000", 7) };
        check(both(orphan), expect, 7);
        let mut learned = time_wait("10.0.0.1:80", "10.0.0.2:40000", 7);
        learned.options.learned = Learned::Sibling;
        check(both(learned), expect, 7);
    }

    #[test]
    fn what_stands_for_others_is_counted_whole() {
        let large = Socket { alike: u32::MAX - 1, ..time_wait("10.0.0.1:80", "10.0.0.2:40000", 1) };
        let many = (0..10).map(|_| time_wait("10.0.0.1:80", "10.0.0.2:40000", 5));
        let full = u64::from(u32::MAX) + 1;
        check(many.chain([large]), &[1, 1, 1, 1, 1, 1, 1, 1, full], 5);
    }
}
