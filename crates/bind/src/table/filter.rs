//! Which rows are wanted: what the kernel can filter by, and what only shows once the owner is known.
//!
//! Pure: rows in, yes or no out.

use super::{Row, Site, program};
use inuse_rules::{Address, Ownership, Process, Socket, State, Transport};

/// What an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, over IPv4 and IPv6.
    Tcp,
    /// UDP, over IPv4 and IPv6.
    Udp,
    /// Unix sockets of every type.
    Unix,
}

impl Protocol {
    /// Every protocol, in the order in which rows are sorted.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Unix];

    /// The protocol of an address.
    pub const fn of(address: &Address) -> Protocol {
        match address {
            Address::Inet { transport: Transport::Tcp, .. } => Protocol::Tcp,
            Address::Inet { transport: Transport::Udp, .. } => Protocol::Udp,
            Address::Unix { .. } => Protocol::Unix,
        }
    }
}

/// A name in which `*` stands for any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern as it is written.
    pub fn new(written: impl Into<Vec<u8>>) -> Pattern {
        Pattern(written.into())
    }

    /// Whether a name is one of those that it means.
    pub fn fits(&self, name: &[u8]) -> bool {
        let mut parts = self.0.split(|&b| b == b'*');
        let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut rest = rest;
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The leftmost place leaves the most for the parts behind it.
            match (0..=rest.len()).find(|&at| rest[at..].starts_with(part)) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// Which rows are wanted; an empty list wants all. Rows fit when they fit every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Every state, not only what waits for others.
    pub all: bool,
    /// Local ports and addresses.
    pub sites: Vec<Site>,
    /// States; naming some is wanting them without `all`.
    pub states: Vec<State>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Processes that have it open.
    pub pids: Vec<u32>,
    /// Effective users of these processes; where none is known, of the socket.
    pub users: Vec<u32>,
    /// Programs, by `comm` or by the file name of the executable.
    pub programs: Vec<Pattern>,
    /// systemd units, with or without what stands behind the last dot.
    pub units: Vec<Pattern>,
    /// Containers: how their id or name begins.
    pub containers: Vec<Pattern>,
}

/// Whether a row is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// Its owner is hidden, so this cannot be said.
    Hidden,
}

impl Filter {
    /// Whether it leaves out anything that a plain list shows.
    pub fn narrows(&self) -> bool {
        let Filter { sites, states, protocols, .. } = self;
        !(sites.is_empty() && states.is_empty() && protocols.is_empty() && self.users.is_empty())
            || self.by_process()
    }

    /// The protocols that are asked for: unix sockets have no ports.
    pub(super) fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let at = |site: &Site, protocol| match site {
            Site::Unix { .. } => protocol == Protocol::Unix,
            Site::Inet { transport: None, .. } => protocol != Protocol::Unix,
            Site::Inet { transport: Some(Transport::Tcp), .. } => protocol == Protocol::Tcp,
            Site::Inet { transport: Some(Transport::Udp), .. } => protocol == Protocol::Udp,
        };
        Protocol::ALL.into_iter().filter(move |&protocol| {
            (self.protocols.is_empty() || self.protocols.contains(&protocol))
                && (self.sites.is_empty() || self.sites.iter().any(|site| at(site, protocol)))
        })
    }

    /// The lowest and the highest port that is asked for.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        let ports = self.sites.iter().filter_map(|site| match site {
            Site::Inet { ports, .. } => Some((*ports.start(), *ports.end())),
            Site::Unix { .. } => None,
        });
        ports.reduce(|(low, high), (start, end)| (low.min(start), high.max(end)))
    }

    /// The states that are asked for; `None` is every state.
    pub(super) fn states(&self) -> Option<&[State]> {
        match (self.states.as_slice(), self.all) {
            ([], true) => None,
            ([], false) => Some(&[State::Listen, State::Unconn]),
            (states, _) => Some(states),
        }
    }

    /// What sock_diag says is enough for this. A unix socket that only talks (`UNCONN` without a listener's
    /// role) does not wait for others, unless its very name is asked for.
    pub(super) fn fits_address(&self, socket: &Socket) -> bool {
        let unasked = self.states.is_empty() && !self.all && self.sites.is_empty();
        (self.sites.is_empty() || self.sites.iter().any(|site| site.fits(socket)))
            && self.states().is_none_or(|states| states.contains(&socket.state))
            && !(unasked && Protocol::of(&socket.address) == Protocol::Unix && socket.state != State::Listen)
    }

    /// What needs the owner.
    pub(super) fn fits_owner(
        &self,
        row: &Row,
        owner: &Ownership,
        holders: &[(u32, Option<&Process>)],
    ) -> Fit {
        if !self.users.is_empty() {
            let known = |uid: Option<u32>| uid.is_some_and(|uid| self.users.contains(&uid));
            let mut users = holders.iter().filter_map(|(_, process)| (*process)?.uid).peekable();
            let fits =
                if users.peek().is_some() { users.any(|uid| known(Some(uid))) } else { known(row.uid) };
            if !fits {
                return Fit::No;
            }
        }
        if !self.by_process() {
            return Fit::Yes;
        }
        match owner {
            Ownership::Hidden | Ownership::NotAsked => Fit::Hidden,
            _ if holders.iter().any(|&(pid, process)| self.fits_process(pid, process)) => Fit::Yes,
            _ => Fit::No,
        }
    }

    /// Whether it looks at owners at all.
    pub(super) fn by_owner(&self) -> bool {
        !self.users.is_empty() || self.by_process()
    }

    fn by_process(&self) -> bool {
        let Filter { pids, programs, units, containers, .. } = self;
        !(pids.is_empty() && programs.is_empty() && units.is_empty() && containers.is_empty())
    }

    fn fits_process(&self, pid: u32, process: Option<&Process>) -> bool {
        let any = |patterns: &[Pattern], fits: &dyn Fn(&Pattern, &Process) -> bool| {
            patterns.is_empty() || process.is_some_and(|process| patterns.iter().any(|p| fits(p, process)))
        };
        (self.pids.is_empty() || self.pids.contains(&pid))
            && any(&self.programs, &|pattern, process| {
                pattern.fits(program(process)) || pattern.fits(inuse_rules::diagnose::program(process))
            })
            && any(&self.units, &|pattern, process| {
                process.unit.as_ref().is_some_and(|unit| {
                    let stem = unit.name.rsplit_once('.').map_or("", |(stem, _)| stem);
                    pattern.fits(unit.name.as_bytes()) || pattern.fits(stem.as_bytes())
                })
            })
            && any(&self.containers, &|pattern, process| {
                let begins = |id: &str| (0..=id.len()).any(|end| pattern.fits(&id.as_bytes()[..end]));
                !pattern.0.is_empty()
                    && process.container.as_ref().is_some_and(|container| begins(&container.id))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::owner::{Container, Runtime, Unit};
    use inuse_rules::{Holding, UnixKind, UnixName};

    #[test]
    fn a_star_stands_for_anything() {
        let check = |pattern: &str, name: &str, expect| {
            assert_eq!(Pattern::new(pattern).fits(name.as_bytes()), expect, "{pattern} {name}");
        };
        check("nginx", "nginx", true);
        check("nginx", "nginx2", false);
        check("ngin*", "nginx", true);
        check("*", "", true);
        check("", "", true);
        check("", "x", false);
        check("*x", "nginx", true);
        check("n*n*x", "nginx", true);
        check("n*g*g*x", "nginx", false);
        check("a*a", "a", false);
        check("a**a", "aa", true);
        check("*ab", "abab", true);
    }

    fn socket(address: &str, state: State) -> Socket {
        Socket::new(Address::tcp(address.parse().unwrap()), state)
    }

    #[test]
    fn what_the_kernel_says_is_enough_for_ports_and_states() {
        let unix = |state| {
            let name = UnixName::Path(b"/run/x".to_vec());
            Socket::new(Address::Unix { kind: UnixKind::Datagram, name }, state)
        };
        let plain = Filter::default();
        assert!(plain.fits_address(&socket("0.0.0.0:80", State::Listen)));
        assert!(!plain.fits_address(&socket("0.0.0.0:80", State::Established)));
        assert!(plain.fits_address(&unix(State::Listen)));
        assert!(!plain.fits_address(&unix(State::Unconn)), "a datagram socket that only sends");
        let all = Filter { all: true, ..Filter::default() };
        assert!(all.fits_address(&socket("0.0.0.0:80", State::TimeWait)));
        assert!(all.fits_address(&unix(State::Unconn)));
        let ports = Filter {
            sites: vec![Site::ports(80..=89), Site::ports(443..=443)],
            all: true,
            ..Filter::default()
        };
        assert!(ports.fits_address(&socket("[::]:443", State::Established)));
        assert!(!ports.fits_address(&socket("[::]:90", State::Established)));
        assert!(!ports.protocols().any(|protocol| protocol == Protocol::Unix));
        assert_eq!(ports.ports(), Some((80, 443)));
        let named = UnixName::Path(b"/run/x".to_vec());
        let named =
            Filter { sites: vec![Site::Unix { kind: None, name: named, file: None }], ..Filter::default() };
        assert!(named.fits_address(&unix(State::Unconn)), "its very name is asked for");
        assert!(!named.fits_address(&unix(State::Established)));
        assert_eq!((named.protocols().collect::<Vec<_>>(), named.ports()), (vec![Protocol::Unix], None));
        let states = Filter { states: vec![State::TimeWait], ..Filter::default() };
        assert!(states.fits_address(&socket("0.0.0.0:80", State::TimeWait)));
        assert!(!states.fits_address(&socket("0.0.0.0:80", State::Listen)));
    }

    fn process() -> Process {
        Process {
            pid: 7,
            comm: b"MainThread".to_vec(),
            exe: Some(b"/usr/bin/node".to_vec()),
            uid: Some(1000),
            unit: Some(Unit { name: "web.service".into(), user_manager: None }),
            container: Some(Container { runtime: Runtime::Docker, id: "4f6a1c0de4f6".into() }),
            ..Process::default()
        }
    }

    #[track_caller]
    fn check(filter: Filter, owner: Ownership, expect: Fit) {
        let process = process();
        let held: Vec<(u32, Option<&Process>)> =
            owner.holdings().iter().map(|h| (h.pid, Some(&process))).collect();
        let row = Row { uid: Some(33), ..Row::new(socket("0.0.0.0:80", State::Listen), 0) };
        assert_eq!(filter.fits_owner(&row, &owner, &held), expect, "{filter:?} {owner:?}");
    }

    fn held() -> Ownership {
        Ownership::Held(vec![Holding { pid: 7, tid: None, fds: vec![3], cloexec: None }])
    }

    #[test]
    fn owners() {
        let none = Filter::default;
        let pattern = |text: &str| vec![Pattern::new(text)];
        check(none(), held(), Fit::Yes);
        check(none(), Ownership::Hidden, Fit::Yes);
        check(Filter { pids: vec![7], ..none() }, held(), Fit::Yes);
        check(Filter { pids: vec![8], ..none() }, held(), Fit::No);
        check(Filter { pids: vec![7], ..none() }, Ownership::Hidden, Fit::Hidden);
        check(Filter { users: vec![1000], ..none() }, held(), Fit::Yes);
        check(Filter { users: vec![33], ..none() }, held(), Fit::No);
        check(Filter { users: vec![33], ..none() }, Ownership::Hidden, Fit::Yes);
        check(Filter { users: vec![0], pids: vec![7], ..none() }, Ownership::Hidden, Fit::No);
        check(Filter { programs: pattern("node"), ..none() }, held(), Fit::Yes);
        check(Filter { programs: pattern("no"), ..none() }, held(), Fit::No);
        check(Filter { programs: pattern("node"), pids: vec![8], ..none() }, held(), Fit::No);
        check(Filter { units: pattern("web"), ..none() }, held(), Fit::Yes);
        check(Filter { units: pattern("web.service"), ..none() }, held(), Fit::Yes);
        check(Filter { units: pattern("we"), ..none() }, held(), Fit::No);
        check(Filter { containers: pattern("4f6a"), ..none() }, held(), Fit::Yes);
        check(Filter { containers: pattern("f6a"), ..none() }, held(), Fit::No);
        check(Filter { containers: pattern(""), ..none() }, held(), Fit::No);
    }

    #[test]
    fn every_list_narrows() {
        assert!(!Filter { all: true, ..Filter::default() }.narrows());
        assert!(Filter { sites: vec![Site::ports(1..=2)], ..Filter::default() }.narrows());
        assert!(Filter { containers: vec![Pattern::new("a")], ..Filter::default() }.narrows());
        assert!(Filter { users: vec![0], ..Filter::default() }.narrows());
    }
}
