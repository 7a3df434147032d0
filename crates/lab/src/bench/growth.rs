//! Growth: the same question on hosts with more and more open descriptors, as a table and as a plot.

use super::machine::Machine;
use super::sample::{Runner, Samples};
use super::tool::{Question, Truth};
use super::{Common, host, plot, report};
use crate::crowd::{Crowd, Size, ground};
use clap::Args;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// Descriptors that a process of the crowded host has, of which so many are ends of connections.
const FDS_A_PROCESS: usize = 286;
const SOCKETS_A_PROCESS: usize = 80;
/// Where the plot has points, as parts of the way.
const STEPS: usize = 6;

/// The words of `inuse-bench growth`.
#[derive(Clone, Debug, Args)]
pub(super) struct GrowthArgs {
    /// Open descriptors at the first point
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    from: usize,
    /// Open descriptors at the last point
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    to: usize,
    /// How often each program is asked at each point
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// The plot
    #[arg(long, value_name = "FILE", default_value = "docs/growth.svg")]
    svg: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// What was measured on one host.
struct Point {
    fds: usize,
    samples: Vec<Samples>,
}

/// Measures; true when every answer was right.
pub(super) fn run(arguments: &GrowthArgs) -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "needs root"));
    }
    let common = &arguments.common;
    let machine = Machine::before();
    let runner = Runner::default();
    let mut absent = Vec::new();
    let mut points = Vec::new();
    for step in 0..STEPS {
        let fds = arguments.from + arguments.to.saturating_sub(arguments.from) * step / (STEPS - 1);
        let processes = (fds / FDS_A_PROCESS).max(1);
        let size = Size {
            processes,
            fds,
            sockets: processes * SOCKETS_A_PROCESS,
            listeners: processes,
            time_wait: 0,
        };
        ground::private()?;
        let crowd = Crowd::stage(&size, None)?;
        let truth = Truth::of(crowd.listeners());
        let ports: Vec<u16> = crowd.listeners().keys().copied().collect();
        let (mut samples, missing) = common.installed(Question::Who(0).tools())?;
        absent = missing;
        let asked = |round: usize| Question::Who(host::spread_port(&ports, round));
        runner.rounds(&mut samples, usize::from(arguments.rounds), &truth, asked)?;
        points.push(Point { fds: crowd.count_fds()?, samples });
    }
    let lines = lines(&points);
    let all: Vec<&[Samples]> = points.iter().map(|point| point.samples.as_slice()).collect();
    let mut section = format!(
        "## Growth\n\n![Time until it is known who has a port, by the number of open descriptors]({})\n\n\
         Who has this port, asked by root, while the host grows: processes of {FDS_A_PROCESS} descriptors, \
         {SOCKETS_A_PROCESS} of them ends of connections. {} at each point; medians in milliseconds.\n\n",
        arguments.svg.file_name().unwrap_or_default().display(),
        report::rounds(arguments.rounds.into()),
    );
    section.push_str(&table(&points, &lines));
    section.push_str(&report::wrong_answers(&all));
    section.push('\n');
    section.push_str(&machine.paragraph(&all, &absent));
    if !common.no_report {
        std::fs::write(&arguments.svg, plot::draw(&lines))?;
    }
    common.publish("growth", &section)?;
    Ok(host::all_right(&all))
}

/// A line of the plot for each program: descriptors and milliseconds.
fn lines(points: &[Point]) -> Vec<plot::Line> {
    let programs = points.first().map_or(0, |point| point.samples.len());
    let line = |at: usize| {
        let samples = points.iter().filter_map(|point| Some((point.fds, point.samples.get(at)?)));
        plot::Line {
            name: samples.clone().next().map(|(_, samples)| samples.tool.typed()).unwrap_or_default(),
            points: samples.map(|(fds, samples)| (fds as f64, samples.spread().median * 1000.0)).collect(),
        }
    };
    (0..programs).map(line).collect()
}

fn table(points: &[Point], lines: &[plot::Line]) -> String {
    let mut text = "| command |".to_owned();
    for point in points {
        let _ = write!(text, " {} |", point.fds);
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(points.len()));
    for line in lines {
        let _ = write!(text, "| `{}` |", line.name);
        for (_, milliseconds) in &line.points {
            let _ = write!(text, " {milliseconds:.1} |");
        }
        text.push('\n');
    }
    text
}
