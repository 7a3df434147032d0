//! Man pages and completions, made from the definition of the command line. They are committed under docs/
//! and a test compares.

use crate::args::Cli;
use crate::exit::ExitStatus;
use crate::output::Output;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

/// One thing that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What asks for it: `man`, `man-why`, `completions-zsh`.
    pub name: String,
    /// Where it is committed, below docs/.
    pub file: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Man { verb: Option<String> },
    Completions(Shell),
}

/// Everything that can be made: the page of the command, one for each verb that is shown, and the completions.
pub fn artifacts() -> Vec<Artifact> {
    let page = |verb: Option<&str>| {
        let suffix = verb.map(|verb| format!("-{verb}")).unwrap_or_default();
        Artifact {
            name: format!("man{suffix}"),
            file: format!("man/inuse{suffix}.1"),
            kind: Kind::Man { verb: verb.map(str::to_owned) },
        }
    };
    let command = definition();
    let verbs =
        command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| page(Some(verb.get_name())));
    let shells = [(Shell::Bash, "inuse.bash"), (Shell::Zsh, "_inuse"), (Shell::Fish, "inuse.fish")];
    let completions = shells.map(|(shell, file)| Artifact {
        name: format!("completions-{shell}"),
        file: format!("completions/{file}"),
        kind: Kind::Completions(shell),
    });
    [page(None)].into_iter().chain(verbs).chain(completions).collect()
}

/// Writes the one with that name to stdout.
pub fn run(name: &str, output: &mut Output) -> ExitStatus {
    let all = artifacts();
    let Some(artifact) = all.iter().find(|artifact| artifact.name == name) else {
        let names: Vec<&str> = all.iter().map(|artifact| artifact.name.as_str()).collect();
        output.say(&format!("--generate makes one of: {}", names.join(", ")));
        return ExitStatus::WrongWords;
    };
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
pub fn text(artifact: &Artifact) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    match &artifact.kind {
        Kind::Completions(shell) => clap_complete::generate(*shell, &mut Cli::command(), "inuse", &mut bytes),
        Kind::Man { verb } => {
            let command = definition();
            let page = verb.as_ref().and_then(|verb| command.find_subcommand(verb)).unwrap_or(&command);
            clap_mangen::Man::new(page.clone()).render(&mut bytes)?;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The whole definition. The verb 'help' has no page.
fn definition() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}
