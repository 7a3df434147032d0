//! What is wrong with a written address: the place, the fault, and what would be right.

use crate::address::escape;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::ops::Range;

/// A complaint about a written address. Displayed, it is one line that is safe on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The text, as it was typed.
    pub text: String,
    /// The bytes that are wrong; empty where something is missing.
    pub span: Range<usize>,
    /// What is wrong with them.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl Mistake {
    pub(super) fn new(
        text: &str,
        span: Range<usize>,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) -> Mistake {
        Mistake { text: text.to_string(), span, wrong: wrong.into(), right: right.into() }
    }

    /// The text and, under it, carets that point at what is wrong. Two lines without a line feed at the
    /// end; long text is cut around the place.
    pub fn caret(&self) -> String {
        const BEFORE: usize = 60;
        const SHOWN: usize = 100;
        let before = escape(self.slice(0..self.span.start));
        let blamed = escape(self.slice(self.span.clone()));
        let after = escape(self.slice(self.span.end..self.text.len()));
        let skip = before.chars().count().saturating_sub(BEFORE);
        let line: String =
            before.chars().skip(skip).chain(blamed.chars()).chain(after.chars()).take(SHOWN).collect();
        let column = before.chars().count() - skip;
        let carets = blamed.chars().count().clamp(1, SHOWN - column);
        format!("{line}\n{}{}", " ".repeat(column), "^".repeat(carets))
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.text.as_bytes().get(range).unwrap_or_default()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        let text = escape(self.text.trim().as_bytes());
        if text.chars().count() > SHOWN {
            let cut: String = text.chars().take(SHOWN).collect();
            write!(f, "'{cut}…': ")?;
        } else {
            write!(f, "'{text}': ")?;
        }
        write!(f, "{}; {}", self.wrong, self.right)
    }
}

impl core::error::Error for Mistake {}
