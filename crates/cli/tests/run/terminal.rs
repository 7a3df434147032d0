//! SIGHUP: from a terminal that is gone it is the end, from whoever sends it on purpose a restart. Ctrl-Z: all of it stops,
//! and goes on where it was. With a shell on a terminal of its own, and people who type.

#[path = "../common/terminal.rs"]
mod pair;

use crate::notify::wait;
use crate::{Case, holds, inuse, same};
use inuse_lab::load::{Dialect, ask};
use inuse_lab::zoo::{SERVER, Scratch, python};
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const ALL: &[Case] = &[
    ("closed_over_a_job_in_the_foreground", &["bash", "python3"], || closed(Job::Foreground)),
    ("closed_over_a_job_in_the_background", &["bash", "python3"], || closed(Job::Background)),
    ("closed_without_a_shell", &["python3"], || closed(Job::Alone)),
    ("the_shell_sends_sighup_and_then_is_closed", &["bash", "python3"], sent_by_the_shell),
    ("closed_over_a_job_that_was_disowned", &["bash", "python3"], || lives_on(Job::Background)),
    ("closed_over_a_job_under_nohup", &["bash", "python3"], || lives_on(Job::Nohup)),
    ("ctrl_z_and_on_again", &["bash", "python3"], ctrl_z),
    ("no_time_passes_while_it_is_stopped", &["bash", "python3"], no_time_passes),
];

const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Foreground,
    Background,
    Nohup,
    /// It is the terminal's only program.
    Alone,
}

/// A terminal with `inuse run` on it.
struct Typed {
    at: SocketAddr,
    scratch: Scratch,
    terminal: Option<File>,
    first: Child,
}

impl Typed {
    /// Its server ignores SIGHUP, which the terminal may send it too, and serves.
    fn new(job: Job) -> Result<Typed, Failed> {
        Typed::with(job, "", "")
    }

    /// The same with more options, and a line of shell before the server's.
    fn with(job: Job, options: &str, before: &str) -> Result<Typed, Failed> {
        let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
        let server = scratch.write("server.py", SERVER)?;
        let line = format!(
            "exec '{}' run --log json --rollback-window 100ms {options} -l {at} -- sh -c 'trap \"\" HUP; {before} exec {} {server}' \
             2>'{}/log'",
            inuse().display(),
            python(),
            scratch.0.display()
        );
        let (terminal, end) = pair::pair();
        let mut command = Command::new("setsid");
        // Whoever runs the tests may be under nohup(1).
        command.args(["--ctty", "env", "--default-signal=HUP,INT,QUIT,TSTP"]);
        match job {
            Job::Alone => command.args(["sh", "-c", &line]),
            _ => command.args(["bash", "--norc", "--noprofile", "-i"]),
        };
        command.env("XDG_RUNTIME_DIR", &scratch.0).env("HOME", &scratch.0).env_remove("HISTFILE");
        command.stdin(end.try_clone()?).stdout(end.try_clone()?).stderr(end);
        let first = command.spawn()?;
        drop(command);
        let mut typed = Typed { at, scratch, terminal: Some(terminal), first };
        match job {
            Job::Alone => {}
            Job::Foreground => typed.types(&line.replacen("exec ", "", 1))?,
            Job::Nohup => typed.types(&format!("{} >/dev/null &", line.replacen("exec", "nohup", 1)))?,
            Job::Background => typed.types(&format!("{} &", line.replacen("exec ", "", 1)))?,
        }
        wait(|| typed.has("ready", 1), &format!("generation 1\n{}", typed.log()))?;
        Ok(typed)
    }

    fn types(&mut self, line: &str) -> Result<(), Failed> {
        let terminal = self.terminal.as_mut().ok_or("the terminal is closed")?;
        Ok(terminal.write_all(format!("{line}\n").as_bytes())?)
    }

    /// What is read at once, without a line's end.
    fn presses(&mut self, key: u8) -> Result<(), Failed> {
        let terminal = self.terminal.as_mut().ok_or("the terminal is closed")?;
        Ok(terminal.write_all(&[key])?)
    }

    /// Ctrl-Z, and the supervisor is stopped.
    fn is_stopped(&mut self) -> Result<(), Failed> {
        let pid = self.supervisor().ok_or("it has ended")?;
        self.presses(CTRL_Z)?;
        wait(|| is_stopped(pid), &format!("its being stopped\n{}", self.log()))
    }

    /// `inuse ctl`: whether it did as it was asked, and what it said.
    fn ctl(&self, what: &str) -> Result<(bool, String), Failed> {
        let mut command = Command::new(inuse());
        let output = command.args(["ctl", what]).env("XDG_RUNTIME_DIR", &self.scratch.0).output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    fn closes(&mut self) {
        self.terminal = None;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.0.join("log")).unwrap_or_default()
    }

    /// How often this was told.
    fn has(&self, event: &str, times: usize) -> bool {
        self.log().matches(&format!("\"event\":\"{event}\"")).count() == times
    }

    /// The supervisor, from the name of its socket.
    fn supervisor(&self) -> Option<u32> {
        let names = std::fs::read_dir(self.scratch.0.join("inuse")).ok()?.flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.split('.').nth(1)?.parse().ok()).next()
    }

    /// It has stopped well, its server too, and nothing was restarted.
    fn has_ended(&self, restarts: usize) -> Result<(), Failed> {
        wait(|| self.supervisor().is_none(), &format!("the end\n{}", self.log()))?;
        let log = self.log();
        holds(log.contains("asked for by SIGHUP of the terminal"), &log)?;
        holds(log.contains("ended: exit status 0") && self.has("restart", restarts), &log)?;
        holds(ask(self.at, Dialect::Http).is_err(), "the server still answers")
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.terminal = None;
        let mut command = Command::new(inuse());
        command.args(["ctl", "stop"]).env("XDG_RUNTIME_DIR", &self.scratch.0);
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn closed(job: Job) -> Result<(), Failed> {
    let mut typed = Typed::new(job)?;
    typed.closes();
    typed.has_ended(0)
}

/// `kill -HUP` is a shell's own command: the signal comes from the same process as that of a closed terminal.
fn sent_by_the_shell() -> Result<(), Failed> {
    let mut typed = Typed::new(Job::Background)?;
    typed.types("kill -HUP $!")?;
    wait(|| typed.has("restarted", 1), &format!("a restart\n{}", typed.log()))?;
    same(ask(typed.at, Dialect::Http)?.ends_with(":2"), true, "generation 2 answers")?;
    typed.closes();
    typed.has_ended(1)
}

/// It lives on without a terminal, and SIGHUP is a restart as before.
fn lives_on(job: Job) -> Result<(), Failed> {
    let mut typed = Typed::new(job)?;
    if job == Job::Background {
        typed.types("disown; exit")?;
    } else {
        // The shell passes the end on to this one.
        typed.closes();
    }
    // Its end is that of the terminal's session.
    typed.first.wait()?;
    typed.closes();
    // The shell's own SIGHUP is taken before this is answered; one that is still on its way would swallow the next.
    holds(typed.ctl("status")?.0, typed.log())?;
    let supervisor = typed.supervisor().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    kill_process(supervisor.ok_or("it has ended")?, Signal::HUP)?;
    wait(|| typed.has("restarted", 1), &format!("a restart\n{}", typed.log()))?;
    holds(typed.has("restart", 1) && typed.has("stopping", 0), typed.log())?;
    same(ask(typed.at, Dialect::Http)?.ends_with(":2"), true, "generation 2 answers")
}

/// The fields of proc_pid_stat(5) from the state on.
fn stat(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').map(str::to_owned).collect()
}

fn is_stopped(pid: u32) -> bool {
    stat(pid).first().is_some_and(|state| state == "T")
}

/// Its process group is that of the terminal.
fn is_in_foreground(pid: u32) -> bool {
    let stat = stat(pid);
    stat.get(2).is_some_and(|group| stat.get(5) == Some(group))
}

/// The program stops with it, nobody is kept waiting, and in the background as in the foreground all goes on.
fn ctrl_z() -> Result<(), Failed> {
    let mut typed = Typed::new(Job::Foreground)?;
    typed.is_stopped()?;
    let supervisor = typed.supervisor().ok_or("it has ended")?;
    let server = inuse_lab::zoo::tree(supervisor).into_iter().nth(1).ok_or("no server")?;
    wait(|| is_stopped(server), "the program's being stopped")?;
    let (done, said) = typed.ctl("status")?;
    holds(!done && said.contains("is stopped, as by Ctrl-Z"), said)?;
    typed.types("bg")?;
    same(ask(typed.at, Dialect::Http)?.ends_with(":1"), true, "generation 1 answers")?;
    wait(|| !is_stopped(supervisor), "its going on")?;
    let (done, said) = typed.ctl("restart")?;
    holds(done, said)?;
    typed.types("fg")?;
    same(ask(typed.at, Dialect::Http)?.ends_with(":2"), true, "generation 2 answers")?;
    wait(|| is_in_foreground(supervisor), "its being in the foreground")?;
    typed.is_stopped()?;
    typed.types("fg")?;
    wait(|| is_in_foreground(supervisor), "its going on again")?;
    same(ask(typed.at, Dialect::Http)?.ends_with(":2"), true, "generation 2 answers again")?;
    typed.presses(CTRL_C)?;
    wait(|| typed.supervisor().is_none(), &format!("the end\n{}", typed.log()))?;
    let log = typed.log();
    holds(log.contains("asked for by SIGINT of the terminal") && typed.has("restarted", 1), log)
}

/// What is left of an old generation is killed when its drain time is over. It has as much of that as it had before.
fn no_time_passes() -> Result<(), Failed> {
    let deaf = "( [ ${INUSE_GENERATION##*:} = 1 ] && trap \"\" TERM && exec sleep 1000 ) &";
    let mut typed = Typed::with(Job::Foreground, "--drain 5s", deaf)?;
    let (done, said) = typed.ctl("restart")?;
    holds(done, said)?;
    typed.is_stopped()?;
    std::thread::sleep(Duration::from_secs(6));
    typed.types("fg")?;
    let since = Instant::now();
    wait(|| typed.has("drain-over", 1), &format!("the end of its time\n{}", typed.log()))?;
    holds(
        since.elapsed() >= Duration::from_secs(1),
        format!("it was killed after {:?}\n{}", since.elapsed(), typed.log()),
    )
}
