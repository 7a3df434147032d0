//! Measurements that anyone can repeat (`inuse-bench`): each stages what it measures, checks every answer that
//! it times, and writes its section of docs/benchmarks.md with the machine and the versions.
//!
//! What deliberately does not live here: what is staged (`crowd`), and any knowledge of how the command finds
//! its answers. It is started as the others are, and it can lose.

mod answer;
mod bars;
mod empty;
mod filter;
mod growth;
mod host;
mod machine;
mod plot;
mod put;
mod report;
mod restart;
mod sample;
mod tool;
mod upper;
mod zoo;

use crate::{ROLE, crowd};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;

/// Measures inuse beside the programs that people use instead.
#[derive(Debug, Parser)]
#[command(name = "inuse-bench", version)]
struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// A crowded host in a network namespace of its own: who has a port, and what listens
    Host(host::HostArgs),
    /// A pid and network namespace with nothing but one server: what starting up costs
    Empty(empty::EmptyArgs),
    /// From few open descriptors to many, as a plot
    Growth(growth::GrowthArgs),
    /// The teaching server `upper` beside a plain epoll server in C: connections a second, bytes through
    Upper(upper::UpperArgs),
    /// A server that is restarted under a load, in the ways that people have
    Restart(restart::RestartArgs),
    /// What the filter of `inuse run` costs: each bind and listen, and the data path
    Filter(filter::FilterArgs),
    /// Programs that people run, under `inuse run`, restarted and killed under a load
    Zoo(zoo::ZooArgs),
    /// Puts a section from standard input into the document, with the machine
    Put(put::PutArgs),
    /// The program that `filter` runs: binds and listens
    #[command(hide = true)]
    BindAndListen(filter::BindArgs),
    /// The server that `filter` runs
    #[command(hide = true)]
    Echo(filter::EchoArgs),
}

/// The words of every measurement.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The command that is measured; otherwise the one beside this program
    #[arg(long, value_name = "FILE")]
    inuse: Option<PathBuf>,
    /// Leave these programs out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without: Vec<String>,
    /// The document whose section is written anew
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    report: PathBuf,
    /// Write no document
    #[arg(long, conflicts_with = "report")]
    no_report: bool,
}

/// Does what a command line says, with the name of the program first; gives the exit status. The process must
/// have one thread.
///
/// Exit status: 0 measured, and every answer was right; 1 an answer was wrong; 2 wrong words; 3 it could not be
/// staged or written. A bar that is missed is a result, not a failure.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let done = match arguments.act {
        Act::Host(arguments) => host::run(&arguments),
        Act::Empty(arguments) => empty::run(&arguments),
        Act::Growth(arguments) => growth::run(&arguments),
        Act::Upper(arguments) => upper::run(&arguments),
        Act::Restart(arguments) => restart::run(&arguments),
        Act::Filter(arguments) => filter::run(&arguments),
        Act::Zoo(arguments) => zoo::run(&arguments),
        Act::Put(arguments) => put::run(&arguments),
        Act::BindAndListen(arguments) => filter::binds(&arguments),
        Act::Echo(arguments) => filter::echo(&arguments),
    };
    match done {
        Ok(all_right) => u8::from(!all_right),
        Err(error) => {
            let _ = writeln!(io::stderr(), "inuse-bench: {error}");
            3
        }
    }
}

/// As [`crate::helper_main`], and to be called before it: becomes a helper process of a measurement, if this
/// process was started as one. Apart from that one, so that the command, which measures nothing, need not have
/// all of this in it.
pub fn helper_main() {
    let Some(words) = crate::role() else { return };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bench", ..] => std::process::exit(main(std::env::args_os().skip(2)).into()),
        ["crowd", ref share @ ..] => crowd::member::main(share),
        ["peak", ref command @ ..] => sample::peak_main(command),
        _ => {}
    }
}

/// `inuse-bench` as a further run of the calling binary, which has to call [`helper_main`] first.
pub fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([ROLE, "bench"]);
    command
}

impl Common {
    /// Which of the programs are here, and the names of the others.
    fn installed(
        &self,
        tools: &'static [tool::Tool],
    ) -> io::Result<(Vec<sample::Samples>, Vec<&'static str>)> {
        let mut here = Vec::new();
        let mut absent = Vec::new();
        for tool in tools.iter().filter(|tool| !self.without.iter().any(|name| name == tool.program)) {
            let path = if tool.program == "inuse" { Some(self.command()?) } else { tool::find(tool.program) };
            match path {
                Some(path) => here.push(sample::Samples::new(tool, path)),
                None => absent.push(tool.program),
            }
        }
        Ok((here, absent))
    }

    /// Where the command is.
    fn command(&self) -> io::Result<PathBuf> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("inuse"));
        let path = self.inuse.clone().or_else(beside).unwrap_or_default();
        if tool::is_program(&path) {
            // Programs are started in another directory.
            return path.canonicalize();
        }
        let what = format!("{} is not there; build it, or name it with --inuse", path.display());
        Err(io::Error::new(io::ErrorKind::NotFound, what))
    }

    /// Prints a section, and puts it into the document.
    fn publish(&self, name: &str, section: &str) -> io::Result<()> {
        io::stdout().write_all(section.as_bytes())?;
        if self.no_report { Ok(()) } else { report::put(&self.report, name, section) }
    }
}
