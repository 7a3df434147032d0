//! Asking a socket: every option that it has, or those that are asked for, each compared with a new socket's.
//!
//! All options of thousands of sockets take far more room than the sockets: [`Again`] reads them one by one, when they
//! are wanted.

use super::holders::Tables;
use super::seen::{Found, Question, Reading};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::fresh::{Changed, Fresh};
use inuse_kernel::options::live::{Live, Traits};
use inuse_kernel::options::spec::{Readable, Spec};
use inuse_kernel::options::table;
use std::collections::BTreeSet;

/// Of more sockets than this only what was changed is kept: nobody reads the rest.
const IN_FULL: usize = 4;

/// Reads every option of sockets that were seen, one after the other.
pub struct Again<'a> {
    reader: Reader<'a>,
    tables: Tables,
}

impl<'a> Again<'a> {
    /// For sockets that were looked at from that namespace.
    pub fn new(netns: &'a Netns) -> Again<'a> {
        let question = Question { wanted: &[], in_full: true };
        Again { reader: Reader::new(netns, Some(question), 0), tables: Tables::default() }
    }

    /// Every option of this very socket; `None` if it was closed meanwhile. Nothing is held when this returns.
    pub fn read(&mut self, found: &Found) -> Option<Vec<Reading>> {
        let live = self.tables.again(found)?;
        Some(self.reader.read(live).1)
    }
}

/// Reads sockets one after the other.
pub(super) struct Reader<'a> {
    fresh: Fresh<'a>,
    /// Nothing where the options are read later.
    wanted: Option<&'a [&'static Spec]>,
    few: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(netns: &'a Netns, question: Option<Question<'a>>, sockets: usize) -> Reader<'a> {
        let few = question.is_some_and(|question| question.in_full) || sockets <= IN_FULL;
        Reader { fresh: Fresh::new(netns), wanted: question.map(|question| question.wanted), few }
    }

    pub(super) fn in_full(&self) -> bool {
        self.few && self.wanted.is_some_and(<[_]>::is_empty)
    }

    /// What the socket is and says; the duplicate ends here.
    pub(super) fn read(&mut self, live: Live) -> (Traits, Vec<Reading>) {
        let traits = live.traits();
        let Some(wanted) = self.wanted else { return (traits, Vec::new()) };
        let all = wanted.is_empty();
        let names: BTreeSet<&str> = wanted.iter().map(|spec| spec.name).collect();
        let lock = table::named("SO_BUF_LOCK").and_then(|spec| live.get(spec).ok());
        let mut readings = Vec::new();
        for spec in table::all().filter(|spec| traits.kind.has(spec)) {
            if !(all && spec.readable == Readable::Yes || names.contains(spec.name)) {
                continue;
            }
            let value = live.get(spec);
            let changed = match &value {
                Ok(value) => self.fresh.changed(&traits, spec, value, lock.as_ref()),
                Err(_) => Changed::Unknown,
            };
            // What the kernel does not have, or has not for this socket, is no news unless it was asked for.
            if !all || value.is_ok() && (self.few || matches!(changed, Changed::From(_))) {
                let preset = self.fresh.value(&traits, spec);
                readings.push(Reading { spec, value, preset, changed });
            }
        }
        (traits, readings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::options::{Subject, sockets};
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_socket_is_read_again_while_it_is_open() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let fd = u32::try_from(socket.as_raw_fd()).unwrap();
        let netns = Netns::current();
        let look = sockets(&netns, &Subject::Descriptor(std::process::id(), fd)).unwrap();
        let [found] = look.found.as_slice() else { panic!("{look:?}") };
        assert!(found.readings.is_empty() && !look.in_full);
        let mut again = Again::new(&netns);
        let broadcast = |again: &mut Again<'_>| {
            let readings = again.read(found)?;
            let broadcast = readings.into_iter().find(|reading| reading.spec.name == "SO_BROADCAST");
            broadcast.map(|reading| reading.value)
        };
        assert_eq!(broadcast(&mut again), Some(Ok(inuse_kernel::options::value::Value::Int(0))));
        socket.set_broadcast(true).unwrap();
        assert_eq!(broadcast(&mut again), Some(Ok(inuse_kernel::options::value::Value::Int(1))));
        drop(socket);
        assert_eq!(broadcast(&mut again), None);
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(broadcast(&mut again), None, "{other:?} is not taken for it");
    }
}
