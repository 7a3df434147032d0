//! A small supervisor: starts generations under the filter, hears events, ends what it started.

use inuse_keeper::hold::keep::{self, Event, KeepOptions, Keeper};
use inuse_rules::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the stand-in, the stub or a case that is alone in its process, if this run is one.
pub(crate) fn play() -> bool {
    let mut words = std::env::args_os().skip(1);
    match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("__keep") => keep::stand_in_main().expect("a stand-in"),
        Some("__alone") => {
            let at = words.next().expect("an address").into_string().expect("a plain address");
            crate::cases::hostile(&at).map_err(|failed| format!("{failed:?}")).expect("it holds");
        }
        Some("__enter") => {
            let generation = words.next().and_then(|word| word.to_str()?.parse().ok()).expect("a generation");
            let error = become_program(generation, words.collect());
            std::io::stderr().write_all(error.to_string().as_bytes()).expect("stderr");
            std::process::exit(99);
        }
        _ => return false,
    }
    true
}

/// The stub: the channel is its standard input.
fn become_program(generation: u32, words: Vec<OsString>) -> std::io::Error {
    let entered = std::io::stdin().as_fd().try_clone_to_owned().and_then(|channel| {
        let null = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        keep::enter(channel.as_fd(), generation)
    });
    match (entered, words.split_first()) {
        (Ok(()), Some((program, arguments))) => Command::new(program).args(arguments).exec(),
        (Err(error), _) => error,
        (Ok(()), None) => std::io::ErrorKind::InvalidInput.into(),
    }
}

/// What stands in the way of keeping anything here.
pub(crate) fn obstacle() -> Option<String> {
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let mut supervisor = Supervisor::new();
        let mut child = supervisor.start(1, &["true"]);
        let ended = child.wait().expect("our child");
        (ended.code() == Some(99)).then(|| "the filter cannot be installed here".to_owned())
    };
    OBSTACLE.get_or_init(find).clone()
}

/// A keeper, and what it has said so far.
pub(crate) struct Supervisor {
    pub(crate) keeper: Keeper,
    pub(crate) events: Vec<Event>,
}

impl Supervisor {
    pub(crate) fn new() -> Supervisor {
        let keeper = Keeper::start(&KeepOptions::default()).expect("a handler");
        Supervisor { keeper, events: Vec::new() }
    }

    /// Starts a generation.
    pub(crate) fn start(&mut self, generation: u32, words: &[&str]) -> Program {
        self.start_as(generation, words, None)
    }

    pub(crate) fn start_as(&mut self, generation: u32, words: &[&str], user: Option<u32>) -> Program {
        let channel = self.keeper.channel().try_clone_to_owned().expect("a duplicate");
        let mut command = Command::new("/proc/self/exe");
        command.arg("__enter").arg(generation.to_string()).args(words);
        command.stdin(Stdio::from(channel)).stdout(Stdio::piped()).process_group(0);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        Program(command.spawn().expect("a stub"))
    }

    /// Waits for an event.
    pub(crate) fn until(&mut self, what: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            self.hear();
            if let Some(event) = self.events.iter().skip(seen).find(|event| what(event)) {
                return event.clone();
            }
            seen = self.events.len();
            assert!(Instant::now() < deadline, "it was not said: {:#?}", self.events);
            let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            poll(&mut [PollFd::new(&self.keeper, PollFlags::IN)], Some(&pause)).expect("poll");
        }
    }

    /// Waits until a generation listens, and says whether on a socket that was there before.
    pub(crate) fn listening(&mut self, generation: u32) -> (Address, bool) {
        let event = self.until(
            |event| matches!(event, Event::Listening { generation: which, .. } if *which == generation),
        );
        match event {
            Event::Listening { address, adopted, .. } => (address, adopted),
            _ => unreachable!("just found"),
        }
    }

    /// Everything that was said up to now.
    pub(crate) fn hear(&mut self) -> &[Event] {
        while let Some(event) = self.keeper.next_event().expect("a handler") {
            self.events.push(event);
        }
        &self.events
    }

    /// The same, when what was ordered before has been carried out.
    pub(crate) fn hear_all(&mut self) -> &[Event] {
        self.keeper.status().expect("a handler");
        self.hear()
    }
}

/// A process that ends when the test does, with its process group.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(pid, signal).expect("our child");
    }

    /// Sends a signal to the first process alone.
    pub(crate) fn signal_one(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("our child");
    }

    /// Stops it, and waits until each of its threads has stopped.
    pub(crate) fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        let group = self.0.id();
        let deadline = Instant::now() + PATIENCE;
        while !stopped(group) {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(mut self, signal: rustix::process::Signal) -> ExitStatus {
        self.signal(signal);
        self.wait().expect("our child")
    }

    /// Not by the standard library, which takes it for the end when a process stops for a tracer in ours.
    pub(crate) fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        let pid = rustix::process::Pid::from_child(&self.0);
        while Instant::now() < deadline {
            let waited = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            if let Some((_, status)) = waited.expect("our child")
                && !status.stopped()
            {
                return Some(ExitStatus::from_raw(status.as_raw()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// A line of what it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let from = self.0.stdout.as_mut().expect("piped");
        let mut byte = [0];
        while from.read(&mut byte).expect("a pipe") == 1 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        line
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let pid = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Whether every thread of a process group has stopped.
fn stopped(group: u32) -> bool {
    let numbers = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    numbers("/proc").iter().filter(|pid| pid.parse::<u32>().is_ok()).all(|pid| {
        let stat = |path: String| std::fs::read_to_string(path).unwrap_or_default();
        // Behind the name: state, parent, process group.
        let fields = |text: &str| -> Vec<String> {
            text.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let own = fields(&stat(format!("/proc/{pid}/stat")));
        if own.get(2) != Some(&group.to_string()) {
            return true;
        }
        numbers(&format!("/proc/{pid}/task")).iter().all(|tid| {
            let state = fields(&stat(format!("/proc/{pid}/task/{tid}/stat")));
            state.first().is_none_or(|state| state == "T" || state == "Z")
        })
    })
}

/// Sends a few bytes and reads the answer to its end.
pub(crate) fn ask(address: &str) -> std::io::Result<String> {
    finish(connect(address)?)
}

/// Connects and sends a few bytes.
pub(crate) fn connect(address: &str) -> std::io::Result<TcpStream> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"x")?;
    Ok(stream)
}

/// Reads the answer to its end.
pub(crate) fn finish(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A directory that goes when the test does.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        let path = inuse_lab::scratch_root().join(format!("inuse-keep-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The server in C, built once for all cases.
static SERVERS: OnceLock<(Directory, PathBuf, PathBuf)> = OnceLock::new();

/// When the last case is over: what is static is never dropped.
pub(crate) fn clean_up() {
    if let Some((directory, ..)) = SERVERS.get() {
        let _ = std::fs::remove_dir_all(&directory.0);
    }
}

/// The server in C, linked statically or not.
pub(crate) fn server(linked_statically: bool) -> &'static Path {
    let (_, fixed, shared) = SERVERS.get_or_init(|| {
        let directory = Directory::new("server");
        let source = directory.0.join("server.c");
        std::fs::write(&source, include_str!("server.c")).expect("a file");
        let build = |name: &str, more: &[&str]| {
            let program = directory.0.join(name);
            let status = Command::new("gcc")
                .args(["-O1", "-pthread", "-w", "-o"])
                .arg(&program)
                .arg(&source)
                .args(more)
                .status()
                .expect("gcc");
            assert!(status.success(), "gcc fails");
            program
        };
        let (fixed, shared) = (build("static", &["-static"]), build("shared", &[]));
        (directory, fixed, shared)
    });
    if linked_statically { fixed } else { shared }
}
