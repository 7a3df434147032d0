//! bind() to port 0, and connect() without a port, in a range of a few ports.
//!
//! Each port of the range has its own occupant or none; some ports are reserved. The question is whether
//! the kernel finds a port, not which.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::{InetQuery, Ports, States};
use inuse_kernel::sysctls;
use inuse_rules::judge::{Connect, judge_connect};
use inuse_rules::{Address, Attempt, Call, Transport, judge};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::case::{Device, End, Fate, Later, Make, Old, Role, Spot, Stay};
use super::compare::compare;
use super::ground::{LOOPBACK, set};
use super::look::Looker;
use super::play::{Player, completed};
use super::random::Random;
use super::situation::{self, Answer, Facts, Situation, reachable};
use super::tally::Tally;
use super::{tcp, udp};
use crate::sys::sockopt as raw;

/// How many situations are asked about, of each call.
const COUNT: u64 = 3000;

/// Who chooses the port for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// bind() to port 0.
    Bind,
    /// connect() without a port.
    Connect,
}

/// Plays all cases of one call.
///
/// # Errors
/// Where something cannot be staged.
pub fn run(player: &mut Player, asks: Asks) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for index in 0..COUNT {
        one(player, asks, &mut Random::new(0, index), &mut tally)?;
    }
    player.renew()?;
    Ok(tally)
}

fn one(player: &mut Player, asks: Asks, random: &mut Random, tally: &mut Tally) -> io::Result<()> {
    let transport = if random.percent(60) { Transport::Tcp } else { Transport::Udp };
    let count = random.one_of([1_u16, 1, 2, 2, 3, 4]);
    let low = player.fresh_ports(count + 1)? + u16::from(random.percent(50));
    let high = low + count - 1;
    set("ipv4/ip_autobind_reuse", if random.percent(30) { "1" } else { "0" })?;
    let reserved: Vec<String> =
        (low..=high).filter(|_| random.percent(15)).map(|port| port.to_string()).collect();
    set("ipv4/ip_local_reserved_ports", &reserved.join(","))?;

    let mut situations = Vec::new();
    let mut olds = Vec::new();
    for port in low..=high {
        let mut situation = Situation::new(player.ground(), port);
        if random.percent(80) {
            let old = occupant(transport, random);
            match transport {
                Transport::Tcp => tcp::stage(&mut situation, &old),
                Transport::Udp => udp::stage(&mut situation, &old),
            };
            olds.push(old);
        }
        situation.ready();
        situations.push(situation);
    }
    let mut make = Make::plain(random.one_of(Spot::ALL));
    (make.reuseaddr, make.reuseport) = (random.percent(50), random.percent(40));
    make.v6only = make.spot == Spot::Any6 && random.percent(30);
    make.uid = random.one_of([0, 0, 1000]);
    if random.percent(15) && !make.spot.on_link() {
        make.device = Device::Loopback;
    }
    let device = if make.device == Device::Loopback { LOOPBACK } else { 0 };
    let connects = asks == Asks::Connect;

    let query = InetQuery { transport, ports: Ports::Local(low, high), states: States::ALL };
    let mut rows = Looker::new()?.rows(&query)?;
    for situation in situations.iter().filter(|_| transport == Transport::Tcp) {
        rows.extend(situation.left_out(&rows));
    }
    let (answer, source) = player.ground().with_range(low, high, || {
        if connects { connect(player, transport, &make) } else { (bind(transport, &make), None) }
    })?;
    let settings = player.ground().with_range(low, high, || sysctls(&Netns::current()))?;
    let mut facts: BTreeMap<u64, Facts> = BTreeMap::new();
    for mut situation in situations {
        situation.learn();
        facts.append(&mut situation.facts);
    }

    let mut snapshot = player.kernel().snapshot();
    snapshot.sockets = completed(rows, &facts)?;
    snapshot.coverage.whole = vec![transport];
    snapshot.sysctls = settings.map_err(io::Error::other)?.found;
    let verdict = match (connects, source) {
        (true, Some((source, remote))) => {
            let wanted = Connect {
                transport,
                source: source.ip(),
                remote,
                device,
                reuseaddr: make.reuseaddr,
                reuseport: make.reuseport,
                v6only: make.v6only,
                uid: make.uid,
            };
            judge_connect(&snapshot, &wanted)
        }
        _ => {
            let local = make.spot.at(0);
            let attempt = Attempt {
                reuseaddr: make.reuseaddr,
                reuseport: make.reuseport,
                v6only: make.v6only,
                uid: make.uid,
                freebind: true,
                ..Attempt::plain(Address::Inet { transport, local, device })
            };
            judge(&snapshot, &attempt)
        }
    };
    let story = || {
        let olds: String = olds.iter().map(|old| format!("  {old}\n")).collect();
        let call = if connects { "connect" } else { "bind to port 0" };
        format!(
            "{olds}  ports {low} to {high} without {reserved:?}: {} {call}: {make}\n  the kernel says {answer}, the model {verdict:?}",
            transport.name(),
        )
    };
    // Where every port is reserved, nobody is to blame.
    tally.count(compare(&snapshot, &verdict, &answer, false), story, answer.errno.is_some());
    Ok(())
}

/// One old socket on a port of the range.
fn occupant(transport: Transport, random: &mut Random) -> Old {
    let mut make = Make::plain(random.one_of(Spot::ALL));
    (make.reuseaddr, make.reuseport) = (random.percent(50), random.percent(30));
    make.v6only = make.spot == Spot::Any6 && random.percent(40);
    make.uid = random.one_of([0, 0, 1000]);
    make.device = if random.percent(10) && !make.spot.on_link() { Device::Loopback } else { Device::Free };
    let over_v4 = random.percent(30);
    let accepted = Role::Accepted { uid: make.uid, listener: false };
    let connection = |role, end| Fate::Connection { role, end, over_v4 };
    let fate = match transport {
        Transport::Udp => random.one_of([Fate::Bound(Stay::Stays), Fate::Connected, Fate::AutoConnected]),
        Transport::Tcp => random.one_of([
            Fate::Bound(Stay::Stays),
            Fate::Listen(Stay::Stays),
            connection(accepted, End::TimeWait),
            connection(accepted, End::Established),
            connection(Role::Client, End::Established),
            connection(Role::Client, End::TimeWait),
            connection(Role::Client, End::SynSent),
            connection(Role::BoundClient, End::Established),
        ]),
    };
    Old { make, later: Later::Nothing, fate }
}

fn bind(transport: Transport, make: &Make) -> Answer {
    situation::attempt(transport, make, 0)
}

/// connect() by a socket that has no port: unbound, or with an address and `IP_BIND_ADDRESS_NO_PORT`. The
/// source and destination come with the answer.
fn connect(player: &Player, transport: Transport, make: &Make) -> (Answer, Option<(SocketAddr, SocketAddr)>) {
    let ip = reachable(make, false);
    let to = player.ground().sink_at(ip);
    let ends = Some((SocketAddr::new(ip, 0), to));
    let socket = match situation::open(transport, make) {
        Ok(socket) => socket,
        Err(errno) => return (Answer::failure(errno, Call::Setsockopt), ends),
    };
    if make.reuseaddr && transport == Transport::Tcp {
        let set = raw::set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        if let Err(errno) =
            set.map_err(|_| Errno::INVAL).and_then(|()| rustix::net::bind(&socket, &SocketAddr::new(ip, 0)))
        {
            return (Answer::failure(errno, Call::Bind), ends);
        }
    }
    let _ = sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO));
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => (Answer::success(Call::Connect), ends),
        Err(errno) => (Answer::failure(errno, Call::Connect), ends),
    }
}
