//! The crowded host, with its variants: as the very user who owns the crowd, with many listeners, and with many
//! sockets in TIME_WAIT.

use super::bars::{self, Bar};
use super::machine::Machine;
use super::sample::{Runner, Samples};
use super::tool::{Question, Truth};
use super::{Common, report};
use crate::crowd::{Crowd, Size, ground};
use clap::Args;
use std::io;

/// Rounds with 100,000 sockets in TIME_WAIT, which last 60 s: each is staged anew.
const TIME_WAIT_ROUNDS: usize = 3;

/// The words of `inuse-bench host`.
#[derive(Clone, Debug, Args)]
pub(super) struct HostArgs {
    /// Processes
    #[arg(long, value_name = "N")]
    processes: Option<usize>,
    /// Open descriptors of all of them, sockets included
    #[arg(long, value_name = "N")]
    fds: Option<usize>,
    /// Established TCP sockets, both ends of each connection
    #[arg(long, value_name = "N")]
    sockets: Option<usize>,
    /// Many listeners, instead of one a process
    #[arg(long, value_name = "N", conflicts_with = "time_wait")]
    listeners: Option<usize>,
    /// Sockets in TIME_WAIT; the crowd is then a small one, and memory is what counts
    #[arg(long, value_name = "N", conflicts_with = "as_user")]
    time_wait: Option<usize>,
    /// The crowd and all programs belong to one user without privilege
    #[arg(long, value_name = "UID", num_args = 0..=1, default_missing_value = "65534",
          value_parser = clap::value_parser!(u32).range(1..))]
    as_user: Option<u32>,
    /// How often each program is asked
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    #[command(flatten)]
    common: Common,
}

impl HostArgs {
    fn size(&self) -> Size {
        let (processes, fds, sockets) =
            if self.time_wait.is_some() { (20, 2_000, 200) } else { (500, 143_000, 40_000) };
        let processes = self.processes.unwrap_or(processes);
        Size {
            processes,
            fds: self.fds.unwrap_or(fds),
            sockets: self.sockets.unwrap_or(sockets),
            // Of the first process's listeners each gets a part of the sockets in TIME_WAIT.
            listeners: self.listeners.unwrap_or(if self.time_wait.is_some() {
                processes * 20
            } else {
                processes
            }),
            time_wait: self.time_wait.unwrap_or(0),
        }
    }
}

/// Measures; true when every answer was right.
pub(super) fn run(arguments: &HostArgs) -> io::Result<bool> {
    let root = rustix::process::geteuid().is_root();
    if !root && arguments.as_user.is_none() {
        let why = "needs root; with --as-user it measures what this user sees";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let runner = Runner { uid: if root { arguments.as_user } else { None } };
    let machine = Machine::before();
    let size = arguments.size();
    match arguments.time_wait {
        Some(_) => time_wait(arguments, &size, runner, &machine),
        None => crowded(arguments, &size, runner, &machine),
    }
}

fn crowded(arguments: &HostArgs, size: &Size, runner: Runner, machine: &Machine) -> io::Result<bool> {
    let common = &arguments.common;
    ground::private()?;
    let crowd = Crowd::stage(size, runner.uid)?;
    let truth = Truth::of(crowd.listeners());
    let (mut who, absent) = common.installed(Question::Who(0).tools())?;
    let (mut what, _) = common.installed(Question::What.tools())?;
    let ports: Vec<u16> = crowd.listeners().keys().copied().collect();
    let rounds = usize::from(arguments.rounds);
    let asked = |round: usize| Question::Who(spread_port(&ports, round));
    runner.rounds(&mut who, rounds, &truth, asked)?;
    runner.rounds(&mut what, rounds, &truth, |_| Question::What)?;
    runner.peaks(&mut who, &truth, asked(0))?;
    runner.peaks(&mut what, &truth, Question::What)?;
    let staged = staged(&crowd, size)?;
    drop(crowd);

    let user = arguments.as_user.is_some();
    let many = arguments.listeners.is_some();
    let (name, title, by) = match (user, many) {
        (false, false) => ("host", "A crowded host, as root", "root"),
        (true, false) => {
            ("host-as-user", "A crowded host, without privilege", "the user who owns all of them")
        }
        (false, true) => ("listeners", "Many listeners, as root", "root"),
        (true, true) => {
            ("listeners-as-user", "Many listeners, without privilege", "the user who owns all of them")
        }
    };
    let mut promises: Vec<Option<Bar>> = if user {
        vec![Bar::faster(&who, "ss", 1.5), Bar::faster(&what, "ss", 1.5)]
    } else {
        vec![Bar::faster(&who, "ss", 10.0), Bar::faster(&who, "lsof", 20.0), Bar::faster(&what, "ss", 8.0)]
    };
    promises.push(memory(&who));
    promises.push(memory(&what));
    let binary = std::fs::metadata(common.command()?)?.len();
    promises.push(Some(Bar::under_mib("The binary", binary / 1024, 6)));
    let promises: Vec<Bar> = promises.into_iter().flatten().collect();
    let section = format!(
        "## {title}\n\n{staged}; asked by {by}. {}, in each every program once; every timed answer was held \
         against what was staged. Behind each median and ratio stand the lowest and the highest; \
         processor time is that of all threads, which a busy machine lengthens least.\n\nWho has this port?\n\n{}\nWhat listens?\n\n{}{}\n\
         The bars:\n\n{}\n{}",
        report::rounds(rounds),
        report::table(&who),
        report::table(&what),
        report::wrong_answers(&[&who, &what]),
        bars::list(&promises),
        machine.paragraph(&[&who, &what], &absent),
    );
    common.publish(name, &section)?;
    Ok(all_right(&[&who, &what]))
}

fn time_wait(arguments: &HostArgs, size: &Size, runner: Runner, machine: &Machine) -> io::Result<bool> {
    let common = &arguments.common;
    let (mut who, absent) = common.installed(Question::Who(0).tools())?;
    let (mut what, _) = common.installed(Question::What.tools())?;
    let (mut everything, _) = common.installed(Question::Everything.tools())?;
    let mut fewest = usize::MAX;
    let mut text = String::new();
    for _ in 0..TIME_WAIT_ROUNDS {
        ground::private()?;
        ground::allow_time_wait(size.time_wait.saturating_mul(2))?;
        let crowd = Crowd::stage(size, runner.uid)?;
        let truth = Truth::of(crowd.listeners());
        // Of the process with the sockets in TIME_WAIT.
        let question = Question::Who(crate::crowd::FIRST_PORT);
        for (samples, question) in
            [(&mut who, question), (&mut what, Question::What), (&mut everything, Question::Everything)]
        {
            runner.once(samples, &truth, question)?;
        }
        fewest = fewest.min(ground::count_sockets()?.1);
        text = staged(&crowd, size)?;
    }
    let promises: Vec<Bar> =
        [memory(&who), memory(&what), memory(&everything)].into_iter().flatten().collect();
    let section = format!(
        "## Many sockets in TIME_WAIT\n\n{text}. {TIME_WAIT_ROUNDS} rounds, each in a fresh network namespace; at \
         the end of each at least {fewest} of the sockets in TIME_WAIT were still there. The peak is the largest of \
         the rounds, and the time contains the start of a small process that reads it.\n\nWho has this port?\n\n{}\n\
         What listens?\n\n{}\nEvery TCP socket\n\n{}{}\nThe bars:\n\n{}\n{}",
        report::table(&who),
        report::table(&what),
        report::table(&everything),
        report::wrong_answers(&[&who, &what, &everything]),
        bars::list(&promises),
        machine.paragraph(&[&who, &what, &everything], &absent),
    );
    common.publish("time-wait", &section)?;
    Ok(all_right(&[&who, &what, &everything]))
}

/// What stands there, counted and not only asked for.
pub(super) fn staged(crowd: &Crowd, size: &Size) -> io::Result<String> {
    let (sockets, time_wait) = ground::count_sockets()?;
    let left = if size.time_wait > 0 { format!(", {time_wait} more in TIME_WAIT") } else { String::new() };
    Ok(format!(
        "{} processes with {} open descriptors, {sockets} TCP sockets of which {} listen{left}",
        size.processes,
        crowd.count_fds()?,
        crowd.listeners().len(),
    ))
}

/// Another port in each round, of processes that were started early, late, and between.
pub(super) fn spread_port(ports: &[u16], round: usize) -> u16 {
    ports.get((round * 7_919) % ports.len().max(1)).copied().unwrap_or_default()
}

fn memory(samples: &[Samples]) -> Option<Bar> {
    let first = samples.first()?;
    Some(Bar::under_mib(&format!("The peak memory of `{}`", first.tool.typed()), first.peak?, 16))
}

pub(super) fn all_right(samples: &[&[Samples]]) -> bool {
    samples.iter().flat_map(|samples| samples.iter()).all(|samples| samples.wrong.is_none())
}
