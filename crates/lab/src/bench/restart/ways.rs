//! The ways to restart: what starts the server in each, what asks it for a restart, and its end.

use super::process::{Memory, Process};
use crate::zoo::{self, Scratch, Supervisor};
use rustix::process::Signal;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A way to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Kept,
    Given,
    Systemfd,
    SystemfdLong,
    ServerStarter,
    SocketActivate,
    StopStart,
}

pub(super) const WAYS: [Way; 7] = [
    Way::Kept,
    Way::Given,
    Way::Systemfd,
    Way::SystemfdLong,
    Way::ServerStarter,
    Way::SocketActivate,
    Way::StopStart,
];

impl Way {
    /// The programs that it takes beside the server.
    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Way::Kept | Way::Given => &["inuse"],
            Way::Systemfd | Way::SystemfdLong => &["systemfd", "watchexec"],
            Way::ServerStarter => &["start_server"],
            Way::SocketActivate => &["systemd-socket-activate"],
            Way::StopStart => &[],
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, Way::Kept | Way::Given)
    }

    /// As a table has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Kept => "`inuse run`",
            Way::Given => "`inuse run -l`",
            Way::Systemfd => "systemfd, watchexec",
            Way::SystemfdLong => "`systemfd -b 1024`, watchexec",
            Way::ServerStarter => "Server::Starter",
            Way::SocketActivate => "systemd-socket-activate",
            Way::StopStart => "stop, then start",
        }
    }

    /// What is typed, and what a restart is.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Way::Kept => {
                "`inuse run -- SERVER`: the server binds for itself; `inuse ctl restart` (which returns after its \
                 rollback window of 2 s)."
            }
            Way::Given => "`inuse run -l ADDR -- SERVER`: the server is given the socket; the same.",
            Way::Systemfd => {
                "`systemfd --no-pid -s http::ADDR -- watchexec -r -w FILE -- SERVER`: FILE is touched, which \
                 watchexec lets rest for 50 ms; it ends the server and then starts the next. The queue that systemfd \
                 asks for by itself holds 1."
            }
            Way::SystemfdLong => "the same, with a queue of 1024.",
            Way::ServerStarter => "`start_server --port ADDR -- SERVER`: SIGHUP.",
            Way::SocketActivate => {
                "`systemd-socket-activate -l ADDR SERVER`: it waits for the first connection and then *becomes* the \
                 server, so nobody holds the socket and **it cannot restart**. What is left is SIGTERM, waiting, and \
                 the same command again."
            }
            Way::StopStart => "SIGTERM, waiting for the end, and the server again.",
        }
    }
}

/// Where things are that a way needs.
pub(super) struct Ground<'a> {
    pub(super) inuse: &'a Path,
    pub(super) at: SocketAddr,
    pub(super) scratch: &'a Scratch,
    /// How many milliseconds a start takes longer.
    pub(super) longer: u16,
}

/// What is restarted.
pub(super) enum Server {
    Ours(Supervisor),
    /// A process that restarts its server on SIGHUP.
    Hangup(Process),
    /// A process that restarts its server when this file is written.
    Watch(Process, PathBuf),
    /// A process that is ended and started again, with this.
    Again(Option<Process>, Vec<String>),
}

impl Server {
    /// Starts the server in that way: a line of shell becomes it, whatever gave it the socket.
    pub(super) fn start(way: Way, ground: &Ground) -> io::Result<Server> {
        let script =
            ground.scratch.write("server.js", include_str!("../../../../../examples/node/server.js"))?;
        let (address, ip, port) = (ground.at.to_string(), ground.at.ip(), ground.at.port());
        let longer = format!("sleep {}.{:03}", ground.longer / 1000, ground.longer % 1000);
        let takes = match way {
            // It says `ADDR=NUMBER` in a variable of its own; the program speaks the other dialect.
            Way::ServerStarter => "exec 3<&${SERVER_STARTER_PORT##*=}; export LISTEN_PID=$$ LISTEN_FDS=1; ",
            // It does not know which process will be the server.
            Way::Systemfd | Way::SystemfdLong => "export LISTEN_PID=$$; ",
            _ => "",
        };
        let generation = "INUSE_GENERATION=${INUSE_GENERATION:-$$}";
        let line =
            format!("export HOST={ip} PORT={port} {generation}; {longer}; {takes}exec node '{script}'");
        let shell = ["sh", "-c", &line];
        let ours = |options: &[&str]| -> io::Result<Server> {
            Ok(Server::Ours(Supervisor::start(ground.inuse, zoo::run(ground.inuse, options, &shell))?))
        };
        let watched = |options: &[&str]| -> io::Result<Server> {
            let file = ground.scratch.write("watched", "")?;
            let socket = format!("http::{address}");
            let systemfd = [&["systemfd", "--no-pid", "-q", "-s", &socket][..], options].concat();
            let watchexec = ["--", "watchexec", "--quiet", "-r", "-w", &file, "--shell=none", "--"];
            Ok(Server::Watch(Process::start(&[&systemfd, &watchexec[..], &shell].concat())?, file.into()))
        };
        match way {
            Way::Kept => ours(&[]),
            Way::Given => ours(&["-l", &address]),
            Way::Systemfd => watched(&[]),
            Way::SystemfdLong => watched(&["-b", "1024"]),
            Way::ServerStarter => {
                let words = [&["start_server", "--port", &address, "--"][..], &shell].concat();
                Process::start(&words).map(Server::Hangup)
            }
            Way::SocketActivate => {
                Server::again(&[&["systemd-socket-activate", "-l", &address][..], &shell].concat())
            }
            Way::StopStart => Server::again(&shell),
        }
    }

    fn again(words: &[&str]) -> io::Result<Server> {
        let process = Process::start(words)?;
        Ok(Server::Again(Some(process), words.iter().map(|&word| word.to_owned()).collect()))
    }

    /// Asks for a restart; a command that asks may still run then.
    pub(super) fn restart(&mut self) -> io::Result<Option<Child>> {
        match self {
            Server::Ours(supervisor) => {
                let mut command = supervisor.ctl_command("restart");
                return Ok(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?));
            }
            Server::Hangup(process) => process.send(Signal::HUP)?,
            Server::Watch(_, file) => {
                std::fs::write(file, "once more\n")?;
            }
            Server::Again(process, words) => {
                if let Some(mut process) = process.take() {
                    process.send(Signal::TERM)?;
                    process.ended()?;
                }
                *process = Some(Process::start(&words.iter().map(String::as_str).collect::<Vec<_>>())?);
            }
        }
        Ok(None)
    }

    /// The memory of what restarts the server; of nothing where nothing does.
    pub(super) fn memory(&self) -> Vec<Memory> {
        match self {
            Server::Ours(supervisor) => Memory::of_supervisor(supervisor.pid()),
            Server::Hangup(process) => Memory::of(process.pid(), "start_server").into_iter().collect(),
            Server::Watch(process, _) => Memory::of(process.pid(), "watchexec").into_iter().collect(),
            Server::Again(..) => Vec::new(),
        }
    }
}
