//! The teaching server `upper` beside a plain epoll server in C of the same behaviour.
//!
//! The measuring itself is `teach::measure`'s; a wrong answer ends it.

use super::machine::Machine;
use super::report;
use crate::teach::measure::{Measured, Round, measure, median};
use clap::Args;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// What both are aimed at: our median over that of plain C.
const AIM: f64 = 0.9;

/// The words of `inuse-bench upper`.
#[derive(Clone, Debug, Args)]
pub(super) struct UpperArgs {
    /// How often each server is measured
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    /// How long for each figure, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    /// The document whose section is written anew
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    report: PathBuf,
    /// Write no document
    #[arg(long, conflicts_with = "report")]
    no_report: bool,
}

/// Measures; an answer that is wrong is an error.
pub(super) fn run(arguments: &UpperArgs) -> io::Result<bool> {
    let machine = Machine::before();
    let scratch = std::env::temp_dir().join(format!("inuse-bench-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    let measured = measure(arguments.rounds.into(), Duration::from_millis(arguments.time), &scratch);
    std::fs::remove_dir_all(&scratch)?;
    let section = section(&measured?, arguments.time, &machine.about(&[], &[]));
    io::stdout().write_all(section.as_bytes())?;
    if !arguments.no_report {
        report::put(&arguments.report, "upper", &section)?;
    }
    Ok(true)
}

fn section(measured: &Measured, time: u64, about: &str) -> String {
    let (connections, bytes) = measured.ratios();
    let row = |what: &str, of: fn(&Round) -> f64, ratio: f64| {
        let cell = |rounds: &[Round]| {
            let (least, most) =
                rounds.iter().map(of).fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
            format!("{:.0} ({least:.0}–{most:.0})", median(rounds, of))
        };
        let kept = if ratio >= AIM { "kept" } else { "**missed**" };
        format!("| {what} | {} | {} | {ratio:.2} | {kept} |\n", cell(&measured.ours), cell(&measured.other))
    };
    format!(
        "## Teaching server upper\n\n`inuse lab serve upper` beside a plain epoll server in C of the same behaviour \
         (`crates/lab/src/teach/upper.c`, gcc -O2), in turns, {} of {time} ms for each figure; the client is \
         the same process. A connection is one line there, its answer back, and the close; the bytes are those that \
         come back on four connections at once, each looked at. Medians, with the slowest and the fastest round.\n\n\
         | | upper | plain C | ratio | aim {AIM} |\n|---|---:|---:|---:|---|\n{}{}\n{about}",
        report::rounds(measured.ours.len()),
        row("connections a second", |round| round.connections, connections),
        row("MB a second", |round| round.bytes / 1e6, bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_medians_are_compared() {
        let round = |connections, bytes| Round { connections, bytes };
        let measured = Measured {
            ours: vec![round(90.0, 2e6), round(100.0, 1e6), round(95.0, 3e6)],
            other: vec![round(100.0, 4e6), round(90.0, 4e6), round(110.0, 5e6)],
        };
        let section = section(&measured, 500, "here.\n");
        assert!(
            section.contains("| connections a second | 95 (90–100) | 100 (90–110) | 0.95 | kept |"),
            "{section}"
        );
        assert!(section.contains("| MB a second | 2 (1–3) | 4 (4–5) | 0.50 | **missed** |"), "{section}");
        assert!(section.ends_with("\nhere.\n"), "{section}");
    }
}
