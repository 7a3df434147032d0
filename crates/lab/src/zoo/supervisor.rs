//! `inuse run` as a child: what it tells, what it is asked, and its end, whatever a test does.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes with its owner.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A new one that only its owner can enter.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn new() -> io::Result<Scratch> {
        use std::os::unix::fs::DirBuilderExt as _;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = crate::scratch_root().join(format!("inuse-zoo-{}-{number}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch(path))
    }

    /// Writes a file in it; gives its path.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&self, name: &str, text: &str) -> io::Result<String> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on its going.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A line of the log, schema `inuse.run/1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The stable word.
    pub event: String,
    /// Which generation it is about.
    pub generation: Option<u32>,
    /// The sentence.
    pub message: String,
    /// When it was heard.
    pub at: Instant,
}

/// An answer of `inuse ctl --json`.
#[derive(Clone, Debug)]
pub struct Ctl {
    /// Its exit status.
    pub code: Option<i32>,
    /// What it printed.
    pub answer: Value,
    /// How long it took.
    pub took: Duration,
}

#[derive(Debug, Default)]
struct Heard {
    told: Vec<Told>,
    /// Lines that are the program's.
    output: Vec<String>,
    over: bool,
}

/// A supervisor that runs, and ends with this value.
#[derive(Debug)]
pub struct Supervisor {
    child: Child,
    inuse: PathBuf,
    runtime: Scratch,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

/// The command `inuse run --log json OPTIONS -- PROGRAM`.
pub fn run<S: AsRef<OsStr>>(inuse: &Path, options: &[&str], program: &[S]) -> Command {
    let mut command = Command::new(inuse);
    command.args(["run", "--log", "json"]).args(options).arg("--").args(program);
    command
}

impl Supervisor {
    /// Starts such a command, as it is or within another program that becomes it or waits for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(inuse: &Path, mut command: Command) -> io::Result<Supervisor> {
        let runtime = Scratch::new()?;
        command.env("XDG_RUNTIME_DIR", &runtime.0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let heard: Arc<(Mutex<Heard>, Condvar)> = Arc::default();
        let to = heard.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || hear(BufReader::new(stderr), &to))?;
        Ok(Supervisor { child, inuse: inuse.into(), runtime, heard })
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where `inuse ctl` looks for it.
    pub fn runtime(&self) -> &Path {
        &self.runtime.0
    }

    /// All that was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }

    /// All that the program wrote so far.
    pub fn output(&self) -> Vec<String> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner).output.clone()
    }

    /// How often this was told.
    pub fn count(&self, event: &str) -> usize {
        self.told().iter().filter(|told| told.event == event).count()
    }

    /// Waits until this is found in what was told.
    ///
    /// # Errors
    /// With the whole log, when that takes too long or the log ends.
    pub fn wait<T>(&self, what: &str, find: impl Fn(&[Told]) -> Option<T>) -> Result<T, String> {
        let until = Instant::now() + PATIENCE;
        let mut heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&heard.told) {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.over {
                let told: Vec<&str> = heard.told.iter().map(|told| told.message.as_str()).collect();
                return Err(format!("{what}: not told\n{}\n{}", told.join("\n"), heard.output.join("\n")));
            }
            heard = self.heard.1.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for an event, of a generation if one is named; gives it.
    ///
    /// # Errors
    /// Those of [`Supervisor::wait`].
    pub fn event(&self, event: &str, generation: Option<u32>) -> Result<Told, String> {
        let fits =
            |told: &&Told| told.event == event && (generation.is_none() || told.generation == generation);
        self.wait(&format!("{event} of {generation:?}"), |told| told.iter().find(fits).cloned())
    }

    /// Waits until a generation is ready.
    ///
    /// # Errors
    /// Those of [`Supervisor::wait`].
    pub fn ready(&self, generation: u32) -> Result<Told, String> {
        self.event("ready", Some(generation))
    }

    /// The generation that was started last.
    pub fn last(&self) -> u32 {
        self.told().iter().filter_map(|told| told.generation).max().unwrap_or(0)
    }

    /// The first process of a generation.
    ///
    /// # Errors
    /// Those of [`Supervisor::wait`].
    pub fn process(&self, generation: u32) -> Result<u32, String> {
        let told = self.event("started", Some(generation))?;
        told.message.rsplit(' ').next().and_then(|pid| pid.parse().ok()).ok_or_else(|| format!("{told:?}"))
    }

    /// Asks with `inuse ctl`.
    ///
    /// # Errors
    /// When that cannot be started.
    pub fn ctl(&self, what: &str) -> io::Result<Ctl> {
        let since = Instant::now();
        let output = self.ctl_command(what).arg("--json").output()?;
        let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Ok(Ctl { code: output.status.code(), answer, took: since.elapsed() })
    }

    /// The command `inuse ctl` for this supervisor.
    pub fn ctl_command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.inuse);
        command.args(["ctl", what]).env("XDG_RUNTIME_DIR", &self.runtime.0).stdin(Stdio::null());
        command
    }

    /// A restart that must succeed.
    ///
    /// # Errors
    /// When it did not.
    pub fn restart(&self) -> Result<Duration, String> {
        let ctl = self.ctl("restart").map_err(|error| error.to_string())?;
        match ctl.code {
            Some(0) => Ok(ctl.took),
            code => Err(format!("inuse ctl restart: {code:?} {}\n{}", ctl.answer, self.log())),
        }
    }

    /// All that was told and written, as text.
    pub fn log(&self) -> String {
        let told: Vec<String> = self.told().into_iter().map(|told| told.message).collect();
        format!("{}\n{}", told.join("\n"), self.output().join("\n"))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        send(self.pid(), signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn ended(&mut self) -> Result<ExitStatus, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                other => return Err(format!("it did not end: {other:?}\n{}", self.log())),
            }
        }
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<ExitStatus, String> {
        self.signal(Signal::TERM).map_err(|error| error.to_string())?;
        self.ended()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // In the order of kindness; each step is for what the one before has left.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = send(self.pid(), Signal::TERM);
            let until = Instant::now() + Duration::from_secs(3);
            while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                let all = tree(self.pid());
                let _ = self.child.kill();
                let _ = self.child.wait();
                all.into_iter().for_each(|pid| drop(send(pid, Signal::KILL)));
            }
        }
        end_marked(self.pid());
    }
}

/// Kills what a supervisor of ours has started and not ended: it carries its number in the environment. What was a
/// supervisor itself leaves its own.
pub fn end_marked(supervisor: u32) {
    let mark = format!("INUSE_GENERATION={supervisor}:");
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|word| word.starts_with(mark.as_bytes())) {
            let _ = send(pid, Signal::KILL);
            end_marked(pid);
        }
    }
}

fn hear(mut from: impl io::BufRead, to: &(Mutex<Heard>, Condvar)) {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let mut heard = to.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told(&line) {
            Some(told) => heard.told.push(told),
            None => heard.output.push(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
        to.1.notify_all();
        line.clear();
    }
    to.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
    to.1.notify_all();
}

fn told(line: &[u8]) -> Option<Told> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let word = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    (word("schema")? == "inuse.run/1").then_some(())?;
    let generation = line.get("generation").and_then(Value::as_u64).and_then(|number| number.try_into().ok());
    Some(Told { event: word("event")?, generation, message: word("message")?, at: Instant::now() })
}

/// A process and all that descend from it, itself first.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        at += 1;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// Sends a signal to a process that is ours: the caller has just seen that it is.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_send_signal(&pidfd_open(pid, PidfdFlags::empty())?, signal)?)
}
