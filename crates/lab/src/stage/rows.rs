//! What the kernel shows of a stage's sockets: /proc/net/{tcp,tcp6,udp,udp6} as rows.
//!
//! This is a second road to facts that the kernel crate takes from sock_diag, on purpose: the lab must
//! not trust what it is there to test. It does not show a socket that is bound and does not listen.

use inuse_rules::Transport;
use inuse_rules::socket::State;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most rows that are kept of one file.
const MOST: usize = 200;

/// One socket, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// TCP or UDP.
    pub transport: Transport,
    /// Local address and port.
    pub local: SocketAddr,
    /// The other end; port 0 when there is none.
    pub remote: SocketAddr,
    /// Its state.
    pub state: State,
    /// Whether it is the kernel's small time-wait socket.
    pub mini: bool,
    /// Bytes (for a listener: connections) not yet taken.
    pub recv_q: u32,
    /// Bytes not yet acknowledged.
    pub send_q: u32,
    /// The uid that the kernel shows.
    pub uid: u32,
    /// Inode of the socket, 0 when no process can have it open.
    pub inode: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { recv_q, send_q, local, remote, state, .. } = self;
        write!(f, "{} {recv_q:>6} {send_q:>6} {local} {remote} {}", self.transport.name(), state.name())
    }
}

/// The rows of the calling process's network namespace that are wanted; it may be the machine's own, with a great
/// many more.
pub(crate) fn read(wanted: impl Fn(&Row) -> bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (file, transport) in [
        ("/proc/self/net/tcp", Transport::Tcp),
        ("/proc/self/net/tcp6", Transport::Tcp),
        ("/proc/self/net/udp", Transport::Udp),
        ("/proc/self/net/udp6", Transport::Udp),
    ] {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let all = text.lines().filter_map(|line| parse(line, transport));
                rows.extend(all.filter(|row| wanted(row)).take(MOST));
            }
            // A kernel without IPv6 has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

/// A line of such a file; `None` for its heading and for anything else.
fn parse(line: &str, transport: Transport) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = endpoint(fields.next()?)?;
    let remote = endpoint(fields.next()?)?;
    let state = state(fields.next()?, transport)?;
    let (send_q, recv_q) = fields.next()?.split_once(':')?;
    // The small sockets are the only ones with timer 3 (get_timewait4_sock).
    let mini = fields.next()?.starts_with("03:") && transport == Transport::Tcp;
    let uid = fields.nth(1)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let hex = |word| u32::from_str_radix(word, 16).ok();
    Some(Row {
        transport,
        local,
        remote,
        state,
        mini,
        recv_q: hex(recv_q)?,
        send_q: hex(send_q)?,
        uid,
        inode,
    })
}

/// `0100007F:1F90`: each four bytes of the address as a number in the machine's own order.
fn endpoint(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::new();
    for at in (0..address.len()).step_by(8) {
        octets.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match octets.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A state by its number (include/net/tcp_states.h).
fn state(word: &str, transport: Transport) -> Option<State> {
    Some(match u8::from_str_radix(word, 16).ok()? {
        1 => State::Established,
        2 => State::SynSent,
        3 => State::SynRecv,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 if transport == Transport::Udp => State::Unconn,
        7 => State::Bound,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        12 => State::SynRecv,
        _ => return None,
    })
}

/// A row as words of a message.
pub(crate) fn to_word(row: &Row) -> String {
    let Row { transport, local, remote, state, mini, recv_q, send_q, uid, inode } = row;
    let (transport, state) = (transport.name(), state.name());
    format!("{transport} {local} {remote} {state} {mini} {recv_q} {send_q} {uid} {inode}")
}

/// The row that such words are.
pub(crate) fn from_word(word: &str) -> Option<Row> {
    let mut fields = word.split(' ');
    let mut next = || fields.next();
    Some(Row {
        transport: if next()? == "tcp" { Transport::Tcp } else { Transport::Udp },
        local: next()?.parse().ok()?,
        remote: next()?.parse().ok()?,
        state: State::from_name(next()?)?,
        mini: next()?.parse().ok()?,
        recv_q: next()?.parse().ok()?,
        send_q: next()?.parse().ok()?,
        uid: next()?.parse().ok()?,
        inode: next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_net_become_rows() {
        let here = endpoint(if cfg!(target_endian = "little") { "0100007F:1F90" } else { "7F000001:1F90" });
        assert_eq!(here, Some("127.0.0.1:8080".parse().unwrap()));
        let line = "   1: 00000000:1F90 00000000:1A0B 06 00000000:00000002 03:00000F8C 00000000     0        0 0 3 0";
        let row = parse(line, Transport::Tcp).unwrap();
        assert_eq!((row.state, row.mini, row.inode, row.recv_q), (State::TimeWait, true, 0, 2));
        assert_eq!(from_word(&to_word(&row)), Some(row));
        let line = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0";
        let row = parse(line, Transport::Tcp).unwrap();
        assert_eq!((row.state, row.mini, row.inode, row.uid), (State::Listen, false, 77, 1000));
    }

    #[test]
    fn other_lines_are_no_rows() {
        for line in ["", "  sl  local_address rem_address   st", "0: zz:1 0:0 0A", "0: 0100007F:1F90"] {
            assert_eq!(parse(line, Transport::Tcp), None, "{line}");
        }
    }
}
