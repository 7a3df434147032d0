//! Whether the caller has a capability towards a network namespace.
//!
//! A capability counts in the user namespace in which it is had, and in its descendants (`cap_capable`):
//! root inside `unshare -Ur` has every bit of CapEff set, and may still not bind port 80 of the network
//! namespace that it came from. See user_namespaces(7), ioctl_ns(2).
//!
//! Not here: the rule that who made a user namespace has every capability in it. Such a one must have
//! entered the network namespace, and for that it had to be in a user namespace where the bits tell.

use crate::netns::Netns;
use crate::sys::ns_owner;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

/// Whether a bind by the caller to a privileged port of this namespace passes (`CAP_NET_BIND_SERVICE`).
pub fn may_bind_privileged(netns: &Netns) -> bool {
    let effective = capabilities(None).map(|sets| sets.effective);
    let has = effective.map_or_else(
        |_| rustix::process::geteuid().is_root(),
        |effective| effective.contains(CapabilitySet::NET_BIND_SERVICE),
    );
    has && root_counts(netns)
}

/// Whether capabilities of the caller's user namespace count in this network namespace: it belongs to that
/// user namespace or to a descendant. Where nothing tells, as before 4.9 or without /proc, they do.
pub fn root_counts(netns: &Netns) -> bool {
    // The kernel looks for the caller's user namespace among the owner and its ancestors.
    let owner = netns.file().and_then(ns_owner::owner);
    !matches!(owner, Err(Errno::PERM))
}
