//! Properties of the rule that hold for every table of sockets: what one more fact, and what one socket
//! less, may change. The truth itself is tested beside the rule and against the kernel.

use inuse_rules::alike::Merger;
use inuse_rules::owner::{Holding, NoOwner, Ownership};
use inuse_rules::snapshot::{Coverage, Depth, Locality, Snapshot};
use inuse_rules::socket::{Timer, TimerKind};
use inuse_rules::{
    Address, Attempt, Cause, Diagnosis, Outcome, Socket, State, Transport, Verdict, diagnose, judge,
    verdict::Errno,
};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

const IPS: [&str; 7] =
    ["0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "::ffff:0.0.0.0", "::ffff:127.0.0.1"];

fn ip() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(IPS.as_slice()).prop_map(|ip| ip.parse().unwrap())
}

fn option() -> impl Strategy<Value = Option<bool>> {
    prop::option::weighted(0.7, any::<bool>())
}

fn state(transport: Transport) -> impl Strategy<Value = State> {
    let states: &[State] = match transport {
        Transport::Tcp => &[
            State::Listen,
            State::Bound,
            State::Established,
            State::TimeWait,
            State::FinWait2,
            State::CloseWait,
            State::SynRecv,
        ],
        Transport::Udp => &[State::Unconn, State::Established],
    };
    prop::sample::select(states)
}

fn socket(transport: Transport) -> impl Strategy<Value = Socket> {
    (ip(), state(transport), option(), option(), option(), 0u32..2, 0u32..3, any::<bool>()).prop_map(
        move |(ip, state, reuseaddr, reuseport, v6only, device, uid, mini)| {
            let address = Address::Inet { transport, local: SocketAddr::new(ip, 80), device };
            let mut socket = Socket::new(address, state);
            socket.mini |= mini && state == State::FinWait2;
            socket.options.reuseaddr = reuseaddr;
            socket.options.reuseport = reuseport;
            if ip.is_ipv6() {
                socket.options.v6only = v6only;
            }
            socket.uid = if socket.mini || uid == 2 { None } else { Some(uid) };
            socket
        },
    )
}

fn attempt(transport: Transport) -> impl Strategy<Value = Attempt> {
    (ip(), any::<bool>(), any::<bool>(), any::<bool>(), 0u32..2, 0u32..2).prop_map(
        move |(ip, reuseaddr, reuseport, v6only, device, uid)| Attempt {
            reuseaddr,
            reuseport,
            v6only,
            uid,
            ..Attempt::plain(Address::Inet { transport, local: SocketAddr::new(ip, 80), device })
        },
    )
}

fn case() -> impl Strategy<Value = (Snapshot, Attempt)> {
    prop::sample::select([Transport::Tcp, Transport::Udp].as_slice()).prop_flat_map(|transport| {
        (prop::collection::vec(socket(transport), 0..14), attempt(transport), any::<bool>()).prop_map(
            move |(sockets, attempt, one_chain)| {
                let mut snapshot = Snapshot {
                    sockets,
                    coverage: Coverage { one_chain, bound_inactive: true, ..Coverage::default() },
                    ..Snapshot::default()
                };
                snapshot.coverage.ports.insert((transport, 80), Depth::Every);
                snapshot.sysctls.unprivileged_port_start = Some(0);
                for ip in IPS {
                    for device in 0..2 {
                        snapshot.locality.insert((ip.parse().unwrap(), device), Locality::Local);
                    }
                }
                (snapshot, attempt)
            },
        )
    })
}

/// The answers that a verdict leaves open.
fn possible(verdict: &Verdict) -> Vec<Option<Errno>> {
    match &verdict.outcome {
        Outcome::Ok => vec![None],
        Outcome::Refused(refusal) => vec![Some(refusal.errno)],
        Outcome::Unknown { possible, .. } => possible.clone(),
    }
}

/// Gives one unknown fact of one socket a value.
fn learn(socket: &mut Socket, which: u8, value: bool) {
    match which {
        0 => _ = socket.options.reuseaddr.get_or_insert(value),
        1 => _ = socket.options.reuseport.get_or_insert(value),
        2 => _ = socket.options.v6only.get_or_insert(value),
        _ if !socket.mini => _ = socket.uid.get_or_insert(u32::from(value)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn knowing_more_never_widens_the_answer(
        (snapshot, attempt) in case(), which in 0u8..4, value: bool, index: prop::sample::Index,
    ) {
        let before = possible(&judge(&snapshot, &attempt));
        let mut wiser = snapshot.clone();
        if !wiser.sockets.is_empty() {
            let at = index.index(wiser.sockets.len());
            learn(&mut wiser.sockets[at], which, value);
        }
        for answer in possible(&judge(&wiser, &attempt)) {
            prop_assert!(before.contains(&answer), "{answer:?} is not among {before:?}");
        }
    }

    #[test]
    fn one_socket_less_never_refuses_a_tcp_bind_that_passed(
        (snapshot, attempt) in case(), index: prop::sample::Index,
    ) {
        let tcp = matches!(attempt.address, Address::Inet { transport: Transport::Tcp, .. });
        if tcp && !snapshot.sockets.is_empty() && judge(&snapshot, &attempt).outcome == Outcome::Ok {
            let mut emptier = snapshot.clone();
            emptier.sockets.remove(index.index(snapshot.sockets.len()));
            prop_assert_eq!(judge(&emptier, &attempt).outcome, Outcome::Ok);
        }
    }

    #[test]
    fn a_missing_fact_is_one_that_is_missing((snapshot, attempt) in case()) {
        for fact in judge(&snapshot, &attempt).missing() {
            if let Some(socket) = fact.socket().map(|index| &snapshot.sockets[index]) {
                use inuse_rules::Fact;
                let known = match fact {
                    Fact::Reuseaddr(_) => socket.options.reuseaddr.is_some(),
                    Fact::Reuseport(_) => socket.options.reuseport.is_some(),
                    Fact::V6only(_) => socket.options.v6only.is_some(),
                    Fact::Uid(_) => socket.uid.is_some(),
                    _ => false,
                };
                prop_assert!(!known, "{fact:?} of {socket:?}");
            }
        }
    }

    #[test]
    fn a_refusal_names_who_is_in_the_way_and_a_diagnosis_agrees((snapshot, attempt) in case()) {
        let verdict = judge(&snapshot, &attempt);
        if let Outcome::Refused(refusal) = &verdict.outcome {
            prop_assert!(refusal.errno != Errno::EADDRINUSE || !refusal.by.is_empty());
            prop_assert!(refusal.by.iter().all(|&index| index < snapshot.sockets.len()));
        }
        let diagnosis = diagnose(&snapshot, &attempt);
        prop_assert_eq!(&diagnosis.verdict, &verdict);
        let bindable = matches!(diagnosis.cause, Cause::Free | Cause::OtherNetns | Cause::SplitBrain);
        prop_assert_eq!(bindable, verdict.outcome == Outcome::Ok);
        prop_assert!(!diagnosis.also.contains(&diagnosis.cause));
        prop_assert!(diagnosis.summary.ends_with('.'), "{}", diagnosis.summary);
    }
}

/// A few kinds of remains, each many times, among other sockets.
fn crowded() -> impl Strategy<Value = (Snapshot, Attempt)> {
    (case(), prop::collection::vec(any::<prop::sample::Index>(), 0..300)).prop_map(
        |((mut snapshot, attempt), again)| {
            snapshot.sysctls.local_port_range = Some((32768, 60999));
            let counts = |socket: &Socket| socket.mini || socket.state == State::Established;
            for (nth, socket) in snapshot.sockets.iter_mut().enumerate().filter(|(_, socket)| counts(socket))
            {
                if !socket.mini {
                    let holding = Holding { pid: 7, tid: None, fds: vec![3], cloexec: None };
                    socket.owners = Ownership::Held(vec![holding]);
                    socket.inode = 1;
                }
                socket.remote =
                    Some(SocketAddr::from(([127, 0, 0, 9], if nth % 3 == 0 { 443 } else { 40_000 })));
                if socket.state == State::TimeWait {
                    socket.owners = Ownership::Nobody(NoOwner::TimeWait);
                    socket.timer = Some(Timer { kind: TimerKind::TimeWait, left_ms: 1000 });
                }
            }
            let small: Vec<Socket> =
                snapshot.sockets.iter().filter(|socket| counts(socket)).cloned().collect();
            if !small.is_empty() {
                let repeated = again.iter().enumerate().map(|(nth, index)| {
                    let mut socket = small[index.index(small.len())].clone();
                    socket.timer = socket.timer.map(|timer| Timer { left_ms: 2000 + nth as u32, ..timer });
                    socket
                });
                snapshot.sockets.extend(repeated);
            }
            (snapshot, attempt)
        },
    )
}

/// A diagnosis without the places of rows, and with the number of those in the way.
fn told(snapshot: &Snapshot, attempt: &Attempt) -> (Diagnosis, [u64; 4]) {
    let mut told = diagnose(snapshot, attempt);
    told.holders.clear();
    let Diagnosis { verdict, plain, reuseaddr, reuseport, .. } = &mut told;
    let counts = [verdict, plain, reuseaddr, reuseport].map(|verdict| {
        let count = verdict.by().iter().map(|&index| snapshot.sockets[index].count()).sum();
        match &mut verdict.outcome {
            Outcome::Ok => {}
            Outcome::Refused(refusal) => refusal.by.clear(),
            Outcome::Unknown { by, missing, .. } => {
                by.clear();
                missing.retain(|fact| fact.socket().is_none());
            }
        }
        count
    });
    (told, counts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counting_rows_that_are_alike_changes_no_answer((snapshot, attempt) in crowded()) {
        let mut time_waits = Merger::of_time_waits(&snapshot.sysctls);
        snapshot.sockets.iter().cloned().for_each(|row| time_waits.take(row));
        let mut connections = Merger::of_connections(&snapshot.sysctls);
        time_waits.into_rows().into_iter().for_each(|row| connections.take(row));
        let merged = Snapshot { sockets: connections.into_rows(), ..snapshot.clone() };
        prop_assert_eq!(merged.sockets.iter().map(Socket::count).sum::<u64>(), snapshot.sockets.len() as u64);
        prop_assert_eq!(told(&merged, &attempt), told(&snapshot, &attempt));
    }
}

/// A port full of remains is an everyday sight on a busy server: a diagnosis must stay linear in them.
/// (At 30,000 rows a quadratic step takes half a minute; the bound leaves room for a slow machine.)
#[test]
fn a_port_full_of_time_wait_is_told_at_once() {
    let address = |ip: &str, port| Address::tcp(SocketAddr::new(ip.parse().unwrap(), port));
    let rows = |count: u16, reuseaddr: Option<bool>| {
        (0..count).map(move |n| {
            let mut socket = Socket::new(address("127.0.0.1", 80), State::TimeWait);
            socket.remote = Some(SocketAddr::new("127.0.0.1".parse().unwrap(), 1024 + n));
            socket.options.reuseaddr = reuseaddr;
            socket.options.reuseport = Some(false);
            socket.timer = Some(Timer { kind: TimerKind::TimeWait, left_ms: u32::from(n) });
            socket
        })
    };
    for (known, listens) in [(Some(false), false), (None, false), (None, true)] {
        let mut snapshot = Snapshot { sockets: rows(30_000, known).collect(), ..Snapshot::default() };
        snapshot.coverage.ports.insert((Transport::Tcp, 80), Depth::Every);
        if listens {
            snapshot.sockets.push(Socket::new(address("0.0.0.0", 80), State::Listen));
        }
        let started = std::time::Instant::now();
        inuse_rules::infer::from_siblings(&mut snapshot);
        for ip in ["0.0.0.0", "::"] {
            let diagnosis = diagnose(&snapshot, &Attempt::plain(address(ip, 80)));
            let expect = match (ip, listens) {
                ("0.0.0.0", true) => Cause::Listener,
                (_, true) => Cause::DualStack,
                _ => Cause::TimeWait,
            };
            assert_eq!(diagnosis.cause, expect, "{ip}");
        }
        assert!(started.elapsed().as_secs() < 5, "{:?} for {known:?}, {listens}", started.elapsed());
    }
}
