//! Waiting, against the real kernel: what ends a wait, what must not, how soon, and at what cost.
//!
//! Each case runs on a stage of its own, as another run of this binary: there it holds addresses, waits for
//! them in a second thread, and lets them go. Moments are those of the one who lets go. The bounds on time
//! are generous, since machines that test are busy; but they are below the second after which a waiter looks
//! without any reason, so that an event that was missed shows.
//!
//! `begun` is a wait and what is held meanwhile; the cases are in `ports`, `unix`, `time_wait`, `listening`,
//! `ends` and `cost`.

mod begun;
mod cost;
mod ends;
mod listening;
mod ports;
mod time_wait;
mod unix;

use begun::Told;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A name, and what is then played.
type Case = (&'static str, fn() -> Told);

/// The cases that run on a stage, by name.
const CASES: &[Case] = &[
    ("listener_closed", ports::listener_closed),
    ("process_killed", ports::process_killed),
    ("bound_socket_closed", ports::bound_socket_closed),
    ("connection_outlives_the_listener", ports::connection_outlives_the_listener),
    ("udp_socket_closed", ports::udp_socket_closed),
    ("unix_name_removed", unix::unix_name_removed),
    ("unix_name_renamed", unix::unix_name_renamed),
    ("unix_directory_renamed", unix::unix_directory_renamed),
    ("unix_name_in_a_busy_directory", unix::unix_name_in_a_busy_directory),
    ("unix_name_taken_again_at_once", unix::unix_name_taken_again_at_once),
    ("abstract_name_released", unix::abstract_name_released),
    ("port_taken_again_at_once", ports::port_taken_again_at_once),
    ("all_of_several", ports::all_of_several),
    ("deadline", ends::deadline),
    ("hopeless", ends::hopeless),
    ("listening", listening::listening),
    ("listening_on_unix_names", listening::listening_on_unix_names),
    ("no_event_is_lost", ends::no_event_is_lost),
    ("other_ports_cost_nothing", cost::other_ports_cost_nothing),
    ("a_long_wait_costs_nothing", cost::a_long_wait_costs_nothing),
    ("latency", cost::latency),
];

fn main() {
    inuse_lab::helper_main();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["__case", name] => return case(name),
        ["__hold", address] => return begun::hold(address),
        ["__churn"] => return cost::churn(),
        _ => {}
    }
    let mut trials: Vec<Trial> =
        CASES.iter().map(|(name, _)| Trial::ignorable_test(*name, move || on_stage(&[name]))).collect();
    trials.push(Trial::ignorable_test("time_wait_destroyed", || {
        match Command::new("ss").arg("-V").output() {
            Err(error) => cannot(format!("ss cannot be started: {error}")),
            Ok(_) => on_stage(&["time_wait_destroyed"]),
        }
    }));
    trials.push(Trial::ignorable_test("time_wait_expires", || {
        // A program on the stage may run for a minute, which this outlasts: so it comes in two parts.
        with_stage(|stage| {
            run(stage, "leave_time_waits")?;
            thread::sleep(Duration::from_secs(6));
            run(stage, "time_wait_expires")
        })
    }));
    trials.push(Trial::ignorable_test("listening_in_another_namespace", || with_stage(listening::elsewhere)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Ignored with a reason, or failed where everything is required.
pub(crate) fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn with_stage(test: impl FnOnce(&mut Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    test(&mut stage)?;
    stage.end()?;
    Ok(Completion::Completed)
}

fn on_stage(cases: &[&str]) -> Result<Completion, Failed> {
    with_stage(|stage| cases.iter().try_for_each(|case| run(stage, case)))
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
fn run(stage: &mut Stage, case: &str) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Myself, &["__case", case])?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.code != 0 {
        return Err(format!("{case}: {said}").into());
    }
    eprint!("{said}");
    Ok(())
}

/// The role that plays a case.
#[allow(clippy::print_stderr, reason = "the parent reads it")]
fn case(name: &str) {
    let parts = [
        ("time_wait_destroyed", time_wait::time_wait_destroyed as fn() -> Told),
        ("leave_time_waits", time_wait::leave_time_waits),
        ("time_wait_expires", time_wait::time_wait_expires),
    ];
    let found = CASES.iter().chain(&parts).find(|(other, _)| *other == name);
    if let Err(error) = found.map_or_else(|| Err("no such case".into()), |(_, test)| test()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
