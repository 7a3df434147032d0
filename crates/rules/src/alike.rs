//! Many rows that no answer tells apart, as a few of them and a count.
//!
//! A busy server leaves a hundred thousand TIME_WAITs on its port. Of those on one local address the rule sees
//! no difference, a person wants a few examples and their number, and each row would cost memory and time in
//! every judgement. So the first of a kind stay rows of their own, and one row more stands for the rest.
//!
//! Only what has said all that it had to say is counted so: a row with an owner, bytes or an option of its own
//! stays one. Not here: walking the kernel's list, and what only the whole list can do (freeing each of them).

use crate::address::Transport;
use crate::owner::{NoOwner, Ownership};
use crate::snapshot::Sysctls;
use crate::socket::{Learned, Options, Socket, State};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// So many rows of a kind stay rows of their own.
pub const KEPT: usize = 8;

/// What makes rows of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    place: (Transport, SocketAddr, u32),
    options: [Option<bool>; 3],
    /// Whether the other end has a client's port: says which side was the server.
    from_client: bool,
}

impl Kind {
    /// The kind of a row that may be counted with others.
    fn of(row: &Socket, sysctls: &Sysctls) -> Option<Kind> {
        let spent = row.mini
            && row.state == State::TimeWait
            && row.owners == Ownership::Nobody(NoOwner::TimeWait)
            && row.options.learned == Learned::NotYet
            && (row.inode, row.uid, row.bound_explicitly) == (0, None, None);
        let (place, remote) = row.inet().zip(row.remote).filter(|_| spent)?;
        let Options { reuseaddr, reuseport, v6only, .. } = row.options;
        let from_client = sysctls.ephemeral(remote.port());
        Some(Kind { place, options: [reuseaddr, reuseport, v6only], from_client })
    }
}

/// Takes in rows one by one, as the kernel lists them.
#[derive(Debug)]
pub struct Merger<'a> {
    sysctls: &'a Sysctls,
    rows: Vec<Socket>,
    /// How many of a kind are rows of their own, and where the row is that stands for the rest.
    kinds: BTreeMap<Kind, (usize, Option<usize>)>,
}

impl<'a> Merger<'a> {
    /// The settings say which ports are clients'.
    pub const fn new(sysctls: &'a Sysctls) -> Merger<'a> {
        Merger { sysctls, rows: Vec::new(), kinds: BTreeMap::new() }
    }

    /// Forgets everything, for another walk.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.kinds.clear();
    }

    /// Takes in a row.
    pub fn take(&mut self, row: Socket) {
        if let Some(kind) = Kind::of(&row, self.sysctls) {
            let (own, rest) = self.kinds.entry(kind).or_default();
            if let Some(rest) = rest.and_then(|rest| self.rows.get_mut(rest)) {
                return rest.stand_for(row);
            }
            match *own < KEPT {
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
        let mut merger = Merger::new(&sysctls);
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
