//! Listeners are kept over restarts and kills of programs that know nothing of it: servers in C that use their
//! sockets in every way there is, and real ones.
//!
//! `driver` is a small supervisor around `inuse_keeper::hold::keep`, `cases` what must hold, `programs` the real
//! servers. Each case has an address of loopback for itself, and each run others than the one before: connections of
//! that one may still be in TIME_WAIT there.

mod cases;
mod cost;
mod driver;
mod programs;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    if driver::play() {
        return;
    }
    let mut trials = Vec::new();
    for (number, (name, test)) in cases::ALL.iter().enumerate() {
        let address = address(number);
        let run = move || match cases::AS_ROOT.contains(name) && !rustix::process::geteuid().is_root() {
            false => when_possible(|| test(&address)),
            true => cannot("it needs root"),
        };
        trials.push(Trial::ignorable_test(format!("case::{name}"), run));
    }
    for (number, server) in programs::ALL.iter().enumerate() {
        let address = address(cases::ALL.len() + number);
        let run = move || match server.missing() {
            None => when_possible(|| server.restarts(&address)),
            Some(program) => cannot(format!("it needs {program}")),
        };
        trials.push(Trial::ignorable_test(format!("program::{}", server.name), run));
    }
    trials.push(Trial::ignorable_test("cost", || when_possible(cost::of_a_bind)));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    driver::clean_up();
    conclusion.exit();
}

/// An address of loopback for a case of this run.
fn address(number: usize) -> String {
    let run = std::process::id();
    format!("127.{}.{}.{}", 128 + (run >> 8) % 64, run & 0xff, number + 1)
}

fn when_possible(test: impl FnOnce() -> Result<(), Failed>) -> Result<Completion, Failed> {
    match driver::obstacle() {
        Some(why) => cannot(why),
        None => test().map(|()| Completion::Completed),
    }
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}
