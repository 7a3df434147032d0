//! The probe: a bind that is tried, and closed at once without listening, to learn what no interface
//! shows. Only where somebody asked for it, only where the rule lacks an option of a socket that is
//! there, and never on a port that nobody holds.
//!
//! It takes no connection, and leaves a TIME_WAIT's timer alone. What it can do: for the microseconds
//! that it lasts, a bind by somebody else without SO_REUSEADDR may be refused; and the port's memory of
//! SO_REUSEPORT is cleared.

use super::Asker;
use inuse_rules::snapshot::Probed;
use inuse_rules::{Address, Attempt, BlindSpot, Fact, Outcome, Snapshot, Transport, judge};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

impl Asker {
    /// Tries those of the attempts whose answer rests on an option that is not known.
    pub(super) fn try_binds(&mut self, snapshot: &mut Snapshot, asks: &[Attempt]) {
        for attempt in asks {
            if !worth_it(snapshot, attempt) {
                continue;
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
}

/// Whether a try would settle it: an option of a socket that is there is missing, and where the user
/// counts, it is the attempt's own.
fn worth_it(snapshot: &Snapshot, attempt: &Attempt) -> bool {
    let Outcome::Unknown { missing, by, .. } = judge(snapshot, attempt).outcome else { return false };
    let option = |fact: &Fact| matches!(fact, Fact::Reuseaddr(_) | Fact::Reuseport(_) | Fact::V6only(_));
    let own_user = attempt.uid == rustix::process::geteuid().as_raw();
    let plain_port =
        attempt.address.inet().is_some_and(|(_, local, device)| local.port() != 0 && device == 0);
    plain_port && !by.is_empty() && missing.iter().all(option) && (own_user || !attempt.reuseport)
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
