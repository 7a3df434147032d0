//! Small words that several parts of the human view share: durations, verdicts, who has a socket.

use inuse_rules::owner::{NoOwner, Ownership};
use inuse_rules::socket::Learned;
use inuse_rules::verdict::{Outcome, Verdict};
use inuse_rules::{Socket, address::escape};

/// "43 s", "3 min", "2 h 5 min", "4 days".
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{minutes} min"),
        3600..172_800 if minutes % 60 == 0 => format!("{hours} h"),
        3600..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} days"),
    }
}

/// A time that is left, rounded up: "1 s" is said until it is over.
pub(crate) fn left(ms: u64) -> String {
    duration(ms.div_ceil(1000) * 1000)
}

/// "a", "a and b", "a, b and c", "a, b and 7 more".
pub(crate) fn list(names: &[String], at_most: usize) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > at_most => {
            format!("{} and {} more", many[..at_most].join(", "), many.len() - at_most)
        }
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// "would succeed", "refused: EADDRINUSE from bind()", "cannot be said: success or EADDRINUSE".
pub(crate) fn verdict(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Ok => "would succeed".into(),
        Outcome::Refused(refusal) => format!("refused: {} from {}()", refusal.errno, refusal.at.name()),
        Outcome::Unknown { possible, .. } => {
            let answers: Vec<&str> =
                possible.iter().map(|errno| errno.map_or("success", |errno| errno.name())).collect();
            if answers.is_empty() {
                "cannot be said".into()
            } else {
                format!("cannot be said: {}", answers.join(" or "))
            }
        }
    }
}

/// Why: the rule, or the facts that are missing.
pub(crate) fn reason(verdict: &Verdict, name_socket: impl Fn(usize) -> String) -> Option<String> {
    match &verdict.outcome {
        Outcome::Ok => None,
        Outcome::Refused(refusal) => Some(refusal.rule.sentence().to_owned()),
        Outcome::Unknown { missing, .. } => {
            let mut facts: Vec<String> = missing.iter().map(|fact| fact.describe(&name_socket)).collect();
            facts.dedup();
            (!facts.is_empty()).then(|| format!("Not known: {}.", list(&facts, 3)))
        }
    }
}

/// What there is to say of a socket that no process has in its table; `None` where one has.
pub(crate) fn unowned(socket: &Socket) -> Option<String> {
    Some(match &socket.owners {
        Ownership::Held(_) => return None,
        Ownership::NotAsked => "its owner was not looked for".into(),
        Ownership::Hidden => match socket.uid {
            Some(0) => "a process of root that you may not see".into(),
            Some(uid) => format!("a process of uid {uid} that you may not see"),
            None => "a process that you may not see".into(),
        },
        Ownership::Gone => "it closed while this was being looked at".into(),
        Ownership::InFlight { proven: true, .. } => {
            "no process: it lies unreceived inside a unix socket that the following have open".into()
        }
        Ownership::InFlight { proven: false, .. } => {
            "no process: it lies unreceived inside a unix socket, most likely one of the following".into()
        }
        Ownership::IoUring(_) => "no file table: it is registered with the io_uring of the following".into(),
        Ownership::Nobody(NoOwner::TimeWait) => {
            "no process: the connection is closed, the kernel keeps its addresses for a while".into()
        }
        Ownership::Nobody(NoOwner::Orphan) => {
            "no process: it was closed, and the kernel is still finishing with the other end".into()
        }
        Ownership::Nobody(NoOwner::AcceptQueue) => {
            "no process yet: it waits to be accepted and belongs to its listener".into()
        }
        Ownership::Nobody(NoOwner::Request) => "no process yet: a handshake that is under way".into(),
        Ownership::Nobody(NoOwner::Kernel) => "the kernel itself".into(),
        Ownership::Nobody(NoOwner::OtherPidNamespace) => {
            "no process that shows here: it lives outside of this pid namespace (a container's host?)".into()
        }
    })
}

/// "on", "off", "not known".
pub(crate) fn switch(option: Option<bool>) -> &'static str {
    match option {
        Some(true) => "on",
        Some(false) => "off",
        None => "not known",
    }
}

/// How the options became known, as a sentence part.
pub(crate) fn learned(learned: Learned) -> &'static str {
    match learned {
        Learned::NotYet => "",
        Learned::Getsockopt => " (read from the live socket)",
        Learned::Bpf => " (read by a BPF iterator)",
        Learned::Probe => " (learnt by a probe)",
        Learned::Sibling => " (as the living socket of the same server)",
    }
}

/// Somebody else's text, cut where a screen would be flooded.
pub(crate) fn foreign(bytes: &[u8], at_most: usize) -> String {
    let text = escape(bytes);
    if text.chars().count() <= at_most {
        return text;
    }
    let mut cut: String = text.chars().take(at_most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let check = |ms, expect: &str| assert_eq!(duration(ms), expect);
        check(0, "0 s");
        check(43_120, "43 s");
        check(180_000, "3 min");
        check(3_600_000, "1 h");
        check(11_520_000, "3 h 12 min");
        check(4 * 86_400_000 + 5, "4 days");
    }

    #[test]
    fn lists_end_with_and() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        assert_eq!(list(&names[..1], 3), "a");
        assert_eq!(list(&names[..2], 3), "a and b");
        assert_eq!(list(&names[..3], 3), "a, b and c");
        assert_eq!(list(&names, 2), "a, b and 2 more");
    }
}
