//! The program that reads `struct sock_common` of each tcp socket, and the record that it writes.
//!
//! Pure: where the members stand comes from BTF ([`Layout`]), the program is instructions ([`Layout::
//! program`]), a record is bytes ([`read`]). Follows include/net/sock.h and `bpf_iter_tcp` of
//! net/ipv4/tcp_ipv4.c.
//!
//! A small time-wait socket and a half-open request are no `struct sock`, but all three begin with
//! `struct sock_common`, and only that is read: so what holds for a listener holds for a TIME_WAIT.
//! The program loads and writes; it changes nothing and follows no pointer in a socket.

use super::asm::{Fetch, Program, Reg, Width};
use super::btf::{Btf, Kind, Member};
use super::write_record;
use crate::netlink::wire::{array_at, u8_at, u16_at, u32_at, u64_at};
use crate::sockdiag::{AF_INET, AF_INET6, state};
use inuse_rules::State;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes in a record.
pub(super) const RECORD: usize = 64;

/// What a record holds: members of `struct sock_common`, where each stands in the record, and in how many
/// bytes. The rest is zero.
const FIELDS: [(&str, usize, usize); 13] = [
    ("skc_cookie", 0, 8),
    ("skc_v6_rcv_saddr", 8, 16),
    ("skc_v6_daddr", 24, 16),
    ("skc_rcv_saddr", 40, 4),
    ("skc_daddr", 44, 4),
    ("skc_bound_dev_if", 48, 4),
    ("skc_family", 52, 2),
    ("skc_num", 54, 2),
    ("skc_dport", 56, 2),
    ("skc_state", 58, 1),
    ("skc_reuse", 59, 1),
    ("skc_reuseport", 60, 1),
    ("skc_ipv6only", 61, 1),
];

/// Where this kernel keeps what the program reads.
pub(super) struct Layout {
    /// The function that an iterator over tcp sockets is attached to.
    pub(super) attach: u32,
    /// In the program's context, `struct bpf_iter__tcp`: the iterator itself, and the socket.
    meta: Fetch,
    socket: Fetch,
    /// In `struct bpf_iter_meta`: where the program's output goes.
    output: Fetch,
    /// In `struct sock_common`: the local port, and all that goes into the record.
    port: Fetch,
    moves: Vec<Move>,
}

/// What to load from a socket, and where to put it on the stack, in what width.
type Move = (Fetch, i16, Width);

impl Layout {
    /// Finds it; where it is not there, says what is missing.
    pub(super) fn find(btf: &mut Btf<'_>) -> Result<Layout, &'static str> {
        let [attach, context, meta, common] = btf.find([
            (Kind::Func, "bpf_iter_tcp"),
            (Kind::Struct, "bpf_iter__tcp"),
            (Kind::Struct, "bpf_iter_meta"),
            (Kind::Struct, "sock_common"),
        ]);
        let iterator = "an iterator over tcp sockets";
        let pointer = |member: Option<Member>| member.and_then(|m| Fetch::of(m.bit, 64)).ok_or(iterator);
        let [in_meta, in_socket] = btf.members(context.ok_or(iterator)?, ["meta", "sk_common"]).map(pointer);
        let [output] = btf.members(meta.ok_or(iterator)?, ["seq"]).map(pointer);
        let common = common.ok_or("struct sock_common")?;
        let mut moves = Vec::with_capacity(FIELDS.len() + 6);
        for ((name, at, bytes), member) in FIELDS.into_iter().zip(btf.members(common, FIELDS.map(|f| f.0))) {
            match member {
                Some(member) => moves.extend(moved(member, at, bytes).ok_or(name)?),
                // A kernel without IPv6.
                None if bytes == 16 => {}
                None => return Err(name),
            }
        }
        let [port] = btf.members(common, ["skc_num"]).map(|m| m.and_then(|m| Fetch::of(m.bit, m.bits)));
        Ok(Layout {
            attach: attach.ok_or(iterator)?,
            meta: in_meta?,
            socket: in_socket?,
            output: output?,
            port: port.ok_or("skc_num")?,
            moves,
        })
    }

    /// The program that writes a record for each socket with that local port.
    pub(super) fn program(&self, port: u16) -> Vec<[u8; 8]> {
        let (context, socket) = (Reg::R6, Reg::R7);
        let mut program = Program::default();
        program.copy(context, Reg::R1);
        // After the last socket the program runs once more, without one.
        program.fetch(socket, context, self.socket);
        program.end_if_zero(socket);
        program.fetch(Reg::R2, socket, self.port);
        program.end_unless(Reg::R2, port.into());
        for slot in (0..RECORD as i16).step_by(8) {
            program.clear(Reg::Frame, slot - RECORD as i16);
        }
        for &(fetch, slot, width) in &self.moves {
            program.fetch(Reg::R2, socket, fetch);
            program.store(Reg::Frame, slot, Reg::R2, width);
        }
        program.fetch(Reg::R1, context, self.meta);
        program.fetch(Reg::R1, Reg::R1, self.output);
        write_record(&mut program, RECORD);
        program.finish()
    }
}

/// How to move a member into its place in the record: an IPv6 address in four words, anything else at
/// once. `None` where it is larger than its place.
fn moved(member: Member, at: usize, bytes: usize) -> Option<Vec<Move>> {
    let words = if bytes == 16 { 4 } else { 1 };
    let (bits, bytes) = (member.bits / words, bytes / words as usize);
    let width = Width::of(bytes).filter(|_| bits as usize <= bytes * 8)?;
    (0..words)
        .map(|word| {
            let fetch = Fetch::of(member.bit.checked_add(word * bits)?, bits)?;
            let slot = i16::try_from(at + word as usize * bytes).ok()? - RECORD as i16;
            Some((fetch, slot, width))
        })
        .collect()
}

/// What the kernel keeps of a tcp socket, or of what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// `SO_COOKIE`, if the socket has one by now: listing it with sock_diag gives it one.
    pub cookie: Option<u64>,
    /// Its local address (`skc_rcv_saddr`, `skc_num`).
    pub local: SocketAddr,
    /// The other end, when it is connected.
    pub remote: Option<SocketAddr>,
    /// Its state. An orphaned FIN_WAIT_2 that became a small time-wait socket says TIME_WAIT here.
    pub state: State,
    /// `sk_reuse`, set by `SO_REUSEADDR`.
    #[doc(alias = "SO_REUSEADDR")]
    pub reuseaddr: bool,
    /// `sk_reuseport`, set by `SO_REUSEPORT`.
    #[doc(alias = "SO_REUSEPORT")]
    pub reuseport: bool,
    /// The effective `sk_ipv6only`; false for `AF_INET`.
    #[doc(alias = "IPV6_V6ONLY")]
    pub v6only: bool,
    /// Interface index of `SO_BINDTODEVICE`, 0 for none.
    pub device: u32,
}

/// Reads a record; `None` for a family or state that we do not know.
pub(super) fn read(record: &[u8]) -> Option<TcpOptions> {
    let device = u32_at(record, 48)?;
    let family = u16_at(record, 52)?;
    let end = |v4_at, v6_at, port| {
        let ip: IpAddr = match u8::try_from(family).ok()? {
            AF_INET => Ipv4Addr::from(array_at::<4>(record, v4_at)?).into(),
            AF_INET6 => Ipv6Addr::from(array_at::<16>(record, v6_at)?).into(),
            _ => return None,
        };
        Some(match ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, device).into(),
            ip => SocketAddr::new(ip, port),
        })
    };
    // The local port stands in the order of the host, the remote one in that of the network.
    let local = end(40, 8, u16_at(record, 54)?)?;
    let remote = end(44, 24, u16_at(record, 56).map(u16::from_be)?)?;
    let set = |at| u8_at(record, at).map(|value| value != 0);
    Some(TcpOptions {
        cookie: u64_at(record, 0).filter(|&cookie| cookie != 0),
        local,
        remote: (remote.port() != 0).then_some(remote),
        state: state(u8_at(record, 58)?, true)?,
        reuseaddr: set(59)?,
        reuseport: set(60)?,
        v6only: local.is_ipv6() && set(61)?,
        device,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(family: u8, state: u8) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&7u64.to_ne_bytes());
        record[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        record[24..40].copy_from_slice(&"fe80::2".parse::<Ipv6Addr>().unwrap().octets());
        record[40..44].copy_from_slice(&[127, 0, 0, 1]);
        record[44..48].copy_from_slice(&[10, 0, 0, 2]);
        record[48..52].copy_from_slice(&3u32.to_ne_bytes());
        record[52..54].copy_from_slice(&u16::from(family).to_ne_bytes());
        record[54..56].copy_from_slice(&8080u16.to_ne_bytes());
        record[56..58].copy_from_slice(&40000u16.to_be_bytes());
        record[58..62].copy_from_slice(&[state, 1, 0, 1]);
        record
    }

    #[test]
    fn records() {
        let v4 = TcpOptions {
            cookie: Some(7),
            local: "127.0.0.1:8080".parse().unwrap(),
            remote: Some("10.0.0.2:40000".parse().unwrap()),
            state: State::TimeWait,
            reuseaddr: true,
            reuseport: false,
            v6only: false,
            device: 3,
        };
        let v6 = TcpOptions {
            local: "[::1]:8080".parse().unwrap(),
            remote: Some("[fe80::2%3]:40000".parse().unwrap()),
            v6only: true,
            ..v4
        };
        let check = |record: &[u8], expect| assert_eq!(read(record), expect, "{record:?}");
        check(&record(AF_INET, 6), Some(v4));
        check(&record(AF_INET6, 6), Some(v6));
        check(&record(1, 6), None);
        check(&record(AF_INET, 99), None);
        check(&record(AF_INET, 6)[..60], None);
        check(&[], None);
        let mut fresh = record(AF_INET, 10);
        fresh[..8].fill(0);
        fresh[56..58].fill(0);
        check(&fresh, Some(TcpOptions { cookie: None, remote: None, state: State::Listen, ..v4 }));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..RECORD + 1)) {
            read(&bytes);
        }
    }
}
