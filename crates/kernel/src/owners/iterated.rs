//! Step 1, and the threads' tables of step 2, by the kernel's own list of open files (`bpf`): where the
//! caller may load a program, every table is searched in a tenth of the time that /proc takes.
//!
//! What is found so is looked at in /proc only to read close-on-exec, and then it must still be that socket.
//! What is not found is looked for in /proc all the same, so nothing depends on this road.
//! Follows `task_file_seq_get_next` in kernel/bpf/task_iter.c.

use super::hits::{Hits, Inodes, Place};
use super::{FindOptions, Road, unseen, walk};
use crate::bpf::{self, List, OpenSocket};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// Loading the program takes as long as reading so many descriptors in /proc.
const WORTH_LOADING: u64 = 2000;
/// Descriptors remembered. /proc needs no memory for those of one socket beyond the first few.
const MOST_OPEN: usize = 1 << 20;

/// Finds the holders of these sockets, if this road is open and worth it.
pub(super) fn in_tables(
    root: &OwnedFd,
    pids: &[u32],
    wanted: &Inodes,
    options: &FindOptions,
) -> Option<Hits> {
    let worth_it = match options.road {
        Road::Proc => false,
        Road::Iterator | Road::OlderIterator => true,
        Road::Quicker => bpf::may_load() && walk::has_descriptors(root, pids, WORTH_LOADING),
    };
    // The iterator tells ids of the first pid namespace.
    if !worth_it || !unseen::in_first_pid_namespace(root) || !unseen::foreign_proc(root).is_empty() {
        return None;
    }
    let lists: &[List] = match options.road {
        Road::OlderIterator => &[List::Files],
        _ => &[List::Tables, List::Files],
    };
    let mut open = lists.iter().find_map(|&list| listed(list, wanted))?;
    let mut hits = Hits::default();
    for (tid, socket) in each_table_once(&mut open) {
        let place = Place { pid: socket.pid, tid, fd: socket.fd };
        if !options.cloexec {
            hits.add(place, socket.inode, None);
            continue;
        }
        let looked = walk::descriptor(root, place, |entry| hits.take(entry, wanted, true));
        // A security policy may hide from /proc what the iterator shows. Other failures: closed meanwhile.
        if let Err(Errno::ACCESS | Errno::PERM) = looked {
            hits.add(place, socket.inode, Some(&|| None));
        }
    }
    Some(hits)
}

/// The descriptors of these sockets; `None` where that list cannot be had, or is too long.
fn listed(list: List, wanted: &Inodes) -> Option<Vec<OpenSocket>> {
    let mut open = Vec::new();
    let listed = bpf::open_sockets(list, wanted.sorted(), &mut |socket| {
        if wanted.has(socket.inode) && open.len() <= MOST_OPEN {
            open.push(socket);
        }
    });
    (listed.is_ok() && open.len() <= MOST_OPEN).then_some(open)
}

/// The descriptors, those of a table that tasks share only once: as its process's, or where the main thread
/// has another table or none, as those of the first thread.
fn each_table_once(open: &mut [OpenSocket]) -> impl Iterator<Item = (Option<u32>, &OpenSocket)> {
    open.sort_unstable();
    open.chunk_by(|a, b| (a.pid, a.table) == (b.pid, b.table)).flat_map(|table| {
        let main = table.iter().any(|socket| socket.tid == socket.pid);
        let first = table.iter().map(|socket| socket.tid).min();
        let shown = table.first().filter(|_| main).map(|socket| socket.pid).or(first);
        let of_it = table.iter().filter(move |socket| Some(socket.tid) == shown);
        of_it.map(move |socket| (shown.filter(|_| !main), socket))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_once() {
        let open = |pid, table, tid, fd| OpenSocket { pid, table, tid, fd, inode: 7 };
        let check = |mut given: Vec<OpenSocket>, expect: &[(Option<u32>, u32, u32)]| {
            let found: Vec<_> = each_table_once(&mut given).map(|(tid, s)| (tid, s.pid, s.fd)).collect();
            assert_eq!(found, expect);
        };
        check(vec![], &[]);
        check(
            vec![open(5, 1, 5, 3), open(5, 1, 5, 4), open(6, 2, 6, 3)],
            &[(None, 5, 3), (None, 5, 4), (None, 6, 3)],
        );
        // A thread that shares its process's table, as early kernels show it; ids may have begun anew.
        check(vec![open(9, 1, 4, 3), open(9, 1, 9, 3), open(9, 1, 12, 3)], &[(None, 9, 3)]);
        // A thread with a table of its own, and two that share one.
        check(
            vec![open(5, 1, 5, 3), open(5, 2, 6, 3), open(5, 3, 8, 4), open(5, 3, 7, 4)],
            &[(None, 5, 3), (Some(6), 5, 3), (Some(7), 5, 4)],
        );
        // A table that another process has as well (CLONE_FILES) is the table of both.
        check(vec![open(5, 1, 5, 3), open(6, 1, 6, 3)], &[(None, 5, 3), (None, 6, 3)]);
    }
}
