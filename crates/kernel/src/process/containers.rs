//! Which container has an address: asked of /proc alone, never of a runtime, so that looking starts nothing
//! and needs no access to a runtime's socket.
//!
//! A container's processes carry its id in their cgroup's path, and `/proc/PID/net` lists the addresses of
//! their network namespace (`fib_trie`, `if_inet6`), to everybody who sees the process.

use super::{MOST_FILE, cgroup};
use crate::procfs;
use inuse_rules::Process;
use inuse_rules::owner::Container;
use rustix::fd::OwnedFd;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a list of addresses: some thousands of them.
const MOST_ADDRESSES: usize = 256 * 1024;

/// Names the container that a port's helper publishes, where its arguments give no more than an address.
/// Costs a look at every process.
pub fn name_published(process: &mut Process) {
    if let Some(publishes) = &mut process.publishes
        && let Some(ip) = publishes.container_ip
    {
        publishes.container = with_address(ip);
    }
}

/// Whether a process of that container runs here: an id alone may come from a runtime elsewhere.
pub fn runs_here(id: &str) -> bool {
    all().iter().any(|(_, container)| container.id == id)
}

/// The one container that has the address in its network; `None` where there is none, or more than one.
fn with_address(ip: IpAddr) -> Option<Container> {
    let root = procfs::open_root().ok()?;
    let mut having =
        all().into_iter().filter(|(pid, _)| has(&root, *pid, ip)).map(|(_, container)| container);
    let (container, None) = (having.next()?, having.next()) else { return None };
    Some(container)
}

/// Each container, by one of its processes. A manager of containers stands in a cgroup of its own.
fn all() -> Vec<(u32, Container)> {
    let mut found: Vec<(u32, Container)> = Vec::new();
    let Ok(root) = procfs::open_root() else { return found };
    let mut buffer = procfs::dir_buf();
    // What cannot be listed leaves a container unnamed, which every view says.
    let _ = procfs::numbers(&root, &mut buffer, |_, pid| {
        let file = procfs::read(&root, format!("{pid}/cgroup"), MOST_FILE).unwrap_or_default();
        let container = cgroup::path(&file).and_then(cgroup::container);
        if let Some(container) = container.filter(|new| found.iter().all(|(_, known)| known != new)) {
            found.push((pid, container));
        }
    });
    found
}

fn has(root: &OwnedFd, pid: u32, ip: IpAddr) -> bool {
    let read =
        |file: &str| procfs::read(root, format!("{pid}/net/{file}"), MOST_ADDRESSES).unwrap_or_default();
    match ip {
        IpAddr::V4(ip) => in_fib_trie(&read("fib_trie"), ip),
        IpAddr::V6(ip) => in_if_inet6(&read("if_inet6"), ip),
    }
}

/// `|-- 172.17.0.2` and below it `/32 host LOCAL` (`fib_trie_seq_show`).
fn in_fib_trie(file: &[u8], ip: Ipv4Addr) -> bool {
    let leaf = format!("|-- {ip}");
    let mut below = false;
    file.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).any(|line| {
        if line.starts_with(b"|--") || line.starts_with(b"+--") {
            below = line == leaf.as_bytes();
        }
        below && line == b"/32 host LOCAL"
    })
}

/// 32 hexadecimal digits open each line (`if6_seq_show`).
fn in_if_inet6(file: &[u8], ip: Ipv6Addr) -> bool {
    let wanted = format!("{:032x}", u128::from(ip));
    file.split(|&b| b == b'\n').any(|line| line.starts_with(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRIE: &[u8] = b"\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
           /32 link BROADCAST
        |-- 172.17.0.2
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
";

    #[test]
    fn an_address_of_a_namespace_is_found_in_its_lists() {
        let check = |ip: [u8; 4], expect| assert_eq!(in_fib_trie(TRIE, ip.into()), expect, "{ip:?}");
        check([172, 17, 0, 2], true);
        check([172, 17, 0, 0], false);
        check([172, 17, 255, 255], false);
        check([172, 17, 0, 20], false);
        let list = b"fe800000000000000042acfffe110002 02 40 20 80     eth0\n";
        assert!(in_if_inet6(list, "fe80::42:acff:fe11:2".parse().unwrap()));
        assert!(!in_if_inet6(list, "fe80::42:acff:fe11:3".parse().unwrap()));
    }

    #[test]
    fn our_own_addresses_are_listed() {
        let root = procfs::open_root().expect("/proc");
        assert!(has(&root, std::process::id(), Ipv4Addr::LOCALHOST.into()));
        assert!(!has(&root, std::process::id(), Ipv4Addr::new(192, 0, 2, 77).into()));
        assert!(!has(&root, u32::MAX, Ipv4Addr::LOCALHOST.into()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            in_fib_trie(&bytes, Ipv4Addr::LOCALHOST);
            in_if_inet6(&bytes, Ipv6Addr::LOCALHOST);
        }
    }
}
