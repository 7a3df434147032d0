//! How the command ends: one enum makes every exit code.

use inuse_rules::verdict::{Errno, Outcome, Verdict};
use std::process::ExitCode;

/// The end of a run. Of several the worst counts; the order of the variants is that order, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// 0: the attempt would succeed, or the thing was done.
    Success,
    /// 1: in use, or not done: stdout could not be written.
    InUse,
    /// 4: another refusal: privileged, not local, denied.
    OtherRefusal,
    /// 3: could not see enough to say.
    CannotSay,
    /// 2: the words were wrong; nothing was done.
    WrongWords,
    /// The status of a program that was run.
    Program(u8),
}

impl ExitStatus {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            ExitStatus::Success => 0,
            ExitStatus::InUse => 1,
            ExitStatus::WrongWords => 2,
            ExitStatus::CannotSay => 3,
            ExitStatus::OtherRefusal => 4,
            ExitStatus::Program(status) => status,
        }
    }

    /// What a verdict means for the exit code.
    pub fn of(verdict: &Verdict) -> ExitStatus {
        match &verdict.outcome {
            Outcome::Ok => ExitStatus::Success,
            Outcome::Refused(refusal) if refusal.errno == Errno::EADDRINUSE => ExitStatus::InUse,
            Outcome::Refused(_) => ExitStatus::OtherRefusal,
            Outcome::Unknown { .. } => ExitStatus::CannotSay,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_in_the_published_order() {
        use ExitStatus::*;
        let mut all = [Success, WrongWords, InUse, OtherRefusal, CannotSay];
        all.sort_by(|a, b| b.cmp(a));
        assert_eq!(all.map(ExitStatus::code), [2, 3, 4, 1, 0]);
    }
}
