//! The supervisor as process 1 of a container: it reaps, passes signals on, and keeps the exit status.

use crate::notify::wait;
use crate::{Case, holds, inuse, same};
use inuse_lab::load::{Dialect, ask};
use inuse_lab::zoo::{SERVER, Scratch, Supervisor, python, run, tree};
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub(crate) const ALL: &[Case] = &[
    ("orphans_are_reaped", &["unshare", "python3"], reaps),
    ("signals_are_passed_on_and_the_status_kept", &["unshare"], signals),
    ("the_status_of_a_crash_is_kept", &["unshare"], status),
    ("a_hangup_from_outside_is_a_restart", &["unshare", "python3"], hangup),
];

/// How a process is made the first of its own namespace here, if it can be.
pub(crate) fn unshare() -> Option<&'static [&'static str]> {
    static HOW: OnceLock<Option<&[&str]>> = OnceLock::new();
    const WAYS: [&[&str]; 2] = [
        &["--pid", "--fork", "--mount-proc", "--kill-child"],
        &["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"],
    ];
    *HOW.get_or_init(|| {
        WAYS.into_iter().find(|way| {
            let mut command = Command::new("unshare");
            let tried = command.args(*way).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        })
    })
}

/// `inuse run` as process 1, and the number that it has out here.
pub(crate) fn start(options: &[&str], program: &[&str]) -> Result<(Supervisor, Pid), Failed> {
    let inner = run(inuse(), options, program);
    let mut command = Command::new("unshare");
    command.args(unshare().unwrap_or_default()).arg(inner.get_program()).args(inner.get_args());
    let supervisor = Supervisor::start(inuse(), command)?;
    supervisor.event("started", None)?;
    let first = tree(supervisor.pid()).get(1).copied().ok_or("no process 1")?;
    let first = i32::try_from(first).ok().and_then(Pid::from_raw).ok_or("no number")?;
    Ok((supervisor, first))
}

fn reaps() -> Result<(), Failed> {
    let (scratch, at) = (Scratch::new()?, inuse_lab::zoo::address());
    let server = scratch.write("server.py", SERVER)?;
    let line = "for i in 1 2 3 4 5 6 7 8 9; do sh -c 'sleep 0.2 & sleep 0.1 & exit'; done; exec \"$@\"";
    let options = ["-l", &*at.to_string(), "--rollback-window", "50ms"];
    let (mut supervisor, first) = start(&options, &["sh", "-c", line, "sh", python(), &server])?;
    supervisor.ready(1)?;
    supervisor.restart()?;
    let answer = ask(at, Dialect::Http)?;
    holds(answer == "1:2", answer)?;
    let number = u32::try_from(first.as_raw_pid())?;
    let over = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"))
    };
    wait(|| supervisor.count("ended") == 1, "the end of generation 1")?;
    // The orphans end on their own; what is left in the end is the server and what copies its output.
    wait(|| tree(number).len() <= 4 && !tree(number).iter().any(over), "the end of all orphans")?;
    same(supervisor.ctl("stop")?.code, Some(0), "inuse ctl stop")?;
    same(supervisor.ended()?.code(), Some(0), "the exit status")
}

fn signals() -> Result<(), Failed> {
    let line = "trap 'echo one >&2' USR1; trap 'echo two >&2' USR2; trap 'exit 7' TERM; echo up >&2
while :; do sleep 0.02; done";
    let (mut supervisor, first) =
        start(&["-l", "127.0.0.1:0", "--ready", "alive:100ms"], &["sh", "-c", line])?;
    let said = |word: &str| supervisor.output().iter().any(|line| line == word);
    wait(|| said("up"), "its start")?;
    for (signal, word) in [(Signal::USR1, "one"), (Signal::USR2, "two")] {
        kill_process(first, signal)?;
        wait(|| said(word), word)?;
    }
    kill_process(first, Signal::TERM)?;
    same(supervisor.ended()?.code(), Some(7), "the exit status")
}

/// Neither who sends it nor the leader of our session has a number in the container.
fn hangup() -> Result<(), Failed> {
    let (scratch, at) = (Scratch::new()?, inuse_lab::zoo::address());
    let server = scratch.write("server.py", SERVER)?;
    let (mut supervisor, first) = start(&["-l", &*at.to_string()], &[python(), &server])?;
    supervisor.ready(1)?;
    kill_process(first, Signal::HUP)?;
    supervisor.event("restarted", None)?;
    let answer = ask(at, Dialect::Http)?;
    holds(answer.ends_with(":2"), answer)?;
    same(supervisor.ctl("stop")?.code, Some(0), "inuse ctl stop")?;
    same(supervisor.ended()?.code(), Some(0), "the exit status")
}

fn status() -> Result<(), Failed> {
    let check = |line: &str, expect| -> Result<(), Failed> {
        let options = ["-l", "127.0.0.1:0", "--give-up", "1"];
        let (mut supervisor, _) = start(&options, &["sh", "-c", line])?;
        same(supervisor.ended()?.code(), Some(expect), line)
    };
    check("sleep 0.3; exit 9", 9)?;
    check("sleep 0.3; kill -KILL $$", 137)?;
    check("sleep 0.3; exit 0", 0)
}
