//! The kernel's bind decision as a pure function: facts in, verdict out.
//!
//! The order of the checks is the kernel's own (`__inet_bind`, `__inet6_bind`, `unix_bind`), since the
//! first that fails makes the errno. Each check has its file; this one only knows the order.
//!
//! Not here: naming a cause, finding an owner, and fetching what is missing. A missing fact is named
//! in the verdict, and the verdict then holds every answer that the fact could lead to.

mod connect;
mod ephemeral;
mod local;
mod newcomer;
mod overlap;
mod quirks;
mod reuseport;
mod tcp;
mod udp;
mod unix;

#[cfg(test)]
mod tests;

pub use connect::{Connect, judge_connect};

use crate::address::{Address, Transport};
use crate::attempt::Attempt;
use crate::snapshot::Snapshot;
use crate::verdict::{Call, Errno, Fact, Outcome, Refusal, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use newcomer::Newcomer;

/// What the kernel would say to socket(), the attempt's options, bind() and (TCP, unix stream and
/// seqpacket) listen(), from the facts of the snapshot.
///
/// Cost: linear in the sockets of the snapshot, where SO_REUSEPORT is in play also times the logarithm of
/// how many kinds of them there are. Only where more than ten datagram sockets have the port is it the
/// square of those on the newcomer's own address that are connected.
pub fn judge(snapshot: &Snapshot, attempt: &Attempt) -> Verdict {
    match &attempt.address {
        Address::Unix { kind, name } => unix::judge(snapshot, attempt, *kind, name),
        Address::Inet { transport, local, device } => {
            let new = Newcomer::new(attempt, *local, *device);
            if let Some(verdict) = local::judge(snapshot, attempt, *transport, *local, &new) {
                return verdict;
            }
            let verdict = match (transport, local.port()) {
                (_, 0) => ephemeral::judge(snapshot, *transport, &new),
                (Transport::Tcp, port) => tcp::judge(snapshot, port, &new),
                (Transport::Udp, port) => udp::judge(snapshot, port, &new),
            };
            tried(snapshot, attempt, verdict)
        }
    }
}

/// Where facts are missing and the very bind was tried, its answer stands.
fn tried(snapshot: &Snapshot, attempt: &Attempt, verdict: Verdict) -> Verdict {
    let Outcome::Unknown { by, .. } = &verdict.outcome else { return verdict };
    match snapshot.probed.iter().find(|probed| probed.attempt == *attempt) {
        None => verdict,
        Some(probed) if !probed.refused => ok(),
        Some(_) => {
            let rule = if attempt.reuseaddr { Rule::OldLacksReuseaddr } else { Rule::OldLacksReuseport };
            refused(Errno::EADDRINUSE, Call::Bind, rule, by.clone())
        }
    }
}

/// Shorthand of the files below: a verdict that is sure.
fn refused(errno: Errno, at: Call, rule: Rule, by: Vec<usize>) -> Verdict {
    Verdict { outcome: Outcome::Refused(Refusal { errno, at, rule, by }), version_note: None }
}

/// Shorthand: every call succeeds.
fn ok() -> Verdict {
    Verdict { outcome: Outcome::Ok, version_note: None }
}

/// Shorthand: success or that error, once the facts are there.
fn unknown(errno: Errno, mut missing: Vec<Fact>, by: Vec<usize>) -> Verdict {
    missing.sort();
    missing.dedup();
    Verdict {
        outcome: Outcome::Unknown { possible: vec![None, Some(errno)], missing, by },
        version_note: None,
    }
}
