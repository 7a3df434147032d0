//! The teaching servers with real clients: what they answer, and that no client stops them.
//!
//! The words of `inuse lab serve` are tested with the command; here a helper process of this binary serves.

use inuse_lab::teach::Kind;
use inuse_lab::teach::measure::measure;
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Long for an answer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    inuse_lab::helper_main();
    let arguments = Arguments::from_args();
    let tests: [(&str, Test, Option<&str>); 12] = [
        ("reply_answers_each_message", reply, None),
        ("ack_answers_once_and_closes_first", ack, None),
        ("upper_answers_bytes_that_are_no_text", upper, None),
        ("upper_sends_everything_to_who_closed_its_half", upper_half, None),
        ("stream_goes_on_until_the_client_leaves", stream, None),
        ("chat_with_two_hundred_people", chat, None),
        ("no_client_stops_the_others", hostile, None),
        ("more_clients_than_there_is_room_for", crowd, None),
        ("nc_is_a_client", nc, Some("nc")),
        ("socat_is_a_client", socat, Some("socat")),
        ("python_is_a_client", python, Some("python3")),
        ("upper_is_measured_beside_plain_c", beside_c, Some("gcc")),
    ];
    let trials = tests.into_iter().map(|(name, test, program)| trial(name, test, program)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: Test, program: Option<&str>) -> Trial {
    let missing = program.filter(|program| {
        let mut which = Command::new("sh");
        !which.args(["-c", &format!("command -v {program}")]).output().is_ok_and(|ran| ran.status.success())
    });
    match missing {
        None => Trial::test(name, test),
        Some(program) if inuse_lab::all_required() => {
            let reason = format!("{program} is not installed");
            Trial::test(name, move || Err(reason.into()))
        }
        Some(program) => Trial::test(format!("{name} (ignored: {program} is not installed)"), || Ok(()))
            .with_ignored_flag(true),
    }
}

/// A server that goes with this value.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(kind: Kind) -> Server {
        Server::limited(kind, None)
    }

    /// With at most so many descriptors.
    fn limited(kind: Kind, descriptors: Option<u32>) -> Server {
        let this = std::env::current_exe().unwrap();
        let mut command = match descriptors {
            None => Command::new(&this),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"]).arg(&this);
                shell
            }
        };
        command.args(["__inuse-lab", "teach", kind.name()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Server { child, port: line.trim().parse().unwrap() }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    /// Reads lines until one is this.
    fn until(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line: &String| line != wanted) {
            let line = self.line();
            assert!(!line.is_empty(), "the server closed before {wanted:?}: {seen:?}");
            seen.push(line);
        }
    }

    /// Everything until the server closes.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        rest
    }
}

fn reply() -> Result<(), Failed> {
    let server = Server::start(Kind::Reply);
    let mut client = server.connect();
    for message in [&b"hello\n"[..], b"without a line feed", b"\xff\x00\xfe\n"] {
        client.says(message);
        assert_eq!(client.line(), "Receive your message --- server\n");
    }
    Ok(())
}

fn ack() -> Result<(), Failed> {
    let server = Server::start(Kind::Ack);
    for message in [&b"hello\n"[..], b"hello"] {
        let mut client = server.connect();
        client.says(message);
        // What still comes after the message must not turn the answer into a reset.
        client.says(b"more\n");
        assert_eq!(client.rest(), b"I have received your message.\n");
    }
    // Somebody who says nothing is not answered, and closes without ado.
    let mut silent = server.connect();
    silent.stream.shutdown(Shutdown::Write)?;
    assert_eq!(silent.rest(), b"");
    Ok(())
}

fn upper() -> Result<(), Failed> {
    let server = Server::start(Kind::Upper);
    let mut client = server.connect();
    let all: Vec<u8> = (0..=255).collect();
    client.says(&all);
    client.stream.shutdown(Shutdown::Write)?;
    assert_eq!(client.rest(), all.to_ascii_uppercase());
    Ok(())
}

/// 32 MB through a client that first writes everything and reads only then: TCP's buffers do not hold that.
fn upper_half() -> Result<(), Failed> {
    let server = Server::start(Kind::Upper);
    let mut client = server.connect();
    let mut writer = client.stream.try_clone()?;
    let writing = std::thread::spawn(move || {
        let sent = writer.write_all(&vec![b'x'; 32 << 20]);
        writer.shutdown(Shutdown::Write).and(sent)
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!writing.is_finished(), "the server took everything although nobody reads");
    let got = client.rest();
    assert!(got.len() == 32 << 20 && got.iter().all(|&byte| byte == b'X'), "{} bytes", got.len());
    writing.join().expect("no panic")?;
    Ok(())
}

fn stream() -> Result<(), Failed> {
    let server = Server::start(Kind::Stream);
    let mut client = server.connect();
    let greeting = client.line();
    assert!(greeting.starts_with("Welcome, 127.0.0.1:"), "{greeting}");
    let number = |line: String| line.trim().strip_prefix("line ").and_then(|n| n.parse::<u64>().ok());
    let first = number(client.line()).ok_or("no line")?;
    for after in 1..5 {
        assert_eq!(number(client.line()), Some(first + after));
    }
    drop(client);
    // The next one is served, too.
    assert!(server.connect().line().starts_with("Welcome"));
    Ok(())
}

/// 200 people, one of whom never reads.
fn chat() -> Result<(), Failed> {
    let server = Server::start(Kind::Chat);
    let _deaf = server.connect();
    let mut people: Vec<Client> = (0..199).map(|_| server.connect()).collect();
    for (at, person) in people.iter_mut().enumerate() {
        person.says(format!("/nick p{at}\n").as_bytes());
    }
    // Each has heard of the last one's name, so everybody is there.
    for person in &mut people {
        while !person.line().ends_with("is now p198\n") {}
    }
    for round in 0..20 {
        let text = format!("{round} {}", "x".repeat(900));
        people[round].says(format!("{text}\n").as_bytes());
        for (at, person) in people.iter_mut().enumerate() {
            if at != round {
                person.until(&format!("p{round}: {text}\n"));
            }
        }
    }
    let mut leaver = people.pop().ok_or("nobody")?;
    leaver.says(b"/quit\n");
    leaver.until("* bye\n");
    drop(leaver);
    people[0].until("* p198 left\n");
    Ok(())
}

/// One who floods and never reads, one who is half open, one who resets, one who never speaks.
fn hostile() -> Result<(), Failed> {
    for kind in Kind::ALL {
        let server = Server::start(kind);
        let flood = server.connect();
        flood.stream.set_nonblocking(true)?;
        let silent = server.connect();
        let mut half = server.connect();
        half.says(b"no end");
        let reset = server.connect();
        rustix::net::sockopt::set_socket_linger(&reset.stream, Some(Duration::ZERO))?;
        drop(reset);
        let began = Instant::now();
        let mut served = 0;
        while began.elapsed() < Duration::from_millis(600) {
            let mut flood = &flood.stream;
            match flood.write(&[b'\n'; 65536]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // `ack` closes after one message.
                Err(_) => assert_eq!(kind, Kind::Ack),
            }
            let mut guest = server.connect();
            guest.says(b"hello\n");
            assert!(!guest.line().is_empty(), "{kind} does not answer");
            served += 1;
        }
        assert!(served > 3, "{kind} served {served}");
        drop((flood, silent, half));
    }
    Ok(())
}

/// Room for some 40 connections: the longest silent ones make room, and the newest is always served.
fn crowd() -> Result<(), Failed> {
    let server = Server::limited(Kind::Reply, Some(64));
    let mut silent: Vec<Client> = Vec::new();
    for _ in 0..150 {
        silent.push(server.connect());
    }
    let mut guest = server.connect();
    guest.says(b"hello\n");
    assert_eq!(guest.line(), "Receive your message --- server\n");
    assert_eq!(silent[0].rest(), b"", "the first of 150 silent ones still has its place");
    Ok(())
}

/// What a foreign client prints for this input.
fn foreign(command: &mut Command, input: &[u8]) -> Result<String, Failed> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(input)?;
    let ran = child.wait_with_output()?;
    Ok(String::from_utf8(ran.stdout)?)
}

fn nc() -> Result<(), Failed> {
    let server = Server::start(Kind::Upper);
    let port = server.port.to_string();
    let said = foreign(Command::new("nc").args(["-N", "127.0.0.1", &port]), b"hello\n")?;
    assert_eq!(said, "HELLO\n");
    let room = Server::start(Kind::Chat);
    let mut other = room.connect();
    other.until("* /nick NAME changes your name, /who lists everybody, /quit leaves\n");
    let port = room.port.to_string();
    foreign(Command::new("nc").args(["-N", "127.0.0.1", &port]), b"/nick ann\nhello\n")?;
    other.until("ann: hello\n");
    Ok(())
}

fn socat() -> Result<(), Failed> {
    let server = Server::start(Kind::Ack);
    let said = foreign(Command::new("socat").args(["-", &format!("TCP:{}", server.address())]), b"hello\n")?;
    assert_eq!(said, "I have received your message.\n");
    Ok(())
}

fn python() -> Result<(), Failed> {
    let server = Server::start(Kind::Reply);
    let program = "import socket,sys\n\
                   s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
                   s.send(b'hello')\n\
                   print(s.recv(1024))";
    let said = foreign(Command::new("python3").args(["-c", program, &server.port.to_string()]), b"")?;
    assert_eq!(said, "b'Receive your message --- server\\n'\n");
    Ok(())
}

/// That the measurement works, and both servers answer right; its figures are the business of `inuse-bench`.
fn beside_c() -> Result<(), Failed> {
    let scratch = std::env::temp_dir().join(format!("inuse-upper-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    let measured = measure(2, Duration::from_millis(150), &scratch);
    std::fs::remove_dir_all(&scratch)?;
    let measured = measured?;
    assert_eq!((measured.ours.len(), measured.other.len()), (2, 2));
    let (connections, bytes) = measured.ratios();
    assert!(connections.is_finite() && connections > 0.0 && bytes.is_finite() && bytes > 0.0, "{measured:?}");
    Ok(())
}
