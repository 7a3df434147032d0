//! One connection of a server: what is to be sent and has not been, and how far its end has come.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::Instant;

/// Bytes that may wait to be sent before nothing more is read from the client.
const ENOUGH: usize = 256 * 1024;
/// Bytes that may wait to be sent before messages of others are left out.
const TOO_MUCH: usize = 64 * 1024;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Both sides talk.
    Open,
    /// What waits is still to be delivered, then we close.
    Finishing,
    /// Our FIN is sent; the client's is awaited, so that our last bytes are not lost to a reset.
    Lingering,
}

/// What a read brought.
pub(super) enum Heard {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The client sends no more.
    End,
    /// The connection is gone.
    Gone,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) stage: Stage,
    /// When the client last sent or took something.
    pub(super) last: Instant,
    /// Something was heard, and no pause since.
    pub(super) heard: bool,
    /// The client's FIN came.
    pub(super) ended: bool,
    /// What epoll watches for: to read, to write.
    pub(super) watched: (bool, bool),
    waiting: VecDeque<u8>,
    /// Messages of others that were left out.
    missed: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Instant) -> Connection {
        Connection {
            stream,
            stage: Stage::Open,
            last: now,
            heard: false,
            ended: false,
            watched: (true, false),
            waiting: VecDeque::new(),
            missed: 0,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Heard {
        loop {
            return match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => Heard::End,
                Ok((_, count)) => Heard::Bytes(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Heard::Nothing,
                Err(_) => Heard::Gone,
            };
        }
    }

    /// Sends now what can be sent now; the rest waits. False when the connection is gone.
    pub(super) fn send(&mut self, bytes: &[u8], now: Instant) -> bool {
        let mut sent = 0;
        if self.waiting.is_empty() {
            match self.push(bytes) {
                Some(count) => sent = count,
                None => return false,
            }
        }
        let rest = bytes.get(sent..).unwrap_or_default();
        if self.waiting.is_empty() && !rest.is_empty() {
            self.last = now;
        }
        self.waiting.extend(rest);
        true
    }

    /// An answer to what it said itself, or else a message that comes unasked: left out where too much waits already.
    pub(super) fn offer(&mut self, bytes: &[u8], answer: bool, now: Instant) -> bool {
        let room = if answer { ENOUGH } else { TOO_MUCH };
        if self.waiting.len() + bytes.len() > room {
            self.missed += 1;
            return true;
        }
        if self.missed > 0 {
            let told = format!("* {} lines were left out: you read too slowly\n", self.missed);
            self.missed = 0;
            if !self.send(told.as_bytes(), now) {
                return false;
            }
        }
        self.send(bytes, now)
    }

    /// Sends of what waits. False when the connection is gone.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match taken(&self.stream, front) {
                Some(0) => return true,
                Some(count) => {
                    self.waiting.drain(..count);
                    self.last = now;
                }
                None => return false,
            }
        }
        true
    }

    fn push(&self, bytes: &[u8]) -> Option<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match taken(&self.stream, rest)? {
                0 => break,
                count => sent += count,
            }
        }
        Some(sent)
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends our FIN; what was sent before comes first.
    pub(super) fn linger(&mut self, now: Instant) {
        // A client that has left already needs no word of it.
        let _ = shutdown(&self.stream, Shutdown::Write);
        self.stage = Stage::Lingering;
        self.last = now;
    }

    /// What to watch for: to read unless the client takes too little, to write where something waits.
    pub(super) fn wants(&self) -> (bool, bool) {
        (!self.ended && self.waiting.len() < ENOUGH, !self.waiting.is_empty())
    }
}

/// How many bytes the kernel took, 0 where its buffer is full; `None` where the connection is gone.
fn taken(stream: &TcpStream, bytes: &[u8]) -> Option<usize> {
    loop {
        return match send(stream, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => Some(count),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Some(0),
            Err(_) => None,
        };
    }
}
