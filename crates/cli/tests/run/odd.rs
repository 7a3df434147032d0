//! The supervisor in surroundings that it did not choose: what whoever started it had ignored, blocked, closed or
//! set. The program must get what it would have got without a supervisor, and the supervisor must do its work.

use crate::{Case, holds, inuse, same};
use inuse_lab::zoo::{Scratch, Supervisor, python, run};
use libtest_mimic::Failed;
use std::ffi::OsStr;
use std::process::Command;

pub(crate) const ALL: &[Case] = &[
    ("signals_that_were_ignored", &["python3"], ignored),
    ("an_ignored_sigchld_hides_no_end", &["python3"], hidden_end),
    ("standard_streams_that_are_closed", &["python3"], closed),
    ("a_directory_that_was_removed", &["python3"], removed),
];

/// The command, become by a Python that has done this before.
fn after(line: &str, command: &Command) -> Command {
    let line = format!("import os, resource, signal, sys\n{line}\nos.execv(sys.argv[1], sys.argv[1:])");
    let mut python = Command::new(python());
    python.args(["-c", &line]).arg(command.get_program()).args(command.get_args());
    python
}

/// Which signals are ignored and which are blocked in a program that knows nothing of them.
fn signals(options: &[&str], line: &str) -> Result<[u64; 2], Failed> {
    let scratch = Scratch::new()?;
    let file = scratch.0.join("seen");
    let look = [OsStr::new("cp"), "/proc/self/status".as_ref(), file.as_os_str()];
    let mut supervisor = Supervisor::start(inuse(), after(line, &run(inuse(), options, &look)))?;
    let status = supervisor.ended()?;
    holds(status.success(), format!("{status}\n{}", supervisor.log()))?;
    let seen = std::fs::read_to_string(file)?;
    let bits = |name| -> Result<u64, Failed> {
        let hex = seen.lines().find_map(|line| line.strip_prefix(name)).ok_or(format!("no {name}"))?;
        Ok(u64::from_str_radix(hex.trim(), 16)?)
    };
    Ok([bits("SigIgn:")?, bits("SigBlk:")?])
}

/// Rust's own start ignores SIGPIPE, and its way to start programs undoes that.
fn ignored() -> Result<(), Failed> {
    const ALL: [i32; 4] = [libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD, libc::SIGUSR1];
    let check = |ignored: &[i32]| -> Result<(), Failed> {
        let line = format!(
            "for n in {ALL:?}: signal.signal(n, signal.SIG_IGN if n in {ignored:?} else signal.SIG_DFL)\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, {ignored:?})"
        );
        let set = |numbers: &[i32]| numbers.iter().fold(0, |set, n| set | 1u64 << (n - 1));
        for options in [&["-l", "127.0.0.1:0"][..], &[]] {
            let [is_ignored, is_blocked] = signals(options, &line)?;
            let got = [is_ignored & set(&ALL), is_blocked & set(&ALL)];
            same(got, [set(ignored); 2], &format!("ignored and blocked with {ignored:?}, {options:?}"))?;
        }
        Ok(())
    };
    check(&[])?;
    check(&[libc::SIGPIPE])?;
    check(&[libc::SIGCHLD])?;
    check(&ALL)
}

/// The kernel then says nothing of a child's end, and nobody can wait for it.
fn hidden_end() -> Result<(), Failed> {
    for options in [&["-l", "127.0.0.1:0", "--give-up", "1"][..], &["--give-up", "1"]] {
        let command = run(inuse(), options, &["sh", "-c", "exit 7"]);
        let command = after("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", &command);
        let mut supervisor = Supervisor::start(inuse(), command)?;
        let status = supervisor.ended()?;
        holds(status.code() == Some(7), format!("{options:?}: {status}\n{}", supervisor.log()))?;
    }
    Ok(())
}

/// Nothing of ours lands on 0 to 2, where somebody would write into it.
fn closed() -> Result<(), Failed> {
    let look = "import os, sys
names = {int(n): os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)}
open(sys.argv[1], 'w').write(' '.join(str(n) + '=' + names[n].split(':')[0] for n in sorted(names)))";
    let check = |options: &[&str], expect: &str| -> Result<(), Failed> {
        let scratch = Scratch::new()?;
        let file = scratch.0.join("seen");
        let program = [OsStr::new(python()), "-c".as_ref(), look.as_ref(), file.as_os_str()];
        let mut command = after("os.closerange(0, 3)", &run(inuse(), options, &program));
        let status = command.env("XDG_RUNTIME_DIR", &scratch.0).status()?;
        holds(status.success(), status)?;
        same(std::fs::read_to_string(file)?.as_str(), expect, &format!("with {options:?}"))
    };
    check(&["-l", "127.0.0.1:0", "--give-up", "1"], "0=/dev/null 1=pipe 2=pipe 3=socket")?;
    check(&["--give-up", "1"], "0=/dev/null 1=pipe 2=pipe")
}

/// A build tool does that under a server that goes on.
fn removed() -> Result<(), Failed> {
    let command = run(inuse(), &["-l", "127.0.0.1:0", "--give-up", "1"], &["sh", "-c", "exit 7"]);
    let line = "import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)";
    let mut supervisor = Supervisor::start(inuse(), after(line, &command))?;
    same(supervisor.ended()?.code(), Some(7), &supervisor.log())
}
