//! The words of `inuse free`.

use super::AttemptArgs;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

/// Some uses.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse free 8080                shows the plan, asks once, and proves the result
  inuse free --dry-run 8080      only shows the plan
  inuse free --yes --kill 8080   for scripts; SIGKILL follows where SIGTERM is ignored";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  the address is free, or was free already
  1  it is still in use, or the plan needs a flag that was not given
  2  the words were wrong, or nobody agreed to the plan; nothing was done
  3  the owner cannot be seen; nobody was signalled
  4  it is never done, or may not be done: the plan says why
Of several addresses the worst counts, in the order 2, 3, 4, 1, 0.";

/// The words of `inuse free`.
#[derive(Debug, Args)]
pub struct FreeArgs {
    /// Addresses to free; '-' finds them in an error message on standard input
    #[arg(value_name = "ADDR", required = true)]
    pub addresses: Vec<OsString>,

    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Run the plan without asking
    #[arg(long)]
    pub yes: bool,

    /// Let SIGKILL follow where SIGTERM is ignored; stop who carries the socket in a message or a ring
    #[arg(long)]
    pub kill: bool,

    /// Also destroy connections that somebody may still need: outgoing, leaked, or not delivered yet
    #[arg(long)]
    pub destroy: bool,

    /// Have systemd stop the unit that holds the address
    #[arg(long)]
    pub unit: bool,

    /// Have its runtime stop the container that holds the address
    #[arg(long)]
    pub container: bool,

    /// How long a process may take after each signal: 5s, 500ms, 2m
    #[arg(long, value_name = "T", default_value = "5s", value_parser = crate::duration::parse)]
    pub grace: Duration,

    /// Print JSON (schema inuse.free/1)
    #[arg(long)]
    pub json: bool,

    /// The bind that is meant.
    #[command(flatten)]
    pub attempt: AttemptArgs,
}
