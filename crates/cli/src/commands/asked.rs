//! What is asked about: the addresses on the command line and those on standard input, each once, and the
//! conversation in which the kernel is asked.

use super::stop::Stop;
use crate::mistyped::hint;
use crate::piped::Piped;
use crate::render::Answer;
use inuse_bind::resolve::Ask;
use inuse_bind::{Asker, WhyOptions};
use inuse_rules::Cause;
use inuse_rules::address::escape;
use inuse_rules::verdict::Outcome;
use inuse_rules::written::{self, Target, Written};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Every address on the command line, and those that a message on standard input names. That is opened here
/// and may go on: whoever asks passes the rest on.
pub(super) fn words(addresses: &[OsString], piped: &mut Option<Piped>) -> Result<Vec<Written>, Stop> {
    let mut all = Vec::new();
    for given in addresses {
        if given != "-" {
            let read = written::parse(&text_of(given));
            // Only the first word can be meant as a verb.
            let first = all.is_empty() && piped.is_none();
            let read = read.map_err(|mistake| if first { hint(mistake) } else { mistake });
            all.push(read.map_err(Stop::Mistake)?);
        } else if piped.is_none() {
            all.extend(piped.insert(Piped::new()).addresses().map_err(Stop::Words)?);
        }
    }
    Ok(all)
}

/// Port 0 stands for no port: there is nothing to free there, and nothing to wait for.
pub(super) fn no_port_zero(written: &[Written]) -> Result<(), Stop> {
    let zero = |written: &&Written| match &written.target {
        Target::Inet { ports, .. } => ports.contains(&0),
        Target::Unix { .. } => false,
    };
    match written.iter().find(zero) {
        None => Ok(()),
        Some(written) => Err(port_zero(&written.text)),
    }
}

/// What is said to who asks for a socket on port 0.
pub(super) fn port_zero(written: &str) -> Stop {
    Stop::Words(format!(
        "'{}': port 0 is no port, the kernel chooses a free one at bind(); name the port that is meant",
        escape(written.trim().as_bytes())
    ))
}

/// An argument as text. Paths need not be UTF-8: such a one is written with escapes, which the grammar
/// reads back.
pub(super) fn text_of(given: &OsStr) -> String {
    match given.to_str() {
        Some(text) => text.to_owned(),
        None if given.as_bytes().starts_with(b"/") => format!("unix:{}", escape(given.as_bytes())),
        None => escape(given.as_bytes()),
    }
}

/// Opens the conversation with the kernel.
pub(super) fn open(options: &WhyOptions) -> Result<Asker, Stop> {
    Asker::new(options).map_err(|error| match &options.netns {
        Some(_) => Stop::Words(format!("--netns: {error}")),
        None => Stop::Blind(format!("the kernel cannot be asked: {error}")),
    })
}

/// Asks about each address once, and answers in any case if any of the words names it.
pub(super) fn add(asks: &mut Vec<Ask>, ask: Ask) {
    match asks.iter_mut().find(|other| other.address == ask.address) {
        Some(other) => other.only_if_different &= ask.only_if_different,
        None => asks.push(ask),
    }
}

/// Whether a loopback address is worth telling beside the wildcard of its family: the kernel answers it
/// otherwise. That a machine has no `::1` at all is no news to somebody who asked about a port.
pub(super) fn differs(answer: &Answer, told: &[Answer]) -> bool {
    let family =
        |answer: &Answer| answer.diagnosis.attempt.address.inet().map(|(_, local, _)| local.is_ipv4());
    let port = |answer: &Answer| answer.diagnosis.attempt.address.port();
    let wildcard =
        told.iter().rev().find(|other| family(other) == family(answer) && port(other) == port(answer));
    let outcome = |answer: &Answer| match &answer.diagnosis.verdict.outcome {
        Outcome::Ok => (0, None),
        Outcome::Refused(refusal) => (1, Some(refusal.errno)),
        Outcome::Unknown { .. } => (2, None),
    };
    answer.diagnosis.cause != Cause::NotLocal
        && wildcard.is_none_or(|wildcard| outcome(wildcard) != outcome(answer))
}
