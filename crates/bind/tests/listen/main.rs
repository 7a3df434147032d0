//! The library on the real kernel: every option really set, every refusal explained, and nothing left to children.
//!
//! Some tests need another process as holder, or another user as caller: copies of this binary play these roles
//! before any thread exists. All traffic is on loopback.

mod options;
mod patience;
mod refusals;
mod roles;
mod unix;

use libtest_mimic::{Arguments, Completion, Failed};

fn main() {
    if roles::play() {
        return;
    }
    let mut trials = options::trials();
    trials.extend(patience::trials());
    trials.extend(refusals::trials());
    trials.extend(unix::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A failed comparison, told with both sides.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(found: T, expect: T) -> Result<(), Failed> {
    if found == expect {
        return Ok(());
    }
    let line = std::panic::Location::caller().line();
    Err(format!("line {line}: {found:?}, expected {expect:?}").into())
}

/// Every one of these parts is in that text.
#[track_caller]
fn says(error: &impl std::fmt::Display, parts: &[&str]) -> Result<(), Failed> {
    let text = error.to_string();
    let line = std::panic::Location::caller().line();
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("line {line}: '{part}' is missing in: {text}").into()),
    }
}

/// The text once the search for owners was not cut short, as it is on a machine that is too busy.
fn unhurried<T: std::fmt::Display>(mut text: impl FnMut() -> T) -> T {
    let mut tries = 0;
    loop {
        let told = text();
        tries += 1;
        if tries == 20 || !told.to_string().contains("was stopped after") {
            return told;
        }
    }
}

/// The end of a test that cannot run here.
fn ignored(why: &str) -> Result<Completion, Failed> {
    if inuse_lab::all_required() { Err(why.into()) } else { Ok(Completion::ignored_with(why)) }
}
