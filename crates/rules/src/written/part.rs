//! A piece of the typed text that knows where it stands, so that every complaint can point.

use alloc::string::String;
use core::ops::Range;

/// A piece of the typed text and its byte offset.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// What is wrong with a piece, and what would be right.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) wrong: String,
    pub(super) right: String,
}

impl<'a> Part<'a> {
    /// The text without the white space around it.
    pub(super) fn trimmed(text: &'a str) -> Part<'a> {
        let start = text.len() - text.trim_start().len();
        Part { text: text.trim(), at: start }
    }

    pub(super) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// What follows the first `bytes` bytes (or the nearest character boundary before them).
    pub(super) fn after(self, bytes: usize) -> Part<'a> {
        let mut cut = bytes.min(self.text.len());
        while !self.text.is_char_boundary(cut) {
            cut -= 1;
        }
        self.split_at(cut).1
    }

    /// Splits at a byte offset that is a character boundary.
    pub(super) fn split_at(self, offset: usize) -> (Part<'a>, Part<'a>) {
        let (left, right) = self.text.split_at(offset);
        (Part { text: left, at: self.at }, Part { text: right, at: self.at + offset })
    }

    pub(super) fn split_once(self, separator: &str) -> Option<(Part<'a>, Part<'a>)> {
        let found = self.text.find(separator)?;
        let (left, rest) = self.split_at(found);
        Some((left, rest.split_at(separator.len()).1))
    }

    pub(super) fn rsplit_once(self, separator: &str) -> Option<(Part<'a>, Part<'a>)> {
        let found = self.text.rfind(separator)?;
        let (left, rest) = self.split_at(found);
        Some((left, rest.split_at(separator.len()).1))
    }

    /// What follows an ASCII prefix, in any case.
    pub(super) fn strip_prefix(self, prefix: &str) -> Option<Part<'a>> {
        let head = self.text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| self.split_at(prefix.len()).1)
    }

    /// What precedes an ASCII suffix, in any case.
    pub(super) fn strip_suffix(self, suffix: &str) -> Option<Part<'a>> {
        let cut = self.text.len().checked_sub(suffix.len())?;
        let tail = self.text.get(cut..)?;
        tail.eq_ignore_ascii_case(suffix).then(|| self.split_at(cut).0)
    }

    /// The piece from the first character that fails the test, if one does.
    pub(super) fn since(self, fails: impl FnMut(char) -> bool) -> Option<Part<'a>> {
        self.text.find(fails).map(|offset| self.split_at(offset).1)
    }

    pub(super) fn wrong(self, wrong: impl Into<String>, right: impl Into<String>) -> Fault {
        Fault { span: self.span(), wrong: wrong.into(), right: right.into() }
    }
}
