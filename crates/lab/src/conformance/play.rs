//! Plays cases: stages each on its own port, asks the kernel, reads the sockets back, asks the model.

use std::collections::BTreeMap;
use std::io;

use inuse_kernel::sockdiag::InetQuery;
use inuse_rules::snapshot::Locality;
use inuse_rules::{Address, Attempt, Outcome, Snapshot, Socket, Transport, Verdict, judge};

use super::case::{Case, Device, Make, Spot};
use super::compare::{Comparison, allows, compare};
use super::ground::{Ground, LOOPBACK};
use super::lines::line_of;
use super::look::{Kernel, Looker, complete};
use super::situation::{Answer, Facts, Situation};
use super::{hidden, tcp, udp};

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
    /// What the model would have to be shown, where something decides of which no dump shows a trace.
    pub hidden: Vec<Snapshot>,
}

impl Played {
    /// How the two stand to each other.
    pub fn comparison(&self) -> Comparison {
        compare(&self.snapshot, &self.verdict, &self.answer, true)
    }

    /// Whether the model gave a sure answer, the kernel another, and something hidden explains just that.
    /// The memory of a TCP port only lets in where the model refuses.
    pub fn explained(&self) -> bool {
        let tcp = matches!(self.attempt.address, Address::Inet { transport: Transport::Tcp, .. });
        let in_use = self.verdict.errno() == Some(inuse_rules::Errno::EADDRINUSE);
        let direction = match self.verdict.outcome {
            Outcome::Refused(_) => in_use && self.answer.errno.is_none(),
            Outcome::Ok => !tcp,
            Outcome::Unknown { .. } => false,
        };
        direction && self.hidden.iter().any(|view| allows(&judge(view, &self.attempt), &self.answer))
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
        let port = self.fresh_ports(1)?;
        let mut situation = Situation::new(&self.ground, port);
        for old in &case.olds {
            match case.transport {
                Transport::Tcp => tcp::stage(&mut situation, old),
                Transport::Udp => udp::stage(&mut situation, old),
            };
        }
        situation.ready();
        let mut rows = self.looker.rows(&InetQuery::port(case.transport, port))?;
        if case.transport == Transport::Tcp {
            rows.extend(situation.left_out(&rows));
        }
        let answer = situation.attempt(case.transport, &case.attempt);
        situation.learn();
        let facts = std::mem::take(&mut situation.facts);
        drop(situation);
        let sockets = completed(rows, &facts)
            .map_err(|error| io::Error::other(format!("{error} in this case:\n{case}")))?;
        let mut snapshot = self.kernel.snapshot_of(case.transport, port, sockets);
        let attempt = attempt(case.transport, &case.attempt, port, self.ground.link);
        if let Address::Inet { local, device, .. } = attempt.address {
            snapshot.locality.insert((local.ip(), device), locality(&case.attempt));
        }
        let verdict = judge(&snapshot, &attempt);
        let hidden =
            hidden::views(case, &snapshot, port, self.ground.link, self.kernel.remembers_reuseaddr());
        Ok(Played { snapshot, attempt, answer, verdict, hidden })
    }

    /// The ground of the moment.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The first of that many ports that no case of this ground has had.
    ///
    /// # Errors
    /// Where a new ground is needed and cannot be made.
    pub fn fresh_ports(&mut self, count: u16) -> io::Result<u16> {
        if !self.ground.has_ports(count) {
            self.renew()?;
        }
        let first = self.ground.fresh_port().ok_or(io::ErrorKind::AddrInUse)?;
        for _ in 1..count {
            self.ground.fresh_port();
        }
        Ok(first)
    }

    /// Leaves the ground for a fresh one.
    ///
    /// # Errors
    /// Where a new ground cannot be made.
    pub fn renew(&mut self) -> io::Result<()> {
        self.played = 0;
        self.ground = Ground::new()?;
        self.looker = Looker::new()?;
        Ok(())
    }
}

/// Rows with what is known of each.
///
/// # Errors
/// Where a row could stand in the way and nobody staged it.
pub fn completed(rows: Vec<Socket>, facts: &BTreeMap<u64, Facts>) -> io::Result<Vec<Socket>> {
    let one = |row: Socket| {
        let place = row.address.clone();
        let known = facts.get(&row.cookie);
        complete(row, known)
            .ok_or_else(|| io::Error::other(format!("the socket on {place} was staged by nobody")))
    };
    rows.into_iter().map(one).collect()
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
