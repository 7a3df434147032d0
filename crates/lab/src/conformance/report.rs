//! What a run says: a line for each part, then every mismatch as prose and as one JSON case; or all of it
//! as one JSON object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::run::Results;
use super::tally::Tally;

/// As text.
///
/// # Errors
/// As for the writer.
pub fn text(results: &Results, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "kernel {}, seed {}", results.kernel, results.seed)?;
    for (part, tally) in &results.tallies {
        let seconds = tally.took.as_secs_f64();
        writeln!(
            out,
            "{:<11} {:>8} cases: {:>8} agree, {} differ, {} unknown ({:.2} %), {} unseen history; \
             the kernel refused {}; {:.1} s, {:.0} a second",
            part.name(),
            tally.cases,
            tally.agreed,
            tally.differed,
            tally.unknown(),
            percent(tally.unknown(), tally.cases),
            tally.unseen,
            tally.refused,
            seconds,
            tally.cases as f64 / seconds.max(1e-9),
        )?;
        for (reason, count) in &tally.unknown {
            writeln!(out, "            unknown for {reason}: {count}")?;
        }
    }
    for (part, tally) in &results.tallies {
        for found in &tally.found {
            writeln!(out, "\n{}: {}\n{}\n{}", part.name(), found.wrong.says, found.story, found.wrong.line)?;
        }
    }
    let total = results.total();
    writeln!(out, "{} of {} agree, {} differ", total.agreed, total.cases, total.differed)
}

/// As one JSON object.
///
/// # Errors
/// As for the writer.
pub fn json(results: &Results, out: &mut impl Write) -> io::Result<()> {
    let parts: Vec<Value> = results
        .tallies
        .iter()
        .map(|(part, tally)| {
            let states: serde_json::Map<String, Value> = tally
                .states
                .iter()
                .map(|((state, mini), count)| {
                    (format!("{}{}", state.name(), if *mini { " mini" } else { "" }), (*count).into())
                })
                .collect();
            let found: Vec<Value> = tally
                .found
                .iter()
                .map(|f| json!({ "says": f.wrong.says, "story": f.story, "line": f.wrong.line }))
                .collect();
            json!({
                "part": part.name(), "cases": tally.cases, "agreed": tally.agreed,
                "differed": tally.differed, "unknown": tally.unknown, "unseen": tally.unseen,
                "refused": tally.refused, "seconds": tally.took.as_secs_f64(),
                "states": states, "found": found,
            })
        })
        .collect();
    serde_json::to_writer(
        &mut *out,
        &json!({ "kernel": results.kernel, "seed": results.seed, "parts": parts }),
    )?;
    writeln!(out)
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl Results {
    /// The sum of all parts.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, tally) in &self.tallies {
            total.cases += tally.cases;
            total.agreed += tally.agreed;
            total.differed += tally.differed;
            total.unseen += tally.unseen;
            total.refused += tally.refused;
            total.took += tally.took;
        }
        total
    }
}
