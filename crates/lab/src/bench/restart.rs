//! A server that is restarted under a load, in each of the ways that people have: what its clients see, and how
//! soon the new one answers.
//!
//! The server is the project's example for Node, and each start is made to take a while longer, as a start of a real
//! program does. It ends well: told to end, it answers what it has accepted. So what is lost is lost by the way.

use super::machine::Machine;
use super::{Common, tool};
use crate::load::{Dialect, Load, Plan, Tally};
use crate::zoo::{self, Scratch, Supervisor};
use clap::Args;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The words of `inuse-bench restart`.
#[derive(Clone, Debug, Args)]
pub(super) struct RestartArgs {
    /// How often each way restarts
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    restarts: u16,
    /// How many milliseconds a start takes longer
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    start: u16,
    #[command(flatten)]
    common: Common,
}

/// A way to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Passed,
    Kept,
    ServerStarter,
    SocketActivate,
    StopStart,
}

const WAYS: [Way; 5] = [Way::Passed, Way::Kept, Way::ServerStarter, Way::SocketActivate, Way::StopStart];

/// What came of one way.
struct Row {
    way: Way,
    tally: Tally,
    /// From the asking to the first answer of the new one, in seconds.
    answers: Vec<f64>,
    /// The most memory of the supervisor and its helpers, in KiB.
    memory: Option<u64>,
}

/// Measures; true when no way of ours refused or lost a request.
pub(super) fn run(arguments: &RestartArgs) -> io::Result<bool> {
    let (machine, inuse) = (Machine::before(), arguments.common.command()?);
    let (mut rows, mut absent) = (Vec::new(), Vec::new());
    for way in WAYS {
        let missing = ["node"].into_iter().chain(way.program()).find(|program| tool::find(program).is_none());
        match missing {
            Some(program) => absent.push(program),
            None => rows.push(measure(way, &inuse, arguments)?),
        }
    }
    let good = |row: &Row| row.tally.turned_away() + row.tally.lost() == 0;
    let all_good = rows.iter().filter(|row| matches!(row.way, Way::Passed | Way::Kept)).all(good);
    arguments.common.publish("restart", &section(arguments, &machine, &rows, &absent))?;
    Ok(all_good)
}

impl Way {
    /// The program that it takes beside the server.
    fn program(self) -> Option<&'static str> {
        match self {
            Way::ServerStarter => Some("start_server"),
            Way::SocketActivate => Some("systemd-socket-activate"),
            Way::Passed | Way::Kept | Way::StopStart => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::Passed => "`inuse run -l ADDR`, then `inuse ctl restart`",
            Way::Kept => "`inuse run` (the server binds for itself), then `inuse ctl restart`",
            Way::ServerStarter => "`start_server` (Server::Starter), then SIGHUP",
            Way::SocketActivate => "`systemd-socket-activate`: SIGTERM, and once more",
            Way::StopStart => "the server alone: SIGTERM, and once more",
        }
    }
}

/// What is restarted.
enum Server {
    Ours(Supervisor),
    /// A process that restarts its server on SIGHUP.
    Hangup(Child),
    /// A process that is ended and started again, with this.
    Again(Child, Box<dyn Fn() -> io::Result<Child>>),
}

fn measure(way: Way, inuse: &Path, arguments: &RestartArgs) -> io::Result<Row> {
    let (at, scratch) = (zoo::address(), Scratch::new()?);
    let mut server = start(way, inuse, at, &scratch, arguments.start)?;
    let outcome = restarts(&mut server, at, arguments.restarts);
    let memory = server.memory();
    server.end();
    let (tally, answers) = outcome?;
    Ok(Row { way, tally, answers, memory })
}

fn restarts(server: &mut Server, at: SocketAddr, count: u16) -> io::Result<(Tally, Vec<f64>)> {
    let until = Instant::now() + zoo::PATIENCE;
    while crate::load::ask(at, Dialect::Http).is_err() {
        if Instant::now() > until {
            return Err(io::Error::other("the server does not answer"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let load = Load::start(&Plan { slow: 2, ..Plan::new(at, Dialect::Http) })?;
    let mut answers = Vec::new();
    for _ in 0..count {
        if !load.goes_on(200) {
            return Err(io::Error::other(format!("no answers: {}", load.so_far())));
        }
        let (before, since) = (load.so_far().generations.len(), Instant::now());
        let asking = server.restart()?;
        while load.so_far().generations.len() == before {
            if since.elapsed() > zoo::PATIENCE {
                return Err(io::Error::other(format!("no new generation: {}", load.so_far())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        answers.push(since.elapsed().as_secs_f64());
        if let Some(mut asking) = asking {
            asking.wait()?;
        }
    }
    load.goes_on(200);
    Ok((load.stop(), answers))
}

/// The line of shell that becomes the server, whatever gave it the socket.
fn start(way: Way, inuse: &Path, at: SocketAddr, scratch: &Scratch, start: u16) -> io::Result<Server> {
    let script = scratch.write("server.js", include_str!("../../../../examples/node/server.js"))?;
    let names =
        format!("export HOST={} PORT={} INUSE_GENERATION=${{INUSE_GENERATION:-$$}}", at.ip(), at.port());
    let sleep = format!("sleep {}.{:03}", start / 1000, start % 1000);
    let takes = match way {
        // It says `ADDR=NUMBER` in a variable of its own; the program speaks the other dialect.
        Way::ServerStarter => "exec 3<&${SERVER_STARTER_PORT##*=}; export LISTEN_PID=$$ LISTEN_FDS=1; ",
        _ => "",
    };
    let line = format!("{names}; {sleep}; {takes}exec node '{script}'");
    let program = ["sh", "-c", &line];
    let address = at.to_string();
    let ours = |options: &[&str]| -> io::Result<Server> {
        Ok(Server::Ours(Supervisor::start(inuse, zoo::run(inuse, options, &program))?))
    };
    let spawn = |words: &[&str]| -> io::Result<Child> {
        let (name, words) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn()
    };
    let again = |words: Vec<String>| -> io::Result<Server> {
        let start = move || spawn(&words.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(Server::Again(start()?, Box::new(start)))
    };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match way {
        Way::Passed => ours(&["-l", &address]),
        Way::Kept => ours(&[]),
        Way::ServerStarter => {
            let words = [&["start_server", "--port", &address, "--"][..], &program].concat();
            Ok(Server::Hangup(spawn(&words)?))
        }
        Way::SocketActivate => {
            again(owned(&[&["systemd-socket-activate", "-l", &address][..], &program].concat()))
        }
        Way::StopStart => again(owned(&program)),
    }
}

impl Server {
    /// Begins a restart; a command that asks for it may still run then.
    fn restart(&mut self) -> io::Result<Option<Child>> {
        match self {
            Server::Ours(supervisor) => {
                let mut command = supervisor.ctl_command("restart");
                Ok(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
            }
            Server::Hangup(child) => zoo::send(child.id(), Signal::HUP).map(|()| None),
            Server::Again(child, start) => {
                zoo::send(child.id(), Signal::TERM)?;
                child.wait()?;
                *child = start()?;
                Ok(None)
            }
        }
    }

    /// The most memory that the supervisor had, with the helpers that are its own program.
    fn memory(&self) -> Option<u64> {
        let pid = match self {
            Server::Ours(supervisor) => supervisor.pid(),
            Server::Hangup(child) => child.id(),
            Server::Again(..) => return None,
        };
        let program = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let own = program(pid);
        let same = zoo::tree(pid).into_iter().filter(|pid| program(*pid) == own);
        same.map(peak).sum::<Option<u64>>()
    }

    fn end(self) {
        match self {
            Server::Ours(mut supervisor) => drop(supervisor.stop()),
            Server::Hangup(mut child) | Server::Again(mut child, _) => {
                // Whatever is left of it after a kind word and a while is killed, with its children.
                let all = zoo::tree(child.id());
                let _ = zoo::send(child.id(), Signal::TERM);
                let until = Instant::now() + Duration::from_secs(5);
                while child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(10));
                }
                if child.try_wait().is_ok_and(|ended| ended.is_none()) {
                    all.into_iter().for_each(|pid| drop(zoo::send(pid, Signal::KILL)));
                    let _ = child.wait();
                }
            }
        }
    }
}

/// `VmHWM`, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn section(arguments: &RestartArgs, machine: &Machine, rows: &[Row], absent: &[&str]) -> String {
    let mut text = format!(
        "## restart\n\n\
         A server is restarted {} times under a load, in each of these ways: `inuse-bench restart`. The server is \
         [Node's example](../examples/node/server.js), whose start is made {} ms longer; told to end, it answers what \
         it has accepted. The load is 4 clients with a connection for each request, 2 that keep theirs, and 2 whose \
         requests take 2 s; a request counts only if its answer names the generation that gave it. *Lost* is what was \
         connected and got no whole answer; *slow* took more than 0.9 s (beyond the 2 s); *answers after* is the time \
         from the asking to the first answer of the new one, which the longer start is part of.\n\n{}\n\
         | way | answered | refused | lost | slow | worst, s | answers after, median and worst, s | memory, MiB |\n\
         |---|---|---|---|---|---|---|---|\n",
        arguments.restarts,
        arguments.start,
        machine.paragraph(&[], &[]),
    );
    for row in rows {
        let mut answers = row.answers.clone();
        answers.sort_by(f64::total_cmp);
        let median = answers.get(answers.len() / 2).copied().unwrap_or(f64::NAN);
        let worst = answers.last().copied().unwrap_or(f64::NAN);
        let memory = row.memory.map_or_else(|| "–".into(), |kib| format!("{:.1}", kib as f64 / 1024.0));
        let tally = &row.tally;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.3} | {median:.3}, {worst:.3} | {memory} |",
            row.way.name(),
            tally.ok,
            tally.turned_away(),
            tally.lost(),
            tally.slow,
            tally.worst.as_secs_f64(),
        );
    }
    text.push_str(
        "\n*memory* is the peak (`VmHWM`) of the supervisor and of those of its helpers that are the same program; \
         pages that they share count for each.\n",
    );
    if !absent.is_empty() {
        let _ = writeln!(text, "\nNot installed here: {}.", absent.join(", "));
    }
    text
}
