//! Descriptors in flight: sent over a unix socket with `SCM_RIGHTS` and not yet received, so that they
//! are in nobody's table while the socket they stand for stays open.
//!
//! The unix socket in whose receive queue the message waits says so in its fdinfo: `scm_fds: N`
//! (`unix_show_fdinfo`; for a listening one, N counts what its unaccepted connections carry). That is
//! only a number. The proof is recvmsg(2) with `MSG_PEEK` on a duplicate of that socket: the kernel hands
//! out duplicates of the descriptors and takes nothing from the queue (`unix_peek_fds`). They are compared
//! and closed at once. Peeking reaches the first message that carries descriptors and none after it.
//!
//! Sockets whose owner set `SO_PEEK_OFF` are left alone: there a peek would move the shared offset.
//! So are those with `SO_PASSPIDFD`, for which the kernel makes one more descriptor for each look.
//!
//! A socket that is itself in flight is looked into when the peek of an outer one shows it. A ring of such
//! sockets that nothing outside refers to shows nowhere; it is garbage, which the kernel closes by itself.
//!
//! Not here: unix sockets that only an io_uring has.

use super::hits::{Hits, Inodes};
use super::walk::Entry;
use crate::process::fdinfo;
use crate::sys::getsockopt::socket_int;
use crate::{duplicate, procfs};
use inuse_rules::Holding;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Result;
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::collections::btree_map::Entry::Vacant;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;

/// `SCM_MAX_FD` of the kernel: descriptors in one message.
const MOST_IN_MESSAGE: usize = 253;

/// Unix sockets that are looked into; beyond them nothing is proven.
const MOST_CARRIERS: usize = 512;

/// Holdings named as "one of these".
const MOST_SUSPECTS: usize = 32;

/// Sockets in flight within sockets in flight.
const MOST_NESTED: u32 = 4;

/// Bytes peeked at: a stream's message with descriptors may stand behind plain data.
const WINDOW: usize = 256 * 1024;

/// Bytes of a socket's fdinfo.
const MOST_INFO: usize = 1024;

/// The unix sockets that carry descriptors.
#[derive(Default)]
pub(super) struct Flights {
    carriers: Hits,
    counts: BTreeMap<u64, u64>,
    /// Sockets that carry none, asked once however many processes have them.
    empty: HashSet<u64>,
}

impl Flights {
    /// Takes a socket's descriptor down if descriptors wait in its queue.
    pub(super) fn visit(&mut self, entry: &Entry<'_>, inode: u64) {
        if self.empty.contains(&inode) {
            return;
        }
        if let Vacant(unasked) = self.counts.entry(inode) {
            let count =
                entry.info(MOST_INFO).ok().and_then(|info| fdinfo::descriptors_in_flight(&info)).unwrap_or(0);
            if count == 0 {
                self.empty.insert(inode);
                return;
            }
            unasked.insert(count);
        }
        self.carriers.add(entry.place, inode, None);
    }

    /// Looks into the carriers for these sockets.
    pub(super) fn prove(self, wanted: &Inodes) -> Proofs {
        let mut proofs = Proofs::default();
        for (looked, (carrier, holdings)) in self.carriers.into_holdings().into_iter().enumerate() {
            let count = self.counts.get(&carrier).copied().unwrap_or(0);
            let mut peek = Peek { wanted, found: BTreeSet::new(), whole: true };
            let (mut seen, mut waiting) = (0, count);
            if let Some(socket) = duplicate_of(&holdings, carrier).filter(|_| looked < MOST_CARRIERS) {
                seen = peek.look_into(&socket, MOST_NESTED).unwrap_or(0);
                // What was received since the count is no longer in flight.
                let now = own_info(&socket).and_then(|info| fdinfo::descriptors_in_flight(&info));
                waiting = now.unwrap_or(count).min(count);
            }
            for &inode in &peek.found {
                proofs.proven.entry(inode).or_default().extend(holdings.iter().cloned());
            }
            if seen < waiting || !peek.whole {
                proofs.suspects.extend(holdings);
            }
        }
        proofs.suspects.truncate(MOST_SUSPECTS);
        proofs
    }
}

/// What looking into the carriers showed.
#[derive(Default)]
pub(super) struct Proofs {
    proven: BTreeMap<u64, Vec<Holding>>,
    suspects: Vec<Holding>,
}

impl Proofs {
    /// Who holds the unix socket in which that very socket was seen.
    pub(super) fn carriers(&self, inode: u64) -> Option<Vec<Holding>> {
        self.proven.get(&inode).cloned()
    }

    /// Who holds unix sockets of which not every descriptor in flight was seen.
    pub(super) fn suspects(&self) -> &[Holding] {
        &self.suspects
    }
}

fn duplicate_of(holdings: &[Holding], inode: u64) -> Option<OwnedFd> {
    holdings.iter().find_map(|h| duplicate::socket(h.pid, h.tid, *h.fds.first()?, inode).ok())
}

/// A look for wanted sockets among descriptors in flight.
struct Peek<'a> {
    wanted: &'a Inodes,
    found: BTreeSet<u64>,
    /// False when a socket in flight itself carries more than could be seen.
    whole: bool,
}

impl Peek<'_> {
    /// Looks at the first descriptors that wait in a unix socket's queue, and says how many there were.
    fn look_into(&mut self, socket: &OwnedFd, deeper: u32) -> Result<u64> {
        if socket_int(socket, libc::SO_PEEK_OFF)? >= 0
            || socket_int(socket, SO_PASSPIDFD).is_ok_and(|on| on != 0)
        {
            return Ok(0);
        }
        let mut data = vec![0; WINDOW];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_IN_MESSAGE), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut data)], &mut control, flags)?;
        let mut seen = 0;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    seen += 1;
                    self.consider(&descriptor, deeper);
                }
            }
        }
        Ok(seen)
    }

    fn consider(&mut self, descriptor: &OwnedFd, deeper: u32) {
        let Ok(Some(inode)) = duplicate::socket_inode(descriptor) else { return };
        if self.wanted.has(inode) {
            self.found.insert(inode);
        } else if rustix::net::sockopt::socket_domain(descriptor) == Ok(AddressFamily::UNIX) {
            let count =
                own_info(descriptor).and_then(|info| fdinfo::descriptors_in_flight(&info)).unwrap_or(0);
            if count > 0 {
                let seen = if deeper > 0 { self.look_into(descriptor, deeper - 1).unwrap_or(0) } else { 0 };
                self.whole &= seen >= count;
            }
        }
    }
}

/// `SO_PASSPIDFD` of `include/uapi/asm-generic/socket.h` (Linux 6.5).
const SO_PASSPIDFD: libc::c_int = 76;

/// The fdinfo of a descriptor of our own.
fn own_info(descriptor: &OwnedFd) -> Option<Vec<u8>> {
    let path = format!("/proc/thread-self/fdinfo/{}", descriptor.as_raw_fd());
    procfs::read(rustix::fs::CWD, path, MOST_INFO).ok()
}
