//! The whole answer to "why does this bind fail": verdicts, cause, holders, cures, one sentence.

use crate::attempt::Attempt;
use crate::cause::Cause;
use crate::cure::Cure;
use crate::verdict::Verdict;
use alloc::string::String;
use alloc::vec::Vec;

/// The whole answer for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was asked.
    pub attempt: Attempt,
    /// The verdict on exactly that attempt: it decides the cause and the exit code.
    pub verdict: Verdict,
    /// The same bind with neither SO_REUSEADDR nor SO_REUSEPORT.
    pub plain: Verdict,
    /// The same bind with SO_REUSEADDR alone.
    pub reuseaddr: Verdict,
    /// The same bind with SO_REUSEPORT alone.
    pub reuseport: Verdict,
    /// *The* cause.
    pub cause: Cause,
    /// The other causes that fit, by precedence.
    pub also: Vec<Cause>,
    /// One sentence that a tired person understands.
    pub summary: String,
    /// The sockets to show, by index into the snapshot: first those in the way, then the others of
    /// the port.
    pub holders: Vec<usize>,
    /// What helps, gentlest first.
    pub cures: Vec<Cure>,
    /// What to know besides ("the port lies in the ephemeral range").
    pub warnings: Vec<String>,
}
