//! The checks that come before any other socket is looked at: privileged ports, addresses that are not
//! ours, scopes, devices, and in which order they win over an address that is in use.
//!
//! An enumeration that is always played whole. The facts come from the kernel crate, as for the command.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;

use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{locality, sysctls};
use inuse_rules::snapshot::Sysctls;
use inuse_rules::{Address, Attempt, Call, Transport, judge};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::compare::compare;
use super::ground::{LINK_NAME, LOOPBACK, set};
use super::look::Looker;
use super::play::{Player, completed};
use super::route::Route;
use super::situation::{Answer, Situation, as_user};
use super::tally::Tally;
use crate::sys::sockopt as raw;

/// A privileged port, and one that is not.
const PORTS: [u16; 2] = [80, 1999];

/// Addresses of every kind, and the interface that their scope names.
const ADDRESSES: [(&str, Scope); 25] = [
    ("0.0.0.0", Scope::None),
    ("127.0.0.1", Scope::None),
    ("127.200.0.9", Scope::None),
    ("127.255.255.255", Scope::None),
    ("10.99.0.1", Scope::None),
    ("10.99.0.255", Scope::None),
    ("192.0.2.7", Scope::None),
    ("224.0.0.1", Scope::None),
    ("255.255.255.255", Scope::None),
    ("::", Scope::None),
    ("::1", Scope::None),
    ("fd99::1", Scope::None),
    ("2001:db8::7", Scope::None),
    ("::ffff:0.0.0.0", Scope::None),
    ("::ffff:127.0.0.1", Scope::None),
    ("::ffff:192.0.2.7", Scope::None),
    ("ff02::1", Scope::None),
    ("ff02::1", Scope::Link),
    ("ff0e::1", Scope::None),
    (LINK_LOCAL, Scope::None),
    (LINK_LOCAL, Scope::Link),
    (LINK_LOCAL, Scope::Loopback),
    ("fe80::1:2", Scope::Link),
    (LINK_LOCAL, Scope::NoInterface),
    (TENTATIVE, Scope::None),
];
/// Given to the second device a moment before it is asked for: duplicate address detection takes a second.
const TENTATIVE: &str = "fd99::77";
/// Given to the second device.
const LINK_LOCAL: &str = "fe80::99";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    None,
    Link,
    Loopback,
    NoInterface,
}

/// Plays all of it.
///
/// # Errors
/// Where something cannot be staged.
pub fn run(player: &mut Player) -> io::Result<Tally> {
    let mut tally = Tally::default();
    player.renew()?;
    let link = player.ground().link;
    let route = Route::open()?;
    let mut looker = Looker::new()?;
    route.address(link, ip(LINK_LOCAL)?, 64, false)?;
    for nonlocal in ["0", "1"] {
        set("ipv4/ip_nonlocal_bind", nonlocal)?;
        set("ipv6/ip_nonlocal_bind", nonlocal)?;
        let settings = sysctls(&Netns::current()).map_err(io::Error::other)?.found;
        for (text, scope) in ADDRESSES {
            if text == TENTATIVE && nonlocal == "0" {
                route.address(link, ip(TENTATIVE)?, 64, true)?;
            }
            let scope = match scope {
                Scope::None => 0,
                Scope::Link => link,
                Scope::Loopback => LOOPBACK,
                Scope::NoInterface => 9999,
            };
            for attempt in attempts(ip(text)?, scope, link) {
                for busy in [false, true] {
                    ask(player, &mut looker, &settings, &attempt, busy, &mut tally)?;
                }
            }
        }
    }
    // What comes next finds the defaults again.
    player.renew()?;
    Ok(tally)
}

fn ip(text: &str) -> io::Result<IpAddr> {
    text.parse().map_err(io::Error::other)
}

/// Everything else that these checks look at, in every combination.
fn attempts(ip: IpAddr, scope: u32, link: u32) -> Vec<Attempt> {
    let mut all = Vec::new();
    for port in PORTS {
        let local: SocketAddr = match ip {
            IpAddr::V4(v4) => (v4, port).into(),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
        };
        for device in [0, LOOPBACK, link] {
            for bits in 0..16_u8 {
                let transport = if bits & 1 == 0 { Transport::Tcp } else { Transport::Udp };
                let v6only = bits & 2 != 0;
                let uid = if bits & 4 == 0 { 0 } else { 1000 };
                if v6only && ip.is_ipv4() {
                    continue;
                }
                all.push(Attempt {
                    v6only,
                    uid,
                    net_bind_service: uid == 0,
                    freebind: bits & 8 != 0,
                    ..Attempt::plain(Address::Inet { transport, local, device })
                });
            }
        }
    }
    all
}

fn ask(
    player: &Player,
    looker: &mut Looker,
    settings: &Sysctls,
    attempt: &Attempt,
    busy: bool,
    tally: &mut Tally,
) -> io::Result<()> {
    let Some((transport, local, device)) = attempt.address.inet() else { return Ok(()) };
    // Root holds the very address, without any option.
    let holder = open(&Attempt { v6only: false, freebind: true, ..attempt.clone() })?;
    let mut situation = Situation::new(player.ground(), local.port());
    if busy && rustix::net::bind(&holder, &local).is_ok() {
        situation.keep(holder, true);
    }
    situation.learn();
    let facts = std::mem::take(&mut situation.facts);
    let mut rows = looker.rows(&InetQuery::port(transport, local.port()))?;
    if transport == Transport::Tcp {
        rows.extend(situation.left_out(&rows));
    }
    let answer = as_user(attempt.uid, || real(attempt))?;
    drop(situation);
    let rows = completed(rows, &facts)?;
    let mut snapshot = player.kernel().snapshot_of(transport, local.port(), rows);
    let scope = match local {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    // The scope overrides the device.
    let place = if scope == 0 { device } else { scope };
    let fact = locality(&Netns::current(), local.ip(), place).map_err(io::Error::other)?;
    snapshot.locality.insert((local.ip(), place), fact);
    snapshot.sysctls = settings.clone();
    let verdict = judge(&snapshot, attempt);
    let story = || {
        format!("  busy={busy} {fact:?}\n  {attempt:?}\n  the kernel says {answer}, the model {verdict:?}")
    };
    tally.count(compare(&snapshot, &verdict, &answer, true), story, answer.errno.is_some());
    Ok(())
}

fn open(attempt: &Attempt) -> io::Result<OwnedFd> {
    let Some((transport, local, device)) = attempt.address.inet() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let family = if local.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if local.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, attempt.v6only)?;
    }
    if attempt.freebind {
        raw::set_int(&socket, libc::IPPROTO_IP, libc::IP_FREEBIND, 1)?;
    }
    match device {
        0 => {}
        LOOPBACK => raw::bind_to_device(&socket, "lo")?,
        _ => raw::bind_to_device(&socket, LINK_NAME)?,
    }
    Ok(socket)
}

/// socket, options, bind and, for TCP, listen.
fn real(attempt: &Attempt) -> Answer {
    let Some((transport, local, _)) = attempt.address.inet() else { return Answer::success(Call::Bind) };
    let socket = match open(attempt) {
        Ok(socket) => socket,
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
            return Answer::failure(errno, Call::Setsockopt);
        }
    };
    if let Err(errno) = rustix::net::bind(&socket, &local) {
        return Answer::failure(errno, Call::Bind);
    }
    if transport == Transport::Udp {
        return Answer::success(Call::Bind);
    }
    match rustix::net::listen(&socket, 4) {
        Ok(()) => Answer::success(Call::Listen),
        Err(errno) => Answer::failure(errno, Call::Listen),
    }
}
