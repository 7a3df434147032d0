//! The bind that is meant: its options, whose it is, and where. The same words for every verb that judges one.

use crate::caller::Caller;
use clap::Args;
use inuse_kernel::netns::NetnsName;
use inuse_rules::{Address, Attempt};
use std::ffi::OsString;

/// The options of a bind, and where it takes place.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct AttemptArgs {
    /// For a bind with SO_REUSEADDR set
    #[arg(long)]
    pub reuseaddr: bool,

    /// For a bind with SO_REUSEPORT set
    #[arg(long)]
    pub reuseport: bool,

    /// For a bind with IPV6_V6ONLY set
    #[arg(long)]
    pub v6only: bool,

    /// For a bind by this user, a number or a name (under sudo: the calling user)
    #[arg(long, value_name = "USER")]
    pub as_uid: Option<String>,

    /// Look in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<OsString>,
}

impl AttemptArgs {
    /// The bind to this address that the words mean, by this caller.
    pub fn attempt(&self, address: &Address, caller: &Caller) -> Attempt {
        Attempt {
            reuseaddr: self.reuseaddr,
            reuseport: self.reuseport,
            v6only: self.v6only,
            uid: caller.uid,
            net_bind_service: caller.net_bind_service,
            ..Attempt::plain(address.clone())
        }
    }

    /// The network namespace that was named.
    pub fn netns(&self) -> Option<NetnsName> {
        self.netns.as_deref().map(NetnsName::new)
    }
}
