//! What decides and leaves no trace in any dump: the stage knows it, the model cannot.
//!
//! Each thing of this kind is turned into a snapshot that shows it. Only where the model, shown that,
//! allows what the kernel did, is a wrong verdict put down to it; any other is a bug of the model.

use inuse_rules::socket::Learned;
use inuse_rules::{Address, Snapshot, Socket, State, Transport};

use super::case::{Case, Device, End, Fate, Later, Make, Old, Role, Stay};
use super::ground::LOOPBACK;

/// What the model would have to be shown, where something is hidden.
///
/// TCP: the port's bucket remembers a socket with SO_REUSEPORT of the attempt's user that is gone, has the
/// option no more, or whose connection another user accepted. With `remembers_reuseaddr` (before Linux
/// 6.8) it also remembers that everybody came with SO_REUSEADDR, whoever has switched it off since. Such a
/// memory only ever lets in.
///
/// UDP: connect() and its undoing leave a socket elsewhere in the short chain of the wildcard than in the
/// long one that the dump shows.
pub fn views(
    case: &Case,
    shown: &Snapshot,
    port: u16,
    link: u32,
    remembers_reuseaddr: bool,
) -> Vec<Snapshot> {
    match case.transport {
        Transport::Tcp => remembered(case, shown, port, link, remembers_reuseaddr).into_iter().collect(),
        Transport::Udp => misplaced(case, shown),
    }
}

/// The snapshot with everybody in it whom the bucket may remember.
fn remembered(
    case: &Case,
    shown: &Snapshot,
    port: u16,
    link: u32,
    remembers_reuseaddr: bool,
) -> Option<Snapshot> {
    let attempt = &case.attempt;
    let mut view = shown.clone();
    for old in &case.olds {
        if attempt.reuseport && old.hidden_reuseport(attempt.uid) {
            if old.later == Later::Reuseport(false) {
                of_its_address(&mut view, &old.make).for_each(|row| row.options.reuseport = Some(true));
            }
            view.sockets.push(ghost(&old.make, port, link));
        }
        if remembers_reuseaddr && attempt.reuseaddr && old.later == Later::Reuseaddr(false) {
            of_its_address(&mut view, &old.make).for_each(|row| row.options.reuseaddr = Some(true));
        }
    }
    (view != *shown).then_some(view)
}

/// The rows that a socket of that make, or its connection, may be.
fn of_its_address<'a>(view: &'a mut Snapshot, make: &Make) -> impl Iterator<Item = &'a mut Socket> {
    let bound = make.spot.ip();
    let any = bound.to_canonical().is_unspecified();
    view.sockets
        .iter_mut()
        .filter(move |row| row.inet().is_some_and(|(_, local, _)| any || local.ip() == bound))
}

/// The socket that is remembered, as if it were still there. A listener, since of no other is the bound
/// address sure.
fn ghost(make: &Make, port: u16, link: u32) -> Socket {
    let device = match make.device {
        Device::Free => 0,
        Device::Loopback => LOOPBACK,
        Device::Link => link,
    };
    let address = Address::Inet { transport: Transport::Tcp, local: make.spot.at(port), device };
    let mut ghost = Socket::new(address, State::Listen);
    ghost.uid = Some(make.uid);
    ghost.options.reuseport = Some(true);
    ghost.options.learned = Learned::Getsockopt;
    ghost
}

/// The chains that may be meant, where one that was connected and is no more stands elsewhere.
fn misplaced(case: &Case, shown: &Snapshot) -> Vec<Snapshot> {
    let moved =
        |old: &Old| old.fate == Fate::Disconnected && old.make.spot.ip().to_canonical().is_unspecified();
    if !case.olds.iter().any(moved) {
        return Vec::new();
    }
    let makes: Vec<_> = case.olds.iter().filter(|old| moved(old)).map(|old| old.make.spot.ip()).collect();
    let places = shown.sockets.iter().enumerate().filter(|(_, row)| {
        row.state == State::Unconn && row.inet().is_some_and(|(_, local, _)| makes.contains(&local.ip()))
    });
    let to = |from: usize, place: usize| {
        let mut view = shown.clone();
        let row = view.sockets.remove(from);
        view.sockets.insert(place, row);
        view
    };
    places
        .flat_map(|(from, _)| (0..shown.sockets.len()).map(move |place| (from, place)))
        .map(|(from, place)| to(from, place))
        .collect()
}

impl Old {
    /// Whether it bound with SO_REUSEPORT as that user, and no socket of that user shows it any more.
    fn hidden_reuseport(&self, uid: u32) -> bool {
        let had = self.make.reuseport || self.later == Later::Reuseport(true);
        let hidden = match self.fate {
            Fate::Bound(stay) | Fate::Listen(stay) => stay != Stay::Stays,
            Fate::Connection { role: Role::Accepted { uid, listener }, end, .. } => {
                !listener && (uid != self.make.uid || end == End::Reset)
            }
            _ => false,
        };
        had && self.make.uid == uid && (hidden || self.later == Later::Reuseport(false))
    }
}
