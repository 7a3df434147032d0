//! Why does this bind fail? Gathers the facts that the rule asks for, and hands them over.
//!
//! The rule names what it lacks, this fetches it and asks again: so the cheap question comes first,
//! and nothing is decided here. It changes nothing on the machine: it reads sock_diag, /proc and
//! sysctls, and duplicates of other processes' sockets are held for their getsockopts only.

#[cfg(feature = "bpf")]
mod bpf;
mod evidence;
mod facts;
mod probe;

use inuse_kernel::Error;
use inuse_kernel::elsewhere::Others;
use inuse_kernel::netns::{Netns, NetnsName};
use inuse_kernel::sockdiag::SockDiag;
use inuse_rules::alike::Merger;
use inuse_rules::{Attempt, BlindSpot, Diagnosis, Fact, Outcome, Snapshot, Socket, Verdict, diagnose, judge};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The rule is asked at most this often for one answer: each round must bring a new fact.
const ROUNDS: usize = 8;

/// How to ask.
#[derive(Clone, Debug, Default)]
pub struct WhyOptions {
    /// Another network namespace than the caller's own.
    pub netns: Option<NetnsName>,
    /// Whether to try a bind where nothing else shows an option of a socket that is there: the one
    /// thing that is not mere looking. It never listens, and never touches a port that nobody holds.
    /// For the microseconds that it lasts, somebody else's bind without SO_REUSEADDR may be refused.
    pub probe: bool,
    /// The caller asks about its own bind: a holder with this pid is the caller itself.
    pub own_bind: bool,
    /// Whether every connection stays a row of its own, however many there are that no answer tells apart.
    pub every_connection: bool,
    /// How long the search for owners may take, from the beginning of each question; `None` for as long as
    /// it takes. Verdict and cause do not wait for it: what was not found in time is a blind spot.
    pub owners_within: Option<Duration>,
}

/// Somebody who can be asked why.
pub struct Asker {
    netns: Netns,
    diag: SockDiag,
    own_bind: bool,
    probe: bool,
    every_connection: bool,
    owners_within: Option<Duration>,
    /// When the search for owners must be over.
    owners_deadline: Option<Instant>,
    /// The other network namespaces, once something was asked there.
    others: Option<Others>,
}

/// An answer and everything it rests on.
#[derive(Clone, Debug)]
pub struct Report {
    /// The facts; answers about one port share them.
    pub snapshot: Arc<Snapshot>,
    /// What follows from them.
    pub diagnosis: Diagnosis,
}

impl Asker {
    /// Opens the namespace and the conversation with sock_diag.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no sock_diag.
    pub fn new(options: &WhyOptions) -> Result<Asker, Error> {
        let netns = match &options.netns {
            Some(name) => Netns::open(name)?,
            None => Netns::current(),
        };
        let diag = SockDiag::open(&netns)?;
        Ok(Asker {
            netns,
            diag,
            own_bind: options.own_bind,
            probe: options.probe,
            every_connection: options.every_connection,
            owners_within: options.owners_within,
            owners_deadline: None,
            others: None,
        })
    }

    /// The namespace that is asked about.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The whole answer: verdicts, cause, holders and their owners, cures.
    pub fn why(&mut self, attempt: &Attempt) -> Report {
        // Namespaces come and go between two questions.
        self.others = None;
        let snapshot = Arc::new(self.gather(std::slice::from_ref(attempt)));
        Report { diagnosis: diagnose(&snapshot, attempt), snapshot }
    }

    /// The whole answer to each of several attempts, in their order. Attempts on one port, as a port alone
    /// asks for them, share one look at the machine.
    pub fn why_each(&mut self, attempts: &[Attempt]) -> Vec<Report> {
        let together = |a: &Attempt, b: &Attempt| match (a.address.inet(), b.address.inet()) {
            (Some((t, a, _)), Some((u, b, _))) => (t, a.port()) == (u, b.port()),
            _ => false,
        };
        self.others = None;
        let mut reports = Vec::new();
        for group in attempts.chunk_by(together) {
            let mut snapshot = self.gather(group);
            self.other_protocol(&mut snapshot, &group[0].address);
            let snapshot = Arc::new(snapshot);
            reports.extend(group.iter().map(|attempt| Report {
                diagnosis: diagnose(&snapshot, attempt),
                snapshot: snapshot.clone(),
            }));
        }
        reports
    }

    /// Everything that an answer to these attempts rests on.
    fn gather(&mut self, attempts: &[Attempt]) -> Snapshot {
        let mut snapshot = self.begin();
        let asks: Vec<Attempt> = attempts.iter().flat_map(each_option).collect();
        self.listed(&mut snapshot, attempts);
        self.settle(&mut snapshot, &asks, |fact| !is_option(fact));
        self.evidence(&mut snapshot, attempts);
        // Owners open the way to options, and these to a decided verdict.
        self.settle(&mut snapshot, &asks, |_| true);
        self.explicit_ports(&mut snapshot, &asks);
        if !self.every_connection {
            count_connections(&mut snapshot);
        }
        evidence::processes(&mut snapshot);
        if self.probe {
            self.try_binds(&mut snapshot, &asks);
        }
        say_what_decides(&mut snapshot, &asks);
        snapshot
    }

    /// Only the verdict, with no more facts than it needs: for asking about many addresses in a row.
    pub fn verdict(&mut self, attempt: &Attempt) -> Verdict {
        self.judged(attempt).1
    }

    /// The same, with the facts that the verdict's indices mean.
    pub(crate) fn judged(&mut self, attempt: &Attempt) -> (Snapshot, Verdict) {
        let mut snapshot = self.begin();
        let asks = std::slice::from_ref(attempt);
        self.settle(&mut snapshot, asks, |_| true);
        self.explicit_ports(&mut snapshot, asks);
        let verdict = judge(&snapshot, attempt);
        (snapshot, verdict)
    }

    /// Asks the rule, fetches what it lacks of these facts, and asks again, until nothing new comes.
    fn settle(&mut self, snapshot: &mut Snapshot, asks: &[Attempt], of: impl Fn(&Fact) -> bool) {
        let mut tried = Vec::new();
        for _ in 0..ROUNDS {
            let mut wanted: Vec<_> = asks
                .iter()
                .filter_map(|attempt| match judge(snapshot, attempt).outcome {
                    Outcome::Unknown { missing, .. } => Some(missing),
                    _ => None,
                })
                .flatten()
                .collect();
            wanted.sort();
            wanted.dedup();
            wanted.retain(|fact| of(fact) && !tried.contains(fact));
            if wanted.is_empty() {
                return;
            }
            self.fetch(snapshot, &asks[0], &wanted);
            tried.extend(wanted);
        }
    }
}

/// Connections that no answer tells apart become one row, now that everything is known of them.
fn count_connections(snapshot: &mut Snapshot) {
    let mut merger = Merger::of_connections(&snapshot.sysctls);
    std::mem::take(&mut snapshot.sockets).into_iter().for_each(|row| merger.take(row));
    snapshot.sockets = merger.into_rows();
}

/// Whether the fact is an option of a socket, which takes its owner, or a program, to find out.
fn is_option(fact: &Fact) -> bool {
    matches!(fact, Fact::Reuseaddr(_) | Fact::Reuseport(_) | Fact::V6only(_))
}

/// Without and with each option: the answer to all of these is shown.
fn each_option(attempt: &Attempt) -> [Attempt; 4] {
    [(false, false), (true, false), (false, true), (attempt.reuseaddr, attempt.reuseport)]
        .map(|(reuseaddr, reuseport)| Attempt { reuseaddr, reuseport, ..attempt.clone() })
}

/// An unknown that decides is said, with what would show it; also where nobody refused to tell.
fn say_what_decides(snapshot: &mut Snapshot, asks: &[Attempt]) {
    let missing: Vec<Fact> =
        asks.iter().flat_map(|attempt| judge(snapshot, attempt).missing().to_vec()).collect();
    let sockets: BTreeSet<usize> =
        missing.iter().filter(|fact| is_option(fact)).filter_map(Fact::socket).collect();
    if !sockets.is_empty() {
        let count = sockets.iter().filter_map(|&index| snapshot.sockets.get(index)).map(Socket::count);
        let count: u64 = count.sum();
        let what = format!("options of sockets on this address that decide a bind ({count} of them)");
        let root = rustix::process::geteuid().is_root();
        let sight = if root { "run it with CAP_BPF and CAP_PERFMON" } else { "run it as root" };
        let remedy = format!("{sight}, or with --probe, which tries a bind that never listens");
        snapshot.blind_to(BlindSpot { what, remedy });
    }
    for fact in missing {
        if matches!(fact, Fact::ReuseportHistory | Fact::PortHistory | Fact::UdpOrder | Fact::UnixAccepted(_))
        {
            let what = fact.describe(|_| "a unix socket".into());
            snapshot.blind_to(BlindSpot { what, remedy: "nothing shows it; trying the bind does".into() });
        }
    }
}
