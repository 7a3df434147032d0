//! `stream`: greets, and sends a line ten times a second until the client leaves.

use super::service::{Echo, Id, Service, To, Wishes};
use std::net::SocketAddr;
use std::time::Duration;

/// Ten lines a second: endless, and still to be read along.
const PACE: Duration = Duration::from_millis(100);

/// The same line for everybody.
#[derive(Debug, Default)]
pub(super) struct Stream {
    line: u64,
}

impl Service for Stream {
    fn opened(&mut self, id: Id, peer: SocketAddr, wishes: &mut Wishes) {
        wishes.print.extend_from_slice(format!("client {peer}\n").as_bytes());
        wishes.send(To::One(id), format!("Welcome, {peer}. Lines follow until you leave.\n"));
    }

    fn heard(&mut self, _id: Id, _bytes: &mut [u8], _wishes: &mut Wishes) -> Echo {
        Echo::No
    }

    fn closed(&mut self, _id: Id, _wishes: &mut Wishes) {}

    fn pace(&self) -> Option<Duration> {
        Some(PACE)
    }

    fn tick(&mut self, wishes: &mut Wishes) {
        self.line += 1;
        wishes.send(To::All, format!("line {}\n", self.line));
    }
}
