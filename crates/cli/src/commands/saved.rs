//! Facts in a file: what `why --save` writes, and what `why --snapshot` judges.
//!
//! The file's form is the library's (`inuse_bind::file`); here it is asked and answered.

use super::asked::{add, differs};
use super::stop::Stop;
use crate::args::WhyArgs;
use crate::caller::{Caller, named};
use crate::render::Answer;
use crate::render::wording::list;
use inuse_bind::file::{Entry, Saved};
use inuse_bind::resolve::{Ask, resolve};
use inuse_rules::address::{Address, UnixName};
use inuse_rules::written::Written;
use inuse_rules::{Attempt, Snapshot, diagnose};
use std::sync::Arc;

/// The most addresses of a file that a line names.
const FEW: usize = 8;

pub(super) fn file_of(answers: &[Answer]) -> Saved {
    Saved {
        made_by: concat!("inuse ", env!("CARGO_PKG_VERSION")).to_owned(),
        entries: answers
            .iter()
            .map(|answer| Entry {
                attempt: answer.diagnosis.attempt.clone(),
                snapshot: Snapshot::clone(&answer.snapshot),
            })
            .collect(),
    }
}

/// Judges what a file holds: every attempt in it, or the addresses given, each with the facts that cover it.
pub(super) fn judge(args: &WhyArgs, written: &[Written], saved: &Saved) -> Result<Vec<Answer>, Stop> {
    if saved.entries.is_empty() {
        return Err(Stop::Words("the snapshot holds no attempt".into()));
    }
    let answer = |snapshot: &Snapshot, attempt: Attempt| Answer {
        diagnosis: diagnose(snapshot, &attempt),
        snapshot: Arc::new(snapshot.clone()),
    };
    let with_flags = |attempt: &Attempt| -> Result<Attempt, Stop> {
        let user = match &args.attempt.as_uid {
            Some(written) => named(written).map_err(Stop::Words)?,
            None => Caller { uid: attempt.uid, net_bind_service: attempt.net_bind_service, note: None },
        };
        Ok(Attempt {
            reuseaddr: attempt.reuseaddr || args.attempt.reuseaddr,
            reuseport: attempt.reuseport || args.attempt.reuseport,
            v6only: attempt.v6only || args.attempt.v6only,
            uid: user.uid,
            net_bind_service: user.net_bind_service,
            ..attempt.clone()
        })
    };
    if written.is_empty() {
        return saved.entries.iter().map(|e| Ok(answer(&e.snapshot, with_flags(&e.attempt)?))).collect();
    }
    let mut asks: Vec<Ask> = Vec::new();
    for written in written {
        // The interfaces of the other machine are not known here by name, only by number.
        for ask in resolve(written, |_| Ok(None)).map_err(Stop::Mistake)? {
            add(&mut asks, ask);
        }
    }
    let mut answers = Vec::new();
    for Ask { address, only_if_different } in asks {
        let entry = saved
            .entries
            .iter()
            .find(|e| e.attempt.address == address)
            .or_else(|| saved.entries.iter().find(|e| covers(&e.snapshot, &address)));
        let entry = entry.ok_or_else(|| not_held(&address, saved))?;
        let attempt = with_flags(&Attempt { address, ..entry.attempt.clone() })?;
        let answer = answer(&entry.snapshot, attempt);
        if !only_if_different || differs(&answer, &answers) {
            answers.push(answer);
        }
    }
    Ok(answers)
}

/// Nobody asked that machine about this address.
fn not_held(address: &Address, saved: &Saved) -> Stop {
    let held: Vec<String> = saved.entries.iter().map(|entry| entry.attempt.address.to_string()).collect();
    Stop::Blind(format!("the snapshot says nothing of {address}; it holds {}", list(&held, FEW)))
}

fn covers(snapshot: &Snapshot, address: &Address) -> bool {
    match address {
        Address::Inet { transport, local, .. } => snapshot.coverage.of(*transport, local.port()).is_some(),
        // What stands at a path was looked up for one path only.
        Address::Unix { name: UnixName::Path(_), .. } => false,
        Address::Unix { .. } => snapshot.coverage.unix,
    }
}
