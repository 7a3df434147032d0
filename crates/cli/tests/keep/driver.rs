//! A run of `inuse run`: its log as events, its answers to `inuse ctl`, its end; and clients of what it runs.

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command under test.
pub(crate) const INUSE: &str = env!("CARGO_BIN_EXE_inuse");

/// The first program that is not there.
pub(crate) fn missing(needs: &[&'static str]) -> Option<&'static str> {
    let there = |program: &str| match program {
        "root" => rustix::process::geteuid().is_root(),
        _ => std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists())),
    };
    needs.iter().copied().find(|program| !there(program))
}

/// A supervisor that runs, and all that it started: both end with this.
pub(crate) struct Run {
    pub(crate) child: Child,
    directory: Directory,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Run {
    /// `inuse run --log json` with these words.
    pub(crate) fn start(words: &[&str]) -> Run {
        Run::start_by(&[INUSE], words)
    }

    /// The same, ready only when it listens: on a busy machine a program may live for a second before.
    pub(crate) fn listening(words: &[&str]) -> Run {
        Run::start(&[&["--ready", "listen"], words].concat())
    }

    /// The same as `start`, by another command that is given the words as its last arguments.
    pub(crate) fn start_by(by: &[&str], words: &[&str]) -> Run {
        let directory = Directory::new();
        let (program, before) = by.split_first().expect("a command");
        let mut command = Command::new(program);
        command.args(before).args(["run", "--log", "json"]).args(words);
        command.env("XDG_RUNTIME_DIR", &directory.0).current_dir(&directory.0);
        for variable in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
            command.env_remove(variable);
        }
        let stdout = std::fs::File::create(directory.0.join("stdout")).expect("a file");
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("the command starts");
        let events = Arc::new(Mutex::new(Vec::new()));
        let (lines, told) = (BufReader::new(child.stderr.take().expect("piped")), Arc::clone(&events));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                // The program's own words come the same way.
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                told.lock().expect("no panic").push(event);
            }
        });
        Run { child, directory, events }
    }

    /// Everything that was logged so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.events.lock().expect("no panic").clone()
    }

    /// How often this was logged: the event's word, and a part of its message.
    pub(crate) fn count(&self, event: &str, part: &str) -> usize {
        let fits = |one: &&Value| {
            one["event"] == event && one["message"].as_str().is_some_and(|text| text.contains(part))
        };
        self.log().iter().filter(fits).count()
    }

    /// Waits until this was logged.
    pub(crate) fn until(&self, event: &str, part: &str) -> Result<(), Failed> {
        self.until_count(event, part, 1)
    }

    /// Waits until this was logged so often.
    pub(crate) fn until_count(&self, event: &str, part: &str, count: usize) -> Result<(), Failed> {
        eventually(&format!("{event}: {part}"), || self.count(event, part) >= count)
            .map_err(|error| format!("{error:?}; the log: {:#?}", self.log()).into())
    }

    /// Waits until a generation is ready.
    pub(crate) fn ready(&self, generation: u32) -> Result<(), Failed> {
        self.until("ready", &format!("generation {generation} is ready"))
    }

    /// Asks it.
    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(INUSE);
        command.arg("ctl").args(words).env("XDG_RUNTIME_DIR", &self.directory.0);
        command.stdin(Stdio::null()).output().expect("the command starts")
    }

    /// Asks for a restart, which must succeed.
    pub(crate) fn restart(&self) -> Result<(), Failed> {
        let answer = self.ctl(&["restart"]);
        match answer.status.success() {
            true => Ok(()),
            false => Err(format!("{answer:?}; the log: {:#?}", self.log()).into()),
        }
    }

    /// How things are.
    pub(crate) fn status(&self) -> Result<Value, Failed> {
        let answer = self.ctl(&["--json"]);
        let value: Value = serde_json::from_slice(&answer.stdout)?;
        Ok(value["status"].clone())
    }

    /// The first process of a generation, as it was logged.
    pub(crate) fn pid_of(&self, generation: u32) -> Result<u32, Failed> {
        let log = self.log();
        let started =
            log.iter().rev().find(|one| one["event"] == "started" && one["generation"] == generation);
        let text = started.and_then(|one| one["message"].as_str()).ok_or("it was not started")?;
        Ok(text.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    /// What the program wrote to its standard output.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("stdout")).unwrap_or_default()
    }

    /// The directory where it runs.
    pub(crate) fn place(&self) -> &Path {
        &self.directory.0
    }

    /// The process that answers when the supervisor is gone, if there is one.
    pub(crate) fn stand_in(&self) -> Option<u32> {
        children(self.child.id()).into_iter().find(|pid| words_of(*pid).is_some_and(|w| w.contains("__keep")))
    }

    /// Sends the supervisor a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failed> {
        let mut ended = None;
        eventually("the end", || {
            ended = self.child.try_wait().expect("our child");
            ended.is_some()
        })?;
        ended.ok_or_else(|| "no end".into())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Its programs have groups of their own; the stand-in ends when they have.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        inuse_lab::zoo::end_marked(self.child.id());
    }
}

/// Sends a process a signal that the test knows to be its own.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("a process of this test");
}

/// Stops a process, and waits until it has stopped.
pub(crate) fn stop(pid: u32) -> Result<(), Failed> {
    send(pid, Signal::STOP);
    eventually("the process stops", || state(pid) == Some('T'))
}

/// The letter of its state; `None` for a process that is gone.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// The children of all threads of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|one| std::fs::read_to_string(one.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn words_of(pid: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return Err(format!("in vain: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Fails with both when they differ.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(got: T, expect: T, what: &str) -> Result<(), Failed> {
    if got == expect { Ok(()) } else { Err(format!("{what}: {got:?}, not {expect:?}").into()) }
}

/// Connects and sends a few bytes.
pub(crate) fn connect(address: &str) -> std::io::Result<TcpStream> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    Ok(stream)
}

/// Reads the answer to its end.
pub(crate) fn finish(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) fn ask(address: &str) -> std::io::Result<String> {
    finish(connect(address)?)
}

/// A directory that goes when the test does.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = inuse_lab::scratch_root().join(format!("inuse-run-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the servers in C are built, once for all tests.
fn servers() -> PathBuf {
    inuse_lab::scratch_root().join(format!("inuse-run-servers-{}", std::process::id()))
}

/// When the last test is over.
pub(crate) fn clean_up() {
    let _ = std::fs::remove_dir_all(servers());
}

/// The server in C that uses its socket in every way, linked statically or not. It answers with its last argument.
pub(crate) fn server(linked_statically: bool) -> String {
    const SOURCE: &str = include_str!("../../../lab/tests/keep/server.c");
    if linked_statically { built("static", SOURCE, &["-static"]) } else { built("shared", SOURCE, &[]) }
}

/// A program in C, built once.
pub(crate) fn built(name: &'static str, source: &str, more: &[&str]) -> String {
    static BUILT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let (directory, program) = (servers(), servers().join(name));
    let mut built = BUILT.lock().expect("no panic");
    if built.insert(name) {
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join(format!("{name}.c"));
        std::fs::write(&file, source).expect("a file");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-pthread", "-w", "-o"]).arg(&program).arg(&file).args(more);
        assert!(gcc.status().expect("gcc").success(), "gcc fails");
    }
    program.to_str().expect("a plain path").to_owned()
}
