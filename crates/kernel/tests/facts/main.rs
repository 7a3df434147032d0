//! The facts of this crate against the real kernel: what is staged must be found, with the right fields,
//! and two roads to one fact must agree.
//!
//! Each case runs in a thread that has a network namespace of its own, so cases share no port with each
//! other or with the machine. Without root this needs user namespaces; a case that cannot run is ignored
//! and says why, and fails where INUSE_REQUIRE_ALL is 1.

mod inet;
mod parity;
mod places;
#[allow(unreachable_pub)]
#[path = "../../../lab/src/required.rs"]
mod required;
#[allow(unreachable_pub)]
#[path = "../../../lab/src/scratch.rs"]
mod scratch;
mod stage;
mod unix;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::ExitCode;

/// A case, and whether it could run.
type Case = (&'static str, fn() -> Result<(), Missing>);

/// What a case lacks to run.
#[derive(Clone, Debug)]
struct Missing(String);

fn main() -> ExitCode {
    if let Some(port) = std::env::var_os(stage::LISTEN_INSTEAD) {
        return stage::listen_until_told(&port);
    }
    let room = stage::own_user_namespace();
    let cases = [inet::CASES, parity::CASES, unix::CASES, places::CASES].concat();
    let trials = cases.into_iter().map(|(name, case)| {
        let room = room.clone();
        Trial::ignorable_test(name, move || verdict(room.and_then(|()| stage::in_fresh_netns(case))))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn verdict(ran: Result<(), Missing>) -> Result<Completion, Failed> {
    match ran {
        Ok(()) => Ok(Completion::Completed),
        Err(Missing(what)) if required::all_required() => {
            Err(format!("required, but cannot run: {what}").into())
        }
        Err(Missing(what)) => Ok(Completion::ignored_with(what)),
    }
}
