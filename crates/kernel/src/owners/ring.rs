//! Sockets registered with an io_uring: fixed files, which no table of open files shows.
//!
//! A ring's fdinfo lists them under `UserFiles:`, one line each, `    2: socket:[8615]`; a slot without a
//! file is left out (older kernels print `<none>`). Follows `io_uring_show_fdinfo` in `io_uring/fdinfo.c`,
//! which prints the list only if it gets the ring's lock at once, so a busy ring is asked again.
//!
//! Not here: a request that is being worked on keeps its file open as well, and no file in /proc tells.

use super::hits::{Inodes, holding};
use super::walk::Entry;
use crate::procfs;
use inuse_rules::{BlindSpot, Holding};
use std::collections::BTreeMap;
use std::time::Duration;

/// The link of a ring's descriptor.
pub(super) const LINK: &[u8] = b"anon_inode:[io_uring]";

/// Bytes read of one ring's fdinfo: about thirty thousand registered sockets.
const MOST_INFO: usize = 1 << 20;

/// How often a busy ring is asked, with a millisecond between.
const TRIES: u32 = 5;

/// The rings that were met, as far as they matter.
#[derive(Default)]
pub(super) struct Rings {
    by_inode: BTreeMap<u64, Vec<Holding>>,
    unread: Vec<u32>,
}

impl Rings {
    /// Reads a ring's registered files.
    pub(super) fn visit(&mut self, entry: &Entry<'_>, wanted: &Inodes) {
        for attempt in 1..=TRIES {
            let Ok(info) = entry.info(MOST_INFO) else { return };
            if let Some(files) = registered_sockets(&info) {
                let mut inodes: Vec<u64> = files.filter(|&inode| wanted.has(inode)).collect();
                inodes.sort_unstable();
                inodes.dedup();
                inodes.into_iter().for_each(|inode| self.add(entry, inode));
                if info.len() < MOST_INFO {
                    return;
                }
                break;
            }
            if attempt < TRIES {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.unread.push(entry.pid);
    }

    fn add(&mut self, entry: &Entry<'_>, inode: u64) {
        let rings = self.by_inode.entry(inode).or_default();
        match rings.iter_mut().find(|known| (known.pid, known.tid) == (entry.pid, entry.tid)) {
            Some(known) => known.fds.push(entry.fd),
            None => rings.push(holding(entry)),
        }
    }

    /// The rings that this socket is registered with.
    pub(super) fn registered(&self, inode: u64) -> Option<Vec<Holding>> {
        self.by_inode.get(&inode).cloned()
    }

    /// Rings whose files could not be listed, or not to the end.
    pub(super) fn busy(&self) -> Option<BlindSpot> {
        let first = self.unread.first()?;
        Some(BlindSpot {
            what: format!("registered files of {} io_uring, the first of process {first}", self.unread.len()),
            remedy: "ask again when that process is less busy".to_owned(),
        })
    }
}

/// The inodes of the sockets in a ring's fdinfo; `None` when it has no list of files.
fn registered_sockets(fdinfo: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let mut lines = fdinfo.split(|&b| b == b'\n');
    lines.find(|line| line.starts_with(b"UserFiles:"))?;
    Some(lines.map_while(slot).filter_map(procfs::socket_inode))
}

/// What stands in a numbered slot, `    2: socket:[8615]`; `None` where the list ends.
fn slot(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (number, rest) = line.split_at_checked(colon)?;
    procfs::decimal(number.trim_ascii())?;
    Some(rest.get(1..)?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fdinfo: &str, expect: Option<&[u64]>) {
        let got = registered_sockets(fdinfo.as_bytes()).map(|files| files.collect::<Vec<_>>());
        assert_eq!(got.as_deref(), expect, "{fdinfo}");
    }

    #[test]
    fn registered_files_are_the_numbered_lines_after_their_heading() {
        check(
            "pos:\t0\nSqMask:\t0x3\nUserFiles:\t4\n    0: socket:[8613]\n    2: socket:[8615]\n    3: /dev/null\nUserBufs:\t0\n",
            Some(&[8613, 8615]),
        );
        check(
            "UserFiles:\t2\n    0: <none>\n    1: socket:[7]\nUserBufs:\t1\n    0: 0x7f00/4096\n",
            Some(&[7]),
        );
        check("UserFiles:\t0\nUserBufs:\t0\n", Some(&[]));
        check("pos:\t0\nflags:\t02000002\nmnt_id:\t17\n", None);
        check("", None);
        check("UserFiles:\t1\n    0: /tmp/socket:[9]\n", Some(&[]));
        check("UserFiles:\t1\n    0: socket:[99", Some(&[]));
        check("UserFiles:\t1\n:\n    1: socket:[5]\n", Some(&[]));
        check("UserFiles", None);
    }
}
