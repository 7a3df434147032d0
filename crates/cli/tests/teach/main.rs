//! `inuse lab serve` and `inuse lab client` as a person uses them in two terminals: starts, restarts, the error and
//! its cure, and the end. What the servers answer is tested with the lab.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KINDS: [&str; 5] = ["reply", "ack", "upper", "stream", "chat"];

/// Restarts in a row; the long run asks for more.
fn restarts() -> usize {
    std::env::var("INUSE_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(50)
}

fn inuse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A port below the ephemeral range that nobody has, in a part of its own for each test.
fn free_port(part: u16) -> u16 {
    let start = 20_000 + part * 500;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (start..start + 500).find(free).expect("a free port")
}

struct Server {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
    at: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    fn start(kind: &str, flags: &[&str]) -> Result<Server, String> {
        // Whoever started this test may have had SIGINT ignored.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_inuse"), "lab", "serve", kind]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        err.read_line(&mut line).unwrap();
        let at = line.split(" listens on ").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
        match at {
            Some(at) => Ok(Server { child, err, at }),
            None => {
                err.read_to_string(&mut line).unwrap();
                assert_eq!(child.wait().unwrap().code(), Some(1), "{line}");
                Err(line)
            }
        }
    }

    fn signal(&self, name: &str) {
        let ran = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(ran.success());
    }

    /// Its status and how long its end took.
    fn ends(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let status = self.child.wait().unwrap();
        (status.code(), began.elapsed())
    }

    /// A connection that has been served something.
    fn client(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"hello\n").unwrap();
        assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_ends_it_at_once_with_status_0() {
    for kind in KINDS {
        for signal in ["-INT", "-TERM"] {
            let server = Server::start(kind, &["--listen", "127.0.0.1:0"]).unwrap();
            let _client = server.client();
            server.signal(signal);
            let (code, took) = server.ends();
            assert_eq!(code, Some(0), "{kind} {signal}");
            // Nobody is waited for: the client is still there.
            assert!(took < Duration::from_secs(2), "{kind} {signal}: {took:?}");
        }
    }
}

#[test]
fn restarts_in_a_row_meet_no_error() {
    let port = free_port(0).to_string();
    let address = format!("127.0.0.1:{port}");
    for kind in KINDS {
        for round in 0..restarts() {
            let server = Server::start(kind, &["--listen", &address])
                .unwrap_or_else(|line| panic!("{kind}, start {round}: {line}"));
            // Still connected when the server ends, so that the server closes first.
            let _client = server.client();
            server.signal("-TERM");
            assert_eq!(server.ends().0, Some(0), "{kind}, start {round}");
        }
    }
}

#[test]
fn without_the_option_the_next_start_says_time_wait() {
    let port = free_port(1);
    let address = format!("127.0.0.1:{port}");
    let flags = ["--listen", address.as_str(), "--reuseaddr", "off"];
    let server = Server::start("ack", &flags).unwrap();
    // To the end of the stream: only then is it the server that has closed first.
    server.client().read_to_end(&mut Vec::new()).unwrap();
    server.signal("-INT");
    assert_eq!(server.ends().0, Some(0));
    let line = Server::start("ack", &flags).err().expect("TIME_WAIT refuses the bind");
    assert!(line.contains("Address already in use") && line.contains("TIME_WAIT"), "{line}");
    // Both the old and the new one must have the option: the old connection did not.
    let line = Server::start("ack", &["--listen", &address]).err().expect("the old one had no option");
    assert!(line.contains("TIME_WAIT"), "{line}");
}

#[test]
fn a_second_server_is_told_who_the_first_is() {
    let server = Server::start("upper", &["--listen", "127.0.0.1:0"]).unwrap();
    let at = server.at.to_string();
    let line = Server::start("upper", &["--listen", &at]).err().expect("the first one listens");
    let first = format!("inuse (pid {})", server.child.id());
    assert!(line.contains("Address already in use") && line.contains(&first), "{line}");
    // With the option on both they share the port.
    let sharing = ["--listen", "127.0.0.1:0", "--reuseport"];
    let one = Server::start("upper", &sharing).unwrap();
    let other = Server::start("upper", &["--listen", &one.at.to_string(), "--reuseport"]).unwrap();
    assert_eq!(one.at, other.at);
}

#[test]
fn a_graceful_end_delivers_first() {
    let mut server = Server::start("upper", &["--listen", "127.0.0.1:0", "--graceful"]).unwrap();
    let mut client = server.client();
    // More than the kernel's buffers take, unread until the server is told to end.
    let mut writer = client.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        let block = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        while let Ok(count) = writer.write(&block) {
            sent += count;
        }
        sent
    });
    let sent = sent.join().unwrap();
    server.signal("-TERM");
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got.iter().all(|&byte| byte == b'X'), "an answer is wrong");
    assert!(!got.is_empty() && got.len() <= sent, "{} of {sent}", got.len());
    drop(client);
    let mut rest = String::new();
    server.err.read_to_string(&mut rest).unwrap();
    assert_eq!((server.ends().0, rest.as_str()), (Some(0), ""));
}

fn client(arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = inuse(&[&["lab", "client"], arguments].concat()).stdin(Stdio::piped()).spawn().unwrap();
    // Beside the reading: who types on without reading the answers stops the whole conversation.
    let mut stdin = child.stdin.take().unwrap();
    let ran = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn the_client_says_what_is_typed_and_prints_the_answer() {
    let check = |kind: &str, arguments: &[&str], input: &[u8], expect: &str| {
        let server = Server::start(kind, &["--listen", "127.0.0.1:0"]).unwrap();
        let at = server.at.to_string();
        let (code, out, err) = client(&[&[kind, at.as_str()], arguments].concat(), input);
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expect, ""), "{kind} {arguments:?}");
    };
    check("upper", &[], b"hello\nworld", "HELLO\nWORLD");
    check("upper", &["--message", "hello"], b"", "HELLO\n");
    check("reply", &["--message", "hello"], b"", "Receive your message --- server\n");
    check("ack", &[], b"hello\n", "I have received your message.\n");
    check("ack", &["--message", "hello"], b"", "I have received your message.\n");
    check("ack", &[], b"", "");
    let large = vec![b'x'; 20 << 20];
    check("upper", &[], &large, &"X".repeat(20 << 20));
}

#[test]
fn a_client_without_a_server_is_told_how_to_start_one() {
    let address = format!("127.0.0.1:{}", free_port(2));
    let (code, out, err) = client(&["upper", &address], b"");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let expect = format!(
        "inuse: nobody listens on {address}; start a server there: inuse lab serve upper --listen {address}\n"
    );
    assert_eq!(err, expect);
}

#[test]
fn a_client_whose_reader_left_has_succeeded() {
    let server = Server::start("stream", &["--listen", "127.0.0.1:0"]).unwrap();
    let mut child = inuse(&["lab", "client", "stream", &server.at.to_string()]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Welcome, 127.0.0.1:"), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_words_are_told() {
    let check = |arguments: &[&str], expect: &str| {
        let ran = inuse(&[&["lab"], arguments].concat()).output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(2), &b""[..]), "{arguments:?}");
        assert!(err.contains(expect), "{arguments:?}: {err}");
    };
    check(&["serve", "tea"], "'tea'");
    check(&["serve", "uper"], "upper");
    check(&["serve", "upper", "--listen", "/run/x.sock"], "this is no TCP address");
    check(&["serve", "upper", "--listen", "udp/53"], "this is no TCP address");
    check(&["serve", "upper", "--listen", "127.0.0.1"], "127.0.0.1");
    check(&["serve", "upper", "--reuseaddr", "yes"], "'yes'");
    check(&["client", "upper", "tea"], "tea");
}
