//! A server that is restarted under a load, in each of the ways that people have: what its clients see, and how
//! soon the new one answers.
//!
//! The server is the project's example for Node, and each start is made to take a while longer, as a start of a real
//! program does. It ends well: told to end, it answers what it has accepted. So what is lost is lost by the way.
//! All ways stand there at once and are restarted in turns, each for the same time, so that what disturbs the
//! machine disturbs all of them alike.

mod process;
mod section;
mod ways;

use super::machine::Machine;
use super::{Common, tool};
use crate::load::{self, Dialect, Load, Plan, Tally};
use crate::zoo::{self, PATIENCE, Scratch};
use clap::Args;
use process::Memory;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use ways::{Ground, Server, WAYS, Way};

/// How long the clients are at work before the restart is asked for.
const BEFORE: Duration = Duration::from_millis(500);
/// How long they go on after that; the slowest way takes two seconds to end the old server.
const AFTER: Duration = Duration::from_secs(3);

/// The words of `inuse-bench restart`.
#[derive(Clone, Debug, Args)]
pub(super) struct RestartArgs {
    /// How often each way restarts
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1000))]
    restarts: u16,
    /// How many milliseconds a start takes longer
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    start: u16,
    #[command(flatten)]
    common: Common,
}

/// A way, and what came of it.
struct Contender {
    way: Way,
    at: SocketAddr,
    server: Server,
    tally: Tally,
    /// From the asking to the first answer of the new one, in seconds.
    answers: Vec<f64>,
    /// What ended its part before the others'.
    trouble: Option<String>,
    memory: Vec<Memory>,
    /// Goes after the server does.
    _scratch: Scratch,
}

/// Measures; true when no way of ours refused or lost a request.
pub(super) fn run(arguments: &RestartArgs) -> io::Result<bool> {
    let machine = Machine::before();
    let (ways, absent) = arguments.ways()?;
    let mut contenders = Vec::new();
    for way in ways {
        contenders.push(Contender::start(way, arguments)?);
    }
    for contender in &contenders {
        contender.answers_at_all()?;
    }
    let count = contenders.len();
    for round in 0..usize::from(arguments.restarts) {
        for at in 0..count {
            if let Some(contender) = contenders.get_mut((at + round) % count.max(1)) {
                contender.turn();
            }
        }
    }
    contenders.iter_mut().for_each(|contender| contender.memory = contender.server.memory());
    arguments.common.publish("restart", &section::section(arguments, &machine, &contenders, &absent)?)?;
    let ours = contenders.iter().filter(|contender| contender.way.is_ours());
    Ok(ours.into_iter().all(|one| one.tally.turned_away() + one.tally.lost() == 0 && one.trouble.is_none()))
}

impl RestartArgs {
    /// The ways whose programs are here, and the programs of the others.
    fn ways(&self) -> io::Result<(Vec<Way>, Vec<&'static str>)> {
        if tool::find("node").is_none() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "node, which is the server, is not installed",
            ));
        }
        let (mut ways, mut absent) = (Vec::new(), Vec::new());
        let wanted = |program: &&&str| !self.common.without.iter().any(|name| name == *program);
        for way in WAYS {
            if way.programs().iter().filter(wanted).count() < way.programs().len() {
                continue;
            }
            let missing = |program: &&&str| **program != "inuse" && tool::find(program).is_none();
            match way.programs().iter().find(missing) {
                Some(program) => absent.push(*program),
                None => ways.push(way),
            }
        }
        absent.dedup();
        Ok((ways, absent))
    }
}

impl Contender {
    fn start(way: Way, arguments: &RestartArgs) -> io::Result<Contender> {
        let (at, scratch, inuse) = (zoo::address(), Scratch::new()?, arguments.common.command()?);
        let ground = Ground { inuse: &inuse, at, scratch: &scratch, longer: arguments.start };
        let server = Server::start(way, &ground)?;
        Ok(Contender {
            way,
            at,
            server,
            tally: Tally::default(),
            answers: Vec::new(),
            trouble: None,
            memory: Vec::new(),
            _scratch: scratch,
        })
    }

    /// Waits until the server answers for the first time.
    fn answers_at_all(&self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = load::ask(self.at, Dialect::Http) {
            if Instant::now() > until {
                return Err(io::Error::other(format!("{}: no answer: {error}", self.way.name())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// One restart under load, unless there was trouble before.
    fn turn(&mut self) {
        if self.trouble.is_some() {
            return;
        }
        let restarted =
            Load::start(&Plan { slow: 2, ..Plan::new(self.at, Dialect::Http) }).and_then(|load| {
                let answers = restart(&mut self.server, &load);
                self.tally.add(&load.stop());
                answers
            });
        match restarted {
            Ok(answers) => self.answers.push(answers.as_secs_f64()),
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }
}

/// Restarts the server; gives the time until the first answer of a generation that had not answered before.
fn restart(server: &mut Server, load: &Load) -> io::Result<Duration> {
    std::thread::sleep(BEFORE);
    if !load.goes_on(1) {
        return Err(io::Error::other(format!("no answers: {}", load.so_far())));
    }
    let names = |tally: Tally| tally.generations.into_keys().collect::<BTreeSet<_>>();
    let (old, since) = (names(load.so_far()), Instant::now());
    let asking = server.restart()?;
    let answers = loop {
        if !names(load.so_far()).is_subset(&old) {
            break since.elapsed();
        }
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("no new generation: {}", load.so_far())));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if let Some(mut asking) = asking
        && !asking.wait()?.success()
    {
        return Err(io::Error::other("the restart failed, says the command that asked for it"));
    }
    std::thread::sleep(AFTER.saturating_sub(since.elapsed()));
    Ok(answers)
}
