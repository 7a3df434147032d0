//! One verb, one file.

mod asked;
pub mod ctl;
pub mod explain;
pub mod free;
pub mod lab;
pub mod ls;
pub mod next;
pub mod opts;
mod page_file;
pub mod run;
mod saved;
mod stop;
pub mod stub;
pub mod teach;
mod typed;
pub mod wait;
pub mod why;
