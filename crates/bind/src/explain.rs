//! Cause and cure of a failed bind, found out the moment it fails.
//!
//! Most of an answer costs microseconds. The search for the owners goes through every open file of the machine, so
//! it has a deadline; an answer says when that cut it short.

use crate::listen::options::Options;
use crate::why::{Asker, Report, WhyOptions};
use inuse_kernel::{Netns, caps, locality, sysctl};
use inuse_rules::cure::Action;
use inuse_rules::snapshot::Probed;
use inuse_rules::{Address, Attempt, Errno, Outcome, Ownership, diagnose};
use std::sync::Arc;
use std::time::Duration;

/// The most time that is spent on finding owners when a bind fails.
const OWNER_TIME: Duration = Duration::from_millis(100);

/// How the caller asks: about its own bind, and for as long as it takes.
pub(crate) fn own() -> WhyOptions {
    WhyOptions { own_bind: true, ..WhyOptions::default() }
}

/// The same, for who waits for the answer.
pub(crate) fn quickly() -> WhyOptions {
    WhyOptions { owners_within: Some(OWNER_TIME), ..own() }
}

/// The attempt of this process at that address, with these options.
pub(crate) fn attempt(address: &Address, options: &Options) -> Attempt {
    let netns = Netns::current();
    let system = || sysctl::sysctls(&netns).ok().and_then(|seen| seen.found.bindv6only);
    let mut address = address.clone();
    if let (Address::Inet { device, .. }, Some(name)) = (&mut address, &options.device) {
        *device = locality::interface_index(&netns, name).ok().flatten().unwrap_or(0);
    }
    Attempt {
        address,
        reuseaddr: options.reuseaddr,
        reuseport: options.reuseport,
        v6only: options.v6only.or_else(system).unwrap_or(false),
        uid: rustix::process::geteuid().as_raw(),
        net_bind_service: caps::may_bind_privileged(&netns),
        freebind: options.freebind,
    }
}

/// An answer in one line, and what it rests on.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) line: Option<String>,
    pub(crate) report: Option<Report>,
}

/// Why this attempt ended with that errno. `tried`: it was this very attempt, and bind(2) refused it.
pub(crate) fn answer(attempt: &Attempt, errno: Option<i32>, tried: bool) -> Answer {
    let Some(errno) = errno.filter(|errno| Errno::ALL.iter().any(|known| known.linux() == *errno)) else {
        return Answer::default();
    };
    let Ok(mut asker) = Asker::new(&quickly()) else {
        return Answer {
            line: Some("Who holds it cannot be seen: this system has no sock_diag".into()),
            report: None,
        };
    };
    let mut report = asker.why(attempt);
    if errno == Errno::EADDRINUSE.linux() {
        supplement(&mut report, attempt, tried);
    }
    Answer { line: Some(line(&report, errno)), report: Some(report) }
}

/// What the refusal itself tells, from the same facts.
fn supplement(report: &mut Report, attempt: &Attempt, tried: bool) {
    match report.diagnosis.verdict.outcome {
        // That the kernel refused it is what was not known of an option.
        Outcome::Unknown { .. } if tried => {
            let snapshot = Arc::make_mut(&mut report.snapshot);
            snapshot.probed.push(Probed { attempt: attempt.clone(), refused: true });
            report.diagnosis = diagnose(&report.snapshot, attempt);
        }
        // Of a socket that somebody else bound it is only supposed that it had the option.
        Outcome::Ok if attempt.reuseaddr && !tried => {
            let plain = diagnose(&report.snapshot, &Attempt { reuseaddr: false, ..attempt.clone() });
            if plain.verdict.outcome != Outcome::Ok {
                report.diagnosis = plain;
            }
        }
        _ => {}
    }
}

/// Cause, holder and first cure.
fn line(report: &Report, errno: i32) -> String {
    let diagnosis = &report.diagnosis;
    let mut said = match &diagnosis.verdict.outcome {
        Outcome::Refused(refusal) if refusal.errno.linux() == errno => diagnosis.summary.clone(),
        Outcome::Unknown { possible, .. } if possible.iter().flatten().any(|one| one.linux() == errno) => {
            diagnosis.summary.clone()
        }
        _ if errno == Errno::EADDRINUSE.linux() => {
            return "A moment later nothing stood in the way any more: try again".to_owned();
        }
        _ => {
            return "The bind rules of the kernel do not say so: a security module or a container may"
                .to_owned();
        }
    };
    // Everything in the way was asked about, unless the time was over.
    let stopped = diagnosis.verdict.by().iter().any(|&index| {
        let socket = report.snapshot.sockets.get(index);
        socket.is_some_and(|socket| socket.inode != 0 && socket.owners == Ownership::NotAsked)
    });
    if stopped {
        let (ms, address) = (OWNER_TIME.as_millis(), &diagnosis.attempt.address);
        said += &format!(
            " The search for its owner was stopped after {ms} ms; 'inuse why {address}' takes the time."
        );
    }
    if let Some(cure) = diagnosis.cures.first().filter(|cure| !(stopped && cure.action == Action::LookAgain))
    {
        let commands: Vec<String> = cure.commands.iter().map(ToString::to_string).collect();
        said.push(' ');
        said += cure.says.trim_end_matches(['.', ':']);
        if !commands.is_empty() {
            said += &format!(": {}", commands.join("; "));
        }
    }
    said.trim_end_matches('.').to_owned()
}
