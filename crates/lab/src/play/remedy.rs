//! Which of the cures that an answer names can be carried out on a stage, and what is then attempted.
//!
//! Not here: what helps (that is `inuse_rules::diagnose`), and typing it.

use inuse_bind::Report;
use inuse_rules::cure::{Action, Command, Cure, SourceFix};
use inuse_rules::scene::{Place, Wanted};
use inuse_rules::{Attempt, Promise, Socket};
use std::net::Ipv4Addr;

/// A cure, and the attempt that it changes.
pub(super) struct Remedy {
    pub(super) cure: Cure,
    pub(super) wanted: Wanted,
}

/// The first cure that promises success, else the first that may bring it, of those that can be carried out
/// here and now.
pub(super) fn choose(answer: &Report, wanted: &Wanted) -> Option<Remedy> {
    let of = |promise: Promise| {
        let cures = answer.diagnosis.cures.iter().filter(move |cure| cure.promise == promise);
        cures.filter_map(|cure| Some(Remedy { wanted: cured(answer, cure, wanted)?, cure: cure.clone() }))
    };
    of(Promise::Now).chain(of(Promise::Perhaps)).next()
}

/// The attempt once that cure is carried out; `None` for one that cannot be carried out on a stage: it takes
/// too long, is a change in somebody else's program, or only looks.
fn cured(answer: &Report, cure: &Cure, wanted: &Wanted) -> Option<Wanted> {
    if cure.commands.iter().any(|command| typed(command, &answer.diagnosis.attempt).is_err()) {
        return None;
    }
    match (cure.action, cure.source, wanted.place) {
        (Action::Wait | Action::Privilege | Action::LookAgain, _, _) => None,
        // Root, who types it on a stage, would see the server and stop it.
        (Action::Unlink, _, _) if cure.promise == Promise::Perhaps => None,
        (_, Some(SourceFix::Reuseaddr), _) => Some(wanted.with(true, wanted.reuseport)),
        (_, Some(SourceFix::Reuseport), _) => Some(wanted.with(wanted.reuseaddr, true)),
        (_, Some(SourceFix::V6only), _) => Some(wanted.v6only()),
        (_, Some(_), _) => None,
        (Action::BindElsewhere, None, Place::Inet(at)) if cure.says.contains("127.0.0.1:") => {
            Some(Wanted { place: Place::Inet((Ipv4Addr::LOCALHOST, at.port()).into()), ..*wanted })
        }
        (Action::Configure, None, Place::Inet(_)) if cure.promise == Promise::Now => {
            let by = answer.diagnosis.verdict.by().iter();
            let uid =
                by.filter_map(|&index| answer.snapshot.sockets.get(index)).find_map(|s: &Socket| s.uid)?;
            Some(wanted.by(uid))
        }
        _ if cure.commands.is_empty() => None,
        _ => Some(*wanted),
    }
}

/// A command as it is typed on a stage.
pub(super) struct Typed {
    /// Whether it is this very program, under whatever name.
    pub(super) myself: bool,
    /// The words; without the program's own name, if it is this one.
    pub(super) words: Vec<String>,
    /// As it is shown.
    pub(super) shown: String,
}

/// A command for root of the stage: without sudo, without a question where ours would ask one, and about the bind
/// that is attempted.
///
/// # Errors
/// For what is not to be typed: words that are no text, and commands of ours that only look.
pub(super) fn typed(command: &Command, attempt: &Attempt) -> Result<Typed, String> {
    let words: Option<Vec<String>> =
        command.0.iter().map(|word| String::from_utf8(word.clone()).ok()).collect();
    let mut words = words.ok_or("a command that is not text")?;
    if words.first().is_some_and(|word| word == "sudo") {
        words.remove(0);
    }
    let myself = words.first().is_some_and(|word| word == "inuse");
    if myself {
        if words.get(1).is_none_or(|verb| verb != "free") {
            return Err("it only looks".into());
        }
        let options = [
            (true, "--yes"),
            (attempt.reuseaddr, "--reuseaddr"),
            (attempt.reuseport, "--reuseport"),
            (attempt.v6only, "--v6only"),
        ];
        words.splice(2..2, options.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    }
    let looks = [&["ip"][..], &["ls"], &["setcap"], &["sleep"]];
    if looks.iter().any(|look| words.starts_with(&look.iter().map(ToString::to_string).collect::<Vec<_>>())) {
        return Err("it only looks".into());
    }
    let shown = Command::new(words.iter().map(String::as_str)).to_string();
    if myself {
        words.remove(0);
    }
    Ok(Typed { myself, words, shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::Address;

    #[test]
    fn commands_are_typed_without_sudo_and_without_questions() {
        let check = |line: &str, expect: Option<&str>| {
            let attempt = Attempt::plain(Address::tcp((Ipv4Addr::LOCALHOST, 8080).into()));
            let attempt = Attempt { reuseaddr: true, ..attempt };
            let typed = typed(&Command::new(line.split(' ')), &attempt);
            assert_eq!(typed.ok().map(|typed| typed.shown).as_deref(), expect, "{line}");
        };
        check("sudo inuse free --destroy 8080", Some("inuse free --yes --reuseaddr --destroy 8080"));
        check("kill -TERM 7", Some("kill -TERM 7"));
        check(
            "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80",
            Some("sysctl -w net.ipv4.ip_unprivileged_port_start=80"),
        );
        check("inuse next 8080", None);
        check("ip -brief address", None);
        check("sleep 65", None);
    }
}
