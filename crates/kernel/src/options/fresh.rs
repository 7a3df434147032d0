//! What a new socket of the same kind would say, in the same network namespace: whether a program changed an
//! option shows by comparison, since defaults come from sysctls.
//!
//! The new socket is never bound and never connected, and gone at once.

use super::live::{Live, SocketKind, Traits};
use super::spec::{Preset, Readable, Spec};
use super::table;
use super::value::Value;
use crate::netns::Netns;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RawProtocol, SocketFlags, SocketType, socket_with};
use std::collections::BTreeMap;

/// Values of new sockets in one network namespace, by kind.
#[derive(Debug)]
pub struct Fresh<'a> {
    netns: &'a Netns,
    cookie: Option<u64>,
    known: BTreeMap<SocketKind, Option<BTreeMap<&'static str, Value>>>,
}

/// Whether the program changed an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Yes, from this value.
    From(Option<Value>),
    /// No: it is what every new socket has.
    No,
    /// The kernel moves it by itself, or nothing tells what it was.
    Unknown,
    /// It is no setting.
    Fact,
}

impl<'a> Fresh<'a> {
    /// For sockets of that namespace.
    pub fn new(netns: &'a Netns) -> Fresh<'a> {
        let udp = SocketKind { family: libc::AF_UNIX, kind: libc::SOCK_DGRAM, protocol: 0 };
        let cookie = make(netns, udp).ok().and_then(|live| live.traits().netns);
        Fresh { netns, cookie, known: BTreeMap::new() }
    }

    /// Whether a socket is of that namespace, where the kernel tells.
    pub fn is_at_home(&self, traits: &Traits) -> bool {
        traits.netns.is_none() || traits.netns == self.cookie
    }

    /// Whether the program changed that option of a socket, which now has this value; `lock` is its `SO_BUF_LOCK`.
    pub fn changed(
        &mut self,
        traits: &Traits,
        spec: &'static Spec,
        value: &Value,
        lock: Option<&Value>,
    ) -> Changed {
        let fresh = self.values(traits).and_then(|values| values.get(spec.name)).cloned();
        match spec.preset {
            Preset::Fact => Changed::Fact,
            Preset::Locked(bit) => match lock {
                Some(Value::Int(bits)) if *bits as u32 & bit != 0 => Changed::From(fresh),
                Some(_) => Changed::No,
                None if fresh.as_ref() == Some(value) => Changed::No,
                None => Changed::Unknown,
            },
            Preset::Fresh => match fresh {
                Some(fresh) if fresh == *value => Changed::No,
                Some(fresh) => Changed::From(Some(fresh)),
                None => Changed::Unknown,
            },
            Preset::Moved => match fresh {
                Some(fresh) if fresh == *value => Changed::No,
                Some(fresh) if tells(traits, spec) => Changed::From(Some(fresh)),
                _ => Changed::Unknown,
            },
        }
    }

    /// The value that a new socket of that kind has.
    pub fn value(&mut self, traits: &Traits, spec: &Spec) -> Option<Value> {
        self.values(traits)?.get(spec.name).cloned()
    }

    fn values(&mut self, traits: &Traits) -> Option<&BTreeMap<&'static str, Value>> {
        if !self.is_at_home(traits) {
            return None;
        }
        let (netns, kind) = (self.netns, traits.kind);
        let read = || {
            let live = make(netns, kind).ok()?;
            let specs = table::all().filter(|spec| kind.has(spec) && spec.readable == Readable::Yes);
            Some(specs.filter_map(|spec| Some((spec.name, live.get(spec).ok()?))).collect())
        };
        self.known.entry(kind).or_insert_with(read).as_ref()
    }
}

/// bind() to an IPv6 address turns `IPV6_V6ONLY` on; a wildcard keeps what the program said.
fn tells(traits: &Traits, spec: &Spec) -> bool {
    let wildcard = traits.address.as_ref().and_then(|address| address.inet());
    spec.name == "IPV6_V6ONLY" && wildcard.is_some_and(|(_, local, _)| local.ip().is_unspecified())
}

fn make(netns: &Netns, kind: SocketKind) -> Result<Live, Errno> {
    let family = AddressFamily::from_raw(u16::try_from(kind.family).map_err(|_| Errno::AFNOSUPPORT)?);
    let protocol = u32::try_from(kind.protocol).ok().and_then(RawProtocol::new).map(Protocol::from_raw);
    let socket_type = SocketType::from_raw(u32::try_from(kind.kind).map_err(|_| Errno::INVAL)?);
    let made = netns.inside(|| socket_with(family, socket_type, SocketFlags::CLOEXEC, protocol));
    let socket = made.map_err(|_| Errno::PERM)??;
    Ok(Live::of(socket, kind))
}
