//! What came out of the cases of one part: counts, and the first mismatches.
//!
//! Not here: playing cases (`run` and the parts), and what is said of them (`report`).

use std::collections::BTreeMap;
use std::time::Duration;

use inuse_rules::State;

use super::compare::Comparison;

/// Mismatches that are shrunk and shown; more of them say nothing new.
pub(super) const SHOWN: usize = 20;

/// What came out for one part.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases played.
    pub cases: u64,
    /// Same answer.
    pub agreed: u64,
    /// The model could not know, by reason.
    pub unknown: BTreeMap<String, u64>,
    /// Different answers, where something decides of which no dump shows a trace.
    pub unseen: u64,
    /// Different answers: bugs of the model.
    pub differed: u64,
    /// Attempts that the kernel refused.
    pub refused: u64,
    /// Time spent.
    pub took: Duration,
    /// Rows that the model was shown, by state (and whether small).
    pub states: BTreeMap<(State, bool), u64>,
    /// The first mismatches.
    pub found: Vec<Found>,
}

impl Tally {
    /// How many verdicts were unknown, whatever the reason.
    pub fn unknown(&self) -> u64 {
        self.unknown.values().sum()
    }

    /// Counts one comparison, and keeps what was found.
    pub fn count(&mut self, comparison: Comparison, story: impl FnOnce() -> String, refused: bool) {
        self.cases += 1;
        self.refused += u64::from(refused);
        match comparison {
            Comparison::Agrees => self.agreed += 1,
            Comparison::Unknown(reason) => *self.unknown.entry(reason).or_default() += 1,
            Comparison::Differs(says) => {
                self.differed += 1;
                if self.found.len() < SHOWN {
                    let wrong = Wrong { says, line: String::new() };
                    self.found.push(Found { story: story(), wrong });
                }
            }
        }
    }
}

/// A mismatch.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case in words, as small as it could be made.
    pub story: String,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with the answer to a case.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Both answers, in words.
    pub says: String,
    /// The case as the model was shown it, where it has a line.
    pub line: String,
}
