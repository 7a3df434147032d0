//! The kept sockets, and who may have which.
//!
//! Several sockets may have one key (SO_REUSEPORT): the k-th bind of a generation gets the k-th of them. A bind
//! that leaves the port to the kernel gets the port that the same bind got in the generation before: they are
//! counted, in each generation anew.
//!
//! Not here: putting a socket into a process (`handler`).

use super::Generation;
use super::event::Kept;
use super::key::{Key, Kind};
use inuse_kernel::seccomp;
use inuse_rules::socket::FileId;
use rustix::fd::OwnedFd;
use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use std::collections::{BTreeMap, VecDeque};

/// The most sockets that are kept.
const MOST: usize = 1024;
/// Descriptors that the rest of the process may need: those of its generations, mostly.
const RESERVED: u64 = 128;
/// The most generations of one socket, and the most whose binds are counted, at a time.
const MOST_GENERATIONS: usize = 64;
/// The most different binds without a port that are counted in a generation, and the most results remembered.
const MOST_COUNTED: usize = 256;

/// A socket that is kept.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    /// `SO_COOKIE`: no other socket ever has it.
    pub(super) cookie: u64,
    pub(super) inode: u64,
    pub(super) key: Key,
    /// It was bound for the program, under this name.
    pub(super) name: Option<String>,
    /// The file of a unix socket with a path.
    pub(super) file: Option<FileId>,
    /// It was the result of a bind without a port: which one of its generation.
    pub(super) zero: Option<u32>,
    /// Whether O_NONBLOCK was set on what the last generation bound, when it bound it.
    pub(super) nonblock_at_bind: Option<bool>,
    /// The living generations that have it.
    pub(super) claims: Vec<Generation>,
    /// Those of them that have said listen().
    pub(super) listeners: Vec<Generation>,
}

impl Socket {
    /// `None` for a socket that cannot be asked who it is.
    pub(super) fn new(fd: OwnedFd, key: Key) -> Option<Socket> {
        let (cookie, inode) = (sockopt::socket_cookie(&fd).ok()?, seccomp::socket_inode(&fd)?);
        Some(Socket {
            fd,
            cookie,
            inode,
            key,
            name: None,
            file: None,
            zero: None,
            nonblock_at_bind: None,
            claims: Vec::new(),
            listeners: Vec::new(),
        })
    }

    pub(super) fn claim(&mut self, generation: Generation) {
        if !self.claims.contains(&generation) && self.claims.len() < MOST_GENERATIONS {
            self.claims.push(generation);
        }
    }

    /// Notes a listen(), and says whether it is the generation's first of this socket.
    pub(super) fn listens(&mut self, generation: Generation) -> bool {
        self.claim(generation);
        let first = !self.listeners.contains(&generation) && self.listeners.len() < MOST_GENERATIONS;
        if first {
            self.listeners.push(generation);
        }
        first
    }

    pub(super) fn is_listening(&self) -> bool {
        sockopt::socket_acceptconn(&self.fd).unwrap_or(false)
    }

    /// Connections that wait, and how many may.
    pub(super) fn queue(&self) -> Option<(u32, u32)> {
        let tcp = self.key.kind == Kind::Tcp && self.is_listening();
        let queue = tcp.then(|| seccomp::queue(&self.fd).ok()).flatten()?;
        Some((queue.waiting, queue.backlog))
    }

    pub(super) fn status(&self) -> Kept {
        Kept {
            address: self.key.address(),
            name: self.name.clone(),
            listening: self.is_listening(),
            queue: self.queue(),
            generations: self.claims.clone(),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    all: Vec<Socket>,
    /// What was bound and is not kept yet, by cookie: whether O_NONBLOCK was set. The oldest go first.
    bound: VecDeque<(u64, bool)>,
    counted: BTreeMap<Generation, Counted>,
}

/// The binds without a port of one generation.
#[derive(Debug, Default)]
struct Counted {
    /// How many there were of each kind so far.
    binds: Vec<(Key, u32)>,
    /// Which one a socket's was, by cookie. The oldest go first: most are clients.
    results: VecDeque<(u64, u32)>,
}

/// What the store says to a bind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// This one, by its cookie.
    Take(u64),
    /// The generation has all there are. These are they; one that nobody has open any more may be taken again.
    IfAbandoned(Vec<u64>),
    /// There is none.
    None,
}

impl Sockets {
    /// Whether no more can be kept: each is a descriptor.
    pub(super) fn is_full(&self) -> bool {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
        self.all.len() >= MOST.min(room)
    }

    /// Notes how a socket was bound that may be kept one day.
    pub(super) fn bound(&mut self, cookie: u64, nonblock: bool) {
        self.bound.retain(|(bound, _)| *bound != cookie);
        if self.bound.len() >= MOST_COUNTED {
            self.bound.pop_front();
        }
        self.bound.push_back((cookie, nonblock));
    }

    /// Keeps one more, unless the store is full.
    pub(super) fn add(&mut self, mut socket: Socket) -> bool {
        let room = !self.is_full();
        if room {
            let bound = self.bound.iter().position(|(cookie, _)| *cookie == socket.cookie);
            socket.nonblock_at_bind =
                bound.and_then(|at| self.bound.remove(at)).map(|(_, nonblock)| nonblock);
            self.all.push(socket);
        }
        room
    }

    pub(super) fn by_cookie(&mut self, cookie: u64) -> Option<&mut Socket> {
        self.all.iter_mut().find(|socket| socket.cookie == cookie)
    }

    pub(super) fn by_inode(&mut self, inode: u64) -> Option<&mut Socket> {
        self.all.iter_mut().find(|socket| socket.inode == inode)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.all.iter()
    }

    pub(super) fn remove(&mut self, cookie: u64) -> Option<Socket> {
        let at = self.all.iter().position(|socket| socket.cookie == cookie)?;
        Some(self.all.remove(at))
    }

    /// What a generation's bind of this key may have.
    pub(super) fn offer(&self, key: &Key, generation: Generation) -> Offer {
        let same = || self.all.iter().filter(|socket| socket.key == *key);
        match same().find(|socket| !socket.claims.contains(&generation)) {
            Some(free) => Offer::Take(free.cookie),
            None => match same().map(|socket| socket.cookie).collect::<Vec<_>>() {
                none if none.is_empty() => Offer::None,
                taken => Offer::IfAbandoned(taken),
            },
        }
    }

    /// Counts a bind without a port by the socket with this cookie, and says which kept one it may have.
    pub(super) fn offer_any_port(&mut self, key: &Key, generation: Generation, cookie: u64) -> Offer {
        let room = self.counted.len() < MOST_GENERATIONS || self.counted.contains_key(&generation);
        let counted = if room { self.counted.entry(generation).or_default() } else { return Offer::None };
        let which = match counted.binds.iter().position(|(counted, _)| counted == key) {
            Some(at) => at,
            None if counted.binds.len() >= MOST_COUNTED => return Offer::None,
            None => {
                counted.binds.push((key.clone(), 0));
                counted.binds.len() - 1
            }
        };
        let Some((_, count)) = counted.binds.get_mut(which) else { return Offer::None };
        let which = *count;
        *count = count.saturating_add(1);
        let kept = self.all.iter().find(|socket| {
            socket.zero == Some(which)
                && !socket.claims.contains(&generation)
                && socket.key.without_port() == *key
        });
        if let Some(kept) = kept {
            return Offer::Take(kept.cookie);
        }
        if counted.results.len() >= MOST_COUNTED {
            counted.results.pop_front();
        }
        counted.results.push_back((cookie, which));
        Offer::None
    }

    /// Which bind without a port made the socket with this cookie what it is.
    pub(super) fn any_port_of(&self, generation: Generation, cookie: u64) -> Option<u32> {
        let results = &self.counted.get(&generation)?.results;
        results.iter().find(|(made, _)| *made == cookie).map(|(_, which)| *which)
    }

    /// Takes out what the generation has not claimed, save for what was bound for the program.
    pub(super) fn unclaimed(&mut self, generation: Generation) -> Vec<Socket> {
        let gone = |socket: &mut Socket| socket.name.is_none() && !socket.claims.contains(&generation);
        self.all.extract_if(.., gone).collect()
    }

    /// Forgets that the generation has any.
    pub(super) fn ended(&mut self, generation: Generation) {
        self.counted.remove(&generation);
        for socket in &mut self.all {
            socket.claims.retain(|&claim| claim != generation);
            socket.listeners.retain(|&claim| claim != generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType};
    use std::net::TcpListener;

    fn socket(at: &str) -> Socket {
        let fd = OwnedFd::from(TcpListener::bind(at).expect("loopback"));
        let key = Key::of(&fd).expect("a socket").expect("bound");
        Socket::new(fd, key).expect("a socket")
    }

    #[test]
    fn the_kth_bind_gets_the_kth() {
        let mut sockets = Sockets::default();
        let first = socket("127.0.0.1:0");
        let key = first.key.clone();
        let cookies: Vec<u64> = (0..3)
            .map(|_| {
                // The same key three times, as with SO_REUSEPORT.
                let mut one = socket("127.0.0.1:0");
                one.key = key.clone();
                one.claim(1);
                let cookie = one.cookie;
                assert!(sockets.add(one));
                cookie
            })
            .collect();
        for &cookie in &cookies {
            assert_eq!(sockets.offer(&key, 2), Offer::Take(cookie));
            sockets.by_cookie(cookie).expect("kept").claim(2);
        }
        assert_eq!(sockets.offer(&key, 2), Offer::IfAbandoned(cookies.clone()));
        assert_eq!(sockets.offer(&key, 3), Offer::Take(cookies[0]));
        assert_eq!(sockets.offer(&first.key.without_port(), 3), Offer::None);
        sockets.ended(2);
        assert_eq!(sockets.offer(&key, 2), Offer::Take(cookies[0]));
    }

    #[test]
    fn a_port_that_was_left_open_is_found_by_the_order_of_binds() {
        let mut sockets = Sockets::default();
        let mut listener = socket("127.0.0.1:0");
        let key = listener.key.without_port();
        // In the first generation the second bind became the listener; the first was a client.
        assert_eq!(sockets.offer_any_port(&key, 1, 100), Offer::None);
        assert_eq!(sockets.offer_any_port(&key, 1, listener.cookie), Offer::None);
        listener.zero = sockets.any_port_of(1, listener.cookie);
        assert_eq!(listener.zero, Some(1));
        listener.claim(1);
        let cookie = listener.cookie;
        sockets.add(listener);
        assert_eq!(sockets.offer_any_port(&key, 1, 101), Offer::None);
        sockets.ended(1);
        assert_eq!(sockets.offer_any_port(&key, 2, 102), Offer::None);
        assert_eq!(sockets.offer_any_port(&key, 2, 103), Offer::Take(cookie));
        let other = Key::bound_to(
            rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).expect("a socket"),
            super::super::key::Name::Inet("[::1]:0".parse().expect("written right")),
        );
        let other = other.expect("a socket").expect("kept");
        assert_eq!(sockets.offer_any_port(&other, 3, 104), Offer::None);
        assert_eq!(sockets.offer_any_port(&other, 3, 105), Offer::None);
    }

    #[test]
    fn what_nobody_wants_goes_and_what_was_bound_for_the_program_stays() {
        let mut sockets = Sockets::default();
        let (mut wanted, mut unwanted, mut bound) =
            (socket("127.0.0.1:0"), socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        wanted.claim(2);
        unwanted.claim(1);
        bound.name = Some("web".into());
        let cookies = [wanted.cookie, unwanted.cookie, bound.cookie];
        for one in [wanted, unwanted, bound] {
            sockets.add(one);
        }
        let gone: Vec<u64> = sockets.unclaimed(2).iter().map(|socket| socket.cookie).collect();
        assert_eq!(gone, [cookies[1]]);
        assert!(sockets.by_cookie(cookies[0]).is_some() && sockets.by_cookie(cookies[2]).is_some());
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut sockets = Sockets::default();
        let key = socket("127.0.0.1:0").key.without_port();
        for cookie in 0..10_000 {
            sockets.offer_any_port(&key, 1, cookie);
        }
        for generation in 0..10_000 {
            sockets.offer_any_port(&key, generation, 1);
            sockets.bound(generation.into(), true);
        }
        assert!(sockets.counted.len() <= MOST_GENERATIONS && sockets.bound.len() <= MOST_COUNTED);
        assert!(sockets.counted.values().all(|counted| counted.results.len() <= MOST_COUNTED));
        let mut one = socket("127.0.0.1:0");
        (0..10_000).for_each(|generation| one.claim(generation));
        assert_eq!(one.claims.len(), MOST_GENERATIONS);
    }
}
