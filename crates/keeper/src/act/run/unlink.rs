//! Removing a stale socket file, told as a deed. The proof that nobody is behind it, and the removal, are
//! `inuse_bind::stale`.

use super::Deed;
use crate::act::plan::StaleFile;
use inuse_kernel::SockDiag;
use inuse_kernel::netns::Netns;
use inuse_rules::address::escape;

/// Removes it, if it is stale.
pub(super) fn run(netns: &Netns, diag: &mut SockDiag, stale: &StaleFile) -> Deed {
    let name = escape(&stale.path);
    match stale.remove(netns, diag) {
        Ok(true) => Deed::done(format!("{name} removed: nobody was behind it")),
        Ok(false) => Deed::left(format!("{name} was gone already")),
        Err(why) => Deed::left(format!("{name} stays: {why}")),
    }
}
