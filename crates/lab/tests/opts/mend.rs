//! A live server without SO_REUSEADDR is mended, and restarted with live connections. One of them was accepted, one
//! waits in the queue. Nothing here asks the rule: the kernel says by a real bind what succeeds.

use inuse_keeper::act::options::{Ending, Question, Subject, look, plan, set};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::words;
use inuse_rules::{Address, State};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept, bind, listen, socket_with, sockopt};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a run that is the old server.
pub(crate) const SERVER: &str = "__old-server";

const HERE: &str = "127.0.0.1:8080";

fn here() -> SocketAddr {
    HERE.parse().expect("an address")
}

/// Sets no option, accepts one connection and no other.
pub(crate) fn serve() {
    let flags = SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    bind(&listener, &here()).expect("the port");
    listen(&listener, 8).expect("to listen");
    let _connection = accept(&listener).expect("a client");
    std::thread::sleep(Duration::from_secs(1000));
}

/// What the kernel says to a bind and listen.
fn start(reuseaddr: bool) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, reuseaddr)?;
    bind(&socket, &here())?;
    listen(&socket, 8)
}

fn subject() -> Subject {
    Subject::Addresses(vec![Address::tcp(here())])
}

/// The server, with one connection that it accepted and one that it did not.
fn staged() -> (Child, [TcpStream; 2]) {
    let server = Command::new("/proc/self/exe").arg(SERVER).stdin(Stdio::null()).spawn().expect("a server");
    let deadline = Instant::now() + Duration::from_secs(10);
    let first = loop {
        match TcpStream::connect(HERE) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("the server does not listen: {error}"),
        }
    };
    let second = TcpStream::connect(HERE).expect("the server");
    let is_staged = || {
        let seen = look(&Netns::current(), &subject(), Question::default()).expect("the server's sockets");
        let states: Vec<Option<State>> = seen.found.iter().map(|found| found.traits.state).collect();
        states == [Some(State::Listen), Some(State::Established)] && seen.beyond.queued == 1
    };
    while !is_staged() {
        assert!(Instant::now() < deadline, "one connection is accepted, and one waits");
        std::thread::sleep(Duration::from_millis(5));
    }
    (server, [first, second])
}

/// The old server ends with its connections open; what it leaves stays until their clients close.
fn end(mut server: Child, clients: [TcpStream; 2]) {
    server.kill().expect("our child");
    server.wait().expect("its end");
    drop(clients);
    std::thread::sleep(Duration::from_millis(100));
}

pub(crate) fn mended() {
    let (server, clients) = staged();
    let asked = [words::parse("SO_REUSEADDR=1").expect("an option")];
    let seen = look(&Netns::current(), &subject(), Question::default()).expect("the server's sockets");
    let planned = plan(&seen, &asked, false);
    assert!(planned.objections.is_empty(), "no force is needed: {planned:?}");
    let places: Vec<Option<State>> =
        planned.steps.iter().map(|step| seen.found[step.found].traits.state).collect();
    assert_eq!(places, [Some(State::Listen), Some(State::Established)], "the listener first");
    assert!(
        planned.notes.iter().any(|note| note.contains("1 connection waits to be accepted")),
        "{planned:?}"
    );
    let outcome = set(&Netns::current(), &seen, &planned);
    assert!(outcome.deeds.iter().all(|deed| matches!(deed.ending, Ending::Set { .. })), "{outcome:?}");
    assert_eq!(start(true), Err(Errno::ADDRINUSE), "the old server still listens");
    end(server, clients);
    // The accepted connection is in TIME_WAIT now: it refuses a start without the option, and only that one.
    assert_eq!(start(false), Err(Errno::ADDRINUSE));
    assert_eq!(start(true), Ok(()));
}

/// The same without mending: nobody comes in, with the option or without.
pub(crate) fn unmended() {
    let (server, clients) = staged();
    end(server, clients);
    assert_eq!(start(false), Err(Errno::ADDRINUSE));
    assert_eq!(start(true), Err(Errno::ADDRINUSE));
}
