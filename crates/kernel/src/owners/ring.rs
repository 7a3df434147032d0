//! Sockets registered with an io_uring: fixed files, which no table of open files shows.
//!
//! A ring's fdinfo lists them under `UserFiles:`, one line each, `    2: socket:[8615]`; a slot without a
//! file is left out (older kernels print `<none>`). Follows `io_uring_show_fdinfo` in `io_uring/fdinfo.c`,
//! which prints the list only if it gets the ring's lock at once, so a busy ring is asked again.
//!
//! Not here: a request that is being worked on keeps its file open as well, and a ring whose descriptor
//! was closed lives on in its mappings; no file in /proc tells what these hold.

use super::hits::{Inodes, holding};
use super::walk::Entry;
use crate::process::fdinfo;
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
    busy: Vec<u32>,
}

impl Rings {
    /// Reads a ring's registered files.
    pub(super) fn visit(&mut self, entry: &Entry<'_>, wanted: &Inodes) {
        for attempt in 1..=TRIES {
            let Ok(info) = entry.info(MOST_INFO) else { return };
            if let Some(files) = fdinfo::registered_sockets(&info) {
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
        self.busy.push(entry.place.pid);
    }

    fn add(&mut self, entry: &Entry<'_>, inode: u64) {
        let rings = self.by_inode.entry(inode).or_default();
        match rings.iter_mut().find(|known| (known.pid, known.tid) == (entry.place.pid, entry.place.tid)) {
            Some(known) => known.fds.push(entry.place.fd),
            None => rings.push(holding(entry.place)),
        }
    }

    /// The rings that this socket is registered with.
    pub(super) fn registered(&self, inode: u64) -> Option<Vec<Holding>> {
        self.by_inode.get(&inode).cloned()
    }

    /// Rings whose files could not be listed, or not to the end.
    pub(super) fn unread(&self) -> Option<BlindSpot> {
        let first = self.busy.first()?;
        Some(BlindSpot {
            what: format!("registered files of {} io_uring, the first of process {first}", self.busy.len()),
            remedy: "ask again when that process is less busy".to_owned(),
        })
    }
}
