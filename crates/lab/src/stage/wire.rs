//! Steps as words, and words as steps.
//!
//! The words are for the two ends of a pair of pipes of the same binary; people read the steps' Display.

use inuse_rules::scene::{Act, Device, Kind, Opt, Place, Sight, Signal, Step, Thing};
use inuse_rules::socket::State;

/// A step as words. `Fails` is written like `Does`: who asked for it compares the answer.
pub(crate) fn step_words(step: &Step<'_>) -> Vec<String> {
    match step {
        Step::Actor(name, uid) => words(["actor", name, &uid.to_string()]),
        Step::Does(who, act) | Step::Fails(who, act, _) => {
            let mut all = words(["act", who]);
            all.extend(act_words(act));
            all
        }
        Step::Signal(who, signal) => words(["signal", who, signal.name()]),
        Step::Sysctl(key, value) => words(["sysctl", key, value]),
        Step::Interface(name, Device::Veth) => words(["veth", name]),
        Step::Interface(name, Device::Vxlan(port)) => words(["vxlan", name, &port.to_string()]),
        Step::Address(name, ip) => words(["address", name, &ip.to_string()]),
        Step::Create(path, thing) => words(["create", path, thing.command()]),
        Step::Remove(path) => words(["remove", path]),
        Step::Await(sight) => words(["await", &sight.local.to_string(), sight.state.name()]),
    }
}

/// The step that these words are.
pub(crate) fn parse_step<'a>(words: &'a [&'a str]) -> Option<Step<'a>> {
    Some(match *words {
        ["actor", name, uid] => Step::Actor(name, uid.parse().ok()?),
        ["act", who, ref act @ ..] => Step::Does(who, parse_act(act)?),
        ["signal", who, signal] => Step::Signal(who, Signal::ALL.into_iter().find(|s| s.name() == signal)?),
        ["sysctl", key, value] => Step::Sysctl(key, value),
        ["veth", name] => Step::Interface(name, Device::Veth),
        ["vxlan", name, port] => Step::Interface(name, Device::Vxlan(port.parse().ok()?)),
        ["address", name, ip] => Step::Address(name, ip.parse().ok()?),
        ["create", path, command] => {
            Step::Create(path, Thing::ALL.into_iter().find(|t| t.command() == command)?)
        }
        ["remove", path] => Step::Remove(path),
        ["await", local, state] => {
            Step::Await(Sight { local: local.parse().ok()?, state: State::from_name(state)? })
        }
        _ => return None,
    })
}

/// An act as words.
pub(crate) fn act_words(act: &Act<'_>) -> Vec<String> {
    match act {
        Act::Socket(s, kind) => words(["socket", s, kind.arguments()]),
        Act::Set(s, opt, on) => words(["set", s, opt.name(), &on.to_string()]),
        Act::Bind(s, place) => with_place("bind", s, place),
        Act::Listen(s, backlog) => words(["listen", s, &backlog.to_string()]),
        Act::ConnectLater(s, place) => with_place("connect later", s, place),
        Act::Connect(s, place) => with_place("connect", s, place),
        Act::Accept(s, new) => words(["accept", s, new]),
        Act::Send(s, bytes) => words(["send", s, &bytes.to_string()]),
        Act::Recv(s, bytes) => words(["recv", s, &bytes.to_string()]),
        Act::ShutdownWrite(s) => words(["shutdown", s, "write"]),
        Act::ShutdownRead(s) => words(["shutdown", s, "read"]),
        Act::Close(s) => words(["close", s]),
        Act::Fork(child) => words(["fork", child]),
        Act::Exec(argv) => std::iter::once(&"exec").chain(*argv).map(|word| (*word).to_owned()).collect(),
        Act::Socketpair(a, b) => words(["socketpair", a, b]),
        Act::SendDescriptor(over, what) => words(["sendfd", over, what]),
        Act::RingRegister(ring, s) => words(["ring", ring, s]),
        Act::ThreadWithOwnFiles => words(["thread"]),
        Act::EndMainThread => words(["endmain"]),
        Act::OwnSession => words(["setsid"]),
        Act::CloseOnInterrupt => words(["handler"]),
        Act::OwnNetwork => words(["netns"]),
        Act::Exit => words(["exit"]),
    }
}

/// The act that these words are.
pub(crate) fn parse_act<'a>(words: &'a [&'a str]) -> Option<Act<'a>> {
    Some(match *words {
        ["socket", s, kind] => Act::Socket(s, Kind::ALL.into_iter().find(|k| k.arguments() == kind)?),
        ["set", s, opt, on] => Act::Set(s, Opt::ALL.into_iter().find(|o| o.name() == opt)?, on.parse().ok()?),
        ["bind", s, form, name] => Act::Bind(s, parse_place(form, name)?),
        ["listen", s, backlog] => Act::Listen(s, backlog.parse().ok()?),
        ["connect later", s, form, name] => Act::ConnectLater(s, parse_place(form, name)?),
        ["connect", s, form, name] => Act::Connect(s, parse_place(form, name)?),
        ["accept", s, new] => Act::Accept(s, new),
        ["send", s, bytes] => Act::Send(s, bytes.parse().ok()?),
        ["recv", s, bytes] => Act::Recv(s, bytes.parse().ok()?),
        ["shutdown", s, "write"] => Act::ShutdownWrite(s),
        ["shutdown", s, "read"] => Act::ShutdownRead(s),
        ["close", s] => Act::Close(s),
        ["fork", child] => Act::Fork(child),
        ["exec", ref argv @ ..] => Act::Exec(argv),
        ["socketpair", a, b] => Act::Socketpair(a, b),
        ["sendfd", over, what] => Act::SendDescriptor(over, what),
        ["ring", ring, s] => Act::RingRegister(ring, s),
        ["thread"] => Act::ThreadWithOwnFiles,
        ["endmain"] => Act::EndMainThread,
        ["setsid"] => Act::OwnSession,
        ["handler"] => Act::CloseOnInterrupt,
        ["netns"] => Act::OwnNetwork,
        ["exit"] => Act::Exit,
        _ => return None,
    })
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn with_place(call: &str, s: &str, place: &Place<'_>) -> Vec<String> {
    let (form, name) = match place {
        Place::Inet(address) => ("inet", address.to_string()),
        Place::Path(path) => ("path", (*path).to_owned()),
        Place::Abstract(name) => ("abstract", (*name).to_owned()),
    };
    words([call, s, form, &name])
}

fn parse_place<'a>(form: &str, name: &'a str) -> Option<Place<'a>> {
    match form {
        "inet" => name.parse().ok().map(Place::Inet),
        "path" => Some(Place::Path(name)),
        "abstract" => Some(Place::Abstract(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_every_scene_reads_back() {
        for play in inuse_rules::scene::lesson::plays() {
            for step in play.steps() {
                let words = step_words(step);
                let strs: Vec<&str> = words.iter().map(String::as_str).collect();
                let expect = match *step {
                    Step::Fails(who, act, _) => Step::Does(who, act),
                    step => step,
                };
                assert_eq!(parse_step(&strs), Some(expect), "{words:?}");
            }
        }
    }

    #[test]
    fn other_words_are_no_step() {
        for words in [&[][..], &["actor"], &["actor", "x", "-1"], &["act", "x"], &["act", "x", "bind", "s"]] {
            assert_eq!(parse_step(words), None, "{words:?}");
        }
    }
}
