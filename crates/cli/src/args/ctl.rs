//! The words of `inuse ctl`.

use clap::{Args, ValueEnum};

/// Some uses.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse ctl                        how things are, or of several supervisors which there are
  inuse ctl restart                a new process, without a gap; waits until it serves
  inuse ctl restart --name web     where several supervisors run";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  it was done
  1  it was not: the reason is said, with the last lines of output
  2  the words were wrong, or several supervisors fit
  3  no supervisor was found, or it did not answer";

/// The words of `inuse ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// What is to be done
    #[arg(value_name = "WHAT", default_value = "status")]
    pub what: What,

    /// The supervisor of this name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    pub name: Option<String>,

    /// The supervisor that is this process
    #[arg(long, value_name = "PID", value_parser = pid)]
    pub pid: Option<u32>,

    /// Print JSON (schema inuse.ctl/1)
    #[arg(long)]
    pub json: bool,
}

/// A process by its number.
fn pid(text: &str) -> Result<u32, String> {
    let pid = text.parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| "write the number of a process, such as 4711".into())
}

/// What a supervisor can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// How things are
    Status,
    /// A new process in the place of the old one; answered when it serves
    Restart,
    /// The end of the program and of the supervisor
    Stop,
}
