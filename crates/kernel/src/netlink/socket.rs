//! The descriptor of a netlink conversation: sends a request, hands on the rows of its answer.
//!
//! The kernel answers while send() and recv() run, so an answer is there when it is asked for; a time
//! limit on recv() stands in for every way in which one could be missing.

use super::wire::{Message, Messages, Request, Said};
use crate::error::Error;
use crate::netns::Netns;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink,
    recvfrom, sendto, socket_with, sockopt,
};
use std::time::Duration;

/// What every conversation does, in words.
const ACT: &str = "ask the kernel for";
/// The kernel fills at most this much at a time (`netlink_dump`), and no less when it is offered.
const BUFFER: usize = 32 * 1024;
/// More than any message that we ask for.
const LARGEST_BUFFER: usize = 1024 * 1024;
/// How long an answer may be missing; it never is.
const PATIENCE: Duration = Duration::from_secs(2);

/// A netlink socket in some network namespace.
pub(crate) struct Netlink {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// How a dump went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dumped {
    /// The table changed meanwhile, or messages were lost: rows may be missing or twice there.
    pub(crate) interrupted: bool,
}

impl Netlink {
    /// A socket of that protocol in that namespace.
    pub(crate) fn open(netns: &Netns, protocol: Option<Protocol>) -> Result<Netlink, Error> {
        let fd = netns
            .inside(|| socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol))?
            .map_err(|errno| Error::new("open", "a netlink socket", errno))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| Error::new("prepare", "a netlink socket", errno))?;
        Ok(Netlink { fd, buffer: Vec::with_capacity(BUFFER), sequence: 0 })
    }

    /// Asks for a dump, and hands each row's message type and payload to `each`. After an error the rows
    /// that came before it have been handed on.
    pub(crate) fn dump(
        &mut self,
        object: &str,
        request: Request,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<Dumped, Error> {
        self.send(object, request)?;
        let mut dump = Dump::new(self.sequence);
        loop {
            match self.receive() {
                Ok(datagram) => {
                    let progress = dump.take(datagram, each);
                    if let Some(end) = progress {
                        return end.map_err(|failure| failure.into_error(object));
                    }
                }
                Err(Lost::Some) => dump.lost(),
                Err(Lost::End) => {
                    return Ok(Dumped { interrupted: true });
                }
                Err(Lost::Failed(errno)) => return Err(Error::new(ACT, object, errno)),
            }
        }
    }

    /// Asks one question, and hands its answer's payload to `read`.
    pub(crate) fn ask<T>(
        &mut self,
        object: &str,
        request: Request,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        self.send(object, request)?;
        let mut found = None;
        let mut dump = Dump::new(self.sequence);
        dump.single = true;
        loop {
            match self.receive() {
                Ok(datagram) => {
                    match dump
                        .take(datagram, &mut |kind, payload| found = found.take().or(read(kind, payload)))
                    {
                        Some(Ok(_)) => break,
                        Some(Err(failure)) => return Err(failure.into_error(object)),
                        None => {}
                    }
                }
                Err(Lost::Some) => dump.lost(),
                Err(Lost::End) => break,
                Err(Lost::Failed(errno)) => return Err(Error::new(ACT, object, errno)),
            }
        }
        found.ok_or_else(|| Error::Malformed { object: object.into(), what: "an answer that cannot be read" })
    }

    fn send(&mut self, object: &str, mut request: Request) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.bytes(self.sequence);
        sendto(&self.fd, bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
            .map(drop)
            .map_err(|errno| Error::new(ACT, object, errno))
    }

    /// One datagram from the kernel.
    fn receive(&mut self) -> Result<&[u8], Lost> {
        self.buffer.clear();
        let (length, sender) = loop {
            let buffer = spare_capacity(&mut self.buffer);
            match recvfrom(&self.fd, buffer, RecvFlags::TRUNC) {
                Ok((_, length, sender)) => break (length, sender),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(Lost::End),
                Err(Errno::NOBUFS) => return Err(Lost::Some),
                Err(errno) => return Err(Lost::Failed(errno)),
            }
        };
        let from_kernel = sender
            .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
            .is_some_and(|sender| sender.pid() == 0);
        if !from_kernel {
            return Err(Lost::Some);
        }
        if length > self.buffer.len() {
            let wanted = length.min(LARGEST_BUFFER);
            self.buffer.clear();
            self.buffer.reserve_exact(wanted);
            return Err(Lost::Some);
        }
        Ok(&self.buffer)
    }
}

/// Why there is no datagram.
enum Lost {
    /// One or more are lost, others follow.
    Some,
    /// None is left.
    End,
    /// The socket failed.
    Failed(Errno),
}

/// The bytes' half of a dump: what was seen so far of the answer to one request.
struct Dump {
    sequence: u32,
    single: bool,
    interrupted: bool,
    malformed: Option<&'static str>,
}

/// How a dump failed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    Errno(i32, Option<String>),
    Malformed(&'static str),
}

impl Failure {
    fn into_error(self, object: &str) -> Error {
        match self {
            Failure::Errno(errno, words) => {
                let object = words.map_or_else(|| object.to_owned(), |words| format!("{object} ({words})"));
                Error::new(ACT, object, Errno::from_raw_os_error(errno))
            }
            Failure::Malformed(what) => Error::Malformed { object: object.into(), what },
        }
    }
}

impl Dump {
    fn new(sequence: u32) -> Dump {
        Dump { sequence, single: false, interrupted: false, malformed: None }
    }

    fn lost(&mut self) {
        self.interrupted = true;
    }

    /// Takes one datagram; `Some` when the answer is complete. Messages that answer an older request are
    /// passed over. A malformed message ends the reading but not the receiving: what is left of the dump
    /// must not be taken for the answer to the next request.
    fn take(&mut self, datagram: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> Option<Result<Dumped, Failure>> {
        for message in Messages::new(datagram) {
            let Message { sequence, interrupted, said } = match message {
                Ok(message) => message,
                Err(malformed) => {
                    self.malformed.get_or_insert(malformed.0);
                    return self.single.then(|| self.end(0, None));
                }
            };
            if sequence != self.sequence {
                continue;
            }
            self.interrupted |= interrupted;
            match said {
                Said::Row(kind, payload) => {
                    if self.malformed.is_none() {
                        each(kind, payload);
                    }
                    if self.single {
                        return Some(self.end(0, None));
                    }
                }
                Said::Done(errno) => return Some(self.end(errno, None)),
                Said::Error(errno, words) => return Some(self.end(errno, words)),
            }
        }
        None
    }

    fn end(&self, errno: i32, words: Option<&str>) -> Result<Dumped, Failure> {
        match (self.malformed, errno) {
            (_, 1..) => Err(Failure::Errno(errno, words.map(str::to_owned))),
            (Some(what), _) => Err(Failure::Malformed(what)),
            (None, _) => Ok(Dumped { interrupted: self.interrupted }),
        }
    }
}
