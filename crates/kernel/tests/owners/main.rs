//! Owners and processes against the real kernel: each test stages a holder as a process of its own and
//! asks who has its socket.
//!
//! The holders are this binary again (`roles`), started by `stage`; they end with their standard input.
//! A test that cannot run here is reported as ignored with the reason; with `INUSE_REQUIRE_ALL=1` that
//! is a failure.

mod beyond;
#[cfg(feature = "bpf")]
mod parity;
mod processes;
#[allow(unreachable_pub)]
#[path = "../../../lab/src/required.rs"]
mod required;
mod roles;
mod stage;
mod sys;
mod tables;
mod unseen;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::ExitCode;

/// What a test reports: done, or why it cannot run here. It fails by panicking.
type Ran = Result<(), stage::Cannot>;

/// A test with its name.
type Test = (&'static str, fn() -> Ran);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--role") {
        return roles::play(&arguments.collect::<Vec<_>>());
    }
    let tests = [tables::TESTS, beyond::TESTS, unseen::TESTS, processes::TESTS];
    #[cfg(feature = "bpf")]
    let tests = [&tests[..], &[parity::TESTS]].concat();
    let tests = tests.concat();
    let trials =
        tests.into_iter().map(|(name, test)| Trial::ignorable_test(name, move || report(test()))).collect();
    // One at a time: while one test peeks, another would see the duplicate in this very process.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn report(ran: Ran) -> Result<Completion, Failed> {
    match ran {
        Ok(()) => Ok(Completion::Completed),
        Err(stage::Cannot(reason)) if required::all_required() => {
            Err(format!("must run, but {reason}").into())
        }
        Err(stage::Cannot(reason)) => Ok(Completion::ignored_with(reason)),
    }
}
