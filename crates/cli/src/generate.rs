//! Man pages and completions, made from the definition of the command line. They are committed under docs/
//! and a test compares.

use crate::args::{Artifact, Cli};
use crate::exit::ExitStatus;
use crate::output::Output;
use clap::CommandFactory;
use clap_complete::Shell;

/// Writes one of them to stdout.
pub fn run(artifact: Artifact, output: &mut Output) -> ExitStatus {
    match text(artifact) {
        Ok(text) => {
            output.data(&text);
            ExitStatus::Success
        }
        Err(error) => {
            output.say(&format!("this cannot be written: {error}"));
            ExitStatus::CannotSay
        }
    }
}

/// The text of one of them.
///
/// # Errors
///
/// What the generator says; writing to memory does not fail.
pub fn text(artifact: Artifact) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut shell = |shell| clap_complete::generate(shell, &mut Cli::command(), "inuse", &mut bytes);
    match artifact {
        Artifact::CompletionsBash => shell(Shell::Bash),
        Artifact::CompletionsZsh => shell(Shell::Zsh),
        Artifact::CompletionsFish => shell(Shell::Fish),
        Artifact::Man => man(None, &mut bytes)?,
        Artifact::ManWhy => man(Some("why"), &mut bytes)?,
        Artifact::ManExplain => man(Some("explain"), &mut bytes)?,
        Artifact::ManNext => man(Some("next"), &mut bytes)?,
        Artifact::ManWait => man(Some("wait"), &mut bytes)?,
        Artifact::ManFree => man(Some("free"), &mut bytes)?,
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn man(verb: Option<&str>, out: &mut Vec<u8>) -> std::io::Result<()> {
    // The verb 'help' has no page.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let command = match verb.and_then(|verb| command.find_subcommand(verb)) {
        Some(verb) => verb.clone(),
        None => command,
    };
    clap_mangen::Man::new(command).render(out)
}
