//! Sets of inodes, and the descriptors that were found for them, grouped into holdings.
//!
//! Not here: where descriptors come from (`walk`).

use super::walk::Entry;
use crate::process::fdinfo;
use crate::procfs;
use inuse_rules::Holding;
use std::collections::BTreeMap;

/// Descriptors named in one holding; a process may have a million of one socket.
const MOST_FDS: usize = 256;

/// Bytes of an fdinfo that can hold its first lines, `pos:` and `flags:`.
const FLAGS_WITHIN: usize = 128;

/// A sorted set of inodes, quick to ask.
pub(super) struct Inodes(Vec<u64>);

impl Inodes {
    pub(super) fn new(inodes: impl Iterator<Item = u64>) -> Inodes {
        let mut sorted: Vec<u64> = inodes.collect();
        sorted.sort_unstable();
        sorted.dedup();
        Inodes(sorted)
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.binary_search(&inode).is_ok()
    }

    #[cfg(feature = "bpf")]
    pub(super) fn sorted(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }
}

/// Holdings by inode, and within one inode by process and thread.
#[derive(Default)]
pub(super) struct Hits(BTreeMap<u64, BTreeMap<(u32, Option<u32>), Holding>>);

impl Hits {
    /// Takes a descriptor down if it is of one of these sockets.
    pub(super) fn take(&mut self, entry: &Entry<'_>, inodes: &Inodes, cloexec: bool) {
        if let Some(inode) = procfs::socket_inode(entry.link)
            && inodes.has(inode)
        {
            let closes = || fdinfo::close_on_exec(&entry.info(FLAGS_WITHIN).ok()?);
            self.add(entry.place, inode, if cloexec { Some(&closes) } else { None });
        }
    }

    /// Takes a descriptor down under an inode; `cloexec` says whether it closes on exec.
    pub(super) fn add(&mut self, place: Place, inode: u64, cloexec: Option<&dyn Fn() -> Option<bool>>) {
        let holdings = self.0.entry(inode).or_default();
        let first = !holdings.contains_key(&(place.pid, place.tid));
        let holding = holdings.entry((place.pid, place.tid)).or_insert_with(|| holding(place));
        if !first {
            if holding.fds.len() >= MOST_FDS {
                return;
            }
            holding.fds.push(place.fd);
        }
        if let Some(cloexec) = cloexec
            && (first || holding.cloexec.is_some())
        {
            holding.cloexec = cloexec().map(|this| this && (first || holding.cloexec == Some(true)));
        }
    }

    /// Whether a holder of that socket was found.
    #[cfg(feature = "bpf")]
    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.contains_key(&inode)
    }

    /// Adds what was found in the tables of other processes.
    pub(super) fn add_all(&mut self, others: Hits) {
        for (inode, holdings) in others.0 {
            self.0.entry(inode).or_default().extend(holdings);
        }
    }

    /// The holdings of each inode, by pid.
    pub(super) fn into_holdings(self) -> BTreeMap<u64, Vec<Holding>> {
        self.0.into_iter().map(|(inode, by_table)| (inode, by_table.into_values().collect())).collect()
    }
}

/// Where a descriptor is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The process.
    pub(super) pid: u32,
    /// The thread, when the table of open files is its own.
    pub(super) tid: Option<u32>,
    /// The descriptor's number.
    pub(super) fd: u32,
}

/// A holding of one descriptor, of which close-on-exec was not read.
pub(super) fn holding(place: Place) -> Holding {
    Holding { pid: place.pid, tid: place.tid, fds: vec![place.fd], cloexec: None }
}
