//! The examples, as a person runs them: each answers, and ends with status 0 when it is told to, with what is under
//! way finished where the example promises that; started twice, it says who has the port.
//!
//! `cargo test` builds them beside this test; where only this test was asked for, it has them built.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

/// Long for an answer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program of an example, no older than any of its sources.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(name);
    static BUILD: Once = Once::new();
    if !is_fresh(&program) {
        BUILD.call_once(|| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--offline", "--package", "inuse-bind", "--examples"]);
            cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(cargo.status().unwrap().success());
        });
    }
    program
}

/// cargo lists the sources of a program beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let Ok(listed) = std::fs::read_to_string(program.with_extension("d")) else { return false };
    let mut sources = listed.split_whitespace().skip(1).map(|source| changed(Path::new(source)));
    let built: Option<SystemTime> = changed(program);
    built.is_some() && sources.all(|source| source.is_some_and(|source| Some(source) <= built))
}

/// An example that runs.
struct Example {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    at: SocketAddr,
}

impl Example {
    fn start(name: &str) -> Example {
        // Whoever started this test may have had SIGINT ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,TERM").arg(program(name));
        let mut child = command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim_start_matches("listening on ").trim_start_matches("http://");
        let at = address.trim_end().trim_end_matches('/').parse().expect(&line);
        Example { child, said, at }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.at).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Nobody can connect any more.
    fn waits_until_closed(&self) {
        while TcpStream::connect(self.at).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it says until it ends, which it does with status 0.
    fn ends(mut self) -> String {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn echoed(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, bytes);
}

#[test]
fn tokio() {
    let server = Example::start("tokio");
    let mut client = server.client();
    echoed(&mut client, b"hello\n");
    server.signal(Signal::TERM);
    assert_eq!(server.ends(), "ended\n");
}

#[test]
fn mio() {
    let server = Example::start("mio");
    for _ in 0..3 {
        let mut greeting = String::new();
        server.client().read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "hello\n");
    }
    server.signal(Signal::INT);
    assert_eq!(server.ends(), "");
}

/// A request of which half had come when the server was told to end is answered, and new ones are not taken.
#[test]
fn axum() {
    let server = Example::start("axum");
    let mut client = server.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    // One that is through, so that the first one is certainly being read.
    let mut other = server.client();
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello\n"), "{answer}");
    server.signal(Signal::TERM);
    server.waits_until_closed();
    client.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello\n"), "{answer}");
    server.ends();
}

/// Who has connected gets the answer to what it has sent: also who has not begun to read, and who was not even
/// accepted when the signal came.
#[test]
fn graceful() {
    let server = Example::start("graceful");
    let mut reads_later = server.client();
    let sent = vec![b'x'; 60_000];
    reads_later.write_all(&sent).unwrap();
    let mut idle = server.client();
    echoed(&mut idle, b"hello\n");

    server.signal(Signal::STOP);
    let mut not_accepted = server.client();
    not_accepted.write_all(b"hello\n").unwrap();
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    server.waits_until_closed();

    let rest = |mut client: TcpStream| {
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).map(|_| rest)
    };
    assert_eq!(rest(not_accepted).unwrap(), b"hello\n");
    assert!(rest(reads_later).unwrap() == sent);
    assert_eq!(rest(idle).unwrap(), b"");
    assert_eq!(server.ends(), "ended; 0 connections were cut off\n");
}

/// Who never reads holds the end up for some seconds, or until somebody is impatient.
#[test]
fn graceful_when_told_twice() {
    let told_twice = || {
        let server = Example::start("graceful");
        let mut never_reads = server.client();
        never_reads.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let full = never_reads.write_all(&vec![b'x'; 64 << 20]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        server.signal(Signal::INT);
        server.waits_until_closed();
        server.signal(Signal::INT);
        server.ends()
    };
    // With both windows at zero the client may miss that the server's has opened (a segment beyond its own window is
    // dropped, with the news in it). Such a server has answered all that reached it, and nobody is cut off.
    let mut tries = 0;
    while told_twice() != "ended; 1 connections were cut off\n" {
        tries += 1;
        assert!(tries < 10, "nobody was cut off");
    }
}

/// The README shows what the second one says.
#[test]
fn started_twice() {
    let first = Example::start("tokio");
    let second = || {
        let ran = Command::new(program("tokio")).arg(first.at.to_string()).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        said
    };
    // On a machine that is too busy the search for the owner is cut short.
    let mut tries = std::iter::repeat_with(second).take(20);
    let said = tries.find(|said| !said.contains("was stopped after")).expect("time to find the owner");
    let readme = include_str!("../../../README.md");
    let shown = readme.lines().find(|line| line.starts_with("Error: cannot bind ")).expect("it is shown");
    let pid = first.child.id().to_string();
    let said = said.replace(&first.at.to_string(), "127.0.0.1:8080").replace(&pid, "4412");
    assert_eq!(said.trim_end(), shown);
}
