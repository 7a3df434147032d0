//! The pages of `inuse explain`: every cause and the errors behind them, as plain text; and the lines of
//! source that a cure asks for.
//!
//! Not here: printing them. The pages are text files beside this one, at most 78 columns wide, so that they
//! read the same in a terminal, in a mail and in the repository.

mod pages;
mod snippet;

pub use pages::{Page, page, topics};
pub use snippet::{Snippet, snippets};
