//! `inuse run` with programs that bind for themselves and know nothing of it: the built command, real programs,
//! real connections.
//!
//! `driver` starts the command and hears its log, `programs` has what must hold, `obstacles` what makes it impossible
//! and the deaths of those who keep. Each case has an
//! address of loopback for itself, and each run others than the one before: connections of that one may still be in
//! TIME_WAIT there.

mod driver;
mod obstacles;
mod programs;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let mut trials = Vec::new();
    for (number, case) in [programs::ALL, obstacles::ALL].concat().into_iter().enumerate() {
        let address = address(number);
        let run = move || match driver::missing(case.needs) {
            Some(program) => cannot(format!("it needs {program}")),
            None => (case.test)(&address).map(|()| Completion::Completed),
        };
        trials.push(Trial::ignorable_test(case.name, run));
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    driver::clean_up();
    conclusion.exit();
}

/// A case, and what must be installed for it.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    needs: &'static [&'static str],
    /// It is given an address of loopback.
    test: fn(&str) -> Result<(), Failed>,
}

/// An address of loopback for a case of this run.
fn address(number: usize) -> String {
    let run = std::process::id();
    format!("127.{}.{}.{}", 64 + (run >> 8) % 64, run & 0xff, number + 1)
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}
