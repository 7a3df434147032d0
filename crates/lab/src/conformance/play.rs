//! Plays cases: stages each on its own port, asks the kernel, reads the sockets back, asks the model.

use std::io;

use inuse_kernel::sockdiag::InetQuery;
use inuse_rules::snapshot::Locality;
use inuse_rules::{Address, Attempt, Snapshot, Transport, Verdict, judge};

use super::case::{Case, Device, Make, Spot};
use super::compare::{Comparison, compare};
use super::ground::{Ground, LOOPBACK};
use super::lines::line_of;
use super::look::{Kernel, Looker, complete};
use super::situation::{Answer, Situation};
use super::{tcp, udp};

/// How many cases share a ground; more would leave the dumps long.
const CASES_PER_GROUND: u32 = 1000;

/// Everything that playing a case gives.
#[derive(Debug)]
pub struct Played {
    /// What the model was shown.
    pub snapshot: Snapshot,
    /// What it was asked.
    pub attempt: Attempt,
    /// What the kernel said.
    pub answer: Answer,
    /// What the model said.
    pub verdict: Verdict,
}

impl Played {
    /// How the two stand to each other.
    pub fn comparison(&self) -> Comparison {
        compare(&self.snapshot, &self.verdict, &self.answer)
    }

    /// The case as the model was shown it, in the form of [`super::lines`].
    pub fn line(&self) -> String {
        line_of(&self.snapshot, &self.attempt)
    }
}

/// A ground with its reader, renewed when it is worn.
pub struct Player {
    ground: Ground,
    looker: Looker,
    kernel: Kernel,
    played: u32,
}

impl Player {
    /// Moves the process into a namespace of its own. The process must have a single thread.
    ///
    /// # Errors
    /// Where the namespace cannot be made.
    pub fn new() -> io::Result<Player> {
        Ok(Player { ground: Ground::new()?, looker: Looker::new()?, kernel: Kernel::running(), played: 0 })
    }

    /// The running kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Stages a case and asks both.
    ///
    /// # Errors
    /// Where the ground or the dump fails, or a row appears that nobody staged.
    pub fn play(&mut self, case: &Case) -> io::Result<Played> {
        self.played += 1;
        if self.played.is_multiple_of(CASES_PER_GROUND) {
            self.renew()?;
        }
        let port = match self.ground.fresh_port() {
            Some(port) => port,
            None => {
                self.renew()?;
                self.ground.fresh_port().ok_or(io::ErrorKind::AddrInUse)?
            }
        };
        let mut situation = Situation::new(&self.ground, port);
        for old in &case.olds {
            match case.transport {
                Transport::Tcp => tcp::stage(&mut situation, old),
                Transport::Udp => udp::stage(&mut situation, old),
            };
        }
        situation.ready();
        let rows = self.looker.rows(&InetQuery::port(case.transport, port))?;
        let answer = situation.attempt(case.transport, &case.attempt);
        situation.learn();
        let mut sockets = Vec::with_capacity(rows.len());
        for row in rows {
            let facts = situation.facts.get(&row.cookie).copied();
            let place = row.address.clone();
            sockets.push(complete(row, facts.as_ref()).ok_or_else(|| {
                io::Error::other(format!("nobody staged the socket on {place} in this case:\n{case}"))
            })?);
        }
        let mut snapshot = self.kernel.snapshot_of(case.transport, port, sockets);
        let attempt = attempt(case.transport, &case.attempt, port, self.ground.link);
        if let Address::Inet { local, device, .. } = attempt.address {
            snapshot.locality.insert((local.ip(), device), locality(&case.attempt));
        }
        let verdict = judge(&snapshot, &attempt);
        Ok(Played { snapshot, attempt, answer, verdict })
    }

    fn renew(&mut self) -> io::Result<()> {
        self.ground = Ground::new()?;
        self.looker = Looker::new()?;
        Ok(())
    }
}

/// The attempt in the model's words.
fn attempt(transport: Transport, make: &Make, port: u16, link: u32) -> Attempt {
    let device = match make.device {
        Device::Free => 0,
        Device::Loopback => LOOPBACK,
        Device::Link => link,
    };
    Attempt {
        reuseaddr: make.reuseaddr,
        reuseport: make.reuseport,
        v6only: make.v6only,
        uid: make.uid,
        ..Attempt::plain(Address::Inet { transport, local: make.spot.at(port), device })
    }
}

/// Every address of the cases is on a device. Only one with host scope must be on the bound one.
fn locality(make: &Make) -> Locality {
    if make.spot == Spot::Loop6 && make.device == Device::Link { Locality::NotLocal } else { Locality::Local }
}
