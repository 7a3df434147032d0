//! `SOCK_DESTROY`: the kernel drops one TCP connection, or what is left of one, without asking its owner
//! (`inet_diag_cmd_exact`, `tcp_abort` in net/ipv4; Linux 4.5, for TIME_WAIT 5.16).
//!
//! Only a [`Doomed`] can be destroyed, and no listener can become one: destroying a listener would leave
//! the port bound, deaf and out of sight. The kernel is told both ends, the device and the cookie, so
//! nothing but that very socket is hit.
//!
//! What remains: a socket that disconnects and starts to listen between its row and the call keeps its
//! cookie. Whoever destroys looks at the row again just before.
//!
//! Not here: deciding what may be destroyed.

use crate::error::Error;
use crate::netlink::socket::Netlink;
use crate::netns::Netns;
use crate::sockdiag::exact_request;
use inuse_rules::{Socket, State, Transport};
use rustix::net::netlink::SOCK_DIAG;
use std::fmt;
use std::net::SocketAddr;

/// `SOCK_DESTROY` of include/uapi/linux/sock_diag.h.
const SOCK_DESTROY: u16 = 21;

/// One connection, by everything that names it. Never a listener, never a socket without another end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    local: SocketAddr,
    remote: SocketAddr,
    device: u32,
    cookie: u64,
}

/// Why a socket cannot be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// It listens, or is bound and could: the port would stay taken, and serve nobody.
    HoldsThePort,
    /// It is no TCP connection.
    NoConnection,
    /// Its cookie is not known, so it could be another one by now.
    Unnamed,
}

impl Doomed {
    /// Names the connection of that row.
    ///
    /// # Errors
    /// For everything that is no connection, a listener above all.
    pub fn of(socket: &Socket) -> Result<Doomed, Spared> {
        if matches!(socket.state, State::Listen | State::Bound | State::Unconn) {
            return Err(Spared::HoldsThePort);
        }
        match (socket.inet(), socket.remote) {
            (Some((Transport::Tcp, local, device)), Some(remote)) if remote.port() != 0 => {
                // The last is INET_DIAG_NOCOOKIE, which would match any socket.
                if socket.cookie == 0 || socket.cookie == u64::MAX {
                    return Err(Spared::Unnamed);
                }
                Ok(Doomed { local, remote, device, cookie: socket.cookie })
            }
            _ => Err(Spared::NoConnection),
        }
    }
}

impl fmt::Display for Spared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Spared::HoldsThePort => "it is no connection but holds the port itself",
            Spared::NoConnection => "it is no TCP connection",
            Spared::Unnamed => "the kernel did not say which socket it is",
        })
    }
}

impl std::error::Error for Spared {}

/// A conversation in which connections of one network namespace can be destroyed.
pub struct Destroyer {
    netlink: Netlink,
}

impl Destroyer {
    /// Opens the conversation. The right to destroy is only asked for by the act itself.
    pub fn open(netns: &Netns) -> Result<Destroyer, Error> {
        Ok(Destroyer { netlink: Netlink::open(netns, Some(SOCK_DIAG))? })
    }

    /// Destroys it. `Ok(false)`: it was gone already, or its place was taken by another, which lives on.
    ///
    /// # Errors
    /// `Denied` without `CAP_NET_ADMIN` over the namespace, `Unsupported` where the kernel cannot
    /// destroy this kind of socket (TIME_WAIT before Linux 5.16).
    pub fn destroy(&mut self, doomed: &Doomed) -> Result<bool, Error> {
        let Doomed { local, remote, device, cookie } = *doomed;
        let request = exact_request(SOCK_DESTROY, local, remote, device, cookie);
        match self.netlink.tell("destroy", "a connection", request) {
            Ok(()) => Ok(true),
            Err(Error::NotThere { .. } | Error::Gone { .. }) => Ok(false),
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::ESTALE) => Ok(false),
            Err(error) => Err(error.needing("CAP_NET_ADMIN")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::Address;

    fn row(state: State) -> Socket {
        let here = "127.0.0.1:8080".parse().unwrap();
        let mut socket = Socket::new(Address::tcp(here), state);
        socket.remote = Some("127.0.0.1:40112".parse().unwrap());
        socket.cookie = 7;
        socket
    }

    #[test]
    fn no_row_of_a_listener_names_something_to_destroy() {
        for state in State::ALL {
            let holds = matches!(state, State::Listen | State::Bound | State::Unconn);
            // Whatever else the row claims.
            for remote in [None, row(state).remote, "0.0.0.0:0".parse().ok()] {
                let answer = Doomed::of(&Socket { remote, ..row(state) });
                match (holds, remote.is_some_and(|remote: SocketAddr| remote.port() != 0)) {
                    (true, _) => assert_eq!(answer, Err(Spared::HoldsThePort), "{state:?}"),
                    (false, false) => assert_eq!(answer, Err(Spared::NoConnection), "{state:?}"),
                    (false, true) => assert!(answer.is_ok(), "{state:?}"),
                }
            }
        }
    }

    #[test]
    fn a_socket_without_a_name_of_its_own_is_spared() {
        for cookie in [0, u64::MAX] {
            let socket = Socket { cookie, ..row(State::TimeWait) };
            assert_eq!(Doomed::of(&socket), Err(Spared::Unnamed));
        }
        let udp =
            Socket { address: Address::udp("127.0.0.1:53".parse().unwrap()), ..row(State::Established) };
        assert_eq!(Doomed::of(&udp), Err(Spared::NoConnection));
    }
}
