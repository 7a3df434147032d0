//! Sets of inodes, and the descriptors that were found for them, grouped into holdings.
//!
//! Not here: where descriptors come from (`walk`).

use super::walk::Entry;
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
            self.add(entry, inode, cloexec);
        }
    }

    /// Takes a descriptor down under an inode.
    pub(super) fn add(&mut self, entry: &Entry<'_>, inode: u64, cloexec: bool) {
        let holdings = self.0.entry(inode).or_default();
        let first = !holdings.contains_key(&(entry.pid, entry.tid));
        let holding = holdings.entry((entry.pid, entry.tid)).or_insert_with(|| holding(entry));
        if !first {
            if holding.fds.len() >= MOST_FDS {
                return;
            }
            holding.fds.push(entry.fd);
        }
        if cloexec && (first || holding.cloexec.is_some()) {
            let this = entry.info(FLAGS_WITHIN).ok().and_then(|info| close_on_exec(&info));
            holding.cloexec = this.map(|this| this && (first || holding.cloexec == Some(true)));
        }
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.contains_key(&inode)
    }

    /// The holdings of each inode, by pid.
    pub(super) fn into_holdings(self) -> BTreeMap<u64, Vec<Holding>> {
        self.0.into_iter().map(|(inode, by_table)| (inode, by_table.into_values().collect())).collect()
    }
}

/// A holding of one descriptor, of which close-on-exec was not read.
pub(super) fn holding(entry: &Entry<'_>) -> Holding {
    Holding { pid: entry.pid, tid: entry.tid, fds: vec![entry.fd], cloexec: None }
}

/// Whether the `flags:` line of an fdinfo (octal, as open(2) takes them) has `O_CLOEXEC`.
fn close_on_exec(fdinfo: &[u8]) -> Option<bool> {
    let flags = fdinfo.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"flags:"))?;
    let flags = u32::from_str_radix(str::from_utf8(flags).ok()?.trim(), 8).ok()?;
    Some(flags & libc::O_CLOEXEC as u32 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_on_exec_is_read_from_octal_flags() {
        let check =
            |fdinfo: &[u8], expect| assert_eq!(close_on_exec(fdinfo), expect, "{}", fdinfo.escape_ascii());
        check(b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t8614\n", Some(true));
        check(b"pos:\t0\nflags:\t02\n", Some(false));
        check(b"pos:\t0\nflags:\t02004002\n", Some(true));
        check(b"pos:\t0\nflags:\t9\n", None);
        check(b"pos:\t0\nflags:\t\n", None);
        check(b"pos:\t0\nflags:\t77777777777777777777\n", None);
        check(b"pos:\t0\nfla", None);
        check(b"", None);
    }
}
