//! Running a manager's command to its end, bounded in time and output. No shell is involved.

use inuse_rules::cure::Command;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{self, ExitStatus, Stdio};
use std::time::Duration;

/// The longest that a question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// The longest that a manager may take to stop something: systemd itself gives up after 90 s.
const STOPPING: Duration = Duration::from_secs(120);
/// The most output that is read.
const MOST: u64 = 1 << 20;

/// What a question prints; `None` when it fails, takes too long, or there is no such program.
pub(in crate::act) fn output(command: &Command) -> Option<String> {
    let (status, stdout, _) = run(command, QUESTION).ok()?;
    status.success().then_some(stdout)
}

/// Has something stopped.
///
/// # Errors
/// A sentence part that says why it was not.
pub(super) fn stop(command: &Command) -> Result<(), String> {
    let (status, _, stderr) = run(command, STOPPING).map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let line = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Err(format!("{status}: {}", inuse_rules::address::escape(line.trim().as_bytes())))
}

fn run(command: &Command, patience: Duration) -> io::Result<(ExitStatus, String, String)> {
    let mut words = command.0.iter().map(|word| OsString::from_vec(word.clone()));
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let memory = || memfd_create("output", MemfdFlags::CLOEXEC).map(File::from);
    let (stdout, stderr) = (memory()?, memory()?);
    let mut child = process::Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    if !ends_within(&child, patience)? {
        // Our own child, not yet waited for: its pid is still its own.
        child.kill()?;
        child.wait()?;
        return Err(io::ErrorKind::TimedOut.into());
    }
    let status = child.wait()?;
    Ok((status, text(stdout)?, text(stderr)?))
}

fn ends_within(child: &process::Child, patience: Duration) -> io::Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let timeout = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match poll(&mut polled, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn text(mut file: File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_or_not() {
        assert_eq!(output(&Command::new(["echo", "MainPID=7"])).as_deref(), Some("MainPID=7\n"));
        assert_eq!(output(&Command::new(["false"])), None);
        assert_eq!(output(&Command::new(["no-such-program-here"])), None);
        assert_eq!(output(&Command(vec![])), None);
    }

    #[test]
    fn a_failure_is_told_in_the_programs_words() {
        let error = stop(&Command::new(["ls", "/no-such-directory"])).unwrap_err();
        assert!(error.contains("no-such-directory"), "{error}");
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        let slow = run(&Command::new(["sleep", "1000"]), Duration::from_millis(20));
        assert_eq!(slow.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
