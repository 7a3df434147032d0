//! The command line: its only definition. The parser, the help, the man pages and the completions are made
//! from it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT: &str = "\
Exit status:
  0  the bind would succeed
  1  the address is in use, or the answer could not be written
  2  the words were wrong; nothing was done
  3  not enough could be seen to say
  4  another refusal: a privileged port, an address that is not local, a policy
Of several answers the worst counts, in the order 2, 3, 4, 1, 0.";

const ADDRESSES: &str = "\
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

const NEXT_ADDRESSES: &str = "\
Addresses:
  8080                 from this port on, free for both families: 0.0.0.0 and [::]
  127.0.0.1:8080       for exactly this address; also [::1]:8080, localhost:8080
  udp/5000, 3000-3010  UDP; only within this range

Examples:
  inuse next 8080
  PORT=$(inuse next 3000-3999) npm start";

const NEXT_EXIT: &str = "\
Exit status:
  0  the port is printed
  1  none is left, or stdout could not be written
  2  the words were wrong; nothing was done
  3  not enough could be seen to say";

const WAIT_EXAMPLES: &str = "\
Examples:
  inuse wait 8080 && ./server
  inuse wait --listening --timeout 30s 5432 && ./migrate
  inuse wait --timeout 2m 3000-3010 udp/53 unix:/run/app.sock";

const WAIT_EXIT: &str = "\
Exit status:
  0  all addresses can be bound, or are served with --listening
  1  the time was over first, or stdout could not be written
  2  the words were wrong; nothing was done
  3  not enough can be seen to say
  4  waiting does not help: a privileged port, an address that is not local, a missing directory";
const FREE_EXAMPLES: &str = "\
Examples:
  inuse free 8080                shows the plan, asks once, and proves the result
  inuse free --dry-run 8080      only shows the plan
  inuse free --yes --kill 8080   for scripts; SIGKILL follows where SIGTERM is ignored";

const FREE_EXIT: &str = "\
Exit status:
  0  the address is free, or was free already
  1  it is still in use, or the plan needs a flag that was not given
  2  the words were wrong, or nobody agreed to the plan; nothing was done
  3  the owner cannot be seen; nobody was signalled
  4  it is never done, or may not be done: the plan says why
Of several addresses the worst counts, in the order 2, 3, 4, 1, 0.";

/// Says why an address is already in use, who has it, and what to do.
///
/// Without a verb it is 'inuse why'. It only looks: it stops nothing, changes nothing and, unless --probe
/// allows that, binds nothing.
#[derive(Debug, Parser)]
#[command(
    name = "inuse",
    version,
    override_usage = "inuse [OPTIONS] ADDR...\n       inuse VERB [OPTIONS] [ARGUMENTS]",
    after_help = ADDRESSES,
    after_long_help = format!("{ADDRESSES}\n\n{EXIT}"),
)]
pub struct Cli {
    /// The verb; without one, `why`.
    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// The words of `why`, when no verb is given.
    #[command(flatten)]
    pub why: WhyArgs,

    /// Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)
    #[arg(long, global = true)]
    pub no_color: bool,

    /// Write a man page or a completion script to stdout
    #[arg(long, hide = true, value_name = "ARTIFACT")]
    pub generate: Option<Artifact>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say why a bind to an address fails, who is in the way, and what to do (the default)
    #[command(after_help = ADDRESSES, after_long_help = format!("{ADDRESSES}\n\n{EXIT}"))]
    Why(WhyArgs),
    /// Explain a cause or an error: inuse explain time-wait, inuse explain 98
    Explain(ExplainArgs),
    /// Print the first port at or after an address that can be bound now
    ///
    /// Skips the ephemeral range, whose ports any outgoing connection may be given, and the reserved list.
    /// Only a socket that is held is certain: another program may take the port before yours does.
    #[command(after_help = NEXT_ADDRESSES, after_long_help = format!("{NEXT_ADDRESSES}\n\n{NEXT_EXIT}"))]
    Next(NextArgs),
    /// Wait until an address can be bound, or until somebody listens on it
    ///
    /// It never connects and never binds: it sleeps until the kernel announces a change, and asks for what is not
    /// announced. When it returns nothing is reserved: another program may come first.
    #[command(after_help = WAIT_EXAMPLES, after_long_help = format!("{WAIT_EXAMPLES}\n\n{WAIT_EXIT}"))]
    Wait(WaitArgs),
    /// Get an address back: stop who holds it, take away what nobody owns, and prove the result
    ///
    /// First a plan. It stops every process that holds the address, and nobody else: never a client, a manager or
    /// a session. A plan with an obstacle is not run at all.
    #[command(after_help = FREE_EXAMPLES, after_long_help = format!("{FREE_EXAMPLES}\n\n{FREE_EXIT}"))]
    Free(FreeArgs),
}

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

    /// Judge a bind with SO_REUSEADDR set
    #[arg(long)]
    pub reuseaddr: bool,

    /// Judge a bind with SO_REUSEPORT set
    #[arg(long)]
    pub reuseport: bool,

    /// Judge a bind with IPV6_V6ONLY set
    #[arg(long)]
    pub v6only: bool,

    /// Judge for this user, a number or a name (under sudo: the calling user)
    #[arg(long, value_name = "USER")]
    pub as_uid: Option<String>,

    /// Look in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<OsString>,

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

/// The words of `inuse explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A cause (time-wait), an error (EADDRINUSE) or its number (98; 48 on macOS, 10048 on Windows)
    #[arg(value_name = "CODE")]
    pub topic: Option<String>,

    /// Print JSON (schema inuse.explain/1)
    #[arg(long)]
    pub json: bool,
}

/// The words of `inuse next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Where to start: a port, or an address with a port
    #[arg(value_name = "ADDR")]
    pub address: OsString,

    /// Print JSON (schema inuse.next/1)
    #[arg(long)]
    pub json: bool,

    /// Say on stderr why each port before it was passed over
    #[arg(short, long)]
    pub verbose: bool,
}

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

    /// Wait for a bind with SO_REUSEADDR set
    #[arg(long)]
    pub reuseaddr: bool,

    /// Wait for a bind with SO_REUSEPORT set
    #[arg(long)]
    pub reuseport: bool,

    /// Wait for a bind with IPV6_V6ONLY set
    #[arg(long)]
    pub v6only: bool,

    /// Wait for a bind by this user, a number or a name (under sudo: the calling user)
    #[arg(long, value_name = "USER")]
    pub as_uid: Option<String>,

    /// Wait in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<OsString>,
}

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

    /// Free it for a bind with SO_REUSEADDR set
    #[arg(long)]
    pub reuseaddr: bool,

    /// Free it for a bind with SO_REUSEPORT set
    #[arg(long)]
    pub reuseport: bool,

    /// Free it for a bind with IPV6_V6ONLY set
    #[arg(long)]
    pub v6only: bool,

    /// Free it for a bind by this user, a number or a name (under sudo: the calling user)
    #[arg(long, value_name = "USER")]
    pub as_uid: Option<String>,

    /// Free it in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<OsString>,
}

/// What `--generate` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Artifact {
    /// inuse(1).
    Man,
    /// inuse-why(1).
    ManWhy,
    /// inuse-explain(1).
    ManExplain,
    /// inuse-next(1).
    ManNext,
    /// inuse-wait(1).
    ManWait,
    /// inuse-free(1).
    ManFree,
    /// For bash.
    CompletionsBash,
    /// For zsh.
    CompletionsZsh,
    /// For fish.
    CompletionsFish,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
