//! What the command is when it is its own helper: the words that begin with two underscores, before any other
//! word is read.

use crate::exit::ExitStatus;
use inuse_keeper::hold;
use std::ffi::OsString;

/// Does what the helper is for, if the words say that this process is one.
pub fn run(arguments: &[OsString]) -> Option<ExitStatus> {
    let [_, word, rest @ ..] = arguments else { return None };
    let rest = rest.iter().cloned();
    match word.to_str()? {
        hold::STUB => Some(ExitStatus::Program(hold::stub(rest))),
        hold::TEE => Some(ExitStatus::Program(hold::tee(rest))),
        hold::KEEP => Some(match hold::keep::stand_in_main() {
            Ok(()) => ExitStatus::Success,
            Err(_) => ExitStatus::CannotSay,
        }),
        _ => None,
    }
}
