//! One verb, one file.

pub mod explain;
pub mod free;
pub mod lab;
pub mod ls;
pub mod next;
pub mod opts;
mod saved;
mod typed;
pub mod wait;
pub mod why;
