//! SIGINT and SIGTERM for real: kill(2) sends them to copies of this binary, which wait for them in each way.
#![allow(clippy::print_stdout, reason = "a copy's answer goes to the test that started it")]

use inuse_bind::{ShutdownSignal, listen, shutdown_signal};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A copy of this binary that plays a role, before any thread exists; what is sent to it, and what it then says.
const CASES: &[(&str, &[Signal], &str)] = &[
    ("__wait", &[Signal::INT], "Interrupt"),
    ("__wait", &[Signal::TERM], "Terminate"),
    ("__timeout", &[Signal::TERM], "Terminate"),
    ("__poll", &[Signal::INT], "[Interrupt] [Interrupt]"),
    ("__twice", &[Signal::INT, Signal::TERM], "[Interrupt, Terminate]"),
    ("__accept", &[Signal::TERM], "Terminate accepted"),
];

fn main() {
    if let Some(role) = std::env::args().nth(1).filter(|word| word.starts_with("__")) {
        return play(&role);
    }
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|&(role, signals, expect)| {
            let name = format!("{}::{expect}", role.trim_start_matches('_'));
            Trial::test(name, move || told(role, signals, expect))
        })
        .collect();
    trials.push(Trial::test("ignored_by_the_parent_stays_ignored", ignored));
    trials.push(Trial::test("programs_started_afterwards_are_as_ever", nothing_leaks));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn play(role: &str) {
    let shutdown = shutdown_signal().expect("nothing else handles them");
    match role {
        "__wait" => {
            println!("ready");
            println!("{:?}", shutdown.wait().expect("poll works"));
        }
        "__timeout" => {
            println!("ready");
            let told = || shutdown.wait_timeout(Duration::from_millis(10)).expect("poll works");
            let signal = std::iter::repeat_with(told).flatten().next();
            println!("{:?}", signal.expect("it repeats"));
        }
        // Each of two who wait is told.
        "__poll" => {
            let other = shutdown_signal().expect("as often as one likes");
            println!("ready");
            readable(&shutdown);
            readable(&other);
            println!("{:?} {:?}", shutdown.received(), other.received());
        }
        "__twice" => {
            println!("ready");
            while shutdown.received().len() < 2 {
                thread::sleep(Duration::from_millis(5));
            }
            println!("{:?}", shutdown.received());
        }
        // No system call of another thread fails because of it.
        "__accept" => {
            let server = listen("127.0.0.1:0").expect("a free port");
            let address = server.local_addr().expect("bound");
            let accepting = thread::spawn(move || server.accept().map(drop));
            println!("ready");
            let signal = shutdown.wait().expect("poll works");
            let _client = TcpStream::connect(address).expect("it listens");
            accepting.join().expect("no panic").expect("it was not interrupted");
            println!("{signal:?} accepted");
        }
        "__sleep" => {
            let mut sleep = Command::new("sleep");
            let mut child = sleep.arg("60").stdin(Stdio::null()).spawn().expect("sleep runs");
            println!("ready\n{}", child.id());
            let status = child.wait().expect("it is our child");
            println!("ended by {:?}", status.signal());
        }
        other => println!("no such role: {other}"),
    }
}

fn readable(shutdown: &ShutdownSignal) {
    while poll(&mut [PollFd::new(shutdown, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
}

/// A copy in a role, once it is ready.
struct Copy {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Copy {
    fn start(command: &mut Command) -> Result<Copy, Failed> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut copy = Copy { child, said };
        let line = copy.line()?;
        if line == "ready" { Ok(copy) } else { Err(format!("it says {line:?}").into()) }
    }

    fn send(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// What else it says until it ends, which it must do with status 0.
    fn ends(mut self, expect: &str) -> Result<(), Failed> {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest)?;
        let status = self.child.wait()?;
        if (rest.trim_end(), status.code()) == (expect, Some(0)) {
            return Ok(());
        }
        Err(format!("{status}, and it says {rest:?}, not {expect:?}").into())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of this binary, for which neither is ignored, whatever started this test.
fn role(role: &str) -> std::io::Result<Command> {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM").arg(std::env::current_exe()?).arg(role);
    Ok(command)
}

fn told(word: &str, signals: &[Signal], expect: &str) -> Result<(), Failed> {
    let copy = Copy::start(&mut role(word)?)?;
    for (nth, &signal) in signals.iter().enumerate() {
        // Two that wait to be delivered have no order.
        if nth > 0 {
            thread::sleep(Duration::from_millis(100));
        }
        copy.send(signal)?;
    }
    copy.ends(expect)
}

/// As nohup(1) does it for SIGHUP, and a shell for what it starts in the background.
fn ignored() -> Result<(), Failed> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(std::env::current_exe()?).arg("__wait");
    let copy = Copy::start(&mut shell)?;
    copy.send(Signal::INT)?;
    thread::sleep(Duration::from_millis(100));
    copy.send(Signal::TERM)?;
    copy.ends("Terminate")
}

/// A program that is started after [`shutdown_signal`] blocks, ignores and handles neither of them, has none of its
/// descriptors, and ends by SIGTERM as every other.
fn nothing_leaks() -> Result<(), Failed> {
    let mut copy = Copy::start(&mut role("__sleep")?)?;
    let pid = copy.line()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let both = (1_u64 << (libc::SIGINT - 1)) | (1 << (libc::SIGTERM - 1));
    for set in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(set)).ok_or("no such line")?;
        if u64::from_str_radix(mask.trim(), 16)? & both != 0 {
            return Err(format!("the child has {set}{mask}").into());
        }
    }
    // What the handler writes into is a socket; whoever started this test may have left other descriptors to it.
    for open in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let file = std::fs::read_link(open?.path())?;
        if file.to_string_lossy().starts_with("socket:") {
            return Err(format!("the child has {}", file.display()).into());
        }
    }
    let child = Pid::from_raw(pid.parse()?).ok_or("no pid")?;
    kill_process(child, Signal::TERM)?;
    copy.ends(&format!("ended by Some({})", libc::SIGTERM))
}
