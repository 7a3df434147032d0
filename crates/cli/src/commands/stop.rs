//! Why a command stops before it has an answer, and how it says so.

use crate::exit::ExitStatus;
use crate::output::Output;
use inuse_rules::written::Mistake;

/// Why nothing could be answered.
pub(super) enum Stop {
    /// An address is wrong.
    Mistake(Mistake),
    /// Other words are wrong.
    Words(String),
    /// The machine could not be asked.
    Blind(String),
}

impl Stop {
    /// Says it on stderr: one line, and a pointer under the address where a person looks on.
    pub(super) fn tell(self, output: &mut Output) -> ExitStatus {
        match self {
            Stop::Mistake(mistake) => {
                output.say(&mistake.to_string());
                output.show(&mistake.caret());
                ExitStatus::WrongWords
            }
            Stop::Words(line) => {
                output.say(&line);
                ExitStatus::WrongWords
            }
            Stop::Blind(line) => {
                output.say(&line);
                ExitStatus::CannotSay
            }
        }
    }
}
