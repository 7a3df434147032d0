//! Taking away many TIME_WAITs of one local address: looked for and removed a thousand at a time, so that a
//! hundred thousand of them take no more memory than one.
//!
//! Not here: how one is removed (`take_away`, [`Destroyer`]).

use super::Deed;
use super::take_away::displace;
use crate::act::plan::Clear;
use inuse_kernel::destroy::{Destroyer, Doomed};
use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::{InetQuery, Ports, States};
use inuse_kernel::{Error, SockDiag};
use inuse_rules::{Socket, State, Transport};
use std::collections::BTreeMap;

/// So many are looked for at a time.
const BATCH: usize = 1024;
/// What stands in the way of some is told so often.
const MOST_TOLD: usize = 3;

/// Removes them, and those that came beside them meanwhile: a TIME_WAIT is missed by nobody.
pub(super) fn run(netns: &Netns, diag: &mut SockDiag, clear: &Clear) -> Vec<Deed> {
    let mut destroyer = match clear.destroy.then(|| Destroyer::open(netns)).transpose() {
        Ok(destroyer) => destroyer,
        Err(error) => return vec![Deed::left(format!("{}: {error}", clear.local))],
    };
    let mut done = 0u64;
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let batch = match batch(diag, clear) {
            Ok(batch) => batch,
            Err(error) => {
                *left.entry(error.to_string()).or_default() += 1;
                break;
            }
        };
        let before = done;
        for socket in &batch {
            match destroyer.as_mut().map(|destroyer| destroyed(destroyer, socket)) {
                Some(Ok(true)) => done += 1,
                Some(Ok(false)) => {}
                Some(Err(error)) => *left.entry(error.to_string()).or_default() += 1,
                None => match displace(netns, diag, socket) {
                    Deed { done: true, .. } => done += 1,
                    deed if left.len() < MOST_TOLD => *left.entry(deed.says).or_default() += 1,
                    _ => {}
                },
            }
        }
        // The next ones would fare no better.
        if batch.len() < BATCH || done == before {
            break;
        }
    }
    let how =
        if clear.destroy { "destroyed" } else { "removed by connection attempts from their other ends" };
    let mut deeds = Vec::new();
    if done > 0 || left.is_empty() {
        deeds.push(Deed::done(format!("{done} TIME_WAITs of {} {how}", clear.local)));
    }
    deeds.extend(left.into_iter().take(MOST_TOLD).map(|(why, times)| match times {
        1 => Deed::left(why),
        _ => Deed::left(format!("{why} ({times} times)")),
    }));
    deeds
}

/// The next of them.
fn batch(diag: &mut SockDiag, clear: &Clear) -> Result<Vec<Socket>, Error> {
    let port = clear.local.port();
    let states = States::of(&[State::TimeWait]);
    let query = InetQuery { transport: Transport::Tcp, ports: Ports::Local(port, port), states };
    let mut batch = Vec::new();
    diag.inet(&query, &mut |row| {
        let at = row.inet().is_some_and(|(_, local, device)| (local, device) == (clear.local, clear.device));
        if at && row.state == State::TimeWait && batch.len() < BATCH {
            batch.push(row);
        }
    })?;
    Ok(batch)
}

/// Whether it was there to be destroyed. The row is of a moment ago, and no TIME_WAIT becomes a listener.
fn destroyed(destroyer: &mut Destroyer, socket: &Socket) -> Result<bool, Error> {
    match Doomed::of(socket) {
        Ok(doomed) => destroyer.destroy(&doomed),
        Err(_) => Ok(false),
    }
}
