//! The empty host: one server and the program that asks, so that what is measured is starting up.

use super::bars::{self, Bar};
use super::machine::Machine;
use super::sample::Runner;
use super::tool::{Question, Truth};
use super::{Common, host, report};
use crate::crowd::{Crowd, FIRST_PORT, Size, ground};
use crate::sys::fork::{Forked, fork};
use clap::Args;
use rustix::process::{Signal, WaitOptions, waitpid};
use std::io::{self, Write as _};

/// The words of `inuse-bench empty`.
#[derive(Clone, Debug, Args)]
pub(super) struct EmptyArgs {
    /// How often each program is asked
    #[arg(long, value_name = "N", default_value_t = 51, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    #[command(flatten)]
    common: Common,
}

/// Measures; true when every answer was right.
pub(super) fn run(arguments: &EmptyArgs) -> io::Result<bool> {
    // Of the whole machine, which the new namespace does not show.
    let machine = Machine::before();
    ground::alone()?;
    match fork()? {
        Forked::Child => {
            // With the first process ends the namespace, and everything in it.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let code = match inside(arguments, &machine) {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(error) => {
                    let _ = writeln!(io::stderr(), "inuse-bench: {error}");
                    3
                }
            };
            std::process::exit(code)
        }
        Forked::Parent(pid) => loop {
            match waitpid(Some(pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => match status.exit_status() {
                    Some(code @ (0 | 1)) => return Ok(code == 0),
                    _ => return Err(io::Error::other("the empty host could not be measured")),
                },
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        },
    }
}

fn inside(arguments: &EmptyArgs, machine: &Machine) -> io::Result<bool> {
    ground::first_process()?;
    let common = &arguments.common;
    let runner = Runner::default();
    let size = Size { processes: 1, fds: 10, sockets: 0, listeners: 1, time_wait: 0 };
    let crowd = Crowd::stage(&size, None)?;
    let truth = Truth::of(crowd.listeners());
    let question = Question::Who(FIRST_PORT);
    let (mut who, absent) = common.installed(question.tools())?;
    let (mut what, _) = common.installed(Question::What.tools())?;
    let rounds = usize::from(arguments.rounds);
    runner.rounds(&mut who, rounds, &truth, |_| question)?;
    runner.rounds(&mut what, rounds, &truth, |_| Question::What)?;
    runner.peaks(&mut who, &truth, question)?;
    runner.peaks(&mut what, &truth, Question::What)?;
    let promises = [Bar::under_ms(&who, 5.0), Bar::at_most(&who, "ss", 1.5)];
    let promises: Vec<Bar> = promises.into_iter().flatten().collect();
    let section = format!(
        "## An empty host\n\nPid, mount and network namespaces in which there are one server, the measuring program, \
         and the program that is asked: what starting up costs. {}; every timed answer was held against \
         what was staged. Behind each median and ratio stand the lowest and the highest; \
         processor time is that of all threads, which a busy machine lengthens least.\n\nWho has this port?\n\n{}\nWhat listens?\n\n{}{}\nThe bars:\n\n{}\n{}",
        report::rounds(rounds),
        report::table(&who),
        report::table(&what),
        report::wrong_answers(&[&who, &what]),
        bars::list(&promises),
        machine.paragraph(&[&who, &what], &absent),
    );
    common.publish("empty", &section)?;
    Ok(host::all_right(&[&who, &what]))
}
