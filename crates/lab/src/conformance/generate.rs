//! Where cases come from: an enumeration of single old sockets, and random mixtures.
//!
//! Case number `index` of a family depends on (seed, index) alone. The enumerations walk their whole
//! product in a stride, so that any number of cases is spread over all of it and a number as large as the
//! product meets every combination.

use inuse_rules::Transport;

use super::case::{Case, Device, End, Fate, Later, Make, Old, Role, Spot, Stay};
use super::random::Random;

/// A kind of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// One old TCP socket.
    TcpSingle,
    /// Several old TCP sockets, in any order.
    TcpMixed,
    /// One old UDP socket.
    UdpSingle,
    /// Several old UDP sockets, sometimes more than the ten that make the kernel walk another chain.
    UdpMixed,
}

impl Family {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Family::TcpSingle => "tcp single",
            Family::TcpMixed => "tcp mixed",
            Family::UdpSingle => "udp single",
            Family::UdpMixed => "udp mixed",
        }
    }

    /// Case number `index`.
    pub fn case(self, seed: u64, index: u64) -> Case {
        let mut random = Random::new(seed, index);
        match self {
            Family::TcpSingle => single(Transport::Tcp, &tcp_fates(), index, &mut random),
            Family::UdpSingle => single(Transport::Udp, &UDP_FATES, index, &mut random),
            Family::TcpMixed => tcp_mixed(&mut random),
            Family::UdpMixed => udp_mixed(&mut random),
        }
    }
}

const UDP_FATES: [Fate; 6] = [
    Fate::Bound(Stay::Stays),
    Fate::Bound(Stay::LeavesAtOnce),
    Fate::Connected,
    Fate::AutoConnected,
    Fate::Disconnected,
    Fate::Bound(Stay::LeavesLast),
];

/// Everything that can become of one TCP socket.
fn tcp_fates() -> Vec<Fate> {
    let mut fates = vec![
        Fate::Bound(Stay::Stays),
        Fate::Listen(Stay::Stays),
        Fate::ShutListener,
        Fate::Bound(Stay::LeavesAtOnce),
        Fate::Listen(Stay::LeavesLast),
    ];
    for end in End::ALL {
        for over_v4 in [false, true] {
            let mut add = |role| fates.push(Fate::Connection { role, end, over_v4 });
            for listener in [false, true] {
                if accepted(end) && (listener || !matches!(end, End::Queued | End::SynRecv)) {
                    add(Role::Accepted { uid: 0, listener });
                }
            }
            if !matches!(end, End::Queued | End::SynRecv) {
                add(Role::BoundClient);
                add(Role::Client);
            }
        }
    }
    fates
}

/// Whether a listener's connection can end so.
fn accepted(end: End) -> bool {
    !matches!(end, End::SynSent | End::ItsOwnPeer)
}

/// The product of old address and options, fate, and attempted address and options, as one number.
fn single(transport: Transport, fates: &[Fate], index: u64, random: &mut Random) -> Case {
    let makes = makes();
    let total = (makes.len() * makes.len() * fates.len()) as u64;
    // A prime that divides no such product, near the golden section of the larger one.
    let mut number = (u128::from(index) * 115_249 % u128::from(total)) as usize;
    let mut digit = |base: usize| {
        let digit = number % base;
        number /= base;
        digit
    };
    let mut old = makes[digit(makes.len())];
    let mut attempt = makes[digit(makes.len())];
    let fate = fates[digit(fates.len())];
    for make in [&mut old, &mut attempt] {
        make.uid = if random.percent(75) { 0 } else { 1000 };
        make.device = device(random, make.spot);
    }
    let later = if random.percent(10) { later(random) } else { Later::Nothing };
    let fate = match fate {
        Fate::Connection { role: Role::Accepted { listener, .. }, end, over_v4 } => {
            let uid = if random.percent(75) { old.uid } else { 1000 - old.uid };
            Fate::Connection { role: Role::Accepted { uid, listener }, end, over_v4 }
        }
        fate => fate,
    };
    Case { transport, olds: vec![Old { make: old, later, fate }], attempt }
}

/// Every address with every combination of the three options.
fn makes() -> Vec<Make> {
    let mut makes = Vec::new();
    for spot in Spot::ALL {
        for bits in 0..8u8 {
            let v6only = bits & 4 != 0;
            if v6only && !spot.v6() {
                continue;
            }
            let (reuseaddr, reuseport) = (bits & 1 != 0, bits & 2 != 0);
            makes.push(Make { reuseaddr, reuseport, v6only, ..Make::plain(spot) });
        }
    }
    makes
}

/// Mostly none; and only devices on which the address means something.
fn device(random: &mut Random, spot: Spot) -> Device {
    match random.below(10) {
        0 if !spot.on_link() => Device::Loopback,
        1 if !spot.on_loopback() => Device::Link,
        2 if spot == Spot::Loop6 && random.percent(10) => Device::Link,
        _ => Device::Free,
    }
}

fn later(random: &mut Random) -> Later {
    let on = random.percent(50);
    if random.percent(50) { Later::Reuseaddr(on) } else { Later::Reuseport(on) }
}

fn make(random: &mut Random, reuseaddr: usize, reuseport: usize) -> Make {
    let spot = random.one_of(Spot::ALL);
    Make {
        spot,
        reuseaddr: random.percent(reuseaddr),
        reuseport: random.percent(reuseport),
        // A mapped address with V6ONLY is refused for itself; seldom is enough.
        v6only: random.percent(if matches!(spot, Spot::MappedAny | Spot::MappedLoop) { 3 } else { 33 }),
        uid: random.one_of([0, 0, 0, 1000, 1000, 1001]),
        device: device(random, spot),
    }
}

fn tcp_mixed(random: &mut Random) -> Case {
    let count = random.one_of([1, 2, 2, 3, 3, 4, 5, 6]);
    let reuseaddr = random.one_of([20, 50, 80, 100]);
    let reuseport = random.one_of([0, 10, 30, 60, 100]);
    let olds = (0..count)
        .map(|_| {
            let make = make(random, reuseaddr, reuseport);
            let later = if random.percent(10) { later(random) } else { Later::Nothing };
            Old { make, later, fate: tcp_fate(random, make.uid) }
        })
        .collect();
    Case { transport: Transport::Tcp, olds, attempt: make(random, 50, 40) }
}

fn tcp_fate(random: &mut Random, uid: u32) -> Fate {
    match random.below(20) {
        0..=3 => Fate::Bound(Stay::Stays),
        4..=6 => Fate::Listen(Stay::Stays),
        7 => Fate::ShutListener,
        8 => Fate::Bound(random.one_of([Stay::LeavesAtOnce, Stay::LeavesLast])),
        9 => Fate::Listen(random.one_of([Stay::LeavesAtOnce, Stay::LeavesLast])),
        _ => {
            let role = match random.below(4) {
                0 => Role::BoundClient,
                1 => Role::Client,
                _ => {
                    let uid = if random.percent(80) { uid } else { random.one_of([0, 1000]) };
                    Role::Accepted { uid, listener: random.percent(40) }
                }
            };
            let end = match role {
                Role::Accepted { .. } => {
                    random.one_of(End::ALL.map(|e| if accepted(e) { e } else { End::TimeWait }))
                }
                _ => random.one_of(End::ALL),
            };
            let role = match role {
                Role::Accepted { uid, .. } if matches!(end, End::Queued | End::SynRecv) => {
                    Role::Accepted { uid, listener: true }
                }
                Role::BoundClient | Role::Client if matches!(end, End::Queued | End::SynRecv) => {
                    Role::Accepted { uid, listener: true }
                }
                role => role,
            };
            Fate::Connection { role, end, over_v4: random.percent(40) }
        }
    }
}

fn udp_mixed(random: &mut Random) -> Case {
    let count = random.one_of([1, 2, 3, 3, 4, 5, 6, 8, 11, 12, 14, 20]);
    let reuseaddr = random.one_of([20, 50, 80, 100]);
    let reuseport = random.one_of([0, 20, 50, 80, 100]);
    let olds = (0..count)
        .map(|_| {
            let make = make(random, reuseaddr, reuseport);
            let later = if random.percent(10) { later(random) } else { Later::Nothing };
            let fate = match random.below(20) {
                0..=12 => Fate::Bound(Stay::Stays),
                13 => Fate::Bound(Stay::LeavesAtOnce),
                14 => Fate::Bound(Stay::LeavesLast),
                15..=16 => Fate::Connected,
                17 => Fate::Disconnected,
                _ => Fate::AutoConnected,
            };
            Old { make, later, fate }
        })
        .collect();
    Case { transport: Transport::Udp, olds, attempt: make(random, 50, 50) }
}
