//! `inuse why`: its words, its views and its exit codes.

mod fixtures;
mod golden;
mod hostile;
mod json;
mod live;
#[path = "../common/ran.rs"]
mod ran;
mod run;
mod snapshots;
mod words;
