//! Whether somebody serves an address: asked of the kernel's list of listeners, never by connecting.

use inuse_kernel::SockDiag;
use inuse_kernel::elsewhere::{self, unix_elsewhere};
use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::{InetQuery, States};
use inuse_kernel::unixpath::{path_fact, settle_device};
use inuse_rules::address::v4_part;
use inuse_rules::snapshot::{FileKind, PathFact};
use inuse_rules::socket::FileId;
use inuse_rules::{Address, Attempt, Socket, State, Transport, UnixKind, UnixName};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often other network namespaces are asked about one and the same socket file: to look for them takes a look at
/// every process.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Somebody who asks.
pub(super) struct Serving<'a> {
    pub(super) diag: &'a mut SockDiag,
    pub(super) netns: &'a Netns,
    /// The socket file that nobody here served, and when other namespaces were asked about it.
    pub(super) asked: &'a mut Option<(FileId, Instant)>,
}

impl Serving<'_> {
    /// Whether somebody serves this address. What cannot be asked is not seen.
    pub(super) fn serves(&mut self, attempt: &Attempt) -> bool {
        match &attempt.address {
            Address::Inet { transport, local, .. } => {
                let mut served = false;
                let query = InetQuery::listeners(*transport, local.port());
                let asked = self.diag.inet(&query, &mut |socket| served |= answers(&socket, attempt));
                asked.is_ok() && served
            }
            Address::Unix { name: UnixName::Path(path), .. } => match path_fact(path) {
                PathFact::Exists { kind: FileKind::Socket, file } => {
                    let here = self.unix(|socket| {
                        let mut own = [socket.clone()];
                        settle_device(path, file, &mut own);
                        own[0].file == Some(file)
                    });
                    here || self.elsewhere(file)
                }
                _ => false,
            },
            Address::Unix { name, .. } => self
                .unix(|socket| matches!(&socket.address, Address::Unix { name: other, .. } if other == name)),
        }
    }

    /// Whether somebody serves the file from another network namespace: a path is reached from everywhere.
    fn elsewhere(&mut self, file: FileId) -> bool {
        if self.asked.is_some_and(|(last, at)| last == file && at.elapsed() < ELSEWHERE) {
            return false;
        }
        *self.asked = Some((file, Instant::now()));
        let there = unix_elsewhere(self.netns, file, elsewhere::DEFAULT_LIMIT);
        there.found.iter().any(|other| serves(&other.socket))
    }

    fn unix(&mut self, named: impl Fn(&Socket) -> bool) -> bool {
        let states = States::of(&[State::Listen, State::Unconn]);
        let mut served = false;
        let asked = self.diag.unix(states, &mut |row| served |= serves(&row.socket) && named(&row.socket));
        asked.is_ok() && served
    }
}

/// Streams listen; a datagram socket serves as soon as it has a name.
fn serves(socket: &Socket) -> bool {
    let datagram = matches!(socket.address, Address::Unix { kind: UnixKind::Datagram, .. });
    socket.state == State::Listen || datagram && socket.state == State::Unconn
}

/// Whether a client of the attempt's address would reach this socket; of a wildcard's, whether this socket
/// has one of the addresses that it stands for.
fn answers(socket: &Socket, attempt: &Attempt) -> bool {
    let (Some((transport, have, device)), Some((_, want, wanted_device))) =
        (socket.inet(), attempt.address.inet())
    else {
        return false;
    };
    let open = match transport {
        Transport::Tcp => socket.state == State::Listen,
        Transport::Udp => socket.remote.is_none(),
    };
    let same_device = wanted_device == 0 || device == 0 || device == wanted_device;
    open && same_device && have.port() == want.port() && reaches(want.ip(), attempt.v6only, socket, have.ip())
}

fn reaches(want: IpAddr, v6only: bool, socket: &Socket, have: IpAddr) -> bool {
    let any = |ip: IpAddr| ip.to_canonical().is_unspecified();
    let is_v4 = |ip: IpAddr| v4_part(ip).is_some();
    // `[::]` without V6ONLY takes IPv4 as well.
    let dual = |ip: IpAddr, v6only: bool| ip.is_ipv6() && !is_v4(ip) && any(ip) && !v6only;
    let same_family =
        is_v4(want) == is_v4(have) || dual(want, v6only) || dual(have, socket.options.v6only == Some(true));
    same_family && (any(want) || any(have) || want.to_canonical() == have.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(want: &str, have: &str, v6only: bool, expect: bool) {
        let attempt = Attempt::plain(Address::tcp(want.parse().unwrap()));
        let mut socket = Socket::new(Address::tcp(have.parse().unwrap()), State::Listen);
        socket.options.v6only = Some(v6only);
        assert_eq!(answers(&socket, &attempt), expect, "{want} by {have}");
    }

    #[test]
    fn who_answers_whom() {
        check("127.0.0.1:80", "127.0.0.1:80", false, true);
        check("127.0.0.1:80", "127.0.0.1:81", false, false);
        check("127.0.0.1:80", "127.0.0.2:80", false, false);
        check("127.0.0.1:80", "0.0.0.0:80", false, true);
        check("127.0.0.1:80", "[::]:80", false, true);
        check("127.0.0.1:80", "[::]:80", true, false);
        check("127.0.0.1:80", "[::ffff:127.0.0.1]:80", false, true);
        check("127.0.0.1:80", "[::1]:80", true, false);
        check("[::1]:80", "0.0.0.0:80", false, false);
        check("[::1]:80", "[::]:80", true, true);
        check("0.0.0.0:80", "127.0.0.1:80", false, true);
        check("0.0.0.0:80", "[::1]:80", true, false);
        check("[::]:80", "127.0.0.1:80", false, true);
        check("[::]:80", "[::1]:80", true, true);
    }

    #[test]
    fn only_a_listener_serves() {
        let attempt = Attempt::plain(Address::tcp("127.0.0.1:80".parse().unwrap()));
        for state in State::ALL {
            let socket = Socket::new(attempt.address.clone(), state);
            assert_eq!(answers(&socket, &attempt), state == State::Listen, "{state:?}");
        }
    }
}
