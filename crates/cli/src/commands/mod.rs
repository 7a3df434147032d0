//! One verb, one file.

pub mod explain;
pub mod free;
pub mod next;
pub mod wait;
pub mod why;
