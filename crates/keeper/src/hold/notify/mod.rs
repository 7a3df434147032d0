//! sd_notify(3), both ways: what a generation says to us, and what we say to our own supervisor.
//!
//! A generation's socket is abstract with a random name, so that a program that changed its user or its root
//! still reaches it; who sent a message is told by the kernel (`SO_PASSCRED`), never by the message.
//! Descriptors that come along are closed: that ends the wait of a `BARRIER=1`.

mod message;

pub(super) use message::Message;

use super::sys::message::{Datagram, Sender, receive};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, sendto, socket_with, sockopt,
};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Where one generation says how it fares.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: OwnedFd,
    name: Vec<u8>,
}

/// A message, and the process that sent it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) sender: Sender,
    pub(super) message: Message,
}

impl Receiver {
    pub(super) fn open() -> io::Result<Receiver> {
        let mut random = [0u8; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("inuse-run/{hex}").into_bytes();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_passcred(&socket, true)?;
        bind(&socket, &SocketAddrUnix::new_abstract_name(&name)?)?;
        Ok(Receiver { socket, name })
    }

    /// What `NOTIFY_SOCKET` is to be.
    pub(super) fn address(&self) -> OsString {
        OsString::from_vec([b"@", self.name.as_slice()].concat())
    }

    /// The next message, if there is one. What is cut, or comes from a process that has no number in our pid
    /// namespace, is passed over.
    pub(super) fn next(&self) -> Option<Received> {
        loop {
            let mut bytes = [0u8; message::LONGEST + 1];
            let Datagram { length, whole, sender } = receive(&self.socket, &mut bytes).ok()?;
            let whole = whole && length <= message::LONGEST;
            if let (Some(sender), true, Some(text)) = (sender, whole, bytes.get(..length)) {
                return Some(Received { sender, message: Message::parse(text) });
            }
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Our own supervisor, if there is one.
#[derive(Debug)]
pub(super) struct Upwards {
    to: Option<(OwnedFd, SocketAddrUnix)>,
}

impl Upwards {
    /// From the value of `NOTIFY_SOCKET`.
    pub(super) fn new(address: Option<&OsString>) -> Upwards {
        let to = address.and_then(|address| {
            let bytes = address.as_bytes();
            let address = match bytes.strip_prefix(b"@") {
                Some(name) => SocketAddrUnix::new_abstract_name(name),
                None if bytes.starts_with(b"/") => SocketAddrUnix::new(bytes),
                None => return None,
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
            Some((socket.ok()?, address.ok()?))
        });
        Upwards { to }
    }

    /// Says something; nobody is left to be told when that fails.
    pub(super) fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            let _ = sendto(socket, text.as_bytes(), SendFlags::NOSIGNAL, address);
        }
    }

    /// Whether anybody listens.
    pub(super) fn is_there(&self) -> bool {
        self.to.is_some()
    }
}
