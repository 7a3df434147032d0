//! Asking a socket that was seen once more: all options of thousands of sockets take far more room than the sockets, so
//! they are read one by one, when they are wanted.

use super::holders::Tables;
use super::read::Reader;
use super::seen::{Found, Question, Reading};
use inuse_kernel::netns::Netns;

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
