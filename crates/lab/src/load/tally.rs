//! What clients saw, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

/// A request that took longer was slow: a SYN that was dropped is sent again after a second.
const SLOW_FROM: Duration = Duration::from_millis(900);

/// What became of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered whole, with the name of a generation.
    pub ok: u64,
    /// Of these, how many took longer than 0.9 s (more than they take anyway).
    pub slow: u64,
    /// The longest that one of these took.
    pub worst: Duration,
    /// No connection: nobody listened.
    pub refused: u64,
    /// The connection was reset before the answer was whole.
    pub reset: u64,
    /// The connection ended without a byte.
    pub empty: u64,
    /// The connection ended in the middle of the answer.
    pub torn: u64,
    /// Nothing came for 20 seconds.
    pub silent: u64,
    /// An answer that names no generation.
    pub wrong: u64,
    /// No connection, for another reason than that nobody listened.
    pub unconnected: u64,
    /// A connection that had served before was closed, and the next request on it was asked again on another. So
    /// does every client of HTTP; it is no loss.
    pub stale: u64,
    /// Answers by generation.
    pub generations: BTreeMap<String, u64>,
}

/// What became of one request.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered { generation: String, took: Duration },
    Wrong,
    Unconnected(io::Error),
    Broken(io::Error),
    Ended { begun: bool },
    Stale,
}

impl Tally {
    /// Requests that reached a server, or its queue, and got no whole answer.
    pub fn lost(&self) -> u64 {
        self.reset + self.empty + self.torn + self.silent + self.wrong
    }

    /// Requests for which there was no connection.
    pub fn turned_away(&self) -> u64 {
        self.refused + self.unconnected
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { generation, took } => {
                self.ok += 1;
                self.slow += u64::from(took > SLOW_FROM);
                self.worst = self.worst.max(took);
                *self.generations.entry(generation).or_default() += 1;
            }
            Outcome::Wrong => self.wrong += 1,
            Outcome::Unconnected(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.refused += 1
            }
            Outcome::Unconnected(_) => self.unconnected += 1,
            Outcome::Broken(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.silent += 1,
                _ => self.reset += 1,
            },
            Outcome::Ended { begun: true } => self.torn += 1,
            Outcome::Ended { begun: false } => self.empty += 1,
            Outcome::Stale => self.stale += 1,
        }
    }

    /// Adds what another load counted.
    pub fn add(&mut self, other: &Tally) {
        self.ok += other.ok;
        self.slow += other.slow;
        self.worst = self.worst.max(other.worst);
        self.refused += other.refused;
        self.reset += other.reset;
        self.empty += other.empty;
        self.torn += other.torn;
        self.silent += other.silent;
        self.wrong += other.wrong;
        self.unconnected += other.unconnected;
        self.stale += other.stale;
        for (generation, count) in &other.generations {
            *self.generations.entry(generation.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok by {} generations", self.ok, self.generations.len())?;
        let counts = [
            (self.refused, "refused"),
            (self.unconnected, "unconnected"),
            (self.reset, "reset"),
            (self.empty, "empty"),
            (self.torn, "torn"),
            (self.silent, "silent"),
            (self.wrong, "wrong"),
            (self.slow, "slow"),
            (self.stale, "stale"),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        write!(f, ", worst {:.3} s", self.worst.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_has_a_name() {
        let io = |kind: io::ErrorKind| io::Error::from(kind);
        let check = |outcome: Outcome, lost, turned_away, text: &str| {
            let mut tally = Tally::default();
            tally.count(outcome);
            assert_eq!((tally.lost(), tally.turned_away()), (lost, turned_away), "{text}");
            assert!(tally.to_string().contains(text), "{tally} has no {text}");
            let mut twice = tally.clone();
            twice.add(&tally);
            assert_eq!((twice.lost(), twice.turned_away()), (2 * lost, 2 * turned_away), "{text}");
        };
        check(Outcome::Broken(io(io::ErrorKind::ConnectionReset)), 1, 0, "1 reset");
        check(Outcome::Broken(io(io::ErrorKind::BrokenPipe)), 1, 0, "1 reset");
        check(Outcome::Broken(io(io::ErrorKind::WouldBlock)), 1, 0, "1 silent");
        check(Outcome::Ended { begun: false }, 1, 0, "1 empty");
        check(Outcome::Ended { begun: true }, 1, 0, "1 torn");
        check(Outcome::Wrong, 1, 0, "1 wrong");
        check(Outcome::Unconnected(io(io::ErrorKind::ConnectionRefused)), 0, 1, "1 refused");
        check(Outcome::Unconnected(io(io::ErrorKind::TimedOut)), 0, 1, "1 unconnected");
        check(Outcome::Stale, 0, 0, "1 stale");
        let late = Outcome::Answered { generation: "1".into(), took: Duration::from_secs(1) };
        check(late, 0, 0, "1 ok by 1 generations, 1 slow, worst 1.000 s");
    }
}
