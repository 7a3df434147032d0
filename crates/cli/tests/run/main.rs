//! `inuse run` and `inuse ctl` with real programs, as processes.
//!
//! `given` has what a program gets, `notify` what it may say, `matrix` what may go wrong with a restart, `alone` the
//! supervisor as process 1, `terminal` what a terminal says, `asked` what `inuse ctl` answers, `told` the log, `storms`
//! too much of everything, `zoo` the programs that people run, `examples` those of the project, `odd` what whoever
//! started it had ignored or closed. What all of them share, and the load, is in `inuse_lab`: `zoo` and `load`.

mod alone;
mod asked;
mod examples;
mod given;
mod matrix;
mod notify;
mod odd;
mod storms;
mod terminal;
mod told;
mod zoo;

use inuse_lab::load::{Dialect, Load, Plan};
use inuse_lab::zoo::{SERVER, Scratch, Supervisor, python, run};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A test: its name, the programs that it takes, and itself.
type Case = (&'static str, &'static [&'static str], fn() -> Result<(), Failed>);

fn main() {
    if given::play() {
        return;
    }
    let tables = [
        given::ALL,
        notify::ALL,
        matrix::ALL,
        alone::ALL,
        storms::ALL,
        terminal::ALL,
        asked::ALL,
        told::ALL,
        examples::ALL,
        odd::ALL,
    ];
    let modules =
        ["given", "notify", "matrix", "alone", "storms", "terminal", "asked", "told", "examples", "odd"];
    let mut trials = Vec::new();
    for (table, module) in tables.into_iter().zip(modules) {
        for (name, needs, test) in table {
            let case = move || match needs.iter().find(|program| !on_path(program)) {
                Some(program) => cannot(format!("it needs {program}")),
                None => test().map(|()| Completion::Completed),
            };
            trials.push(Trial::ignorable_test(format!("{module}::{name}"), case));
        }
    }
    trials.extend(zoo::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The command under test.
fn inuse() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_inuse"))
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

/// Whether it is there; for unshare(1) also whether it may do its work, for `root` whether we are, and for `network` whether
/// we may have one of our own, and become another user.
fn on_path(program: &str) -> bool {
    match program {
        "unshare" if alone::unshare().is_none() => return false,
        "root" => return rustix::process::geteuid().is_root(),
        "network" => return given::has_network(),
        // The library's example, which is built with the whole workspace only.
        "axum" => return examples::built_axum().exists(),
        _ => {}
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

/// The address is taken: nothing is started, and who holds it, the cause and what to type are said, once.
fn names_the_holder(options: &[&str], holder: u32) -> Result<(), Failed> {
    let mut command = Command::new(inuse());
    command.arg("run").args(options).args(["--", "sleep", "60"]);
    let mut supervisor = Supervisor::start(inuse(), command)?;
    same(supervisor.ended()?.code(), Some(1), "the exit status")?;
    let count = |words: &str| supervisor.output().iter().filter(|line| line.contains(words)).count();
    same(count("started, pid"), 0, "starts")?;
    // It comes last, and what was written last may still be on its way.
    notify::wait(|| count("inuse free tcp/127.") > 0, &format!("what to type\n{}", supervisor.log()))?;
    let once = ["Address already in use", "cause: listener", "inuse free tcp/127."];
    let each = once.map(|words| (words, count(words)));
    holds(each.iter().all(|(_, count)| *count == 1), format!("{each:?}\n{}", supervisor.log()))?;
    // A process that is just being forked has it too, until its exec.
    let says = |line: &&String| line.contains(" on 127.") && line.contains(" listen");
    let output = supervisor.output();
    let named: Vec<bool> =
        output.iter().filter(says).map(|line| line.contains(&holder.to_string())).collect();
    same(named, vec![true], "who listens")
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expect: T, what: &str) -> Result<(), Failed> {
    if got == expect { Ok(()) } else { Err(format!("{what}: {got:?}, not {expect:?}").into()) }
}

fn holds(fact: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if fact { Ok(()) } else { Err(what.to_string().into()) }
}

/// A supervised server that ends well, and before which each generation runs a line of shell.
struct Served {
    at: SocketAddr,
    supervisor: Supervisor,
    scratch: Scratch,
}

impl Served {
    /// Generation 1 is ready. `line` sees the generation's number as `$n`, the address as `$at`, and a
    /// directory as `$dir`.
    fn new(options: &[&str], line: &str) -> Result<Served, Failed> {
        let served = Served::begun(options, line)?;
        served.supervisor.ready(1)?;
        Ok(served)
    }

    /// Not ready yet.
    fn begun(options: &[&str], line: &str) -> Result<Served, Failed> {
        let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
        let address = at.to_string();
        let mut words = vec!["-l", &*address];
        for (option, otherwise) in [("--rollback-window", "200ms"), ("--drain", "10s")] {
            if !options.contains(&option) {
                words.extend([option, otherwise]);
            }
        }
        words.extend(options);
        let server = scratch.write("server.py", SERVER)?;
        let line = format!(
            "n=${{INUSE_GENERATION##*:}}; at={at}; dir='{}'; {line}\nexec \"$@\"",
            scratch.0.display()
        );
        let program = ["sh", "-c", &line, "sh", python(), &server];
        let supervisor = Supervisor::start(inuse(), run(inuse(), &words, &program))?;
        Ok(Served { at, supervisor, scratch })
    }

    /// Clients, with some whose requests take two seconds.
    fn load(&self) -> Result<Load, Failed> {
        Ok(Load::start(&Plan { slow: 1, ..Plan::new(self.at, Dialect::Http) })?)
    }

    /// The number of the generation that answers.
    fn answers(&self) -> Result<String, Failed> {
        let name = inuse_lab::load::ask(self.at, Dialect::Http)?;
        Ok(name.rsplit(':').next().unwrap_or_default().to_owned())
    }
}

/// Nothing was refused, and nothing was lost.
fn nothing_lost(load: Load) -> Result<(), Failed> {
    let tally = load.stop();
    holds(tally.ok > 0 && tally.turned_away() == 0 && tally.lost() == 0, tally)
}
