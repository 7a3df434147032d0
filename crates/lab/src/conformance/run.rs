//! A run: the cases of each part, and every mismatch as small as it could be made.
//!
//! Not here: how a part's cases are counted (`tally`), and what is said of a run (`report`).

use std::io;
use std::time::Instant;

use super::case::Case;
use super::compare::{Comparison, knowledge};
use super::generate::Family;
use super::play::{Played, Player};
use super::port0::{self, Asks};
use super::random::Random;
use super::shrink::shrink;
use super::tally::{Found, SHOWN, Tally, Wrong};
use super::{privilege, unix};

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One old TCP socket.
    TcpSingle,
    /// Several old TCP sockets.
    TcpMixed,
    /// One old UDP socket.
    UdpSingle,
    /// Several old UDP sockets.
    UdpMixed,
    /// bind() to port 0 in a tiny range.
    Port0,
    /// connect() without a port in a tiny range.
    Connect,
    /// Unix paths and abstract names.
    Unix,
    /// Privileged ports and addresses that are not ours.
    Privilege,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 8] = [
        Part::TcpSingle,
        Part::TcpMixed,
        Part::UdpSingle,
        Part::UdpMixed,
        Part::Port0,
        Part::Connect,
        Part::Unix,
        Part::Privilege,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Part::TcpSingle => "tcp single",
            Part::TcpMixed => "tcp mixed",
            Part::UdpSingle => "udp single",
            Part::UdpMixed => "udp mixed",
            Part::Port0 => "port 0",
            Part::Connect => "connect",
            Part::Unix => "unix",
            Part::Privilege => "privilege",
        }
    }

    /// Its share of the cases; 0 for a small enumeration that is always played whole.
    const fn weight(self) -> u64 {
        match self {
            Part::TcpSingle => 3,
            Part::TcpMixed => 4,
            Part::UdpSingle => 1,
            Part::UdpMixed => 2,
            Part::Port0 | Part::Connect | Part::Unix | Part::Privilege => 0,
        }
    }
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Results {
    /// The kernel's release.
    pub kernel: String,
    /// The seed.
    pub seed: u64,
    /// A tally for each part.
    pub tallies: Vec<(Part, Tally)>,
}

/// Plays parts: `cases` cases shared among them, and the small enumerations whole.
///
/// # Errors
/// Where cases cannot be staged, which is no answer of the model.
pub fn run_parts(parts: &[Part], cases: u64, seed: u64) -> io::Result<Results> {
    let mut player = Player::new()?;
    let whole: u64 = parts.iter().map(|part| part.weight()).sum();
    let mut tallies = Vec::new();
    for &part in parts {
        let count = (cases * part.weight()).div_ceil(whole.max(1));
        let start = Instant::now();
        let mut tally = match part {
            Part::TcpSingle => sampled(&mut player, Family::TcpSingle, count, seed)?,
            Part::TcpMixed => sampled(&mut player, Family::TcpMixed, count, seed)?,
            Part::UdpSingle => sampled(&mut player, Family::UdpSingle, count, seed)?,
            Part::UdpMixed => sampled(&mut player, Family::UdpMixed, count, seed)?,
            Part::Port0 => port0::run(&mut player, Asks::Bind)?,
            Part::Connect => port0::run(&mut player, Asks::Connect)?,
            Part::Unix => unix::run(&mut player)?,
            Part::Privilege => privilege::run(&mut player)?,
        };
        tally.took = start.elapsed();
        tallies.push((part, tally));
    }
    Ok(Results { kernel: player.kernel().release().to_owned(), seed, tallies })
}

fn sampled(player: &mut Player, family: Family, count: u64, seed: u64) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for index in 0..count {
        let case = family.case(seed, index);
        let played = player.play(&case)?;
        tally.cases += 1;
        tally.refused += u64::from(played.answer.errno.is_some());
        for socket in &played.snapshot.sockets {
            *tally.states.entry((socket.state, socket.mini)).or_default() += 1;
        }
        match check(&played, seed, index) {
            Checked::Agrees => tally.agreed += 1,
            Checked::Unknown(reason) => *tally.unknown.entry(reason).or_default() += 1,
            Checked::Unseen => tally.unseen += 1,
            Checked::Wrong(wrong) => {
                tally.differed += 1;
                if tally.found.len() < SHOWN {
                    tally.found.push(smallest(player, &case, wrong, seed, index));
                }
            }
        }
    }
    Ok(tally)
}

/// A played case after all comparisons.
enum Checked {
    Agrees,
    Unknown(String),
    Unseen,
    Wrong(Wrong),
}

fn check(played: &Played, seed: u64, index: u64) -> Checked {
    let wrong = |what: String| {
        let says = format!("the kernel says {}; {what}", played.answer);
        Checked::Wrong(Wrong { says, line: played.line() })
    };
    let comparison = played.comparison();
    match comparison {
        Comparison::Differs(_) if played.explained() => Checked::Unseen,
        Comparison::Differs(what) => wrong(what),
        Comparison::Agrees | Comparison::Unknown(_) => {
            let mut random = Random::new(!seed, index);
            match (knowledge(&played.snapshot, &played.attempt, &played.answer, &mut random), comparison) {
                (Err(what), _) => wrong(what),
                (Ok(()), Comparison::Unknown(reason)) => Checked::Unknown(reason),
                (Ok(()), _) => Checked::Agrees,
            }
        }
    }
}

fn smallest(player: &mut Player, case: &Case, wrong: Wrong, seed: u64, index: u64) -> Found {
    let mut last = wrong;
    let small = shrink(case, |smaller| {
        let checked = player.play(smaller).map(|played| check(&played, seed, index));
        match checked {
            Ok(Checked::Wrong(wrong)) => {
                last = wrong;
                true
            }
            _ => false,
        }
    });
    Found { story: small.to_string(), wrong: last }
}
