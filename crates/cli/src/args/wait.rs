//! The words of `inuse wait`.

use super::AttemptArgs;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

/// Some uses.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse wait 8080 && ./server
  inuse wait --listening --timeout 30s 5432 && ./migrate
  inuse wait --timeout 2m 3000-3010 udp/53 unix:/run/app.sock";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  all addresses can be bound, or are served with --listening
  1  the time was over first, or stdout could not be written
  2  the words were wrong; nothing was done
  3  not enough can be seen to say
  4  waiting does not help: a privileged port, an address that is not local, a missing directory";

/// The words of `inuse wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Addresses to wait for: all of them must be ready; '-' finds them in an error message on standard input
    #[arg(value_name = "ADDR", required = true)]
    pub addresses: Vec<OsString>,

    /// Wait until somebody listens on each address, not until it can be bound
    #[arg(long, conflicts_with_all = ["reuseaddr", "reuseport"])]
    pub listening: bool,

    /// Give up after this time: 30s, 500ms, 2m, 1h, or seconds
    #[arg(long, value_name = "T", value_parser = crate::duration::parse)]
    pub timeout: Option<Duration>,

    /// Print one JSON event a line (schema inuse.wait/1)
    #[arg(long)]
    pub json: bool,

    /// The bind that is meant.
    #[command(flatten)]
    pub attempt: AttemptArgs,
}
