#![allow(unsafe_code)]
//! A datagram, and the process that sent it (`SO_PASSCRED` and `SCM_CREDENTIALS`, unix(7)).
//!
//! rustix has it too, in a type whose pid cannot be 0; yet the kernel says 0 for a sender outside of our pid namespace,
//! and anybody on the machine may send.
//!
//! # Safety
//! The kernel writes at most as many bytes as it is told. Headers are walked by the macros of cmsg(3), within the length
//! that the kernel gave back; a descriptor that it installed has no other owner.

use rustix::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::io;
use std::mem::MaybeUninit;

/// Descriptors of one message (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;
/// Room for them and for the credentials, in words, so that it is aligned: two headers of 16 bytes, and to spare.
const ROOM: usize = (MOST_DESCRIPTORS * size_of::<RawFd>() + size_of::<libc::ucred>() + 64) / 8;

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hold) struct Datagram {
    /// Bytes that were written.
    pub(in crate::hold) length: usize,
    /// Nothing of it was cut.
    pub(in crate::hold) whole: bool,
    /// Who sent it; `None` for a process that has no number here, and where the socket does not ask for that.
    pub(in crate::hold) sender: Option<Sender>,
}

/// A process, as it was when it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hold) struct Sender {
    pub(in crate::hold) pid: u32,
    pub(in crate::hold) uid: u32,
}

/// Receives one, without waiting. Descriptors that come along are closed.
pub(in crate::hold) fn receive(from: impl AsFd, into: &mut [u8]) -> io::Result<Datagram> {
    let mut control = [0u64; ROOM];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: zeros are a value of this structure of numbers and pointers.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: everything that the header points to lives through the call and is as long as it says.
    let received = unsafe { libc::recvmsg(from.as_fd().as_raw_fd(), &raw mut header, flags) };
    let Ok(length) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
    let sender = take(&header);
    Ok(Datagram { length, whole: header.msg_flags & libc::MSG_TRUNC == 0, sender })
}

/// The sender; and closes what came along.
fn take(header: &libc::msghdr) -> Option<Sender> {
    let mut sender = None;
    // SAFETY: the header is as recvmsg(2) left it, and its buffer lives.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: the macros give back only headers that lie whole in the buffer, which is aligned for them.
        let (message, data) = unsafe { (*at, libc::CMSG_DATA(at)) };
        #[allow(clippy::unnecessary_cast, reason = "another C library has a shorter type there")]
        let whole = message.cmsg_len as usize;
        // SAFETY: it is a sum of constants.
        let length = whole.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: so many bytes are there, and any are a value of this structure of integers.
                let credentials = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                let uid = credentials.uid;
                sender = super::number::known(credentials.pid).map(|pid| Sender { pid, uid });
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for number in 0..length / size_of::<RawFd>() {
                    // SAFETY: so many descriptors are there, new in our table, and nobody else knows of them.
                    drop(unsafe { OwnedFd::from_raw_fd(data.cast::<RawFd>().add(number).read_unaligned()) });
                }
            }
            _ => {}
        }
        // SAFETY: as for the first one.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_datagram_names_its_sender_and_leaves_no_descriptor() {
        let (here, there) = UnixDatagram::pair().expect("a pair");
        let nothing = receive(&there, &mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);

        here.send(b"unasked").expect("room");
        let got = receive(&there, &mut [0; 8]).expect("a datagram");
        assert_eq!(got, Datagram { length: 7, whole: true, sender: None });

        sockopt::set_socket_passcred(&there, true).expect("a unix socket");
        let (mut reader, pipe) = std::io::pipe().expect("a pipe");
        let many = [pipe.as_fd(); MOST_DESCRIPTORS];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut rights = SendAncillaryBuffer::new(&mut room);
        assert!(rights.push(SendAncillaryMessage::ScmRights(&many)));
        sendmsg(&here, &[io::IoSlice::new(b"much more")], &mut rights, SendFlags::empty()).expect("room");
        let mut bytes = [0; 4];
        let got = receive(&there, &mut bytes).expect("a datagram");
        assert_eq!((&bytes, got.whole), (b"much", false));
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(got.sender, Some(Sender { pid: std::process::id(), uid }));
        // The pipe ends when its last writer is closed.
        drop(pipe);
        assert_eq!(io::Read::read(&mut reader, &mut [0]).expect("a pipe"), 0);
    }
}
