//! Rows as bytes, whole and faulty; and the roads for older kernels against the usual one.

use super::*;
use inuse_rules::owner::{NoOwner, Ownership};
use inuse_rules::socket::{Timer, TimerKind};
use inuse_rules::{Address, UnixKind, UnixName};
use proptest::prelude::*;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// `struct inet_diag_msg` in parts.
#[derive(Clone, Copy)]
struct Row {
    family: u8,
    state: u8,
    timer: u8,
    local: [u8; 16],
    remote: ([u8; 16], u16),
    device: u32,
    inode: u32,
}

const V4: [u8; 16] = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

const LISTENER: Row =
    Row { family: 2, state: 10, timer: 0, local: V4, remote: ([0; 16], 0), device: 0, inode: 4711 };

impl Row {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.family, self.state, self.timer, 0];
        bytes.extend_from_slice(&8080u16.to_be_bytes());
        bytes.extend_from_slice(&self.remote.1.to_be_bytes());
        bytes.extend_from_slice(&self.local);
        bytes.extend_from_slice(&self.remote.0);
        // Device, both halves of the cookie, milliseconds left, the two queues, uid, inode.
        for number in [self.device, 0x89ab_cdef, 0x0123_4567, 59_000, 3, 128, 1000, self.inode] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn with(self, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = self.bytes();
        for (kind, value) in attributes {
            bytes.extend_from_slice(&u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}

fn tcp(bytes: &[u8]) -> Option<Socket> {
    inet::row(Transport::Tcp, bytes)
}

#[test]
fn a_listener_has_every_field() {
    let bytes = LISTENER.with(&[(21, &77u64.to_ne_bytes()), (8, &[0])]);
    let mut expect = Socket::new(Address::tcp("127.0.0.1:8080".parse().unwrap()), State::Listen);
    (expect.inode, expect.cookie, expect.uid) = (4711, 0x0123_4567_89ab_cdef, Some(1000));
    (expect.recv_q, expect.send_q, expect.cgroup) = (3, 128, 77);
    assert_eq!(tcp(&bytes), Some(expect));
}

#[test]
fn owners_that_the_row_itself_proves() {
    let check = |state, timer, inode, mini, uid, owners: Ownership| {
        let row = Row { state, timer, inode, remote: (V4, 9), ..LISTENER };
        let row = tcp(&row.bytes()).unwrap();
        assert_eq!((row.mini, row.uid, &row.owners), (mini, uid, &owners), "state {state} timer {timer}");
    };
    let nobody = Ownership::Nobody;
    check(6, 3, 0, true, None, nobody(NoOwner::TimeWait));
    check(5, 3, 0, true, None, nobody(NoOwner::Orphan));
    check(5, 2, 0, false, Some(1000), nobody(NoOwner::Orphan));
    check(5, 0, 4711, false, Some(1000), Ownership::NotAsked);
    check(4, 1, 0, false, Some(1000), nobody(NoOwner::Orphan));
    check(9, 1, 0, false, Some(1000), nobody(NoOwner::Orphan));
    check(11, 1, 0, false, Some(1000), nobody(NoOwner::Orphan));
    check(3, 1, 0, false, None, nobody(NoOwner::Request));
    check(1, 0, 0, false, Some(1000), nobody(NoOwner::AcceptQueue));
    check(8, 0, 0, false, Some(1000), nobody(NoOwner::AcceptQueue));
    check(1, 0, 4711, false, Some(1000), Ownership::NotAsked);
    check(7, 0, 4711, false, Some(1000), Ownership::NotAsked);
}

#[test]
fn v6only_is_known_where_the_kernel_says_it() {
    let check = |family, local, attribute: Option<u8>, expect| {
        let row = Row { family, local, ..LISTENER };
        let value = attribute.unwrap_or(0);
        let attributes: &[(u16, &[u8])] = if attribute.is_some() { &[(11, &[value])] } else { &[] };
        assert_eq!(tcp(&row.with(attributes)).unwrap().options.v6only, expect);
    };
    check(2, V4, None, Some(false));
    check(10, V6, None, None);
    check(10, V6, Some(1), Some(true));
    check(10, V6, Some(0), Some(false));
    check(10, MAPPED, None, Some(false));
    check(10, MAPPED, Some(1), Some(false));
    check(2, V4, Some(1), Some(false));
}

#[test]
fn addresses_keep_family_scope_and_device() {
    let check = |row: Row, local: &str, remote: Option<&str>| {
        let found = tcp(&row.bytes()).unwrap();
        let (_, address, device) = found.inet().unwrap();
        assert_eq!((address, device), (local.parse::<SocketAddr>().unwrap(), row.device));
        assert_eq!(found.remote, remote.map(|text| text.parse().unwrap()));
    };
    check(Row { remote: (V4, 9), state: 1, ..LISTENER }, "127.0.0.1:8080", Some("127.0.0.1:9"));
    check(Row { family: 10, local: MAPPED, ..LISTENER }, "[::ffff:127.0.0.1]:8080", None);
    check(Row { family: 10, local: LINK_LOCAL, device: 3, ..LISTENER }, "[fe80::1%3]:8080", None);
    check(Row { family: 10, local: V6, device: 3, ..LISTENER }, "[::1]:8080", None);
    check(Row { device: 3, ..LISTENER }, "127.0.0.1:8080", None);
}

#[test]
fn timers() {
    let check = |timer, kind: Option<TimerKind>| {
        let found = tcp(&Row { timer, ..LISTENER }.bytes()).unwrap().timer;
        assert_eq!(found, kind.map(|kind| Timer { kind, left_ms: 59_000 }));
    };
    check(0, None);
    check(1, Some(TimerKind::Retransmit));
    check(2, Some(TimerKind::Keepalive));
    check(3, Some(TimerKind::TimeWait));
    check(4, Some(TimerKind::Probe));
    check(5, None);
}

#[test]
fn rows_that_are_none() {
    let check = |name, bytes: &[u8]| assert_eq!(tcp(bytes), None, "{name}");
    check("empty", &[]);
    check("one byte short", &LISTENER.bytes()[..71]);
    check("wrong family", &Row { family: 1, ..LISTENER }.bytes());
    check("no family", &Row { family: 0, ..LISTENER }.bytes());
    check("no state", &Row { state: 0, ..LISTENER }.bytes());
    check("state of the future", &Row { state: 14, ..LISTENER }.bytes());
    let garbage = [LISTENER.with(&[(21, &77u64.to_ne_bytes())]), vec![0xff; 7]].concat();
    assert_eq!(tcp(&garbage).unwrap().cgroup, 77, "what stands before a garbage attribute counts");
    assert_eq!(tcp(&LISTENER.with(&[(21, &[1, 2])])).unwrap().cgroup, 0, "short attribute");
    assert_eq!(
        inet::row(Transport::Udp, &Row { state: 7, ..LISTENER }.bytes()).unwrap().state,
        State::Unconn
    );
    assert_eq!(tcp(&Row { state: 7, ..LISTENER }.bytes()).unwrap().state, State::Bound);
}

#[test]
fn unix_rows_whole_and_faulty() {
    let head = |family, kind, state| {
        let mut bytes = vec![family, kind, state, 0];
        for number in [4711u32, 5, 0] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes
    };
    let row = unix::row(&[head(1, 1, 10), vec![6, 0, 0, 0, 0, b'x', 0, 0]].concat()).unwrap();
    let name = UnixName::Abstract(b"x".to_vec());
    assert_eq!(row.socket.address, Address::Unix { kind: UnixKind::Stream, name });
    assert_eq!((row.socket.state, row.socket.inode, row.socket.cookie), (State::Listen, 4711, 5));
    let check = |name, bytes: &[u8]| assert_eq!(unix::row(bytes), None, "{name}");
    check("short", &head(1, 1, 10)[..15]);
    check("wrong family", &head(2, 1, 10));
    check("no type", &head(1, 9, 10));
    check("no state", &head(1, 1, 0));
}

#[test]
fn older_kernels_are_asked_by_other_roads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _v6 = TcpListener::bind(("::1", port)).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = udp.local_addr().unwrap().port();
    let _udp_v6 = UdpSocket::bind(("::1", udp_port)).unwrap();
    let ask = |kernel, equality, query| {
        let mut diag = SockDiag::open(&Netns::current()).unwrap();
        (diag.kernel, diag.equality) = (kernel, equality);
        let mut rows = diag.inet_rows(&query).unwrap().found.sockets;
        rows.sort_by_key(|row| row.cookie);
        rows
    };
    for query in [InetQuery::listeners(Transport::Tcp, port), InetQuery::port(Transport::Udp, udp_port)] {
        let usual = ask((6, 18), true, query);
        assert_eq!(usual.len(), 2, "{usual:?}");
        assert_eq!(ask((5, 4), true, query), usual);
        assert_eq!(ask((6, 18), false, query), usual);
    }
}

#[test]
fn a_kernel_that_cannot_list_bound_sockets_says_so() {
    let mut diag = SockDiag::open(&Netns::current()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let query = InetQuery::port(Transport::Tcp, listener.local_addr().unwrap().port());
    for (kernel, expect) in [((6, 7), false), ((6, 8), true), ((7, 0), true)] {
        diag.kernel = kernel;
        assert_eq!(diag.inet_rows(&query).unwrap().found.bound_inactive, expect, "{kernel:?}");
    }
}

#[test]
fn doubtful_walks_are_repeated_and_then_said() {
    let mut walks = 0;
    let seen = settled("the tcp sockets", || {
        walks += 1;
        Ok(Walked { interrupted: walks < 3, ..Walked::default() })
    });
    assert_eq!(seen.unwrap().blind, []);
    assert_eq!(walks, 3);
    let seen =
        settled("the tcp sockets", || Ok(Walked { interrupted: true, unreadable: 2, ..Walked::default() }));
    let blind = seen.unwrap().blind;
    assert!(blind[0].what.contains("changed while it was read"), "{blind:?}");
    assert!(blind[1].what.starts_with("2 of the tcp sockets"), "{blind:?}");
}

#[test]
fn a_missing_module_is_told_from_a_missing_socket() {
    let missing = Error::new("ask the kernel for", "the udp sockets", Errno::NOENT);
    let text = module_missing(missing, "udp_diag").to_string();
    assert_eq!(text, "cannot ask for the udp sockets: this kernel has no udp_diag");
    let refused = Error::new("ask the kernel for", "the udp sockets", Errno::PERM);
    assert!(matches!(module_missing(refused, "udp_diag"), Error::Denied { .. }));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        for transport in [Some(Transport::Tcp), Some(Transport::Udp), None] {
            rows_in(&bytes, transport);
        }
        inet::row(Transport::Tcp, &bytes);
        unix::row(&bytes);
    }

    #[test]
    fn any_attributes_leave_the_row_readable(garbage: Vec<u8>) {
        prop_assert!(tcp(&[LISTENER.bytes(), garbage].concat()).is_some());
    }
}
