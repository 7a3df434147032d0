//! Step 1, and the threads' tables of step 2, by the kernel's own list of open files (`bpf`): where the
//! caller may load a program, every table is searched in a tenth of the time that /proc takes.
//!
//! What is found so is looked at in /proc only to read close-on-exec, and then it must still be that socket.
//! What is not found is looked for in /proc all the same, so nothing depends on this road.
//! Follows `task_file_seq_get_next` in kernel/bpf/task_iter.c.

use super::hits::{Hits, Inodes};
use super::walk::{Place, Until};
use super::{FindOptions, Road, unseen, walk};
use crate::bpf::{self, List, OpenSocket, Part};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::BTreeMap;

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
    if Until(options.deadline).is_over() || obstacle(root, pids, options.road).is_some() {
        return None;
    }
    let shared = match options.road {
        Road::OlderIterator => None,
        _ => in_parts(walk::workers(pids.len()), wanted),
    };
    let found = shared.or_else(|| listed(List::Files, wanted))?;
    if !options.cloexec {
        return Some(found);
    }
    let mut hits = Hits::default();
    for hit in found.into_sorted() {
        let place = hit.place();
        let looked = walk::descriptor(root, place, |entry| hits.take(entry, wanted, true));
        // A security policy may hide from /proc what the iterator shows. Other failures: closed meanwhile.
        if let Err(Errno::ACCESS | Errno::PERM) = looked {
            hits.add(place, hit.inode, None);
        }
    }
    Some(hits)
}

/// Why this road is not taken, as far as that shows without loading a program.
fn obstacle(root: &OwnedFd, pids: &[u32], road: Road) -> Option<String> {
    if road == Road::Proc {
        return Some("/proc is asked for".to_owned());
    }
    if road == Road::Quicker {
        if let Err(error) = bpf::may_load() {
            return Some(error.to_string());
        }
        if !walk::has_descriptors(root, pids, WORTH_LOADING) {
            return Some(format!("fewer than {WORTH_LOADING} files are open, which /proc shows as soon"));
        }
    }
    if !unseen::in_first_pid_namespace(root) || !unseen::foreign_proc(root).is_empty() {
        return Some("it tells process ids of the first pid namespace only".to_owned());
    }
    None
}

/// Why the next search goes through /proc alone; `None` where a program can be loaded and is worth it.
pub(super) fn why_not(root: &OwnedFd, pids: &[u32]) -> Option<String> {
    obstacle(root, pids, Road::Quicker)
        .or_else(|| bpf::can_list_open_sockets().err().map(|error| error.to_string()))
}

/// The descriptors of these sockets, by so many threads at once; `None` unless each of them comes to its end.
fn in_parts(workers: usize, wanted: &Inodes) -> Option<Hits> {
    let list = |part| listed(List::Tables(part), wanted);
    let list = &list;
    std::thread::scope(|scope| {
        let mut parts = Part::several(workers);
        let mut own: Vec<Part> = parts.next().into_iter().collect();
        let mut others = Vec::new();
        for part in parts {
            match walk::thread().spawn_scoped(scope, move || list(part)) {
                Ok(thread) => others.push(thread),
                Err(_) => own.push(part),
            }
        }
        let own = own.into_iter().map(list);
        let mut parts = own.chain(others.into_iter().map(|thread| thread.join().ok().flatten()));
        let mut found = parts.next()??;
        for part in parts {
            found.add_all(part?);
        }
        Some(found)
    })
}

/// The descriptors of these sockets; `None` where that list cannot be had, or is too long.
fn listed(list: List, wanted: &Inodes) -> Option<Hits> {
    let mut found = Hits::default();
    let mut tables = Tables::default();
    let listed = bpf::open_sockets(list, wanted.sorted(), &mut |socket| {
        if wanted.has(socket.inode)
            && found.len() <= MOST_OPEN
            && let Some(place) = tables.place(socket)
        {
            found.add(place, socket.inode, None);
        }
    });
    tables.of_threads().for_each(|(place, inode)| found.add(place, inode, None));
    (listed.is_ok() && found.len() <= MOST_OPEN).then_some(found)
}

/// Shows the descriptors of a table that tasks share only once: as its process's, or where the main thread has
/// another table or none, as those of the first thread.
#[derive(Default)]
struct Tables {
    /// The table of each process's main thread.
    main: BTreeMap<u32, u64>,
    /// What other threads show.
    threads: Vec<OpenSocket>,
}

impl Tables {
    /// Where a descriptor of a main thread is; one of another is kept.
    fn place(&mut self, socket: OpenSocket) -> Option<Place> {
        if socket.tid == socket.pid {
            self.main.insert(socket.pid, socket.table);
            return Some(Place { pid: socket.pid, tid: None, fd: socket.fd });
        }
        if self.threads.len() <= MOST_OPEN {
            self.threads.push(socket);
        }
        None
    }

    /// What was kept, without the tables that are those of main threads.
    fn of_threads(&mut self) -> impl Iterator<Item = (Place, u64)> {
        self.threads.retain(|socket| self.main.get(&socket.pid) != Some(&socket.table));
        self.threads.sort_unstable();
        self.threads.chunk_by(|a, b| (a.pid, a.table) == (b.pid, b.table)).flat_map(|table| {
            let first = table.iter().map(|socket| socket.tid).min();
            let of_it = table.iter().filter(move |socket| Some(socket.tid) == first);
            of_it.map(move |socket| (Place { pid: socket.pid, tid: first, fd: socket.fd }, socket.inode))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_once() {
        let open = |pid, table, tid, fd| OpenSocket { pid, table, tid, fd, inode: 7 };
        let check = |given: Vec<OpenSocket>, expect: &[(Option<u32>, u32, u32)]| {
            let mut tables = Tables::default();
            let mut found: Vec<Place> = given.into_iter().filter_map(|socket| tables.place(socket)).collect();
            found.extend(tables.of_threads().map(|(place, _)| place));
            let found: Vec<_> = found.into_iter().map(|place| (place.tid, place.pid, place.fd)).collect();
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
