//! A process of the crowd: opens its part, says so in one line, and keeps it until standard input ends.
//!
//! All of its connections are with itself, so that no order among the members is needed.

use super::Share;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

impl Share {
    /// The arguments of the member.
    pub(super) fn words(&self) -> [String; 5] {
        let Share { first_port, listeners, connections, others, time_wait } = *self;
        [usize::from(first_port), listeners, connections, others, time_wait].map(|number| number.to_string())
    }

    pub(super) fn from_words(words: &[&str]) -> Option<Share> {
        let [first_port, listeners, connections, others, time_wait] = words else { return None };
        Some(Share {
            first_port: first_port.parse().ok()?,
            listeners: listeners.parse().ok()?,
            connections: connections.parse().ok()?,
            others: others.parse().ok()?,
            time_wait: time_wait.parse().ok()?,
        })
    }
}

/// Becomes the member.
pub(crate) fn main(words: &[&str]) -> ! {
    // The pipe says the same; this also ends a member that is still staging.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let share = Share::from_words(words).ok_or(io::ErrorKind::InvalidInput.into());
    let opened = share.and_then(|share| {
        let name = CString::new(super::name(share.first_port))?;
        rustix::thread::set_name(&name)?;
        open(&share)
    });
    let report = match &opened {
        Ok(_) => "ok\n".to_owned(),
        Err(error) => format!("a member of the crowd: {}\n", error.to_string().replace('\n', " ")),
    };
    let told = io::stdout().write_all(report.as_bytes()).and_then(|()| io::stdout().flush());
    if opened.is_ok() && told.is_ok() {
        let _ = io::stdin().read(&mut [0]);
    }
    std::process::exit(i32::from(opened.is_err()))
}

/// Everything that the member keeps open.
struct Open {
    _listeners: Vec<TcpListener>,
    _connections: Vec<(TcpStream, TcpStream)>,
    _others: Vec<OwnedFd>,
}

fn open(share: &Share) -> io::Result<Open> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let listen = |at: usize| TcpListener::bind((Ipv4Addr::LOCALHOST, share.first_port + at as u16));
    let listeners: Vec<TcpListener> = (0..share.listeners).map(listen).collect::<io::Result<_>>()?;
    let listener = |at: usize| listeners.get(at % listeners.len().max(1)).ok_or(io::ErrorKind::InvalidInput);
    let connections = (0..share.connections)
        .map(|at| connect(listener(at)?))
        .collect::<io::Result<Vec<(TcpStream, TcpStream)>>>()?;
    let others = others(share.others)?;
    for at in 0..share.time_wait {
        // The server's end closes first, so that it is the listener's port that stays in TIME_WAIT.
        let (client, server) = connect(listener(at)?)?;
        drop(server);
        drop(client);
    }
    Ok(Open { _listeners: listeners, _connections: connections, _others: others })
}

fn connect(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}

/// Devices and pipes in turn, for what looks at each kind differently.
fn others(count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut others: Vec<OwnedFd> = Vec::with_capacity(count);
    while others.len() < count {
        others.push(File::open("/dev/null")?.into());
        if others.len() + 2 <= count {
            let (reader, writer) = io::pipe()?;
            others.extend([OwnedFd::from(reader), OwnedFd::from(writer)]);
        }
    }
    Ok(others)
}
