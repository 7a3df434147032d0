//! The command `inuse`: says why an address is already in use, and what to do.
//!
//! What lives here: the words of the command line, one file a verb (`commands`), and the human and the JSON
//! view of an answer (`render`). stdout is data, stderr is talk; a closed pipe is a success.
//!
//! What deliberately does not: facts about the kernel, and decisions. They come from the crates to the left.

pub mod args;
pub mod caller;
pub mod commands;
pub mod duration;
pub mod exit;
pub mod generate;
pub mod mistyped;
pub mod output;
pub mod piped;
pub mod redact;
pub mod render;
mod sys;

use args::{Cli, Verb, WhyArgs};
use clap::Parser;
use exit::ExitStatus;
use output::Output;
use std::ffi::OsString;

/// Reads the command line, does what it says, and gives back how the process should end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(status) = commands::stub::run(&arguments) {
        return status;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error, &arguments),
    };
    let mut output = Output::new(cli.no_color);
    if cli.verb.is_some() && cli.why != WhyArgs::default() {
        output.say(
            "the verb comes first, its flags and addresses behind it; for instance: inuse why 8080 --json",
        );
        return output.finish(ExitStatus::WrongWords);
    }
    let done = match (&cli.generate, &cli.verb) {
        (Some(artifact), _) => generate::run(artifact, &mut output),
        (None, None) => commands::why::run(&cli.why, &mut output),
        (None, Some(Verb::Why(args))) => commands::why::run(args, &mut output),
        (None, Some(Verb::Explain(args))) => commands::explain::run(args, &mut output),
        (None, Some(Verb::Next(args))) => commands::next::run(args, &mut output),
        (None, Some(Verb::Wait(args))) => commands::wait::run(args, &mut output),
        (None, Some(Verb::Free(args))) => commands::free::run(args, &mut output),
        (None, Some(Verb::Ls(args))) => commands::ls::run(args, &mut output),
        (None, Some(Verb::Lab(args))) => commands::lab::run(args, &mut output),
        (None, Some(Verb::Opts(args))) => commands::opts::run(args, &mut output),
        (None, Some(Verb::Run(args))) => commands::run::run(args, &mut output),
        (None, Some(Verb::Ctl(args))) => commands::ctl::run(args, &mut output),
    };
    output.finish(done)
}
