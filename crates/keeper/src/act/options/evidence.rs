//! Evidence: the only way to a setsockopt(2).
//!
//! A [`Proven`] is made by [`Proven::check`] alone: a pidfd of the holder, whose start time is the one that was seen;
//! through that pidfd a duplicate of its descriptor; and of the duplicate the inode and the cookie. A cookie is never
//! given out again while the machine runs, so what is set is the socket that was seen, or nothing.

use super::seen::{Found, Holder};
use inuse_kernel::options::Unread;
use inuse_kernel::options::live::{Live, Table};
use std::fmt;

/// A duplicate that was proven, just now, to be the socket that was seen. It lives for one step.
#[derive(Debug)]
pub(super) struct Proven(Live);

/// Why a socket is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// No process that was seen with it has it any more.
    Gone,
    /// The rights are missing: which.
    Refused(String),
    /// Something else failed.
    Other(String),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unproven::Gone => f.write_str("it was closed meanwhile (EBADF)"),
            Unproven::Refused(needs) => write!(f, "it may not be set: that needs {needs}"),
            Unproven::Other(error) => write!(f, "it cannot be looked at again: {error}"),
        }
    }
}

impl Proven {
    /// Looks at a socket again, through whichever of its holders still has it.
    ///
    /// # Errors
    /// When none has.
    pub(super) fn check(found: &Found) -> Result<Proven, Unproven> {
        let mut worst = Unproven::Gone;
        for holder in &found.holders {
            match through(holder, found) {
                Ok(proven) => return Ok(proven),
                Err(Unproven::Gone) => {}
                Err(why) => worst = why,
            }
        }
        Err(worst)
    }

    pub(super) fn live(&self) -> &Live {
        &self.0
    }
}

fn through(holder: &Holder, found: &Found) -> Result<Proven, Unproven> {
    let table = Table::open(holder.pid, holder.tid).map_err(unproven)?;
    if table.start_ticks() != holder.start_ticks {
        return Err(Unproven::Gone);
    }
    let mut worst = Unproven::Gone;
    for &fd in &holder.fds {
        match table.socket(fd) {
            Ok(live) if live.is(found.traits.inode, found.traits.cookie) => return Ok(Proven(live)),
            Ok(_) => {}
            Err(why) => match unproven(why) {
                Unproven::Gone => {}
                why => worst = why,
            },
        }
    }
    Err(worst)
}

fn unproven(why: Unread) -> Unproven {
    match why {
        Unread::Gone | Unread::Closed | Unread::NoSocket => Unproven::Gone,
        Unread::Refused { needs, .. } => Unproven::Refused(needs),
        other => Unproven::Other(other.to_string()),
    }
}
