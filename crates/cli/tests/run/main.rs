//! `inuse run` and `inuse ctl` with real programs, as processes.
//!
//! `given` has what a program gets, `notify` what it may say, `zoo` the programs that people
//! run. What all of them share, and the load, is in `inuse_lab`: `zoo` and `load`.

mod given;
mod notify;
mod zoo;

use inuse_lab::zoo::{SERVER, Scratch, Supervisor, python, run};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::path::Path;

/// A test: its name, the programs that it takes, and itself.
type Case = (&'static str, &'static [&'static str], fn() -> Result<(), Failed>);

fn main() {
    if given::play() {
        return;
    }
    let tables = [given::ALL, notify::ALL];
    let modules = ["given", "notify"];
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

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expect: T, what: &str) -> Result<(), Failed> {
    if got == expect { Ok(()) } else { Err(format!("{what}: {got:?}, not {expect:?}").into()) }
}

fn holds(fact: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if fact { Ok(()) } else { Err(what.to_string().into()) }
}

/// A supervised server that ends well, and before which each generation runs a line of shell.
struct Served {
    supervisor: Supervisor,
    scratch: Scratch,
}

impl Served {
    /// Generation 1 is started. `line` sees the generation's number as `$n`, and the directory as `$dir`.
    fn begun(options: &[&str], line: &str) -> Result<Served, Failed> {
        let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
        let address = at.to_string();
        let words = [&["-l", &*address, "--rollback-window", "200ms", "--drain", "10s"], options].concat();
        let server = scratch.write("server.py", SERVER)?;
        let program = [
            "sh",
            "-c",
            &format!("n=${{INUSE_GENERATION##*:}}; dir='{}'; {line}\nexec \"$@\"", scratch.0.display()),
            "sh",
            python(),
            &server,
        ];
        let supervisor = Supervisor::start(inuse(), run(inuse(), &words, &program))?;
        Ok(Served { supervisor, scratch })
    }
}
