//! The truth table of the rule, a line a fact, and properties that hold for every table.

use super::*;
use crate::snapshot::{Coverage, Depth};
use crate::socket::{Socket, State};
use alloc::format;
use alloc::string::String;

/// A snapshot of port 80 with the sockets written in `table`, one a word:
/// `LISTEN@127.0.0.1+ra+rp!u5` is a listener with both options, V6ONLY (`!`) and uid 5; `?ra` makes
/// the option unknown.
fn snapshot(transport: Transport, table: &str) -> Snapshot {
    let mut snapshot = Snapshot {
        coverage: Coverage { one_chain: true, bound_inactive: true, ..Coverage::default() },
        ..Snapshot::default()
    };
    snapshot.coverage.ports.insert((transport, 80), Depth::Every);
    snapshot.sysctls.nonlocal_bind_v4 = Some(true);
    snapshot.sysctls.nonlocal_bind_v6 = Some(true);
    for ip in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
        snapshot.locality.insert((ip.parse().unwrap(), 0), crate::snapshot::Locality::Local);
    }
    snapshot.sockets = table.split_whitespace().map(|word| socket(transport, word)).collect();
    snapshot
}

fn socket(transport: Transport, word: &str) -> Socket {
    let (state, rest) = word.split_once('@').unwrap();
    let end = rest.find(['+', '?', '!', '~']).unwrap_or(rest.len());
    let ip = rest[..end].parse().unwrap();
    let address = Address::Inet { transport, local: core::net::SocketAddr::new(ip, 80), device: 0 };
    let mut socket = Socket::new(address, State::from_name(state).unwrap());
    let has = |what: &str| rest.contains(what);
    let option = |name: &str| (!has(&format!("?{name}"))).then(|| has(&format!("+{name}")));
    socket.options.reuseaddr = option("ra");
    socket.options.reuseport = option("rp");
    socket.options.v6only = (!has("?v6")).then(|| has("!"));
    socket.uid = if socket.mini {
        None
    } else {
        Some(rest.split_once('~').map_or(0, |(_, uid)| uid.parse().unwrap()))
    };
    socket
}

/// `127.0.0.1+ra+rp!` asked by root.
fn attempt(transport: Transport, word: &str) -> Attempt {
    let end = word.find(['+', '!']).unwrap_or(word.len());
    let local = core::net::SocketAddr::new(word[..end].parse().unwrap(), 80);
    let mut attempt = Attempt::plain(Address::Inet { transport, local, device: 0 });
    attempt.reuseaddr = word.contains("+ra");
    attempt.reuseport = word.contains("+rp");
    attempt.v6only = word.contains('!');
    attempt
}

fn answer(transport: Transport, table: &str, word: &str) -> String {
    let verdict = judge(&snapshot(transport, table), &attempt(transport, word));
    match verdict.outcome {
        Outcome::Ok => "ok".into(),
        Outcome::Refused(refusal) => refusal.rule.code().into(),
        Outcome::Unknown { missing, .. } => {
            let facts: Vec<String> = missing.iter().map(|f| f.describe(|i| format!("{i}"))).collect();
            format!("unknown {}", facts.join(", "))
        }
    }
}

#[track_caller]
fn tcp(table: &str, word: &str, expect: &str) {
    assert_eq!(answer(Transport::Tcp, table, word), expect, "{word} beside [{table}]");
}

#[track_caller]
fn udp(table: &str, word: &str, expect: &str) {
    assert_eq!(answer(Transport::Udp, table, word), expect, "{word} beside [{table}]");
}

#[test]
fn who_stands_in_the_way_of_a_tcp_bind() {
    tcp("", "127.0.0.1", "ok");
    tcp("LISTEN@127.0.0.1", "127.0.0.1", "new-lacks-reuseaddr");
    tcp("LISTEN@127.0.0.1", "127.0.0.2", "ok");
    tcp("LISTEN@127.0.0.1+ra", "127.0.0.1+ra", "listener-never-shares");
    tcp("LISTEN@127.0.0.1+rp", "127.0.0.1+rp", "ok");
    tcp("LISTEN@127.0.0.1+rp~1000", "127.0.0.1+rp", "reuseport-uid");
    tcp("LISTEN@127.0.0.1", "127.0.0.1+rp", "old-lacks-reuseport");
    tcp("BOUND@127.0.0.1+ra", "127.0.0.1+ra", "ok");
    tcp("BOUND@127.0.0.1", "127.0.0.1+ra", "old-lacks-reuseaddr");
    tcp("TIME_WAIT@127.0.0.1+ra", "127.0.0.1+ra", "ok");
    tcp("TIME_WAIT@127.0.0.1+ra", "127.0.0.1", "new-lacks-reuseaddr");
    tcp("TIME_WAIT@127.0.0.1", "127.0.0.1+ra", "old-lacks-reuseaddr");
    tcp("TIME_WAIT@127.0.0.1+rp", "127.0.0.1+rp", "ok");
    tcp("SYN_RECV@127.0.0.1", "127.0.0.1", "ok");
    tcp("ESTABLISHED@::1+ra", "0.0.0.0+ra", "ok");
    tcp("ESTABLISHED@::1", "0.0.0.0", "new-lacks-reuseaddr");
    tcp("ESTABLISHED@::1!", "0.0.0.0", "ok");
    tcp("ESTABLISHED@::1", "127.0.0.1", "ok");
    tcp("LISTEN@::!", "0.0.0.0", "ok");
    tcp("LISTEN@0.0.0.0", "::!", "ok");
    tcp("LISTEN@0.0.0.0", "::", "new-lacks-reuseaddr");
    tcp("", "::ffff:127.0.0.1!", "mapped-v6only");
}

#[test]
fn what_is_not_known_is_named_and_only_where_it_matters() {
    tcp("TIME_WAIT@127.0.0.1?ra?rp", "127.0.0.1", "new-lacks-reuseaddr");
    tcp("TIME_WAIT@127.0.0.1?ra?rp", "127.0.0.1+ra", "unknown 0: SO_REUSEADDR");
    tcp("TIME_WAIT@127.0.0.1?ra?rp", "127.0.0.1+rp", "unknown 0: SO_REUSEPORT");
    tcp("LISTEN@127.0.0.1?ra?rp", "127.0.0.1+ra", "listener-never-shares");
    tcp("ESTABLISHED@::1?v6", "0.0.0.0", "unknown 0: IPV6_V6ONLY");
    tcp("ESTABLISHED@::1?v6", "127.0.0.1", "ok");
    tcp("ESTABLISHED@::1?v6 LISTEN@0.0.0.0", "0.0.0.0", "new-lacks-reuseaddr");
}

#[test]
fn the_rule_that_is_named_says_nothing_of_an_unknown_option() {
    tcp("LISTEN@127.0.0.1?ra?rp~1000", "127.0.0.1+rp", "reuseport-uid");
    tcp("BOUND@127.0.0.1?ra?rp~1000", "127.0.0.1+rp", "reuseport-uid");
    tcp("LISTEN@127.0.0.1?ra?rp~1000", "127.0.0.1+ra+rp", "listener-never-shares");
    tcp("BOUND@127.0.0.1?rp~1000", "127.0.0.1+ra+rp", "old-lacks-reuseaddr");
    tcp("BOUND@127.0.0.1?ra~1000", "127.0.0.1+rp", "old-lacks-reuseport");
}

#[test]
fn the_memory_of_reuseport_leaves_the_answer_open() {
    // The bucket may remember the first one, and then the second is not looked at.
    let open = "unknown in which order SO_REUSEPORT sockets came to this port (no interface shows it)";
    tcp("BOUND@127.0.0.1+ra+rp BOUND@127.0.0.1+ra~7", "127.0.0.1+rp", open);
    // Nobody with the option could have come to stand beside a listener without it.
    tcp("BOUND@127.0.0.1+ra+rp LISTEN@127.0.0.1+ra~7", "127.0.0.1+rp", "old-lacks-reuseport");
    // Another user's memory does not help.
    tcp("BOUND@127.0.0.1+ra+rp~5 BOUND@127.0.0.1+ra~7", "127.0.0.1+rp", "reuseport-uid");
}

#[test]
fn who_stands_in_the_way_of_a_udp_bind() {
    udp("", "127.0.0.1", "ok");
    udp("UNCONN@127.0.0.1", "127.0.0.1", "udp-taken");
    udp("UNCONN@127.0.0.1+ra", "127.0.0.1+ra", "ok");
    udp("UNCONN@127.0.0.1+rp", "127.0.0.1+rp", "ok");
    udp("UNCONN@127.0.0.1+rp~5", "127.0.0.1+rp", "udp-taken");
    udp("UNCONN@127.0.0.1", "127.0.0.2", "ok");
    // The first in the chain decides.
    udp("UNCONN@127.0.0.1+rp UNCONN@0.0.0.0", "127.0.0.1+rp", "ok");
    udp("UNCONN@0.0.0.0 UNCONN@127.0.0.1+rp", "127.0.0.1+rp", "udp-taken");
    udp("UNCONN@127.0.0.1?ra", "127.0.0.1+ra", "unknown 0: SO_REUSEADDR");
    udp("UNCONN@::1", "0.0.0.0", "udp-taken");
    udp("UNCONN@::1", "127.0.0.6", "udp-taken");
}
