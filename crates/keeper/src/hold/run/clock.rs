//! The time in which we run: while a person has stopped us and all that we run (Ctrl-Z, `kill -STOP`), none passes.
//!
//! Otherwise a program that goes on again would find the time over that it has to become ready, or to end.
//!
//! Nobody is told by the kernel that he was stopped. It shows between two looks at the clock, where no such long sleep was
//! meant to be; so none is to be long while a deadline is near.

use crate::hold::supervise::Time;
use std::time::{Duration, Instant};

/// The longest sleep while there is a deadline, and so how much of a stop may count as time.
pub(super) const STRIDE: Duration = Duration::from_secs(1);

/// A busy machine, or much to do, and no stop.
const BUSY: Duration = Duration::from_secs(2);

/// The supervisor's clock.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// In which we did not run.
    lost: Duration,
    looked: Instant,
    /// The longest sleep since then.
    sleep: Duration,
}

impl Clock {
    /// It begins now.
    pub(super) fn start() -> Clock {
        let now = Instant::now();
        Clock { began: now, lost: Duration::ZERO, looked: now, sleep: Duration::ZERO }
    }

    /// What it shows.
    pub(super) fn look(&mut self) -> Time {
        self.look_at(Instant::now())
    }

    /// When it will show this.
    pub(super) fn at(&self, time: Time) -> Instant {
        self.began + self.lost + time
    }

    /// A sleep begins; `None` is one without end.
    pub(super) fn sleeps(&mut self, at_most: Option<Duration>) {
        self.look();
        self.sleep = at_most.unwrap_or(Duration::MAX);
    }

    fn look_at(&mut self, now: Instant) -> Time {
        let unmeant = now.saturating_duration_since(self.looked).saturating_sub(self.sleep);
        if unmeant > BUSY {
            self.lost += unmeant;
        }
        (self.looked, self.sleep) = (now, Duration::ZERO);
        now.saturating_duration_since(self.began).saturating_sub(self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_passes_in_a_stop() {
        let mut clock = Clock::start();
        let began = clock.began;
        let mut check = |sleep: Option<u64>, at: u64, shows: u64| {
            clock.sleep = sleep.map_or(Duration::MAX, Duration::from_secs);
            let time = clock.look_at(began + Duration::from_secs(at));
            assert_eq!(time, Duration::from_secs(shows), "at {at}");
            assert_eq!(clock.at(time), began + Duration::from_secs(at));
        };
        check(Some(1), 1, 1);
        check(Some(1), 4, 4);
        check(Some(1), 65, 5);
        check(None, 1000, 940);
        check(Some(0), 1002, 942);
        check(Some(0), 1012, 942);
    }
}
