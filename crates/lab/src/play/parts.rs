//! A lesson or a scene as the parts that are played, one after the other. A scene has no prose beside its
//! steps; here it gets a plain sentence for each.

use super::is_free;
use inuse_rules::Cause;
use inuse_rules::cure::Action;
use inuse_rules::scene::lesson::{self, Lesson, Play};
use inuse_rules::scene::{Act, AskedBy, Kind, Opt, Place, Scene, Signal, Step, Wanted};
use inuse_rules::verdict::{Call, Errno};

/// A part to be played.
pub(super) enum Part {
    Steps(Vec<Step<'static>>, String),
    Round {
        steps: Vec<Step<'static>>,
        says: String,
        number: u32,
        of: u32,
    },
    Why(Wanted, Cause, String),
    Change(String),
    Cure(Action, String),
    /// Whatever cure the answer names first, and the attempt again.
    AnyCure(Wanted),
    Wait {
        wanted: Wanted,
        at_least: u32,
        at_most: u32,
        says: String,
    },
}

/// The newcomer whose bind is refused, and the one who comes after the cure.
const NEWCOMER: &str = "newcomer";
const SUCCESSOR: &str = "successor";
/// The socket of the attempt.
const SOCKET: &str = "n";

/// The parts of a play.
pub(super) fn of(play: Play) -> Vec<Part> {
    match play {
        Play::Lesson(lesson) => of_lesson(lesson),
        Play::Scene(scene) => of_scene(scene),
    }
}

fn of_lesson(lesson: &Lesson) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in lesson.parts {
        let says = part.says().to_owned();
        match *part {
            lesson::Part::Steps(steps, _) => parts.push(Part::Steps(steps.to_vec(), says)),
            lesson::Part::Repeat(of, steps, _) => parts.extend((1..=of).map(|number| {
                let says = if number == 1 { says.clone() } else { String::new() };
                Part::Round { steps: steps.to_vec(), says, number, of }
            })),
            lesson::Part::Why(wanted, cause, _) => parts.push(Part::Why(wanted, cause, says)),
            lesson::Part::Change(_) => parts.push(Part::Change(says)),
            lesson::Part::Cure(action, _) => parts.push(Part::Cure(action, says)),
            lesson::Part::Wait(wanted, at_least, at_most, _) => {
                parts.push(Part::Wait { wanted, at_least, at_most, says });
            }
        }
    }
    parts
}

fn of_scene(scene: &Scene) -> Vec<Part> {
    let all: Vec<Step<'static>> = scene.steps().copied().collect();
    let mut parts: Vec<Part> =
        grouped(all.iter().copied()).into_iter().map(|steps| told(steps, &all)).collect();
    let wanted = scene.attempt;
    let (Wanted { reuseaddr, reuseport, .. }, expect) = (wanted, scene.expect);
    let answer = match (reuseaddr, reuseport) {
        (true, _) => expect.reuseaddr,
        (_, true) => expect.reuseport,
        _ => expect.plain,
    };
    let why = |says: &str| Part::Why(wanted, scene.cause, says.to_owned());
    match answer {
        None => {
            parts.push(why("Would a bind succeed now?"));
            parts.push(success(&wanted));
        }
        Some((errno, call)) => {
            let own = match scene.asker {
                AskedBy::Actor(who) => Some(who),
                _ => None,
            };
            parts.push(refusal(&wanted, errno, call, own));
            parts.push(why("Why?"));
            if !is_free(scene.cause) {
                parts.push(Part::AnyCure(wanted));
            }
        }
    }
    parts
}

/// The attempt, which succeeds and stays.
pub(super) fn success(wanted: &Wanted) -> Part {
    let mut steps = vec![Step::Actor(SUCCESSOR, wanted.uid)];
    steps.extend(calls(wanted).into_iter().map(|(_, act)| Step::Does(SUCCESSOR, act)));
    Part::Steps(steps, format!("The bind{} succeeds.", options(wanted)))
}

/// The attempt, refused at that call by that error; by an actor of the scene, or by a newcomer.
fn refusal(wanted: &Wanted, errno: Errno, at: Call, own: Option<&'static str>) -> Part {
    let who = own.unwrap_or(NEWCOMER);
    let mut steps = Vec::new();
    if own.is_none() {
        steps.push(Step::Actor(NEWCOMER, wanted.uid));
    }
    for (call, act) in calls(wanted) {
        if call == Some(at) {
            steps.push(Step::Fails(who, act, errno));
            break;
        }
        steps.push(Step::Does(who, act));
    }
    steps.push(if own.is_some() { Step::Does(who, Act::Close(SOCKET)) } else { Step::Does(who, Act::Exit) });
    Part::Steps(
        steps,
        format!("Now the attempt{}. It is refused: {errno} from {}().", options(wanted), at.name()),
    )
}

/// The calls of an attempt. Those before bind() have no errno in a scene.
fn calls(wanted: &Wanted) -> Vec<(Option<Call>, Act<'static>)> {
    let mut calls = vec![(None, Act::Socket(SOCKET, wanted.kind))];
    for (opt, on) in
        [(Opt::Reuseaddr, wanted.reuseaddr), (Opt::Reuseport, wanted.reuseport), (Opt::V6only, wanted.v6only)]
    {
        if on {
            calls.push((Some(Call::Setsockopt), Act::Set(SOCKET, opt, true)));
        }
    }
    calls.push((Some(Call::Bind), Act::Bind(SOCKET, wanted.place)));
    if wanted.kind.listens() {
        calls.push((Some(Call::Listen), Act::Listen(SOCKET, 16)));
    }
    calls
}

fn options(wanted: &Wanted) -> String {
    let set = [
        (wanted.reuseaddr, "SO_REUSEADDR"),
        (wanted.reuseport, "SO_REUSEPORT"),
        (wanted.v6only, "IPV6_V6ONLY"),
    ];
    let names: Vec<&str> = set.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    let user = match wanted.uid {
        0 => String::new(),
        uid => format!(" by uid {uid}"),
    };
    if names.is_empty() { user } else { format!(" with {}{user}", names.join(" and ")) }
}

/// What belongs together: the calls of one actor up to the one that shows.
fn grouped(steps: impl Iterator<Item = Step<'static>>) -> Vec<Vec<Step<'static>>> {
    let mut groups: Vec<Vec<Step<'static>>> = Vec::new();
    let mut open = false;
    for step in steps {
        let prepares = matches!(step, Step::Actor(..))
            || matches!(step, Step::Does(_, Act::Socket(..) | Act::Set(..) | Act::Bind(..)));
        let continues = open
            && groups.last().and_then(|group| group.last()).is_some_and(|last| actor(last) == actor(&step));
        match groups.last_mut() {
            Some(group) if continues => group.push(step),
            _ => groups.push(vec![step]),
        }
        open = prepares;
    }
    groups
}

fn actor(step: &Step<'static>) -> Option<&'static str> {
    match step {
        Step::Actor(name, _) | Step::Does(name, _) | Step::Fails(name, _, _) => Some(name),
        _ => None,
    }
}

/// A group with its sentence: about what it comes to.
fn told(steps: Vec<Step<'static>>, all: &[Step<'static>]) -> Part {
    let kind = steps.iter().rev().find_map(|step| match step {
        Step::Does(_, Act::Socket(_, kind)) => Some(*kind),
        _ => None,
    });
    let says = match steps.last() {
        Some(Step::Does(who, Act::Close(socket))) => Some(closes(who, socket, all)),
        Some(Step::Does(who, act)) => kind.and_then(|kind| other_than_tcp(who, act, kind)),
        _ => None,
    };
    let says = says.or_else(|| steps.last().map(sentence)).unwrap_or_default();
    Part::Steps(steps, says)
}

fn sentence(step: &Step<'_>) -> String {
    match step {
        Step::Does(who, act) => does(who, act),
        Step::Actor(name, _) => format!("A process starts: {name}."),
        Step::Fails(who, act, errno) => format!("{who} tries {act}, and is refused: {errno}."),
        Step::Signal(who, Signal::Kill) => format!("{who} is killed. It has no say in it."),
        Step::Signal(who, Signal::Stop) => {
            format!("{who} is stopped, as by Ctrl-Z: it keeps everything and does nothing.")
        }
        Step::Signal(who, Signal::Continue) => format!("{who} goes on."),
        Step::Signal(who, Signal::Interrupt) => format!("Ctrl+C: {who} gets SIGINT."),
        Step::Await(sight) => {
            format!("Where this has led: {} is {}.", sight.local, sight.state.name())
        }
        Step::Sysctl(..) => "A kernel setting is changed, in this network namespace only.".into(),
        Step::Interface(name, _) => format!("A network interface appears: {name}."),
        Step::Address(name, ip) => format!("The interface {name} gets the address {ip}."),
        Step::Create(path, _) => format!("Something that is no socket appears at {path}."),
        Step::Remove(path) => format!("The name {path} disappears."),
    }
}

/// What is closed: a socket that other steps listen on, or that they connect or accept.
fn closes(who: &str, socket: &str, all: &[Step<'static>]) -> String {
    let is = |of: fn(&Act<'static>) -> Option<&'static str>| {
        all.iter().any(|step| matches!(step, Step::Does(by, act) if *by == who && of(act) == Some(socket)))
    };
    let listens = is(|act| match act {
        Act::Listen(s, _) => Some(*s),
        _ => None,
    });
    let connects = is(|act| match act {
        Act::Connect(s, Place::Inet(_)) | Act::Accept(_, s) => Some(*s),
        _ => None,
    });
    match () {
        () if listens => format!("{who} closes its descriptor of the listening socket."),
        () if connects => {
            format!(
                "{who} closes its descriptor of the connection; if that was the last one, a FIN goes out."
            )
        }
        () => format!("{who} closes a descriptor."),
    }
}

/// What a call comes to on a socket that knows no handshake, or no listening.
fn other_than_tcp(who: &str, act: &Act<'_>, kind: Kind) -> Option<String> {
    let datagrams = !kind.listens();
    match act {
        Act::Bind(_, place) if datagrams => {
            Some(format!("{who} has {place}: datagrams for that address go to it."))
        }
        Act::Listen(..) if !matches!(kind, Kind::Tcp4 | Kind::Tcp6) => {
            Some(format!("{who} listens: from now on clients can connect."))
        }
        Act::Connect(_, place) if datagrams => {
            Some(format!("{who} will send to {place}; nothing passes yet."))
        }
        Act::Connect(_, place) if !matches!(kind, Kind::Tcp4 | Kind::Tcp6) => {
            Some(format!("{who} connects to {place}."))
        }
        _ => None,
    }
}

fn does(who: &str, act: &Act<'_>) -> String {
    match act {
        Act::Socket(..) => format!("{who} makes a socket; it has no address yet."),
        Act::Set(_, opt, on) => format!("{who} switches {} {}.", opt.name(), if *on { "on" } else { "off" }),
        Act::Bind(_, place) => format!("{who} has {place}, and does not listen."),
        Act::Listen(..) => format!("{who} listens: from now on the kernel completes handshakes for it."),
        Act::ConnectLater(_, place) => format!("{who} begins to connect to {place}, and no answer comes."),
        Act::Connect(_, place) => format!("{who} connects to {place}: SYN, SYN-ACK, ACK."),
        Act::Accept(..) => format!("{who} takes the connection from its listener's queue."),
        Act::Send(..) => format!("{who} sends; what the other side has no room for stays in Send-Q."),
        Act::Recv(..) => format!("{who} reads."),
        Act::ShutdownWrite(_) => format!("{who} will send no more: a FIN goes out."),
        Act::ShutdownRead(_) => {
            format!("{who} shuts its receiving side; a listener listens no more, and keeps its port.")
        }
        Act::Close(_) => format!("{who} closes a descriptor."),
        Act::Fork(child) => format!("{who} forks: {child} has every descriptor too."),
        Act::Exec(words) => format!(
            "{who} becomes another program, {}, and what was not close-on-exec stays open.",
            words.first().copied().unwrap_or_default()
        ),
        Act::Socketpair(..) => format!("{who} makes a pair of unix sockets."),
        Act::SendDescriptor(..) => {
            format!("{who} sends a descriptor as a message: until it is read, the socket lives in there.")
        }
        Act::RingRegister(..) => {
            format!("{who} registers the socket with an io_uring, which then holds it too.")
        }
        Act::ThreadWithOwnFiles => {
            format!("{who} starts a thread that has a table of open files of its own.")
        }
        Act::EndMainThread => format!("The main thread of {who} ends; another one goes on."),
        Act::OwnSession => format!("{who} leaves the terminal's process group."),
        Act::CloseOnInterrupt => format!("{who} installs a handler for SIGINT that closes everything."),
        Act::OwnNetwork => format!(
            "{who} moves into a network namespace of its own, as a container does; its sockets there do not show here."
        ),
        Act::Exit => format!("{who} ends, and the kernel closes all that it had open."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::scene::lesson::plays;

    #[test]
    fn every_step_is_played_once_and_in_order() {
        for play in plays() {
            let Play::Scene(scene) = play else { continue };
            let steps: Vec<Step<'static>> = scene.steps().copied().collect();
            let grouped: Vec<Step<'static>> = grouped(steps.iter().copied()).concat();
            assert_eq!(grouped, steps, "{}", scene.name);
        }
    }

    #[test]
    fn what_is_played_has_a_sentence() {
        for play in plays() {
            for part in of(play) {
                if let Part::Steps(_, says) | Part::Why(_, _, says) | Part::Change(says) = &part {
                    assert!(says.ends_with(['.', '?']), "{}: {says}", play.name());
                }
            }
        }
    }
}
