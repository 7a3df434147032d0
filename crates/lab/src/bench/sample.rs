//! Measuring: one run of a program with a deadline, rounds of many programs in turn, and what many runs come to.
//!
//! All programs are asked once in each round, each round in another order, so that what disturbs the machine
//! disturbs all of them alike; a ratio is the median of the ratios within the rounds.

use super::tool::{Question, Tool, Truth};
use crate::sys::rusage::{peak_of_children, time_of_children};
use crate::{ROLE, crowd};
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that has not answered by then is ended, and its answer counts as wrong.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program that is installed, and what it did.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) tool: &'static Tool,
    pub(super) path: PathBuf,
    /// One a round, seconds from the start to the end.
    pub(super) seconds: Vec<f64>,
    /// One a round, seconds of processor time, of all its threads: what a busy machine lengthens least.
    pub(super) processor: Vec<f64>,
    /// Answers that were right; every timed answer is checked.
    pub(super) right: usize,
    /// The first wrong answer.
    pub(super) wrong: Option<String>,
    /// The largest resident set, KiB.
    pub(super) peak: Option<u64>,
}

/// Runs as one user: the bench's own, or the one given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runner {
    pub(super) uid: Option<u32>,
}

impl Samples {
    pub(super) fn new(tool: &'static Tool, path: PathBuf) -> Samples {
        Samples { tool, path, seconds: Vec::new(), processor: Vec::new(), right: 0, wrong: None, peak: None }
    }

    /// The middle, the shortest and the longest, in seconds.
    pub(super) fn spread(&self) -> Spread {
        Spread::of(self.seconds.clone())
    }

    /// The same of processor time.
    pub(super) fn processor_spread(&self) -> Spread {
        Spread::of(self.processor.clone())
    }

    /// How many times as long as the other it took, round by round.
    pub(super) fn times(&self, other: &Samples) -> Spread {
        ratios(&self.seconds, &other.seconds)
    }

    /// How many times as much processor time as the other it took, round by round.
    pub(super) fn processor_times(&self, other: &Samples) -> Spread {
        ratios(&self.processor, &other.processor)
    }
}

fn ratios(mine: &[f64], its: &[f64]) -> Spread {
    Spread::of(mine.iter().zip(its).map(|(mine, its)| mine / its).collect())
}

/// One run.
struct Ran {
    took: Duration,
    processor: Duration,
    output: String,
    /// What it wrote on standard error, where that was asked for.
    talk: String,
}

/// What many runs come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Of values in any order.
    pub(super) fn of(mut values: Vec<f64>) -> Spread {
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (at(half.wrapping_sub(1)) + at(half)) / 2.0
        } else {
            at(half)
        };
        Spread { median, low: at(0), high: at(values.len().wrapping_sub(1)) }
    }
}

impl Runner {
    /// Asks every program once in each round. Each `Who` of a round has another port.
    ///
    /// # Errors
    /// Where a program cannot be started at all.
    pub(super) fn rounds(
        self,
        all: &mut [Samples],
        rounds: usize,
        truth: &Truth,
        question: impl Fn(usize) -> Question,
    ) -> io::Result<()> {
        // The first round warms the caches and is not counted.
        for round in 0..=rounds {
            let count = all.len();
            for at in 0..count {
                let Some(samples) = all.get_mut((at + round) % count) else { continue };
                let question = question(round);
                let ran = self.run(&samples.path, &samples.tool.words(question))?;
                if round > 0 {
                    samples.count(&ran, question, truth);
                }
            }
        }
        Ok(())
    }

    /// Asks every program once, for its memory.
    ///
    /// # Errors
    /// Where a program cannot be started at all.
    pub(super) fn peaks(self, all: &mut [Samples], truth: &Truth, question: Question) -> io::Result<()> {
        for samples in all {
            let (ran, peak) = self.peak(&samples.path, &samples.tool.words(question))?;
            samples.peak = samples.peak.max(peak);
            if let Err(wrong) = samples.tool.check(&ran.output, question, truth) {
                samples.wrong.get_or_insert(wrong);
            }
        }
        Ok(())
    }

    /// Asks every program once, for its time and its memory.
    ///
    /// # Errors
    /// Where a program cannot be started at all.
    pub(super) fn once(self, all: &mut [Samples], truth: &Truth, question: Question) -> io::Result<()> {
        for samples in all {
            let (ran, peak) = self.peak(&samples.path, &samples.tool.words(question))?;
            samples.peak = samples.peak.max(peak);
            samples.count(&ran, question, truth);
        }
        Ok(())
    }

    /// Runs a program to its end.
    fn run(self, program: &Path, words: &[String]) -> io::Result<Ran> {
        finish(self.command(program).args(words).stderr(Stdio::null()))
    }

    /// Runs a program below a small process that asks for its peak: otherwise the number would contain what
    /// this process had in memory at the fork.
    fn peak(self, program: &Path, words: &[String]) -> io::Result<(Ran, Option<u64>)> {
        let mut command = self.command(Path::new("/proc/self/exe"));
        command.args([ROLE, "peak"]).arg(program).args(words).stderr(Stdio::piped());
        let ran = finish(&mut command)?;
        let peak = ran.talk.trim().parse().ok();
        Ok((ran, peak))
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }
}

impl Samples {
    fn count(&mut self, ran: &Ran, question: Question, truth: &Truth) {
        self.seconds.push(ran.took.as_secs_f64());
        self.processor.push(ran.processor.as_secs_f64());
        match self.tool.check(&ran.output, question, truth) {
            Ok(()) => self.right += 1,
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
            }
        }
    }
}

/// Starts it, reads until its output ends, and waits; or ends it at the deadline. The time counts from before the
/// fork.
fn finish(command: &mut Command) -> io::Result<Ran> {
    let before = time_of_children()?;
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display()))
    })?;
    let mut output = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    if let Some(mut pipe) = child.stdout.take() {
        loop {
            if !crowd::readable(&pipe, start + DEADLINE)? {
                child.kill()?;
                break;
            }
            match pipe.read(&mut chunk)? {
                0 => break,
                read => output.extend_from_slice(&chunk[..read]),
            }
        }
    }
    child.wait()?;
    let took = start.elapsed();
    let processor = time_of_children()?.saturating_sub(before);
    let mut talk = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut talk)?;
    }
    Ok(Ran { took, processor, output: String::from_utf8_lossy(&output).into_owned(), talk })
}

/// Becomes the small process of [`Runner::peak`]: runs the program, and prints its peak on standard error.
pub(super) fn peak_main(words: &[&str]) -> ! {
    let [program, arguments @ ..] = words else { std::process::exit(2) };
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::null());
    let peak = command.status().and_then(|_| peak_of_children());
    let told = peak.and_then(|peak| io::Write::write_all(&mut io::stderr(), peak.to_string().as_bytes()));
    std::process::exit(i32::from(told.is_err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let check = |values: &[f64], median, low, high| {
            assert_eq!(Spread::of(values.to_vec()), Spread { median, low, high }, "{values:?}");
        };
        check(&[3.0, 1.0, 2.0], 2.0, 1.0, 3.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5, 1.0, 4.0);
        check(&[1.0], 1.0, 1.0, 1.0);
        assert!(Spread::of(Vec::new()).median.is_nan());
    }
}
