//! Two roads to one fact, BPF iterators and /proc, while processes and sockets come and go: each
//! difference must be something that came or went.

use crate::stage::{Cannot, stage};
use crate::{Ran, Test};
use inuse_kernel::owners::{self, FindOptions, Road, Wanted};
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{Netns, SockDiag, bpf};
use inuse_rules::{Ownership, Transport};
use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;

pub(crate) const TESTS: &[Test] = &[
    ("parity::both_roads_agree_under_churn", both_roads_agree_under_churn),
    ("parity::many_sockets_at_once", many_sockets_at_once),
];

/// How often both are asked.
const ROUNDS: usize = 30;

/// A descriptor: inode, process, thread, number.
type Descriptor = (u64, u32, Option<u32>, u32);

fn needs_the_iterator() -> Ran {
    bpf::can_list_open_sockets().map_err(|error| Cannot(error.to_string()))?;
    match crate::unseen::in_the_first_pid_namespace() {
        true => Ok(()),
        false => Err(Cannot("the iterator serves the first pid namespace only".to_owned())),
    }
}

fn descriptors(wanted: &[Wanted], road: Road) -> BTreeSet<Descriptor> {
    let options = FindOptions { road, cloexec: false, ..FindOptions::default() };
    let found = owners::find(wanted, &options).found;
    let held = found.iter().filter_map(|(inode, owner)| match owner {
        Ownership::Held(holdings) => Some((inode, holdings)),
        _ => None,
    });
    held.flat_map(|(&inode, holdings)| {
        holdings.iter().flat_map(move |h| h.fds.iter().map(move |&fd| (inode, h.pid, h.tid, fd)))
    })
    .collect()
}

fn sockets() -> Vec<Wanted> {
    let mut diag = SockDiag::open(&Netns::current()).expect("sock_diag");
    let mut wanted = Vec::new();
    let each =
        &mut |socket: inuse_rules::Socket| wanted.push(Wanted { inode: socket.inode, uid: socket.uid });
    diag.inet(&InetQuery::everything(Transport::Tcp), each).expect("its rows");
    wanted
}

/// Whether a descriptor is still that socket.
fn is_still((inode, pid, tid, fd): &Descriptor) -> bool {
    let table = tid.map_or(format!("/proc/{pid}/fd"), |tid| format!("/proc/{pid}/task/{tid}/fd"));
    std::fs::read_link(format!("{table}/{fd}"))
        .is_ok_and(|link| link.to_str() == Some(&format!("socket:[{inode}]")))
}

fn both_roads_agree_under_churn() -> Ran {
    needs_the_iterator()?;
    let lasting = [stage(&["listen"])?, stage(&["inherited"])?, stage(&["thread"])?];
    let churn = stage(&["churn"])?;
    let (mut seen, mut differences) = (0, 0);
    for round in 0..ROUNDS {
        let wanted = sockets();
        let iterator = if round % 2 == 0 { Road::Iterator } else { Road::OlderIterator };
        let before = descriptors(&wanted, iterator);
        let between = descriptors(&wanted, Road::Proc);
        let after = descriptors(&wanted, iterator);
        for holder in &lasting {
            let of_it = |set: &BTreeSet<Descriptor>| {
                let inode = holder.said.number("inode");
                set.iter().filter(|d| d.0 == inode).copied().collect::<Vec<_>>()
            };
            assert!(!of_it(&between).is_empty(), "round {round}: {wanted:?}");
            assert_eq!(of_it(&before), of_it(&between), "round {round}");
            assert_eq!(of_it(&after), of_it(&between), "round {round}");
        }
        seen += between.len();
        for descriptor in before.symmetric_difference(&between) {
            differences += 1;
            let (only_before, lasts) = (before.contains(descriptor), is_still(descriptor));
            let explained = match only_before {
                // It had gone when /proc was read.
                true => !lasts,
                // It came after the iterator, as the iterator itself says afterwards, or has gone by now.
                false => !lasts || after.contains(descriptor),
            };
            assert!(explained, "round {round}: {descriptor:?}, seen by the iterator: {only_before}");
        }
    }
    assert!(seen > ROUNDS * lasting.len(), "{seen} descriptors, {differences} differences");
    drop(churn);
    Ok(())
}

/// The older program compares a few inodes one by one, halves more of them, and leaves too many to us. The newer
/// one cannot list more than a thousand sockets of one process, and the older one helps out.
fn many_sockets_at_once() -> Ran {
    needs_the_iterator()?;
    let held: Vec<UnixDatagram> = (0..1500).map(|_| UnixDatagram::unbound().expect("a socket")).collect();
    let wanted: Vec<Wanted> = held
        .iter()
        .map(|socket| Wanted { inode: rustix::fs::fstat(socket).expect("fstat").st_ino, uid: None })
        .collect();
    for count in [1, 2, 4, 5, 6, 9, 33, 511, 512, 513, 1000, 1500] {
        let parts = [&wanted[..count], &wanted[wanted.len() - count..]];
        for (part, road) in
            parts.iter().flat_map(|part| [(*part, Road::Iterator), (*part, Road::OlderIterator)])
        {
            let found = descriptors(part, road);
            let inodes: BTreeSet<u64> = found.iter().map(|descriptor| descriptor.0).collect();
            assert_eq!(inodes, part.iter().map(|wanted| wanted.inode).collect(), "{count}");
            assert!(found.iter().all(|d| (d.1, d.2) == (std::process::id(), None)), "{found:?}");
        }
    }
    Ok(())
}
