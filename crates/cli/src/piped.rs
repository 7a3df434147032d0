//! Standard input as `-` reads it: what a program prints, searched for an address line by line as it comes.
//!
//! It is read to its end, since a program that writes to a closed pipe is killed (SIGPIPE, pipe(7)), and it
//! is passed on to stderr, since a person wants to see what their program prints. The answer need not wait
//! for the end: a watcher that waits for a change of a file never ends.

use inuse_rules::written::Written;
use inuse_rules::written::message::{MAX_LINE, Reader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::retry_on_intr;
use std::io::{self, IsTerminal, Stdin, Write};
use std::time::{Duration, Instant};

/// How long a program must be silent behind a complaint until the message counts as complete.
const QUIET: Duration = Duration::from_millis(200);
/// How long the rest of a message is waited for at most.
const SETTLE: Duration = Duration::from_secs(1);

/// Standard input, from the first `-` on.
pub struct Piped {
    stdin: Stdin,
    /// Whether what is read is shown: not the lines of a file, nor what a terminal shows by itself.
    shows: bool,
    ended: bool,
    /// Whether what was shown last ends a line.
    at_line_start: bool,
    buffer: Vec<u8>,
}

impl Piped {
    /// Begins to read.
    pub fn new() -> Piped {
        let stdin = io::stdin();
        let is_file =
            fstat(&stdin).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let shows = !is_file && !stdin.is_terminal();
        Piped { stdin, shows, ended: false, at_line_start: true, buffer: vec![0; 1 << 16] }
    }

    /// Reads until a message has named an address, or to the end.
    ///
    /// # Errors
    ///
    /// What is to be said when nothing was named, or when reading failed.
    pub fn addresses(&mut self) -> Result<Vec<Written>, String> {
        let mut reader = Reader::default();
        let mut line = Vec::new();
        let mut settles: Option<Instant> = None;
        while settles.is_none_or(|until| self.goes_on(until)) {
            let chunk = self.next().map_err(|error| format!("standard input cannot be read: {error}"))?;
            for &byte in chunk {
                if byte == b'\n' {
                    reader.line(&String::from_utf8_lossy(&line));
                    line.clear();
                } else if line.len() < MAX_LINE {
                    line.push(byte);
                }
            }
            if self.ended {
                // A line that nobody finished; before the end it may still grow by a digit.
                reader.line(&String::from_utf8_lossy(&line));
                break;
            }
            if settles.is_none() && reader.is_recognised() {
                settles = Some(Instant::now() + SETTLE);
            }
        }
        if self.shows && !self.at_line_start && io::stderr().is_terminal() {
            let _ = io::stderr().write_all(b"\n");
        }
        reader.found().map_err(|nothing| nothing.to_string())
    }

    /// Shows the rest, to the end.
    pub fn pass_on(&mut self) {
        while !self.ended {
            if self.next().is_err() {
                return;
            }
        }
    }

    /// The next bytes, already shown; none at the end.
    fn next(&mut self) -> io::Result<&[u8]> {
        let count = retry_on_intr(|| rustix::io::read(&self.stdin, self.buffer.as_mut_slice()))?;
        let chunk = self.buffer.get(..count).unwrap_or_default();
        self.ended = chunk.is_empty();
        if let Some(&last) = chunk.last().filter(|_| self.shows) {
            // Nobody is left to be told when that fails, and the program must be able to go on.
            let _ = io::stderr().write_all(chunk);
            self.at_line_start = last == b'\n';
        }
        Ok(chunk)
    }

    /// Whether more comes soon.
    fn goes_on(&self, until: Instant) -> bool {
        let patience = QUIET.min(until.saturating_duration_since(Instant::now()));
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let mut polled = [PollFd::new(&self.stdin, PollFlags::IN)];
        !patience.is_zero()
            && retry_on_intr(|| poll(&mut polled, Some(&timeout))).is_ok_and(|ready| ready > 0)
    }
}

impl Default for Piped {
    fn default() -> Piped {
        Piped::new()
    }
}
