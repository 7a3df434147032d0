//! The command line: its only definition. The parser, the help, the man pages and the completions are made
//! from it. Each verb has its words in a file of its own.

mod attempt;
mod ctl;
mod explain;
mod free;
mod lab;
mod ls;
mod next;
mod opts;
mod run;
mod teach;
mod wait;
mod why;

pub use attempt::AttemptArgs;
pub use ctl::{CtlArgs, What};
pub use explain::ExplainArgs;
pub use free::FreeArgs;
pub use lab::{LabArgs, LabVerb, ListArgs, PlayArgs};
pub(crate) use ls::ports_alone;
pub use ls::{LsArgs, Proto};
pub use next::NextArgs;
pub use opts::OptsArgs;
pub use run::{LogForm, RunArgs};
pub use teach::{ClientArgs, ServeArgs, Switch};
pub use wait::WaitArgs;
pub use why::WhyArgs;

use clap::{Parser, Subcommand};

/// Says why an address is already in use, who has it, and what to do.
///
/// Without a verb it is 'inuse why'. It only looks: it stops nothing, changes nothing and, unless --probe
/// allows that, binds nothing.
#[derive(Debug, Parser)]
#[command(
    name = "inuse",
    version,
    override_usage = "inuse [OPTIONS] ADDR...\n       inuse VERB [OPTIONS] [ARGUMENTS]",
    after_help = why::ADDRESSES,
    after_long_help = with_exit(why::ADDRESSES, why::EXIT),
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

    /// Write a man page ('man', 'man-why', …) or the completions of a shell to stdout
    #[arg(long, hide = true, value_name = "ARTIFACT")]
    pub generate: Option<String>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say why a bind to an address fails, who is in the way, and what to do (the default)
    #[command(after_help = why::ADDRESSES, after_long_help = with_exit(why::ADDRESSES, why::EXIT))]
    Why(WhyArgs),
    /// Explain a cause or an error: inuse explain time-wait, inuse explain 98
    Explain(ExplainArgs),
    /// Print the first port at or after an address that can be bound now
    ///
    /// Skips the ephemeral range, whose ports any outgoing connection may be given, and the reserved list.
    /// Only a socket that is held is certain: another program may take the port before yours does.
    #[command(after_help = next::ADDRESSES, after_long_help = with_exit(next::ADDRESSES, next::EXIT))]
    Next(NextArgs),
    /// Wait until an address can be bound, or until somebody listens on it
    ///
    /// It never connects and never binds: it sleeps until the kernel announces a change, and asks for what is not
    /// announced. When it returns nothing is reserved: another program may come first.
    #[command(after_help = wait::EXAMPLES, after_long_help = with_exit(wait::EXAMPLES, wait::EXIT))]
    Wait(WaitArgs),
    /// Get an address back: stop who holds it, take away what nobody owns, and prove the result
    ///
    /// First a plan. It stops every process that holds the address, and nobody else: never a client, a manager or
    /// a session. A plan with an obstacle is not run at all.
    #[command(after_help = free::EXAMPLES, after_long_help = with_exit(free::EXAMPLES, free::EXIT))]
    Free(FreeArgs),
    /// List what listens, and who it is: process, user, unit, container
    ///
    /// TCP listeners, bound UDP sockets and unix listeners, in the order of protocol, port and address. On a terminal
    /// the rows fit its width; elsewhere nothing is cut, unless COLUMNS says how wide they may be. It only looks.
    #[command(after_help = ls::EXAMPLES, after_long_help = with_exit(ls::EXAMPLES, ls::EXIT))]
    Ls(LsArgs),
    /// Play a scene on the real kernel, step by step: a bind that fails, why, the cure, a bind that succeeds
    ///
    /// In private namespaces where they are to be had (as root, or where ordinary users may have them), else on
    /// free loopback ports; nothing else on the machine is touched.
    #[command(after_help = lab::EXAMPLES, after_long_help = with_exit(lab::EXAMPLES, lab::EXIT))]
    Lab(LabArgs),
    /// Show the options of live sockets, and set them without a restart
    ///
    /// Reads every option of the sockets that hold an address or belong to a process, and says which ones differ from
    /// a new socket's. With NAME=VALUE it sets them on the live sockets: what is asked, and what the kernel made of it.
    #[command(after_help = opts::EXAMPLES, after_long_help = with_exit(opts::EXAMPLES, opts::EXIT))]
    Opts(OptsArgs),
    /// Run a program, keep its addresses, and restart it without a gap
    ///
    /// Whatever the program listens on is kept for its next process, with the connections that wait there; with -l
    /// it is given sockets instead. At a restart the new process starts beside the old one, which is told to end only
    /// when the new one is ready. A new one that fails leaves the old one as it was. A program that crashes or is
    /// killed is started again, and connections wait meanwhile.
    #[command(after_help = run::EXAMPLES, after_long_help = with_exit(run::EXAMPLES, run::EXIT))]
    Run(RunArgs),
    /// Ask an 'inuse run' how things are, or to restart or stop its program
    #[command(after_help = ctl::EXAMPLES, after_long_help = with_exit(ctl::EXAMPLES, ctl::EXIT))]
    Ctl(CtlArgs),
}

/// What stands behind the options of a long help.
fn with_exit(examples: &str, exit: &str) -> String {
    format!("{examples}\n\n{exit}")
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
