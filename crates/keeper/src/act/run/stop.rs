//! The first rung: SIGTERM to each holder, then waiting for the *socket*, then SIGKILL where that was agreed to.
//! Never to a process group.

use super::Deed;
use crate::act::evidence::{Target, Unfit};
use crate::act::plan::{Stop, Suspect};
use inuse_kernel::SockDiag;
use inuse_rules::address::escape;
use inuse_rules::{Address, Socket, State};
use rustix::io::Errno;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How often the sockets are looked at.
const PACE: Duration = Duration::from_millis(5);

/// What came of it.
pub(super) struct Stopped {
    pub(super) deeds: Vec<Deed>,
    /// Processes that got every signal that they were to get, and still live and hold their socket.
    pub(super) stubborn: Vec<Suspect>,
}

/// Stops the holders.
pub(super) fn run(diag: &mut SockDiag, stop: &Stop, grace: Duration) -> Stopped {
    let checked: Vec<_> = stop.suspects.iter().map(|suspect| (suspect, Target::check(suspect))).collect();
    // One that cannot be stopped keeps the address: then nobody is, for nothing.
    let hopeless = checked.iter().any(|(_, check)| matches!(check, Err(Unfit::Refused(_) | Unfit::Never)));
    let mut deeds = Vec::new();
    let mut targets = Vec::new();
    for (suspect, check) in checked {
        // The others took their time.
        match check.and_then(|mut target| target.look_again().map(|()| target)) {
            Ok(_) if hopeless => deeds.push(Deed::left(format!("{} was left alone", name(suspect)))),
            Ok(target) => {
                let deed = terminate(&target);
                if deed.done {
                    targets.push(target);
                }
                deeds.push(deed);
            }
            Err(unfit) => deeds.push(Deed::left(format!("{}: {unfit}", name(suspect)))),
        }
    }
    if hopeless {
        return Stopped { deeds, stubborn: Vec::new() };
    }
    let mut gone = wait(diag, &stop.sockets, &mut targets, grace);
    if !gone && stop.kill {
        for target in &mut targets {
            if target.look_again().is_ok() {
                let name = name(target.suspect());
                deeds.push(match target.signal(Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {
                        Deed::done(format!("SIGKILL to {name}, which ignored SIGTERM"))
                    }
                    Err(errno) => Deed::left(format!("SIGKILL to {name} failed: {errno}")),
                });
            }
        }
        gone = wait(diag, &stop.sockets, &mut targets, grace);
    }
    let stubborn = if gone {
        Vec::new()
    } else {
        targets.iter_mut().filter_map(|t| t.look_again().is_ok().then(|| t.suspect().clone())).collect()
    };
    Stopped { deeds, stubborn }
}

/// SIGTERM; and SIGCONT after it, where a stopped process would not see it.
fn terminate(target: &Target) -> Deed {
    let name = name(target.suspect());
    match target.signal(Signal::TERM) {
        Ok(()) => {}
        // It ended between the check and the signal, which is all that was wanted.
        Err(Errno::SRCH) => return Deed::done(format!("{name} ended by itself")),
        Err(Errno::PERM) => return Deed::left(format!("{name} may not be signalled: it is another user's")),
        Err(errno) => return Deed::left(format!("SIGTERM to {name} failed: {errno}")),
    }
    if !target.is_stopped() {
        return Deed::done(format!("SIGTERM to {name}"));
    }
    match target.signal(Signal::CONT) {
        Ok(()) | Err(Errno::SRCH) => {
            Deed::done(format!("SIGTERM and SIGCONT to {name}, which was suspended"))
        }
        Err(errno) => Deed::left(format!("SIGTERM to {name}, but SIGCONT failed: {errno}")),
    }
}

/// Waits until the sockets are gone; false when they are still there at the end.
fn wait(diag: &mut SockDiag, sockets: &[Socket], targets: &mut [Target], grace: Duration) -> bool {
    let deadline = Instant::now() + grace;
    loop {
        if !sockets.iter().any(|socket| is_there(diag, socket)) && !serves_elsewhere(sockets, targets) {
            return true;
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
        std::thread::sleep(PACE.min(left));
    }
}

/// Whether a socket still exists in the namespace that is asked about. One that cannot be asked about counts
/// as there.
pub(super) fn is_there(diag: &mut SockDiag, socket: &Socket) -> bool {
    match socket.address {
        Address::Inet { .. } => !matches!(diag.get(socket), Ok(None)),
        Address::Unix { .. } => {
            let mut there = false;
            let asked = diag.unix(inuse_kernel::sockdiag::States::ALL, &mut |row| {
                there |= row.socket.inode == socket.inode && row.socket.state != State::Established;
            });
            there || asked.is_err()
        }
    }
}

/// A path may be served from another namespace, whose list of sockets this one is not: there the processes
/// themselves are asked.
fn serves_elsewhere(sockets: &[Socket], targets: &mut [Target]) -> bool {
    let unix = sockets.iter().any(|socket| matches!(socket.address, Address::Unix { .. }));
    unix && targets.iter_mut().any(|target| target.look_again().is_ok())
}

pub(super) fn name(suspect: &Suspect) -> String {
    format!("{} (pid {})", escape(&suspect.process.comm), suspect.process.pid)
}
