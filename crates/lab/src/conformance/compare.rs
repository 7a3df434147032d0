//! The kernel's answer held against the model's.
//!
//! Not here: staging, and what is done about a mismatch.

use inuse_rules::{Attempt, Fact, Outcome, Snapshot, Verdict, judge};

use super::random::Random;
use super::situation::Answer;

/// How the two answers stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same errno at the same call, and somebody to blame where somebody must be.
    Agrees,
    /// The model says that it cannot know, for this reason, and allows the kernel's answer.
    Unknown(String),
    /// They differ: what is wrong, in words.
    Differs(String),
}

/// Compares one verdict with what the kernel said. With `blame`, whoever says EADDRINUSE must also say
/// because of whom.
pub fn compare(snapshot: &Snapshot, verdict: &Verdict, answer: &Answer, blame: bool) -> Comparison {
    let kernel = answer.errno.map(|e| e.raw_os_error());
    match &verdict.outcome {
        Outcome::Ok if kernel.is_none() => Comparison::Agrees,
        Outcome::Ok => Comparison::Differs("the model lets it pass".into()),
        Outcome::Refused(refusal) => {
            if kernel != Some(refusal.errno.linux()) {
                return Comparison::Differs(format!("the model says {}", refusal.errno));
            }
            if answer.at != refusal.at {
                return Comparison::Differs(format!("the model says at {}", refusal.at.name()));
            }
            let in_use = refusal.errno == inuse_rules::Errno::EADDRINUSE;
            if blame && in_use && refusal.by.is_empty() {
                return Comparison::Differs("the model blames nobody".into());
            }
            if refusal.by.iter().any(|&index| index >= snapshot.sockets.len()) {
                return Comparison::Differs("the model blames a socket that is not there".into());
            }
            Comparison::Agrees
        }
        Outcome::Unknown { possible, missing, .. } => {
            if !possible.iter().any(|p| p.map(|errno| errno.linux()) == kernel) {
                return Comparison::Differs(
                    "unknown, and the kernel's answer is not among the possible".into(),
                );
            }
            let mut kinds: Vec<String> = missing.iter().map(kind).collect();
            kinds.sort();
            kinds.dedup();
            Comparison::Unknown(kinds.join(", "))
        }
    }
}

/// A fact without its socket.
fn kind(fact: &Fact) -> String {
    let text = format!("{fact:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

/// The answers that a verdict allows, as errno numbers; `None` is success.
fn possible(verdict: &Verdict) -> Vec<Option<i32>> {
    match &verdict.outcome {
        Outcome::Ok => vec![None],
        Outcome::Refused(refusal) => vec![Some(refusal.errno.linux())],
        Outcome::Unknown { possible, .. } => possible.iter().map(|p| p.map(|errno| errno.linux())).collect(),
    }
}

/// Whether a verdict allows what the kernel said.
pub fn allows(verdict: &Verdict, answer: &Answer) -> bool {
    possible(verdict).contains(&answer.errno.map(|e| e.raw_os_error()))
}

/// Hides facts at random and gives them back one by one: the kernel's answer must be possible all the
/// while, and the set of possible answers must never grow.
///
/// # Errors
/// What is wrong, in words.
pub fn knowledge(
    snapshot: &Snapshot,
    attempt: &Attempt,
    answer: &Answer,
    random: &mut Random,
) -> Result<(), String> {
    let kernel = answer.errno.map(|e| e.raw_os_error());
    let mut hidden: Vec<(usize, usize)> =
        (0..snapshot.sockets.len()).flat_map(|i| (0..4).map(move |fact| (i, fact))).collect();
    let share = random.one_of([20, 50, 100]);
    hidden.retain(|_| random.percent(share));
    for i in (1..hidden.len()).rev() {
        hidden.swap(i, random.below(i + 1));
    }
    let mut view = snapshot.clone();
    for &(socket, fact) in &hidden {
        if let Some(socket) = view.sockets.get_mut(socket) {
            match fact {
                0 => socket.options.reuseaddr = None,
                1 => socket.options.reuseport = None,
                2 => socket.options.v6only = None,
                _ => socket.uid = None,
            }
        }
    }
    let mut allowed = possible(&judge(&view, attempt));
    loop {
        if !allowed.contains(&kernel) {
            return Err(format!("with {} facts hidden the kernel's answer is not possible", hidden.len()));
        }
        let Some((index, fact)) = hidden.pop() else { return Ok(()) };
        if let (Some(shown), Some(known)) = (view.sockets.get_mut(index), snapshot.sockets.get(index)) {
            match fact {
                0 => shown.options.reuseaddr = known.options.reuseaddr,
                1 => shown.options.reuseport = known.options.reuseport,
                2 => shown.options.v6only = known.options.v6only,
                _ => shown.uid = known.uid,
            }
        }
        let now = possible(&judge(&view, attempt));
        if let Some(new) = now.iter().find(|answer| !allowed.contains(answer)) {
            return Err(format!(
                "a fact more and {new:?} became possible: {allowed:?} before, {now:?} after"
            ));
        }
        allowed = now;
    }
}
