//! Every state of a tcp or udp socket that loopback can stage, found by its port and by its peer's.

use crate::stage::{bind_to_device, bound, defer_accept, eventually, listening, socket};
use crate::{Case, Missing};
use inuse_kernel::sockdiag::{InetQuery, Ports, States};
use inuse_kernel::{Netns, SockDiag};
use inuse_rules::owner::Ownership;
use inuse_rules::socket::TimerKind;
use inuse_rules::{Address, Socket, State, Transport};
use rustix::net::SocketType;
use std::any::Any;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

pub(crate) const CASES: &[Case] = &[
    ("tcp_states_are_found_by_port_and_by_peer", tcp_states),
    ("udp_sockets_are_found_by_port", udp_sockets),
    ("a_listen_query_gives_listeners_only", listen_only),
    ("the_other_end_of_a_connection", other_end),
    ("ports_next_door_are_not_reported", next_door),
    ("a_bound_device_is_reported", device),
    ("queues_and_timers_are_reported", queues_and_timers),
    ("a_port_that_connect_chose_is_told_from_one_asked_for", asked_for),
    ("a_socket_that_closed_is_gone_at_the_second_look", gone),
    ("udp_rows_of_both_families_keep_one_order", udp_order),
];

const PORT: u16 = 8080;

/// Whatever must stay open for a situation to last.
type Kept = Box<dyn Any>;

/// A situation on [`PORT`]: its name, how to stage it, the rows of the port, the rows of its peers.
struct Situation(&'static str, fn() -> Kept, &'static [&'static str], &'static [&'static str]);

fn tcp_states() -> Result<(), Missing> {
    // Each is staged while the one before is still closing, so each has an address pair of its own: the
    // port's rows must be those of this situation alone, hence a namespace for each.
    for Situation(name, stage, rows, peers) in TCP {
        let thread = std::thread::spawn(move || -> Result<(), Missing> {
            crate::stage::enter_fresh_netns()?;
            crate::stage::set_up("lo");
            let _kept = stage();
            let query = InetQuery::port(Transport::Tcp, PORT);
            check(name, &query, rows);
            check(name, &InetQuery::peers(Transport::Tcp, PORT), peers);
            Ok(())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    Ok(())
}

const TCP: &[Situation] = &[
    Situation("nothing", || Box::new(()), &[], &[]),
    Situation("listener", || keep(listener("127.0.0.1")), &["LISTEN 127.0.0.1"], &[]),
    Situation("wildcard listener", || keep(listener("0.0.0.0")), &["LISTEN 0.0.0.0"], &[]),
    Situation("dual-stack listener", || keep(listener("::")), &["LISTEN ::"], &[]),
    Situation("v6only listener", || keep(listening(at("::"), true, 8)), &["LISTEN :: v6only"], &[]),
    // bind() to a real IPv6 address sets the option whatever was asked.
    Situation("specific v6 listener", || keep(listener("::1")), &["LISTEN ::1 v6only"], &[]),
    Situation("mapped listener", || keep(listener("::ffff:127.0.0.1")), &["LISTEN ::ffff:127.0.0.1"], &[]),
    Situation("bound", || keep(bound(at("127.0.0.1"), false)), &["BOUND 127.0.0.1"], &[]),
    Situation("bound v6", || keep(bound(at("::"), true)), &["BOUND :: v6only"], &[]),
    Situation(
        "waiting to be accepted",
        || {
            let listener = listener("127.0.0.1");
            let client = connect("127.0.0.1");
            keep((listener, client))
        },
        &["ESTABLISHED 127.0.0.1 owner=accept-queue", "LISTEN 127.0.0.1"],
        &["ESTABLISHED 127.0.0.1"],
    ),
    Situation(
        "connection without listener",
        || keep(pair("127.0.0.1")),
        &["ESTABLISHED 127.0.0.1"],
        &["ESTABLISHED 127.0.0.1"],
    ),
    Situation(
        "v6 connection",
        || keep(pair("::1")),
        &["ESTABLISHED ::1 v6only?"],
        &["ESTABLISHED ::1 v6only?"],
    ),
    Situation(
        "v4 connection to a dual-stack listener",
        || {
            let listener = listener("::");
            let client = connect("127.0.0.1");
            keep((listener.accept().unwrap(), client))
        },
        &["ESTABLISHED ::ffff:127.0.0.1"],
        &["ESTABLISHED 127.0.0.1"],
    ),
    Situation(
        "close-wait",
        || {
            let (server, client) = pair("127.0.0.1");
            client.shutdown(Shutdown::Write).unwrap();
            keep((server, client))
        },
        &["CLOSE_WAIT 127.0.0.1"],
        &["FIN_WAIT_2 127.0.0.1"],
    ),
    Situation(
        "close-wait in the accept queue",
        || {
            let listener = listener("127.0.0.1");
            let client = connect("127.0.0.1");
            client.shutdown(Shutdown::Write).unwrap();
            keep((listener, client))
        },
        &["CLOSE_WAIT 127.0.0.1 owner=accept-queue", "LISTEN 127.0.0.1"],
        &["FIN_WAIT_2 127.0.0.1"],
    ),
    Situation(
        "fin-wait-2 orphan",
        || {
            let (server, client) = pair("127.0.0.1");
            drop(server);
            keep(client)
        },
        &["FIN_WAIT_2 127.0.0.1 mini no-uid timer owner=orphan"],
        &["CLOSE_WAIT 127.0.0.1"],
    ),
    Situation(
        "time-wait",
        || {
            let (server, client) = pair("127.0.0.1");
            drop(server);
            drop(client);
            keep(())
        },
        &["TIME_WAIT 127.0.0.1 mini no-uid timer owner=time-wait"],
        &[],
    ),
    Situation(
        "time-wait v6",
        || {
            let (server, client) = pair("::1");
            drop(server);
            drop(client);
            keep(())
        },
        &["TIME_WAIT ::1 v6only? mini no-uid timer owner=time-wait"],
        &[],
    ),
    Situation(
        "syn-sent to a full accept queue",
        || {
            let listener = listening(at("127.0.0.1"), false, 0);
            let accepted = connect("127.0.0.1");
            keep((listener, accepted, connect_without_waiting("127.0.0.1")))
        },
        &["ESTABLISHED 127.0.0.1 owner=accept-queue", "LISTEN 127.0.0.1"],
        &["ESTABLISHED 127.0.0.1", "SYN_SENT 127.0.0.1"],
    ),
    Situation(
        "request that waits for data",
        || {
            let listener = listener("127.0.0.1");
            defer_accept(&listener);
            keep((connect("127.0.0.1"), listener))
        },
        &["LISTEN 127.0.0.1", "SYN_RECV 127.0.0.1 no-uid owner=request"],
        &["ESTABLISHED 127.0.0.1"],
    ),
    Situation(
        "fin-wait-1 orphan",
        || {
            let (server, client) = pair("127.0.0.1");
            fill(&server);
            drop(server);
            keep(client)
        },
        &["FIN_WAIT_1 127.0.0.1 owner=orphan"],
        &["ESTABLISHED 127.0.0.1"],
    ),
    Situation(
        "last-ack orphan",
        || {
            let (server, client) = pair("127.0.0.1");
            fill(&server);
            client.shutdown(Shutdown::Write).unwrap();
            drop(server);
            keep(client)
        },
        &["LAST_ACK 127.0.0.1 owner=orphan"],
        &["FIN_WAIT_2 127.0.0.1"],
    ),
];

fn udp_sockets() -> Result<(), Missing> {
    let unconnected = UdpSocket::bind(at("127.0.0.1")).unwrap();
    let v6 = UdpSocket::bind(at("::1")).unwrap();
    let query = InetQuery::port(Transport::Udp, PORT);
    check("unconnected", &query, &["UNCONN 127.0.0.1", "UNCONN ::1 v6only"]);
    unconnected.connect("127.0.0.1:9").unwrap();
    check("connected", &query, &["ESTABLISHED 127.0.0.1", "UNCONN ::1 v6only"]);
    check("peers", &InetQuery::peers(Transport::Udp, 9), &["ESTABLISHED 127.0.0.1"]);
    check("tcp is another world", &InetQuery::port(Transport::Tcp, PORT), &[]);
    drop(v6);
    check("closed", &query, &["ESTABLISHED 127.0.0.1"]);
    Ok(())
}

fn listen_only() -> Result<(), Missing> {
    let _listener = listener("127.0.0.1");
    let _client = connect("127.0.0.1");
    let _bound = bound("127.0.0.2:8080".parse().unwrap(), false);
    check("LISTEN", &InetQuery::listeners(Transport::Tcp, PORT), &["LISTEN 127.0.0.1"]);
    let bound = InetQuery { states: States::of(&[State::Bound]), ..InetQuery::port(Transport::Tcp, PORT) };
    check("BOUND", &bound, &["BOUND 127.0.0.2"]);
    Ok(())
}

fn other_end() -> Result<(), Missing> {
    let _listener = listener("127.0.0.1");
    let client = connect("127.0.0.1");
    let own = client.local_addr().expect("a name");
    let mut diag = SockDiag::open(&Netns::current()).unwrap();
    let of_the_port = rows(&InetQuery::port(Transport::Tcp, PORT));
    for row in &of_the_port {
        let found = diag.other_end(row).unwrap().and_then(|end| end.inet().map(|(_, local, _)| local));
        assert_eq!(found, row.remote.is_some().then_some(own), "{row:?}");
    }
    assert_eq!(of_the_port.len(), 2, "the listener and its connection");
    // Nobody has that end; the listener, whom a packet would reach, is none.
    let mut gone = of_the_port.into_iter().find(|row| row.remote.is_some()).unwrap();
    gone.address = Address::tcp(own);
    gone.remote = Some(([127, 0, 0, 9], PORT).into());
    assert_eq!(diag.other_end(&gone).unwrap(), None);
    Ok(())
}

fn next_door() -> Result<(), Missing> {
    let listeners: Vec<_> =
        [8078, 8079, 8080, 8081, 8082].map(|port| bound(([127, 0, 0, 1], port).into(), false)).into();
    check("one port", &InetQuery::port(Transport::Tcp, PORT), &["BOUND 127.0.0.1"]);
    let ports = |ports| {
        let query = InetQuery { transport: Transport::Tcp, ports, states: States::ALL };
        let mut found: Vec<_> = rows(&query).iter().filter_map(|row| row.address.port()).collect();
        found.sort();
        found
    };
    assert_eq!(ports(Ports::Local(8079, 8081)), [8079, 8080, 8081]);
    assert_eq!(ports(Ports::Local(8082, u16::MAX)), [8082]);
    assert_eq!(ports(Ports::Local(8081, 8079)), [0; 0], "an empty range has no ports");
    assert_eq!(ports(Ports::All).len(), listeners.len());
    Ok(())
}

fn device() -> Result<(), Missing> {
    let socket = socket(SocketType::DGRAM, at("127.0.0.1"));
    bind_to_device(&socket, "lo");
    rustix::net::bind(&socket, &at("127.0.0.1")).unwrap();
    let found = rows(&InetQuery::port(Transport::Udp, PORT));
    assert_eq!(found.iter().filter_map(Socket::inet).map(|(.., device)| device).collect::<Vec<_>>(), [1]);
    Ok(())
}

fn queues_and_timers() -> Result<(), Missing> {
    let listener = listening(at("127.0.0.1"), false, 3);
    let mut client = connect("127.0.0.1");
    client.write_all(b"hello").unwrap();
    let query = InetQuery::port(Transport::Tcp, PORT);
    let found = eventually(|| rows(&query), |rows| rows.iter().any(|row| row.recv_q == 5));
    let of = |rows: &[Socket], state| rows.iter().find(|row| row.state == state).cloned().unwrap();
    let queue = of(&found, State::Listen);
    assert_eq!((queue.recv_q, queue.send_q), (1, 3), "a listener's queue and backlog");
    assert_eq!(of(&found, State::Established).recv_q, 5);

    drop((listener.accept().unwrap(), client));
    drop(listener);
    let (server, client) = pair("127.0.0.1");
    drop(server);
    drop(client);
    let found = eventually(|| rows(&query), |rows| rows.iter().any(|row| row.state == State::TimeWait));
    let timer = of(&found, State::TimeWait).timer.unwrap();
    assert_eq!(timer.kind, TimerKind::TimeWait);
    assert!((50_000..=60_000).contains(&timer.left_ms), "{timer:?}");
    Ok(())
}

fn asked_for() -> Result<(), Missing> {
    let _listener = listener("127.0.0.1");
    let chosen = connect("127.0.0.1");
    let explicit = bound("127.0.0.1:7000".parse().unwrap(), false);
    rustix::net::connect(&explicit, &at("127.0.0.1")).unwrap();
    let mut diag = SockDiag::open(&Netns::current()).unwrap();
    let query = InetQuery::peers(Transport::Tcp, PORT);
    let not_asked_for = diag.port_not_asked_for(&query).unwrap();
    let found = diag.inet_rows(&query).unwrap().found.sockets;
    let of = |port| found.iter().find(|row| row.address.port() == Some(port)).unwrap().cookie;
    assert_eq!(not_asked_for, [of(chosen.local_addr().unwrap().port())]);
    assert!(!not_asked_for.contains(&of(7000)));
    Ok(())
}

fn gone() -> Result<(), Missing> {
    let listener = listener("127.0.0.1");
    let (server, client) = {
        let client = connect("127.0.0.1");
        (listener.accept().unwrap().0, client)
    };
    let found = rows(&InetQuery::port(Transport::Tcp, PORT));
    assert_eq!(found.len(), 2);
    // The client closes first and the server's end leaves nothing behind.
    drop(client);
    drop(server);
    drop(listener);
    let mut diag = SockDiag::open(&Netns::current()).unwrap();
    for row in found {
        let again = eventually(|| diag.get(&row).unwrap(), Option::is_none);
        assert_eq!(again, None, "{row:?}");
    }
    // The same pair as another socket is not the one that was meant.
    let first = bound("127.0.0.1:7000".parse().unwrap(), false);
    let row = rows(&InetQuery::port(Transport::Tcp, 7000)).remove(0);
    drop(first);
    let _second = bound("127.0.0.1:7000".parse().unwrap(), false);
    assert_eq!(diag.get(&row).unwrap(), None);
    Ok(())
}

fn udp_order() -> Result<(), Missing> {
    // A newer socket stands before an older one, whatever the families (`udp_lib_get_port`).
    let addresses = ["127.0.0.1", "::1", "127.0.0.2", "::ffff:127.0.0.3"];
    let _sockets = addresses.map(|address| UdpSocket::bind(at(address)).unwrap());
    let found = rows(&InetQuery::port(Transport::Udp, PORT));
    let order: Vec<_> = found.iter().filter_map(Socket::inet).map(|(_, local, _)| local).collect();
    let mut expect = addresses.map(at);
    expect.reverse();
    assert_eq!(order, expect);
    Ok(())
}

#[track_caller]
fn check(name: &str, query: &InetQuery, expect: &[&str]) {
    let found = eventually(|| rows(query), |rows| described(rows) == expect);
    assert_eq!(described(&found), expect, "{name}: {found:#?}");
    let mut diag = SockDiag::open(&Netns::current()).unwrap();
    for row in found {
        let again = diag.get(&row).unwrap().unwrap_or_else(|| panic!("{name}: lost {row:?}"));
        assert_eq!(
            (again.address, again.cookie, again.inode),
            (row.address, row.cookie, row.inode),
            "{name}"
        );
        assert_ne!(again.cookie, 0, "{name}");
    }
}

fn rows(query: &InetQuery) -> Vec<Socket> {
    let seen = SockDiag::open(&Netns::current()).unwrap().inet_rows(query).unwrap();
    assert_eq!(seen.blind, []);
    assert!(seen.found.bound_inactive, "these cases need Linux 6.8");
    seen.found.sockets
}

/// Rows as lines, sorted: state, local IP, and what is remarkable.
fn described(rows: &[Socket]) -> Vec<String> {
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    lines.sort();
    lines
}

fn line(row: &Socket) -> String {
    let (_, local, _) = row.inet().unwrap();
    let mut line = format!("{} {}", row.state.name(), local.ip());
    let mut add = |shown: bool, word: &str| {
        if shown {
            line.push(' ');
            line.push_str(word);
        }
    };
    add(row.options.v6only == Some(true), "v6only");
    add(row.options.v6only.is_none(), "v6only?");
    add(row.mini, "mini");
    add(row.uid.is_none(), "no-uid");
    add(row.timer.is_some_and(|timer| timer.kind == TimerKind::TimeWait), "timer");
    match &row.owners {
        Ownership::NotAsked => assert_ne!(row.inode, 0, "{row:?}"),
        Ownership::Nobody(why) => add(true, &format!("owner={}", why.code())),
        other => panic!("{other:?}"),
    }
    line
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), PORT)
}

fn keep(kept: impl Any) -> Kept {
    Box::new(kept)
}

fn listener(ip: &str) -> TcpListener {
    listening(at(ip), false, 8)
}

fn connect(ip: &str) -> TcpStream {
    TcpStream::connect(at(ip)).unwrap()
}

fn connect_without_waiting(ip: &str) -> TcpStream {
    let client = TcpStream::from(socket(SocketType::STREAM, at(ip)));
    client.set_nonblocking(true).unwrap();
    assert_eq!(rustix::net::connect(&client, &at(ip)), Err(rustix::io::Errno::INPROGRESS));
    client
}

/// Both ends of a connection whose listener is gone: the server's, the client's.
fn pair(ip: &str) -> (TcpStream, TcpStream) {
    let listener = listener(ip);
    let client = connect(ip);
    (listener.accept().unwrap().0, client)
}

/// Writes until nothing more fits.
fn fill(mut stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[0; 65536]).is_ok() {}
}
