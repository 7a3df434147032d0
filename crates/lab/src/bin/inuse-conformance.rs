//! `inuse-conformance`: plays generated cases against the running kernel, and judges cases from outside.
//!
//! `run` needs root: it moves itself into network namespaces of its own and leaves nothing behind. `judge`
//! and `bench` need nothing. Exit codes: 0 agreement, 1 a mismatch, 2 wrong words or a malformed line, 3
//! the cases could not be staged.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use inuse_lab::conformance::lines::{busy_snapshot, judge_lines, reuseport_snapshot, time_wait_snapshot};
use inuse_lab::conformance::report;
use inuse_lab::conformance::run::{Part, run_parts};

/// Holds the model of the kernel's bind rule against the kernel.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Stage generated cases in private namespaces, and compare the kernel's answers with the model's.
    Run {
        /// How many cases; the small enumerations come on top.
        #[arg(long, default_value_t = 20_000)]
        cases: u64,
        /// Another seed, other cases.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Which cases.
        #[arg(long, value_enum, default_value_t = Family::All)]
        family: Family,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Answer each case of standard input, one JSON object a line, with a line.
    Judge,
    /// Measure a judgement on snapshots of many sockets.
    Bench {
        /// How many sockets; the SO_REUSEPORT snapshot has 4 in 25 of them.
        #[arg(long, default_value_t = 100_000)]
        sockets: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Family {
    Tcp,
    Udp,
    Unix,
    Port0,
    Privilege,
    All,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().act {
        Act::Run { cases, seed, family, json } => play(cases, seed, family, json),
        Act::Judge => {
            let output = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
            judge_lines(io::BufReader::with_capacity(1 << 16, io::stdin().lock()), output)
                .map(|all_well| if all_well { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
        Act::Bench { sockets } => bench(sockets),
    };
    done.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            let _ = writeln!(io::stderr(), "inuse-conformance: {error}");
            ExitCode::from(3)
        }
    })
}

fn play(cases: u64, seed: u64, family: Family, json: bool) -> io::Result<ExitCode> {
    let parts: &[Part] = match family {
        Family::Tcp => &[Part::TcpSingle, Part::TcpMixed],
        Family::Udp => &[Part::UdpSingle, Part::UdpMixed],
        Family::Unix => &[Part::Unix],
        Family::Port0 => &[Part::Port0, Part::Connect],
        Family::Privilege => &[Part::Privilege],
        Family::All => &Part::ALL,
    };
    let results = run_parts(parts, cases, seed)?;
    let mut output = io::stdout().lock();
    if json {
        report::json(&results, &mut output)?;
    } else {
        report::text(&results, &mut output)?;
    }
    Ok(if results.tallies.iter().all(|(_, tally)| tally.differed == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn bench(sockets: usize) -> io::Result<ExitCode> {
    let half = sockets * 2 / 25;
    let snapshots = [
        ("a busy server", busy_snapshot(sockets)),
        ("TIME_WAIT", time_wait_snapshot(sockets)),
        ("SO_REUSEPORT at its worst", reuseport_snapshot(half)),
    ];
    let mut output = io::stdout().lock();
    for (what, (snapshot, attempt)) in snapshots {
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            let start = Instant::now();
            let verdict = inuse_rules::judge(&snapshot, &attempt);
            best = best.min(start.elapsed().as_secs_f64());
            if verdict.by().is_empty() {
                return Err(io::Error::other(format!("{what}: somebody should stand in the way")));
            }
        }
        let count = snapshot.sockets.len();
        writeln!(output, "{what}: {count} sockets: {:.2} ms a judgement (best of 20)", best * 1000.0)?;
    }
    Ok(ExitCode::SUCCESS)
}
