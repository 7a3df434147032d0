//! What the filter of `inuse run` costs: each bind and each listen, which it asks about, and everything else,
//! which it does not.
//!
//! Not here: what the data path is measured with (`path`), and the programs that are run (`helper`).

mod helper;
mod path;

pub(super) use helper::{BindArgs, EchoArgs, binds, echo};

use super::machine::{Machine, Program};
use super::sample::Spread;
use super::{Common, report};
use crate::load::PATIENCE;
use crate::zoo::{Scratch, Supervisor, address, run as supervised};
use clap::Args;
use path::Figures;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Addresses that the program binds; the supervisor counts 1024 of one generation.
const BINDS: u16 = 500;
/// The words of `inuse-bench filter`.
#[derive(Clone, Debug, Args)]
pub(super) struct FilterArgs {
    /// How often the program that binds is run, with the filter and without
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=1000))]
    binds: u16,
    /// How often each server is measured
    #[arg(long, value_name = "N", default_value_t = 41, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    /// How long for each figure of a server, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    #[command(flatten)]
    common: Common,
}

/// One call in one of the cases, round by round, in nanoseconds.
struct Call {
    name: String,
    plain: Vec<f64>,
    filtered: Vec<f64>,
}

/// Measures; an answer that is wrong is an error.
pub(super) fn run(arguments: &FilterArgs) -> io::Result<bool> {
    let (machine, inuse) = (Machine::before(), arguments.common.command()?);
    let calls = binds_of_all(&inuse, arguments.binds)?;
    let time = Duration::from_millis(arguments.time);
    let path = path::measure(&inuse, arguments.rounds.into(), time)?;
    let about = machine.about(&[Program { name: "inuse", path: inuse, version: "--version" }], &[]);
    arguments.common.publish("filter", &section(arguments, &calls, &path, &about))?;
    Ok(true)
}

/// Runs the program that binds, in turns with the filter and without.
fn binds_of_all(inuse: &Path, rounds: u16) -> io::Result<Vec<Call>> {
    let call = |name: &str| Call { name: name.to_owned(), plain: Vec::new(), filtered: Vec::new() };
    let mut calls = [
        call("bind, an address that nobody had"),
        call("listen there"),
        call("bind, the same address by the next generation"),
        call("listen there"),
        call("bind, a UDP address"),
    ];
    for _ in 0..rounds {
        for filtered in [false, true] {
            let once = |udp, count| -> io::Result<Vec<f64>> {
                if filtered { under_filter(inuse, udp, count) } else { without_filter(udp, count) }
            };
            // Nothing listens on UDP: that median is left.
            let took = [once(false, 2)?, once(true, 1)?].concat();
            for (call, took) in calls.iter_mut().zip(took) {
                if filtered { call.filtered.push(took) } else { call.plain.push(took) }
            }
        }
    }
    Ok(calls.into())
}

/// The words of the program that binds, at addresses that nobody has.
fn binding(udp: bool, into: &str) -> Vec<String> {
    let (at, count) = (address().to_string(), BINDS.to_string());
    let words = ["bind-and-listen", "--at", &at, "--count", &count, "--into", into];
    let kind = udp.then_some("--udp");
    words.into_iter().chain(kind).map(str::to_owned).collect()
}

/// So many generations one after the other, the same addresses each; gives the medians of each.
fn without_filter(udp: bool, generations: usize) -> io::Result<Vec<f64>> {
    let scratch = Scratch::new()?;
    let into = scratch.write("medians", "")?;
    let words = binding(udp, &into);
    for _ in 0..generations {
        if !Command::new(std::env::current_exe()?).args(&words).status()?.success() {
            return Err(io::Error::other("the program that binds failed"));
        }
    }
    medians(&into)
}

/// The same under `inuse run`, where the next generation is a restart.
fn under_filter(inuse: &Path, udp: bool, generations: usize) -> io::Result<Vec<f64>> {
    let scratch = Scratch::new()?;
    let into = scratch.write("medians", "")?;
    let mut words = binding(udp, &into);
    words.push("--stay".into());
    let program = std::iter::once(std::env::current_exe()?.into_os_string());
    let program: Vec<OsString> = program.chain(words.into_iter().map(OsString::from)).collect();
    let mut supervisor = Supervisor::start(inuse, supervised(inuse, &["--rollback-window", "0s"], &program))?;
    for generation in 1..=generations {
        if generation > 1 {
            supervisor.restart().map_err(io::Error::other)?;
        }
        let until = Instant::now() + PATIENCE;
        while std::fs::read_to_string(&into)?.lines().count() < generation {
            if Instant::now() > until {
                return Err(io::Error::other(format!("the program that binds:\n{}", supervisor.log())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    supervisor.stop().map_err(io::Error::other)?;
    medians(&into)
}

/// What the program wrote, in nanoseconds.
fn medians(file: &str) -> io::Result<Vec<f64>> {
    let text = std::fs::read_to_string(file)?;
    text.split_whitespace().map(|number| number.parse().map_err(io::Error::other)).collect()
}

fn section(arguments: &FilterArgs, calls: &[Call], path: &path::DataPath, about: &str) -> String {
    let mut text = format!(
        "## The filter of `inuse run`\n\n\
         Without `-l` the kernel asks the supervisor's handler about each bind, listen and shutdown of the program, and \
         about nothing else. A small program binds {BINDS} times, and listens: {} with the filter and as many without, \
         in turns. Microseconds a call: the median of the medians, the lowest and the highest of them.\n\n\
         | call | without | with | times |\n|---|---:|---:|---:|\n",
        report::rounds(arguments.binds.into()),
    );
    let micro = |values: &[f64]| cell(values.iter().map(|nano| nano / 1000.0).collect(), 1);
    for call in calls {
        let times = ratio(&call.filtered, &call.plain);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {times} |",
            call.name,
            micro(&call.plain),
            micro(&call.filtered)
        );
    }
    let _ = write!(
        text,
        "\nThe data path: a server that accepts and gives back what it gets, under the filter, without, and a second \
         one without, whose ratio to the first is chance alone. One client, which sends {} bytes and waits for them; \
         {} of {} ms for each figure, in turns.\n\n\
         | | without | with | with ÷ without | without ÷ without |\n|---|---:|---:|---:|---:|\n",
        path::MESSAGE.len(),
        report::rounds(arguments.rounds.into()),
        arguments.time,
    );
    let figures = [&path.plain, &path.filtered, &path.control];
    let mut row = |name: &str, digits: usize, of: fn(&Figures) -> &Vec<f64>| {
        let [without, with, control] = figures.map(of);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            cell(without.clone(), digits),
            cell(with.clone(), digits),
            ratio(with, without),
            ratio(control, without),
        );
    };
    row("connections a second, each with a message", 0, |of| &of.connections.rates);
    row("processor time of the server for each, µs", 1, |of| &of.connections.processor);
    row("messages a second on one connection", 0, |of| &of.trips.rates);
    row("processor time of the server for each, µs", 2, |of| &of.trips.processor);
    let _ = write!(text, "\n{about}");
    text
}

/// Of the ratios within the rounds the median, and what half of them lie between.
fn ratio(these: &[f64], those: &[f64]) -> String {
    let mut ratios: Vec<f64> = these.iter().zip(those).map(|(this, that)| this / that).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios.get(ratios.len() * part / 4).copied().unwrap_or(f64::NAN);
    format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
}

fn cell(values: Vec<f64>, digits: usize) -> String {
    let Spread { median, low, high } = Spread::of(values);
    format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_within_the_rounds() {
        let check = |these: &[f64], those: &[f64], expect: &str| assert_eq!(ratio(these, those), expect);
        check(&[2.0, 4.0, 9.0, 8.0], &[1.0, 2.0, 3.0, 2.0], "3.00 (2.00–4.00)");
        check(&[5.0], &[2.0], "2.50 (2.50–2.50)");
        check(&[], &[], "NaN (NaN–NaN)");
    }
}
