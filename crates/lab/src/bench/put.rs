//! A section that another program has written: its text comes from standard input, and this adds the machine.
//!
//! Started at the head of a pipe's end, it looks at the machine's load before the other program has begun.

use super::machine::Machine;
use super::report;
use clap::Args;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

/// The words of `inuse-bench put`.
#[derive(Clone, Debug, Args)]
pub(super) struct PutArgs {
    /// The section
    name: String,
    /// The document whose section is written anew
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    report: PathBuf,
}

/// Puts it there; nothing on standard input is an error, and leaves the document as it is.
pub(super) fn run(arguments: &PutArgs) -> io::Result<bool> {
    let machine = Machine::before();
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    if text.trim().is_empty() {
        return Err(io::Error::other(format!("nothing is there for the section {}", arguments.name)));
    }
    let section = format!("{}\n\n{}", text.trim_end(), machine.about(&[], &[]));
    io::stdout().write_all(section.as_bytes())?;
    report::put(&arguments.report, &arguments.name, &section)?;
    Ok(true)
}
