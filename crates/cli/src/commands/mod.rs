//! One verb, one file.

pub mod explain;
pub mod free;
pub mod next;
mod typed;
pub mod wait;
pub mod why;
