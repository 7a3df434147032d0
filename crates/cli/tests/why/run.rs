//! Runs the command as a process of its own, with nothing of the tester's environment.

use crate::ran::Ran;
use std::io::Write;
use std::process::{Command, Stdio};

/// The command, ready to be given more.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.args(arguments).env_clear().env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn inuse(arguments: &[&str]) -> Ran {
    Ran::of(&mut command(arguments))
}

/// Runs it with that on standard input.
pub(crate) fn inuse_reading(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end without having read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("the command ends").into()
}
