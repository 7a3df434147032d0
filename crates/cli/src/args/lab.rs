//! The words of `inuse lab`: a scene to be played, or a verb of its own. No scene has the name of such a verb.

use super::teach::{self, ClientArgs, ServeArgs};
use super::with_exit;
use clap::{Args, Subcommand};
use std::ffi::OsString;

/// Examples.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse lab list                            every scene, with a line each
  inuse lab time-wait                       plays one
  inuse lab fin-wait-2 --pause              waits for Enter after each step
  inuse lab time-wait --keep                leaves it standing for ss, tcpdump and others
  inuse lab time-wait --html page.html      writes it down as a page, with drawings";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  it was played, and everything came out as the scene says
  1  something came out otherwise, or could not be written
  2  the words were wrong; nothing was done
  3  this machine does not offer what the scene takes";

/// The words of `inuse lab`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct LabArgs {
    /// A verb of the lab.
    #[command(subcommand)]
    pub verb: Option<LabVerb>,

    /// The words of playing, when there is none.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// What the lab can do besides playing.
#[derive(Debug, Subcommand)]
pub enum LabVerb {
    /// List every scene, with one line each, and what it needs
    List(ListArgs),
    /// Be one of the teaching servers
    ///
    /// Small servers as teaching documents have them, but real: concurrent, bounded, and stopped by no client. When
    /// the bind is refused the library says why.
    #[command(after_help = teach::KINDS, after_long_help = with_exit(&with_exit(teach::KINDS, teach::SERVE_EXAMPLES), teach::SERVE_EXIT))]
    Serve(ServeArgs),
    /// Be a client of one of them
    ///
    /// What is typed goes to the server, and what it answers is printed. The end of the input (Ctrl+D) closes our half
    /// of the connection; the client ends when the server has closed its own.
    #[command(after_help = teach::KINDS, after_long_help = with_exit(&with_exit(teach::KINDS, teach::CLIENT_EXAMPLES), teach::CLIENT_EXIT))]
    Client(ClientArgs),
}

/// The words of `inuse lab list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON (schema inuse.lab/1)
    #[arg(long)]
    pub json: bool,
}

/// The words of `inuse lab SCENE`.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// The scene to play; 'inuse lab list' names them
    #[arg(value_name = "SCENE")]
    pub scene: Option<String>,

    /// Print one JSON event a line (schema inuse.lab/1)
    #[arg(long)]
    pub json: bool,

    /// Wait for Enter after each step
    #[arg(long, conflicts_with = "json")]
    pub pause: bool,

    /// Leave everything standing at the end until Enter, and say how other tools can look at it
    #[arg(long)]
    pub keep: bool,

    /// Write it down as one page that needs nothing else, with a ladder diagram and the diagram of states ('-':
    /// standard output, and no text)
    #[arg(long, value_name = "FILE")]
    pub html: Option<OsString>,
}
