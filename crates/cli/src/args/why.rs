//! The words of `inuse why`, which are those of `inuse` alone.

use super::AttemptArgs;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// What may stand for an address.
pub(super) const ADDRESSES: &str = "\
Addresses:
  8080, :8080          both families: 0.0.0.0 and [::]
  127.0.0.1:8080       exactly this one; also [::1]:8080, [fe80::1%eth0]:8080
  localhost:8080       each address of the name
  udp/53, 3000-3010    UDP; a range
  unix:/run/app.sock   a unix socket; also /run/app.sock, and @name for an abstract one
  and what is pasted   :::3000, *:8080, http://localhost:3000/, 192.168.1.103.8000

Examples:
  inuse 8080
  npm start 2>&1 | inuse -
  inuse why udp/53 --json";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  the bind would succeed
  1  the address is in use, or the answer could not be written
  2  the words were wrong; nothing was done
  3  not enough could be seen to say
  4  another refusal: a privileged port, an address that is not local, a policy
Of several answers the worst counts, in the order 2, 3, 4, 1, 0.";

/// The words of `inuse why`.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct WhyArgs {
    /// Addresses to ask about; '-' reads an error message from standard input and finds them
    #[arg(value_name = "ADDR")]
    pub addresses: Vec<OsString>,

    /// Print JSON (schema inuse.why/1)
    #[arg(long)]
    pub json: bool,

    /// Show every fact: inodes, cookies, rules, kernel settings, other sockets of the port
    #[arg(short, long)]
    pub verbose: bool,

    /// The bind that is meant.
    #[command(flatten)]
    pub attempt: AttemptArgs,

    /// Save the facts to a new file that '--snapshot' judges elsewhere
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,

    /// Hide the arguments and paths of processes, also in what is saved
    #[arg(long)]
    pub redact: bool,

    /// Judge the facts of this file instead of this machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["netns", "save", "probe"])]
    pub snapshot: Option<PathBuf>,

    /// Learn the options of ownerless sockets by a bind that never listens
    ///
    /// Only on a port that somebody holds. For some microseconds it can make another program's bind to that port
    /// fail, if that one does not set SO_REUSEADDR.
    #[arg(long)]
    pub probe: bool,
}
