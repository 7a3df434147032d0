//! A foreign program that makes, sets, reads and closes sockets of its own, as it is told: agent.c, linked statically,
//! or agent.py.

use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Every foreign program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    StaticC,
    Python,
}

/// A running one.
pub(crate) struct Agent {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Agent {
    pub(crate) fn start(language: Language) -> Agent {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/opts");
        let mut program = None;
        let mut command = match language {
            Language::Python => {
                let mut command = Command::new("python3");
                command.arg(format!("{sources}/agent.py"));
                command
            }
            Language::StaticC => {
                let made = Command::new("gcc")
                    .args(["-static", "-O1", "-o", "/run/agent"])
                    .arg(format!("{sources}/agent.c"))
                    .status()
                    .expect("gcc");
                assert!(made.success());
                // Nothing on the stage's own file systems may be executed.
                let memory = memfd_create("agent", MemfdFlags::empty()).expect("a file in memory");
                let mut file = File::from(memory);
                file.write_all(&std::fs::read("/run/agent").expect("what gcc made")).expect("room");
                program =
                    Some(File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("to read it"));
                let number = program.as_ref().map_or(-1, |program| program.as_raw_fd());
                drop(file);
                Command::new(format!("/proc/self/fd/{number}"))
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the agent");
        drop(program);
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Agent { child, orders, answers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A socket of that family, type and protocol.
    pub(crate) fn socket(&mut self, family: i32, kind: i32, protocol: i32) -> u32 {
        let fd = self.tell(&format!("socket {family} {kind} {protocol}")).expect("a socket");
        fd.parse().expect("a descriptor")
    }

    /// setsockopt(2) by the agent itself; the errno where the kernel refuses.
    pub(crate) fn set(&mut self, fd: u32, level: i32, option: i32, value: &[u8]) -> Result<(), i32> {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        self.tell(&format!("set {fd} {level} {option} {hex}")).map(drop)
    }

    /// getsockopt(2) by the agent itself.
    pub(crate) fn get(&mut self, fd: u32, level: i32, option: i32) -> Result<Vec<u8>, i32> {
        let hex = self.tell(&format!("get {fd} {level} {option}"))?;
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        Ok((0..hex.len()).step_by(2).map(byte).collect())
    }

    /// One order and its answer.
    pub(crate) fn tell(&mut self, order: &str) -> Result<String, i32> {
        writeln!(self.orders, "{order}").expect("the agent listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        match answer.trim().strip_prefix("errno ") {
            Some(number) => Err(number.parse().expect("a number")),
            None => Ok(answer.trim().to_owned()),
        }
    }

    /// It ends, and is gone when this returns.
    pub(crate) fn end(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("its end");
    }
}
