//! The words of `inuse opts`.

use clap::Args;
use std::ffi::OsString;

/// Some uses.
pub(super) const EXAMPLES: &str = "\
Targets:
  8080, udp/53, unix:/run/app.sock   every socket that holds the address, and its connections
  pid:4412                           every socket of a process
  pid:4412/fd:3                      one descriptor of a process

Values:
  on, off, 1, 0, yes, no             SO_REUSEADDR=1
  256KiB, 65536                      SO_RCVBUF=256KiB
  1500ms, 30s, 5m, off               SO_RCVTIMEO=1500ms
  off, 5s                            SO_LINGER=off
  eth0, off                          SO_BINDTODEVICE=eth0

Examples:
  inuse opts 8080                    what is changed, compared with a new socket
  inuse opts --all 8080              every option
  inuse opts 8080 SO_REUSEADDR=1     mends a live server: its TIME_WAIT will not refuse a next start that
                                     sets the option too
  inuse opts pid:4412 SO_KEEPALIVE   one option of all its sockets
  inuse opts --list SO_LINGER        a page on an option";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  it is shown, or everything is in force
  1  nobody has such a socket, the kernel refused a value, or it needs '--force'
  2  the words were wrong, or nobody agreed; nothing was set
  3  the right to ask the process is missing; what is missing is said
  4  the kernel refused for want of a capability";

/// The words of `inuse opts`.
#[derive(Debug, Args)]
pub struct OptsArgs {
    /// Whose sockets: an address, pid:PID or pid:PID/fd:FD
    #[arg(value_name = "TARGET")]
    pub target: Option<OsString>,

    /// Options to show (SO_REUSEADDR) or to set (SO_REUSEADDR=1), in this order
    #[arg(value_name = "NAME[=VALUE]")]
    pub options: Vec<OsString>,

    /// Explain every option, or those that are named
    #[arg(long, conflicts_with_all = ["yes", "force", "all", "netns"])]
    pub list: bool,

    /// Set without asking
    #[arg(long)]
    pub yes: bool,

    /// Also set what could break a live socket
    #[arg(long)]
    pub force: bool,

    /// Show every option of each socket, not only those that are changed
    #[arg(short = 'v', long, visible_alias = "verbose")]
    pub all: bool,

    /// Print JSON (schema inuse.opts/1)
    #[arg(long)]
    pub json: bool,

    /// Look for addresses in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<OsString>,
}
