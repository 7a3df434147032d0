//! The bars: what was promised, and whether it is met. A missed bar is printed as missed.

use super::sample::{Samples, Spread};
use std::fmt::Write as _;

/// One promise and what came of it.
#[derive(Debug)]
pub(super) struct Bar {
    promise: String,
    found: String,
    met: bool,
}

impl Bar {
    /// The first of the samples is at least so many times as fast as `program`, if that is here.
    pub(super) fn faster(samples: &[Samples], program: &str, times: f64) -> Option<Bar> {
        let first = samples.first()?;
        let other = samples.iter().find(|other| other.tool.program == program)?;
        let ratio = other.times(first);
        Some(Bar {
            promise: format!(
                "`{}` at least {times} times as fast as `{}`",
                first.tool.typed(),
                other.tool.typed()
            ),
            found: format!(
                "{}, by processor time {}",
                times_of(ratio),
                times_of(other.processor_times(first))
            ),
            met: ratio.median >= times,
        })
    }

    /// The first of the samples takes at most so many times as long as `program`.
    pub(super) fn at_most(samples: &[Samples], program: &str, times: f64) -> Option<Bar> {
        let first = samples.first()?;
        let other = samples.iter().find(|other| other.tool.program == program)?;
        let ratio = first.times(other);
        Some(Bar {
            promise: format!(
                "`{}` takes at most {times} times as long as `{}`",
                first.tool.typed(),
                other.tool.typed()
            ),
            found: format!(
                "{}, by processor time {}",
                times_of(ratio),
                times_of(first.processor_times(other))
            ),
            met: ratio.median <= times,
        })
    }

    /// The first of the samples answers in less than so many milliseconds.
    pub(super) fn under_ms(samples: &[Samples], most: f64) -> Option<Bar> {
        let first = samples.first()?;
        let found = first.spread().median * 1000.0;
        Some(Bar {
            promise: format!("`{}` in less than {most} ms", first.tool.typed()),
            found: format!("{found:.1} ms"),
            met: found < most,
        })
    }

    /// A size stays below so many MiB.
    pub(super) fn under_mib(what: &str, kib: u64, most: u64) -> Bar {
        Bar {
            promise: format!("{what} under {most} MiB"),
            found: format!("{:.1} MiB", kib as f64 / 1024.0),
            met: kib < most * 1024,
        }
    }
}

/// The bars as a list.
pub(super) fn list(bars: &[Bar]) -> String {
    let mut text = String::new();
    for bar in bars {
        let word = if bar.met { "met" } else { "**missed**" };
        let _ = writeln!(text, "- {word}: {}: {}", bar.promise, bar.found);
    }
    text
}

/// `12.3 (9.8–14.0)`
pub(super) fn times_of(Spread { median, low, high }: Spread) -> String {
    format!("{median:.1} ({low:.1}–{high:.1})")
}
