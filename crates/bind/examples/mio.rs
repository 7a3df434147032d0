//! A mio loop around a listener that explains why it cannot start: it greets, hangs up, and ends when asked to.
//!
//! The listener and the shutdown signal are two descriptors of one poll; nothing else is needed.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use inuse_bind::{Listen, shutdown_signal};
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;

const SERVER: Token = Token(0);
const SHUTDOWN: Token = Token(1);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let mut server = TcpListener::from_std(Listen::tcp(&*address).nonblocking(true).bind()?);
    let shutdown = shutdown_signal()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut server, SERVER, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&shutdown.as_raw_fd()), SHUTDOWN, Interest::READABLE)?;
    println!("listening on {}", server.local_addr()?);
    let mut events = Events::with_capacity(16);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            match event.token() {
                SHUTDOWN => return Ok(()),
                _ => greet(&server)?,
            }
        }
    }
}

/// Until nobody waits any more: mio tells of a change only, not of those who still wait.
fn greet(server: &TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        match server.accept() {
            // A new connection has an empty send buffer; a client that has left already is no error.
            Ok((mut connection, _)) => _ = connection.write_all(b"hello\n"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
