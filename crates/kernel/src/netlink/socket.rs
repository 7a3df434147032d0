//! The descriptor of a netlink conversation: sends a request, hands on the rows of its answer.
//!
//! The kernel answers while send() and recv() run, so an answer is there when it is asked for; a time
//! limit on recv() stands in for every way in which one could be missing.

use super::answer::{Answer, Complete, Failure};
use super::wire::Request;
use crate::error::Error;
use crate::netns::Netns;
use crate::sys::ext_ack;
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

impl Netlink {
    /// A socket of that protocol in that namespace.
    pub(crate) fn open(netns: &Netns, protocol: Option<Protocol>) -> Result<Netlink, Error> {
        let fd = netns
            .inside(|| socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol))?
            .map_err(|errno| Error::new("open", "a netlink socket", errno))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| Error::new("prepare", "a netlink socket", errno))?;
        ext_ack::enable(&fd);
        Ok(Netlink { fd, buffer: Vec::with_capacity(BUFFER), sequence: 0 })
    }

    /// Asks for a dump, and hands each row's message type and payload to `each`. After an error the rows
    /// that came before it have been handed on.
    pub(crate) fn dump(
        &mut self,
        object: &str,
        request: Request,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<Complete, Error> {
        self.send(object, request)?;
        self.receive_all(object, Answer::of_dump(self.sequence), each)
    }

    /// Asks a question that one message answers, and hands its payload to `read`.
    pub(crate) fn ask<T>(
        &mut self,
        object: &str,
        request: Request,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        self.send(object, request)?;
        let mut found = None;
        self.receive_all(object, Answer::of_one(self.sequence), &mut |_, payload| found = read(payload))?;
        found.ok_or_else(|| Error::Malformed { object: object.into(), what: "an answer that cannot be read" })
    }

    /// Has something done, and waits for the acknowledgement.
    #[cfg(feature = "destroy")]
    pub(crate) fn tell(&mut self, act: &'static str, object: &str, request: Request) -> Result<(), Error> {
        self.send(object, request)?;
        let done = self.receive_all(object, Answer::of_one(self.sequence), &mut |_, _| {});
        match done {
            // No acknowledgement came, so it is not known to be done.
            Ok(Complete { interrupted: true }) => Err(Error::new(act, object, Errno::TIMEDOUT)),
            Ok(_) => Ok(()),
            Err(Error::Denied { object, needs, .. }) => Err(Error::Denied { act, object, needs }),
            Err(Error::Unsupported { object, errno, .. }) => Err(Error::Unsupported { act, object, errno }),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, object: &str, mut request: Request) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.bytes(self.sequence);
        sendto(&self.fd, bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
            .map(drop)
            .map_err(|errno| Error::new(ACT, object, errno))
    }

    fn receive_all(
        &mut self,
        object: &str,
        mut answer: Answer,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<Complete, Error> {
        let end = loop {
            match self.receive() {
                Ok(datagram) => {
                    if let Some(end) = answer.take(datagram, each) {
                        break end;
                    }
                }
                Err(Lost::Datagram) => answer.lost(),
                Err(Lost::Rest) => break answer.cut_off(),
                Err(Lost::Socket(errno)) => return Err(Error::new(ACT, object, errno)),
            }
        };
        end.map_err(|failure| explain(object, failure))
    }

    /// One datagram from the kernel.
    fn receive(&mut self) -> Result<&[u8], Lost> {
        let length = loop {
            self.buffer.clear();
            match recvfrom(&self.fd, spare_capacity(&mut self.buffer), RecvFlags::TRUNC) {
                Ok((_, length, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    if sender.is_some_and(|sender| sender.pid() == 0) {
                        break length;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(Lost::Rest),
                Err(Errno::NOBUFS) => return Err(Lost::Datagram),
                Err(errno) => return Err(Lost::Socket(errno)),
            }
        };
        if length > self.buffer.len() {
            self.buffer.clear();
            self.buffer.reserve_exact(length.min(LARGEST_BUFFER));
            return Err(Lost::Datagram);
        }
        Ok(&self.buffer)
    }
}

/// Why there is no datagram.
enum Lost {
    /// It was too long, or there was no memory for it; others follow.
    Datagram,
    /// No more come.
    Rest,
    /// The socket failed.
    Socket(Errno),
}

fn explain(object: &str, failure: Failure) -> Error {
    match failure {
        Failure::Refused(errno, words) => {
            let object = words.map_or_else(|| object.to_owned(), |words| format!("{object} ({words})"));
            Error::new(ACT, object, Errno::from_raw_os_error(errno))
        }
        Failure::Malformed(what) => Error::Malformed { object: object.into(), what },
    }
}
