//! Where a crowd stands: a network namespace that is empty but for it, and for the empty host a pid
//! namespace as well.
//!
//! The caller must have one thread. Root needs no more than that; anybody else gets a user namespace in which
//! only the own user exists, without being root there: the programs of the benchmark keep no capability.

use crate::stage::network;
use crate::sys::thread::unshare;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;
use std::io;

/// Moves the process to a fresh network namespace with loopback. A second call leaves the first.
///
/// # Errors
/// Where namespaces are forbidden.
pub(crate) fn private() -> io::Result<()> {
    leave(UnshareFlags::NEWNET)?;
    network::loopback_up()
}

/// As [`private`], and the next child is the first process of a pid namespace; it calls [`first_process`].
///
/// # Errors
/// Where namespaces are forbidden.
pub(crate) fn alone() -> io::Result<()> {
    leave(UnshareFlags::NEWNET | UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    network::loopback_up()
}

/// Gives the pid namespace the /proc that belongs to it.
///
/// # Errors
/// Where it cannot be mounted.
pub(crate) fn first_process() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?)
}

/// Room for so many sockets in TIME_WAIT; the kernel drops those beyond.
///
/// # Errors
/// Where the setting is refused.
pub(crate) fn allow_time_wait(count: usize) -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", count.to_string())
}

/// TCP sockets that are in use, and those in TIME_WAIT, as the kernel counts them in this namespace.
///
/// # Errors
/// Where /proc/net/sockstat cannot be read.
pub(crate) fn count_sockets() -> io::Result<(usize, usize)> {
    let text = std::fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |name: &str| {
        let pair = words.chunks(2).find(|pair| pair.first() == Some(&name));
        pair.and_then(|pair| pair.get(1)?.parse().ok()).unwrap_or(0)
    };
    Ok((number("inuse"), number("tw")))
}

fn leave(namespaces: UnshareFlags) -> io::Result<()> {
    let refused = match unshare(namespaces) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(namespaces | UnshareFlags::NEWUSER)
        .map_err(|_| io::Error::new(refused.kind(), format!("a namespace of its own: {refused}")))?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}
