//! A load for servers that are restarted: clients that ask, wait for the whole answer, and ask again.
//!
//! There are three kinds of clients: one connection for each request, one connection for many, and requests that
//! take two seconds. A request counts only if its answer names the generation that served it. What went wrong is
//! counted by what a client sees of it; see [`Tally`].
//!
//! The loop is closed: a client that waits asks nothing else, so a pause shows as a slow request of each client
//! and not as a pile of them. Not here: restarting anything (`zoo`, the tests of `inuse run`).

mod answer;
mod client;
mod tally;

pub use answer::{Dialect, SLOW};
pub use tally::Tally;

use client::{Client, Kind};
use inuse_kernel::Netns;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be asked, and by how many.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server.
    pub to: SocketAddr,
    /// What it speaks.
    pub speaks: Dialect,
    /// Clients with a new connection for each request.
    pub one_shot: usize,
    /// Clients with one connection for all requests.
    pub keep_alive: usize,
    /// Clients whose requests take two seconds: `GET /slow`.
    pub slow: usize,
    /// A client's pause between an answer and its next request.
    pub pause: Duration,
}

impl Plan {
    /// Some one-shot clients and some that keep their connections, at a few hundred requests a second in all.
    pub fn new(to: SocketAddr, speaks: Dialect) -> Plan {
        Plan { to, speaks, one_shot: 4, keep_alive: 2, slow: 0, pause: Duration::from_millis(5) }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<(Arc<Mutex<Tally>>, JoinHandle<()>)>,
}

impl Load {
    /// Sets the clients to work.
    ///
    /// # Errors
    /// For a port in the range of outgoing connections: one of those, of anybody's, could take it while nobody
    /// listens there, and what is counted then says nothing about the server.
    pub fn start(plan: &Plan) -> io::Result<Load> {
        refuse_ephemeral(plan.to.port())?;
        let over = Arc::new(AtomicBool::new(false));
        let kinds =
            [(Kind::OneShot, plan.one_shot), (Kind::KeepAlive, plan.keep_alive), (Kind::Slow, plan.slow)];
        let mut load = Load { over: over.clone(), clients: Vec::new() };
        for kind in kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |_| kind)) {
            let tally = Arc::new(Mutex::new(Tally::default()));
            let client = Client::new(kind, *plan, over.clone(), tally.clone());
            let thread = std::thread::Builder::new().name("client".into()).spawn(move || client.work())?;
            load.clients.push((tally, thread));
        }
        Ok(load)
    }

    /// What was counted so far.
    pub fn so_far(&self) -> Tally {
        let mut sum = Tally::default();
        for (tally, _) in &self.clients {
            if let Ok(tally) = tally.lock() {
                sum.add(&tally);
            }
        }
        sum
    }

    /// Waits until so many more requests were answered; false when that takes too long.
    pub fn goes_on(&self, more: u64) -> bool {
        let (wanted, until) = (self.so_far().ok + more, Instant::now() + PATIENCE);
        while self.so_far().ok < wanted {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Lets each client end its request, and counts.
    pub fn stop(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for (tally, thread) in self.clients {
            // A client has nothing that could panic; if one did, what it had counted still counts.
            let _ = thread.join();
            if let Ok(tally) = tally.lock() {
                sum.add(&tally);
            }
        }
        sum
    }
}

/// One request on a connection of its own: the name of the generation that answered.
///
/// # Errors
/// When there is no connection, or no whole answer that names a generation.
pub fn ask(to: SocketAddr, speaks: Dialect) -> io::Result<String> {
    finish(connect(to, speaks)?, speaks)
}

/// A connection on which a request waits to be answered.
///
/// # Errors
/// Those of connect(2) and send(2).
pub fn connect(to: SocketAddr, speaks: Dialect) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&speaks.question("/", false))?;
    Ok(stream)
}

/// The answer to [`connect`]: the name of the generation.
///
/// # Errors
/// When it is not whole, or names no generation.
pub fn finish(mut stream: TcpStream, speaks: Dialect) -> io::Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0u8; 4096]);
    loop {
        let length = stream.read(&mut part)?;
        bytes.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(answer) = speaks.answer(&bytes, length == 0) {
            return answer.generation.ok_or_else(|| io::Error::other("the answer names no generation"));
        }
        if length == 0 || bytes.len() > answer::LONGEST {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn refuse_ephemeral(port: u16) -> io::Result<()> {
    let settings = inuse_kernel::sysctls(&Netns::current()).map_err(io::Error::other)?.found;
    match settings.ephemeral(port) {
        false => Ok(()),
        true => Err(io::Error::other(format!("port {port} may be given to any outgoing connection"))),
    }
}
