//! Datagrams with descriptors over a pair of `SOCK_SEQPACKET` sockets (unix(7), `SCM_RIGHTS`).
//!
//! Not here: what they say (`wire`).

use super::wire::LONGEST;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::mem::MaybeUninit;
use std::time::Duration;

/// The most descriptors in one datagram.
const MOST_DESCRIPTORS: usize = 2;

/// A datagram that arrived.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Two connected ends.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends without waiting. AGAIN: the other side does not read; PIPE: there is none.
pub(super) fn send(to: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(to, &[IoSlice::new(bytes)], &mut ancillary, flags).map(drop)
}

/// Sends, and waits a bounded time for room.
pub(super) fn send_patiently(
    to: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    patience: Duration,
) -> Result<(), Errno> {
    match send(&to, bytes, descriptors) {
        Err(Errno::AGAIN) if wait(&to, PollFlags::OUT, patience)? => send(&to, bytes, descriptors),
        done => done,
    }
}

/// Receives without waiting. `Ok(None)`: there is nothing now; PIPE: there will be nothing any more. A datagram
/// that is too long or has too many descriptors arrives empty.
pub(super) fn receive(from: impl AsFd) -> Result<Option<Received>, Errno> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = match recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
        Ok(got) => got,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // No message is empty, so this is the end.
    if got.bytes == 0 {
        return Err(Errno::PIPE);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Ok(Some(Received { bytes: Vec::new(), descriptors: Vec::new() }));
    }
    bytes.truncate(got.bytes);
    Ok(Some(Received { bytes, descriptors }))
}

/// Receives, and waits a bounded time for it. TIMEDOUT: nothing came.
pub(super) fn receive_patiently(from: impl AsFd, patience: Duration) -> Result<Received, Errno> {
    let from = from.as_fd();
    loop {
        if let Some(received) = receive(from)? {
            return Ok(received);
        }
        if !wait(from, PollFlags::IN, patience)? {
            return Err(Errno::TIMEDOUT);
        }
    }
}

/// Whether it happened in time.
fn wait(fd: impl AsFd, what: PollFlags, patience: Duration) -> Result<bool, Errno> {
    let until = Timespec::try_from(patience).map_err(|_| Errno::INVAL)?;
    loop {
        match poll(&mut [PollFd::new(&fd, what)], Some(&until)) {
            Err(Errno::INTR) => {}
            ready => return ready.map(|count| count > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel_and_close_on_exec() {
        let (here, there) = pair().expect("a pair");
        assert!(receive(&there).expect("open").is_none());
        send(&here, b"x", &[here.as_fd(), there.as_fd()]).expect("room");
        let got = receive(&there).expect("open").expect("a datagram");
        assert_eq!((got.bytes.as_slice(), got.descriptors.len()), (&b"x"[..], 2));
        for fd in &got.descriptors {
            let flags = rustix::io::fcntl_getfd(fd).expect("open");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn too_long_is_empty_and_the_end_is_an_error() {
        let (here, there) = pair().expect("a pair");
        send(&here, &[7; LONGEST + 1], &[here.as_fd()]).expect("room");
        let got = receive(&there).expect("open").expect("a datagram");
        assert!(got.bytes.is_empty() && got.descriptors.is_empty());
        drop(here);
        assert_eq!(receive(&there).err(), Some(Errno::PIPE));
        assert_eq!(send(&there, b"x", &[]), Err(Errno::PIPE));
    }

    #[test]
    fn a_side_that_does_not_read_holds_nobody_up() {
        let (here, _there) = pair().expect("a pair");
        let full = (0..100_000).find_map(|_| send(&here, &[0; 1024], &[]).err());
        assert_eq!(full, Some(Errno::AGAIN));
        assert_eq!(send_patiently(&here, b"x", &[], Duration::from_millis(1)), Err(Errno::AGAIN));
        assert_eq!(receive_patiently(&here, Duration::from_millis(1)).err(), Some(Errno::TIMEDOUT));
    }
}
