//! What a duplicate of a socket says of itself: namespace, protocol, device, and a listener's queue.
//!
//! Not here: which socket is the same as which (the keeper's `hold::keep`).

use super::sys::sockopt;
use crate::sys::getsockopt::socket_int;
use rustix::fd::AsFd;
use rustix::io::Errno;

/// A listener's queue of finished connections that nobody has accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many wait (`tcpi_unacked`).
    pub waiting: u32,
    /// How many may wait (`tcpi_sacked`): the backlog, as the kernel cut it.
    pub backlog: u32,
}

/// The queue of a TCP listener (`tcp_get_info`); for another socket the numbers mean something else.
#[doc(alias = "TCP_INFO")]
pub fn queue(listener: impl AsFd) -> Result<Queue, Errno> {
    let (bytes, length) = sockopt::tcp_info(listener)?;
    // After eight bytes: rto, ato, snd_mss, rcv_mss, unacked, sacked.
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 4).filter(|_| at + 4 <= length)?;
        bytes.try_into().ok().map(u32::from_ne_bytes)
    };
    word(24).zip(word(28)).map(|(waiting, backlog)| Queue { waiting, backlog }).ok_or(Errno::INVAL)
}

/// The number of the socket's network namespace (Linux 5.14); 0 before.
#[doc(alias = "SO_NETNS_COOKIE")]
pub fn netns_cookie(socket: impl AsFd) -> u64 {
    sockopt::netns_cookie(socket).unwrap_or(0)
}

/// The protocol by its number: `IPPROTO_TCP`, `IPPROTO_MPTCP`, 0 for unix sockets.
#[doc(alias = "SO_PROTOCOL")]
pub fn protocol(socket: impl AsFd) -> Result<i32, Errno> {
    socket_int(socket, libc::SO_PROTOCOL)
}

/// The interface index of `SO_BINDTODEVICE`, 0 for none.
#[doc(alias = "SO_BINDTODEVICE")]
pub fn bound_device(socket: impl AsFd) -> u32 {
    socket_int(socket, libc::SO_BINDTOIFINDEX).ok().and_then(|index| u32::try_from(index).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn a_queue_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        rustix::net::listen(&listener, 7).expect("any time");
        assert_eq!(queue(&listener), Ok(Queue { waiting: 0, backlog: 7 }));
        let address = listener.local_addr().expect("bound");
        let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).expect("a queue")).collect();
        assert_eq!(queue(&listener), Ok(Queue { waiting: 3, backlog: 7 }));
        drop(clients);
    }

    #[test]
    fn other_facts() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        assert_eq!(protocol(&udp), Ok(libc::IPPROTO_UDP));
        assert_eq!(bound_device(&udp), 0);
        let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback");
        assert_eq!(netns_cookie(&udp), netns_cookie(&tcp));
        assert!(queue(&udp).is_err());
    }
}
