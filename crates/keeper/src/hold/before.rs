//! The command that must succeed before each new generation: a build, a check, a migration. It gets no sockets,
//! and what served goes on serving meanwhile.

use super::exit::Exit;
use super::log::Reason;
use super::output::Tail;
use super::tree::{self, Tree};
use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// A command that runs.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) pid: u32,
    tail: Option<Tail>,
    tree: Tree,
}

impl Before {
    /// Starts it, through the shell.
    pub(super) fn start(command: &OsStr) -> io::Result<Before> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command).env(tree::MARK, tree::mark(0));
        for variable in super::listen_fds::VARIABLES.iter().chain(&super::generation::NOT_THEIRS) {
            shell.env_remove(variable);
        }
        let tail = Tail::connect()?.map(|(tail, (out, err))| {
            shell.stdout(out).stderr(err);
            tail
        });
        let pid = shell.spawn()?.id();
        Ok(Before { pid, tail, tree: Tree::new(0, pid) })
    }

    /// What was wrong with it, if anything was, and its last lines.
    pub(super) fn ended(self, exit: Exit) -> (Option<Reason>, Vec<String>) {
        let lines = self.tail.map(|tail| tail.settled_lines()).unwrap_or_default();
        let failure = (!exit.is_success()).then_some(Reason::Before { exit });
        (failure, lines)
    }

    /// Ends it, and all that it started.
    pub(super) fn kill(&mut self) {
        self.tree.kill();
    }
}
