//! The line protocol between the one who stages, the stage and its actors: a message is a list of words
//! over a `SOCK_SEQPACKET` pair, perhaps with descriptors.
//!
//! Not here: what the words mean. The first word of an answer is `ok`, `errno` (and its number) or
//! `fail` (and a sentence).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The longest message.
const LONGEST: usize = 64 * 1024;
/// The most descriptors in one message.
const MOST_FDS: usize = 2;

/// A message: words, none of which contains a NUL byte, and descriptors.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// The words.
    pub(crate) words: Vec<String>,
    /// The descriptors that came with it.
    pub(crate) fds: Vec<OwnedFd>,
}

impl Message {
    /// The words as the parsers take them.
    pub(crate) fn strs(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// A connected pair, close-on-exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message.
pub(crate) fn send<W: AsRef<str>>(over: impl AsFd, words: &[W], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if words.iter().any(|word| word.contains('\0')) || fds.len() > MOST_FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = words.join("\0");
    if text.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message of more than 64 KiB"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(over, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message. `None` when the other end is closed; an error of kind `TimedOut` when nothing
/// comes before the deadline.
pub(crate) fn receive(from: impl AsFd, deadline: Option<Instant>) -> io::Result<Option<Message>> {
    let from = from.as_fd();
    if let Some(deadline) = deadline
        && !readable(from, deadline)?
    {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let iov = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(from, iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // A peer that died with a message of ours unread.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut off"));
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    let text = bytes.get(..got.bytes).unwrap_or_default();
    let words = String::from_utf8_lossy(text).split('\0').map(str::to_owned).collect();
    Ok(Some(Message { words, fds }))
}

/// Waits until a descriptor is readable (or hung up); false when the deadline passes first.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut polled, Some(&timespec(left))) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A duration in the form that poll takes.
pub(crate) fn timespec(left: Duration) -> Timespec {
    Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_descriptors_arrive() {
        let (a, b) = pair().unwrap();
        let (x, _y) = pair().unwrap();
        send(&a, &["run", "", "two\nlines"], &[x.as_fd()]).unwrap();
        let message = receive(&b, None).unwrap().unwrap();
        assert_eq!(message.words, ["run", "", "two\nlines"]);
        assert_eq!(message.fds.len(), 1);
        drop(a);
        assert!(receive(&b, None).unwrap().is_none());
    }

    #[test]
    fn nothing_comes_within_the_deadline() {
        let (_a, b) = pair().unwrap();
        let error = receive(&b, Some(Instant::now() + Duration::from_millis(5))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_word_with_nul_or_a_long_message_is_not_sent() {
        let (a, _b) = pair().unwrap();
        assert!(send(&a, &["a\0b"], &[]).is_err());
        assert!(send(&a, &["x".repeat(LONGEST + 1)], &[]).is_err());
    }
}
