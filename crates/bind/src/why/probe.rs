//! The probe: a bind that is tried, and closed at once without listening, to learn what no interface
//! shows. Only where somebody asked for it, only where the rule lacks an option of a socket that is
//! there, and never on a port that nobody holds.
//!
//! It takes no connection, and leaves a TIME_WAIT's timer alone. What it can do: for the microseconds
//! that it lasts, a bind by somebody else without SO_REUSEADDR may be refused; and the port's memory of
//! SO_REUSEPORT is cleared.

use super::{Asker, is_option};
use inuse_kernel::Error;
use inuse_kernel::sockdiag::InetQuery;
use inuse_rules::snapshot::Probed;
use inuse_rules::{Address, Attempt, BlindSpot, Outcome, Snapshot, Socket, Transport, judge};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

impl Asker {
    /// Tries those of the attempts whose answer rests on an option that is not known.
    pub(super) fn try_binds(&mut self, snapshot: &mut Snapshot, asks: &[Attempt]) {
        for attempt in asks {
            let Some(by) = worth_it(snapshot, attempt) else { continue };
            match self.still_held(snapshot, &by) {
                Ok(true) => {}
                Ok(false) => {
                    let what =
                        format!("what a bind to {} answers: its holders have just gone", attempt.address);
                    snapshot.blind_to(BlindSpot { what, remedy: "ask again".into() });
                    continue;
                }
                Err(error) => {
                    snapshot.blind_to(error.blind_spot());
                    continue;
                }
            }
            let answer = match self.netns.inside(|| try_bind(attempt)) {
                Ok(Ok(())) => false,
                Ok(Err(Errno::ADDRINUSE)) => true,
                Ok(Err(errno)) => {
                    let what =
                        format!("what a bind to {} answers: the probe failed ({errno})", attempt.address);
                    snapshot.blind_to(BlindSpot { what, remedy: "run it as the user who binds".into() });
                    continue;
                }
                Err(error) => {
                    snapshot.blind_to(error.blind_spot());
                    continue;
                }
            };
            snapshot.probed.push(Probed { attempt: attempt.clone(), refused: answer });
        }
    }

    /// Whether one of these sockets is there at this moment: the facts are older, and the port of sockets
    /// that have gone is nobody's.
    fn still_held(&mut self, snapshot: &Snapshot, by: &[usize]) -> Result<bool, Error> {
        let held: Vec<&Socket> = by.iter().filter_map(|&index| snapshot.sockets.get(index)).collect();
        let Some((transport, local, _)) = held.iter().find_map(|socket| socket.inet()) else {
            return Ok(false);
        };
        let mut still = false;
        self.diag.inet(&InetQuery::port(transport, local.port()), &mut |now| {
            still |= now.cookie != 0 && held.iter().any(|old| old.cookie == now.cookie);
        })?;
        Ok(still)
    }
}

/// The sockets on which it rests, where a try would settle it: an option of one of them is missing, and
/// where the user counts, it is the attempt's own.
fn worth_it(snapshot: &Snapshot, attempt: &Attempt) -> Option<Vec<usize>> {
    let Outcome::Unknown { missing, by, .. } = judge(snapshot, attempt).outcome else { return None };
    let own_user = attempt.uid == rustix::process::geteuid().as_raw();
    let plain_port =
        attempt.address.inet().is_some_and(|(_, local, device)| local.port() != 0 && device == 0);
    let settles =
        plain_port && !by.is_empty() && missing.iter().all(is_option) && (own_user || !attempt.reuseport);
    settles.then_some(by)
}

/// socket(), the attempt's options, bind(), close().
fn try_bind(attempt: &Attempt) -> Result<(), Errno> {
    let Address::Inet { transport, local, .. } = attempt.address else { return Err(Errno::OPNOTSUPP) };
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, attempt.reuseaddr)?;
    if attempt.reuseport {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if local.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, attempt.v6only)?;
    }
    bind(&socket, &local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::WhyOptions;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_port_whose_holder_has_gone_is_not_tried() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = server.local_addr().unwrap();
        let mut asker = Asker::new(&WhyOptions::default()).unwrap();
        let address = Address::Inet { transport: Transport::Tcp, local, device: 0 };
        let uid = rustix::process::geteuid().as_raw();
        let attempt = Attempt { reuseport: true, uid, ..Attempt::plain(address) };
        let mut facts = asker.begin();
        asker.settle(&mut facts, std::slice::from_ref(&attempt), |_| true);
        for socket in &mut facts.sockets {
            // As for a socket of somebody whose options may not be read.
            socket.options = inuse_rules::socket::Options::default();
        }
        assert!(worth_it(&facts, &attempt).is_some(), "{:?}", judge(&facts, &attempt));

        let mut there = facts.clone();
        asker.try_binds(&mut there, std::slice::from_ref(&attempt));
        assert_eq!(there.probed, [Probed { attempt: attempt.clone(), refused: true }]);

        drop(server);
        let mut gone = facts.clone();
        asker.try_binds(&mut gone, std::slice::from_ref(&attempt));
        assert_eq!(gone.probed, []);
        assert!(gone.blind.iter().any(|spot| spot.what.ends_with("its holders have just gone")), "{gone:?}");
    }
}
