//! The private socket through which `inuse ctl` reaches a supervisor.
//!
//! It stands in a directory that only its user can enter; who connects is asked of the kernel
//! (`SO_PEERCRED`) all the same, and must be that user or root. One connection, one request, one answer.
//!
//! Not here: what a request leads to (`supervise`), and its words (`protocol`).

pub mod client;
mod place;
pub mod protocol;

pub use place::{Place, name};

use super::sys::peer;
use protocol::{Answer, LONGEST_REQUEST, Request};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, send,
    socket_with, sockopt,
};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Connections at once; more wait in the kernel's queue.
const MOST: usize = 16;

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// A supervisor's end.
#[derive(Debug)]
pub(super) struct Server {
    socket: OwnedFd,
    name: String,
    path: PathBuf,
    connections: Vec<Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    socket: OwnedFd,
    read: Vec<u8>,
    until: Instant,
    asked: bool,
}

/// A request that arrived whole.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) connection: u64,
    pub(super) request: Request,
}

impl Server {
    /// Listens in that place, where it also removes what others left that were killed. Where another one has the name
    /// it gets a number behind it: a name is of one only, and for as long as that lives.
    pub(super) fn open(place: &Place, name: &str) -> io::Result<Server> {
        client::clear(place);
        let _lock = place.lock();
        let name = place.free_name(name)?;
        let path = place.path(&name, std::process::id());
        if client::answers(&path) {
            return Err(Errno::ADDRINUSE.into());
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // It has its name when it listens: who is refused there can be sure that nobody is behind it.
        let unnamed = path.with_extension("new");
        let _ = std::fs::remove_file(&unnamed);
        bind(&socket, &SocketAddrUnix::new(&unnamed)?)?;
        listen(&socket, i32::try_from(MOST).unwrap_or(16))?;
        std::fs::rename(&unnamed, &path)?;
        Ok(Server { socket, name, path, connections: Vec::new(), next: 1 })
    }

    /// The name by which it is found.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What to wait on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = (self.connections.len() < MOST).then(|| self.socket.as_fd());
        listener.into_iter().chain(self.connections.iter().map(|connection| connection.socket.as_fd()))
    }

    /// When somebody has been silent for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections
            .iter()
            .filter(|connection| !connection.asked)
            .map(|connection| connection.until)
            .min()
    }

    /// Takes what has come.
    pub(super) fn serve(&mut self) -> Vec<Asked> {
        while self.connections.len() < MOST {
            let Ok(socket) = accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
                break;
            };
            if is_allowed(&socket) {
                let until = Instant::now() + PATIENCE;
                self.connections.push(Connection {
                    id: self.next,
                    socket,
                    read: Vec::new(),
                    until,
                    asked: false,
                });
                self.next += 1;
            }
        }
        let mut asked = Vec::new();
        let mut wrong = Vec::new();
        self.connections.retain_mut(|connection| match connection.read() {
            Reading::More => connection.asked || connection.until > Instant::now(),
            Reading::Over => false,
            Reading::Whole(Ok(request)) => {
                asked.push(Asked { connection: connection.id, request });
                true
            }
            Reading::Whole(Err(error)) => {
                wrong.push((connection.id, error));
                true
            }
        });
        for (connection, error) in wrong {
            self.answer(connection, &Answer::failed(error));
        }
        asked
    }

    /// Answers, and hangs up. Who is gone already is not missed.
    pub(super) fn answer(&mut self, connection: u64, answer: &Answer) {
        let Some(at) = self.connections.iter().position(|other| other.id == connection) else { return };
        let connection = self.connections.remove(at);
        let _ = rustix::io::ioctl_fionbio(&connection.socket, false);
        let _ = sockopt::set_socket_timeout(
            &connection.socket,
            sockopt::Timeout::Send,
            Some(Duration::from_secs(1)),
        );
        let line = answer.line();
        let mut left = line.as_bytes();
        while let Ok(sent @ 1..) = send(&connection.socket, left, SendFlags::NOSIGNAL) {
            left = left.get(sent..).unwrap_or_default();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been taken away already.
        let _ = std::fs::remove_file(&self.path);
    }
}

enum Reading {
    More,
    Over,
    Whole(Result<Request, String>),
}

impl Connection {
    fn read(&mut self) -> Reading {
        loop {
            let mut part = [0u8; 512];
            match rustix::io::read(&self.socket, &mut part) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Reading::More,
                // What comes after the request is of no interest; that the other end is gone is.
                Ok(1..) if self.asked => {}
                Ok(0) | Err(_) => return Reading::Over,
                Ok(length) => {
                    self.read.extend_from_slice(part.get(..length).unwrap_or_default());
                    let end = self.read.iter().position(|byte| *byte == b'\n');
                    if end.is_none() && self.read.len() <= LONGEST_REQUEST {
                        continue;
                    }
                    self.asked = true;
                    let line = end.and_then(|end| self.read.get(..end));
                    return Reading::Whole(match line.filter(|line| line.len() <= LONGEST_REQUEST) {
                        Some(line) => Request::parse(line),
                        None => Err("the request is too long".into()),
                    });
                }
            }
        }
    }
}

/// Whether the other end is our user, or root.
fn is_allowed(socket: &OwnedFd) -> bool {
    peer::uid(socket).is_ok_and(|user| user == 0 || user == rustix::process::geteuid().as_raw())
}
