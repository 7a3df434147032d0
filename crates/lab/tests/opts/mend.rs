//! A live server without SO_REUSEADDR is mended, and restarted with live connections. One of them was accepted, one
//! waits in the queue, one was closed before, one is accepted just then. Nothing here asks the rule: the kernel says by a real bind what succeeds.

use inuse_keeper::act::options::{Ending, Look, Outcome, Plan, Question, Subject, look, plan, set};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::words;
use inuse_rules::{Address, State};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept, bind, listen, socket_with, sockopt};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a run that is the old server.
pub(crate) const SERVER: &str = "__old-server";

const HERE: &str = "127.0.0.1:8080";

fn here() -> SocketAddr {
    HERE.parse().expect("an address")
}

/// Sets no option, and accepts a connection for each byte on standard input: `a` keeps it, `c` closes it at once.
pub(crate) fn serve() {
    let flags = SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    bind(&listener, &here()).expect("the port");
    listen(&listener, 8).expect("to listen");
    let mut kept = Vec::new();
    for order in std::io::stdin().lock().bytes() {
        let connection = accept(&listener).expect("a client");
        if order.expect("a pipe") == b'a' {
            kept.push(connection);
        }
    }
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

/// The old server, what it is told by, and its clients, in the order in which they came.
struct Old {
    server: Child,
    orders: ChildStdin,
    clients: Vec<TcpStream>,
}

impl Old {
    /// A connection for each order, which the server has followed, and one more that waits to be accepted.
    fn staged(followed: &str) -> Old {
        let mut command = Command::new("/proc/self/exe");
        let mut server = command.arg(SERVER).stdin(Stdio::piped()).spawn().expect("a server");
        let orders = server.stdin.take().expect("a pipe");
        let mut old = Old { server, orders, clients: Vec::new() };
        for order in followed.bytes() {
            old.clients.push(client());
            old.order(order);
        }
        old.clients.push(client());
        let kept = followed.bytes().filter(|&order| order == b'a').count();
        old.until(kept, 1);
        until("the closed connections have their acknowledgement", || {
            seen().beyond.orphans + kept == followed.len()
        });
        old
    }

    fn order(&mut self, order: u8) {
        self.orders.write_all(&[order]).expect("the server");
    }

    /// Waits until the server has so many connections, and so many wait.
    fn until(&self, accepted: usize, queued: usize) {
        until("connections are accepted, or wait", || {
            let seen = seen();
            seen.found.len() == 1 + accepted && seen.beyond.queued == queued
        });
    }

    /// The old server ends with its connections open; what it leaves stays until their clients close.
    fn end(mut self) -> Vec<TcpStream> {
        self.server.kill().expect("our child");
        self.server.wait().expect("its end");
        self.clients
    }
}

fn client() -> TcpStream {
    let mut stream = None;
    until("the server listens", || {
        stream = TcpStream::connect(HERE).ok();
        stream.is_some()
    });
    stream.expect("a connection")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn seen() -> Look {
    look(&Netns::current(), &subject(), Question::default()).expect("the server's sockets")
}

/// The states of the sockets that are set, in order, and what came of it all.
fn mend(seen: &Look) -> (Plan, Outcome) {
    let asked = [words::parse("SO_REUSEADDR=1").expect("an option")];
    let planned = plan(seen, &asked, false);
    assert!(planned.objections.is_empty(), "no force is needed: {planned:?}");
    let outcome = set(&Netns::current(), seen, &planned);
    assert!(outcome.deeds.iter().all(|deed| matches!(deed.ending, Ending::Set { .. })), "{outcome:?}");
    (planned, outcome)
}

#[track_caller]
fn notes(plan: &Plan, expect: &str) {
    assert!(plan.notes.iter().any(|note| note.contains(expect)), "{:?}", plan.notes);
}

pub(crate) fn mended() {
    let old = Old::staged("a");
    let seen = seen();
    let (plan, _) = mend(&seen);
    let states: Vec<Option<State>> =
        plan.steps.iter().map(|step| seen.found[step.found].traits.state).collect();
    assert_eq!(states, [Some(State::Listen), Some(State::Established)], "the listener first");
    notes(&plan, "1 connection waits to be accepted");
    assert_eq!(start(true), Err(Errno::ADDRINUSE), "the old server still listens");
    let clients = old.end();
    // Its connection lives on, closed at one end: it refuses a start without the option, and only that one.
    assert_eq!(start(false), Err(Errno::ADDRINUSE));
    assert_eq!(start(true), Ok(()));
    drop(clients);
    // And so does what stays of it.
    until("its connection is in TIME_WAIT", || self::seen().beyond.time_wait == 1);
    assert_eq!(start(false), Err(Errno::ADDRINUSE));
    assert_eq!(start(true), Ok(()));
}

/// The same without mending: nobody comes in, with the option or without.
pub(crate) fn unmended() {
    let clients = Old::staged("a").end();
    assert_eq!([start(false), start(true)], [Err(Errno::ADDRINUSE); 2], "with live connections");
    drop(clients);
    until("its connection is in TIME_WAIT", || seen().beyond.time_wait == 1);
    assert_eq!([start(false), start(true)], [Err(Errno::ADDRINUSE); 2], "with what stays of them");
}

/// A connection that the server closed before has no owner who could be asked: it is counted, and refuses the next
/// start, mended or not.
pub(crate) fn orphan() {
    let old = Old::staged("ca");
    let (plan, _) = mend(&seen());
    notes(&plan, "1 connection that is closed already");
    let clients = old.end();
    assert_eq!(start(true), Err(Errno::ADDRINUSE));
    drop(clients);
}

/// A connection that is accepted between the look and the setting is found and set as well.
pub(crate) fn latecomer() {
    let mut old = Old::staged("a");
    let seen = seen();
    old.order(b'a');
    old.until(2, 0);
    let (plan, outcome) = mend(&seen);
    assert_eq!((plan.steps.len(), outcome.deeds.len()), (2, 3), "{outcome:?}");
    let clients = old.end();
    assert_eq!(start(true), Ok(()));
    drop(clients);
}
