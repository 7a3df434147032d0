//! A threaded server that ends gracefully: it closes its listener, lets the connections finish, and gives up on
//! those that do not within some seconds.
//!
//! What this is for: no client loses an answer. What it does not do is to avoid TIME_WAIT. Whoever closes a
//! connection first keeps it in TIME_WAIT for a minute, and at the end that is the server, however it ends: the
//! kernel closes the sockets of a killed process as close(2) does. It need not avoid it either: the listener has
//! SO_REUSEADDR, as every listener of this library, so that the next server binds the port at once.
//!
//! Not here: telling the clients to go (an HTTP server answers `Connection: close`). Nor close the connections by
//! SO_LINGER with a time of zero: that leaves no TIME_WAIT, because it throws away what is not yet delivered.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use inuse_bind::{Listen, ShutdownSignal, shutdown_signal};
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What connections get to finish.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that are still taken when it is time to end: as many as may have waited to be accepted.
const WAITING: usize = 4096;

/// The connections that are served now, each to be told that no more will be read.
type Open = Arc<Mutex<Vec<Arc<TcpStream>>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let shutdown = shutdown_signal()?;
    let server = Listen::tcp(&*address).nonblocking(true).bind()?;
    println!("listening on {}", server.local_addr()?);
    let open = Open::default();
    while let Some(connection) = next(&server, &shutdown)? {
        serve(connection, &open)?;
    }
    // Who has connected by now believes to be served: to close the listener would reset those that wait.
    for _ in 0..WAITING {
        let Some(connection) = accept(&server)? else { break };
        serve(connection, &open)?;
    }
    // Nobody can connect from here on, and the next server may bind the port already.
    drop(server);
    // Each client gets the answers to what it has sent, and then the end of the connection.
    for connection in open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = connection.shutdown(Shutdown::Read);
    }
    let until = Instant::now() + PATIENCE;
    let left = || open.lock().unwrap_or_else(PoisonError::into_inner).len();
    while left() > 0 && Instant::now() < until && shutdown.received().len() < 2 {
        thread::sleep(Duration::from_millis(20));
    }
    println!("ended; {} connections were cut off", left());
    Ok(())
}

/// The next connection, or nothing when it is time to end.
fn next(server: &TcpListener, shutdown: &ShutdownSignal) -> io::Result<Option<TcpStream>> {
    loop {
        let mut both = [PollFd::new(server, PollFlags::IN), PollFd::new(shutdown, PollFlags::IN)];
        match poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => _ = other?,
        }
        if !shutdown.received().is_empty() {
            return Ok(None);
        }
        if let Some(connection) = accept(server)? {
            return Ok(Some(connection));
        }
    }
}

/// A connection that waits to be accepted, if there is one.
fn accept(server: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match server.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(false)?;
                return Ok(Some(connection));
            }
            // It left before it was its turn.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Echoes in a thread of its own, until the client has said all.
fn serve(connection: TcpStream, open: &Open) -> io::Result<()> {
    let connection = Arc::new(connection);
    open.lock().unwrap_or_else(PoisonError::into_inner).push(connection.clone());
    let open = open.clone();
    thread::Builder::new().spawn(move || {
        let _ = io::copy(&mut &*connection, &mut &*connection);
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| !Arc::ptr_eq(other, &connection));
    })?;
    Ok(())
}
