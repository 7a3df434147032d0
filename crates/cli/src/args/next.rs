//! The words of `inuse next`.

use super::AttemptArgs;
use clap::Args;
use std::ffi::OsString;

/// What may stand for an address, and examples.
pub(super) const ADDRESSES: &str = "\
Addresses:
  8080                 from this port on, free for both families: 0.0.0.0 and [::]
  127.0.0.1:8080       for exactly this address; also [::1]:8080, localhost:8080
  udp/5000, 3000-3010  UDP; only within this range

Examples:
  inuse next 8080
  PORT=$(inuse next 3000-3999) npm start";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  the port is printed
  1  none is left, or stdout could not be written
  2  the words were wrong; nothing was done
  3  not enough could be seen to say";

/// The words of `inuse next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Where to start: a port, or an address with a port
    #[arg(value_name = "ADDR")]
    pub address: OsString,

    /// Print JSON (schema inuse.next/1)
    #[arg(long)]
    pub json: bool,

    /// The bind that is meant.
    #[command(flatten)]
    pub attempt: AttemptArgs,

    /// Say on stderr why each port before it was passed over
    #[arg(short, long)]
    pub verbose: bool,
}
