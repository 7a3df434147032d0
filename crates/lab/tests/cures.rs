//! Cures are carried out: what `why` advises is done, on the stage, to the letter; then the bind is tried
//! again for real, and those who were not to be hurt must be alive and serving.
//!
//! Each cure of each scene gets a stage of its own. Commands are typed to a shell, with the rights that
//! the cure asks for and no more; options are set by a real attempt that sets them; waits are waited.
//! What the test demands of the bind is what the cure promises ([`Promise`]); a cure that promises less
//! than success must bring the reader a step further, to an answer whose own cures succeed.

mod common;

use common::{Answer, ask_as, cannot, on_path, tell};
use inuse_bind::WhyOptions;
use inuse_keeper::act::{Ending, Freer, Permissions};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::address::{UnixKind, UnixName};
use inuse_rules::cure::{Action, Command, SourceFix, quote};
use inuse_rules::scene::{self, Act, AskedBy, Expect, Kind, Place, Scene, Signal, Step, Wanted};
use inuse_rules::written::{self, Target};
use inuse_rules::{Address, Cause, Cure, Outcome, Promise, Socket, State};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Scenes in which nothing can be advised, and why.
const WITHOUT_CURE: &[(&str, &str)] =
    &[("denied-unix-directory", "whose directory it is, and why, only its owner can say")];

/// How long a process may take to end and its sockets to close.
const ENDING: Duration = Duration::from_secs(3);
/// How often an answer may lead to another one before an address is free.
const STEPS: usize = 3;
/// Stages that are open at once: most of a stage's time is spent waiting for processes to start.
const STAGES: usize = 4;

fn main() {
    inuse_lab::helper_main();
    match std::env::args().nth(1).as_deref() {
        Some(common::ASK) => return common::asker(|name| Some(scene_called(name)?.attempt.attempt())),
        Some(BIND) => return bind_role(),
        Some(FREE) => return free_role(),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(STAGES);
    // The longest first.
    let mut trials = vec![Trial::ignorable_test("waits_are_waited", waits)];
    // What is asked from outside of the stage depends on every process of the machine, and the only such
    // scene has nobody to stop.
    for scene in scene::all().chain(OWN).filter(|scene| scene.asker != AskedBy::Outside) {
        trials.push(Trial::ignorable_test(format!("cures::{}", scene.name), move || cures_of(scene)));
    }
    trials.push(Trial::ignorable_test("setcap_on_a_program", setcap));
    trials.push(Trial::test("words_survive_a_shell", words_survive));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A scene of the rules crate, or of this file.
fn scene_called(name: &str) -> Option<&'static Scene> {
    scene::by_name(name).or_else(|| OWN.iter().find(|scene| scene.name == name))
}

/// A scene with the socket file of a dead server at that path.
macro_rules! stale {
    ($name:literal, $path:literal) => {
        Scene {
            name: $name,
            cause: Cause::UnixStale,
            also: &[],
            story: "A server died and left its socket file behind.",
            acts: &[&[
                Step::Actor("server", 0),
                Step::Does("server", Act::Socket("s", Kind::UnixStream)),
                Step::Does("server", Act::Bind("s", Place::Path($path))),
                Step::Does("server", Act::Exit),
            ]],
            attempt: Wanted::path($path),
            expect: Expect { plain: None, reuseaddr: None, reuseport: None },
            twin: "unix-stale",
            asker: AskedBy::User(0),
        }
    };
}

/// Scenes that matter only for the commands of their cures: paths that a shell could misread.
const OWN: &[Scene] = &[
    stale!("stale-quotes", "/run/it's $(touch pwned) `id` \"x\" \\ & ;.sock"),
    stale!("stale-like-options", "/run/-rf *.sock"),
    stale!("stale-control", "/run/a\x1b[2J\u{202e}%s\\n\nb\\.sock"),
    stale!("stale-line-feeds", "/run/\nends\n\n"),
    Scene { acts: &[], ..stale!("missing-directory", "/run/a/b c/app.sock") },
];

/// A stage with all that a scene needs, or why there is none.
fn stage_for(scene: &Scene) -> Result<Result<Stage, String>, StageError> {
    let stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return Ok(Err(why)),
        other => other?,
    };
    Ok(match scene.needs().into_iter().find(|need| !stage.offers(*need)) {
        Some(need) => Err(format!("it needs {}", need.says())),
        None => Ok(stage),
    })
}

/// Asks why on the stage, as the scene's asker.
fn ask(stage: &mut Stage, scene: &Scene) -> Result<Answer, String> {
    ask_as(stage, scene.name, scene.asker)
}

/// Every cure of a scene but waiting, each on a stage of its own.
fn cures_of(scene: &'static Scene) -> Result<Completion, Failed> {
    let mut stage = match stage_for(scene)? {
        Ok(stage) => stage,
        Err(why) => return cannot(why),
    };
    stage.play(scene)?;
    let answer = ask(&mut stage, scene)?;
    stage.end()?;
    let refused = matches!(answer.diagnosis.verdict.outcome, Outcome::Refused(_));
    let excused = WITHOUT_CURE.iter().any(|(name, _)| *name == scene.name);
    if refused && answer.diagnosis.cures.is_empty() != excused {
        return Err(format!("{} cures, excused {excused}", answer.diagnosis.cures.len()).into());
    }
    let missing = answer.diagnosis.cures.iter().flat_map(|cure| &cure.commands).find_map(not_installed);
    if let Some(program) = missing {
        return cannot(format!("{program} is not installed"));
    }
    for (number, cure) in answer.diagnosis.cures.iter().enumerate() {
        // These two have tests of their own.
        if !matches!(cure.action, Action::Wait | Action::Privilege) {
            carry_out(scene, number).map_err(|why| format!("cure {number}, \"{}\": {why}", cure.says))?;
        }
    }
    Ok(Completion::Completed)
}

/// Carries out one cure of a scene on a fresh stage.
fn carry_out(scene: &Scene, number: usize) -> Result<(), String> {
    let mut stage = stage_for(scene).map_err(tell)??;
    stage.play(scene).map_err(tell)?;
    let answer = ask(&mut stage, scene)?;
    let cure = answer.diagnosis.cures.get(number).ok_or("another answer on another stage")?;
    advises_no_useless_option(&mut stage, scene, cure)?;
    let unhurt = Bystanders::of(&mut stage, scene, &answer, cure)?;
    type_commands(&mut stage, scene, &answer, cure)?;
    unhurt.live(&mut stage, cure)?;
    match cure.promise {
        Promise::Now => {
            let wanted = cured(scene, &answer, cure)?;
            binds(&mut stage, &wanted, ENDING)?;
        }
        Promise::Perhaps if only_looks(cure) => looked(&mut stage, scene, cure)?,
        Promise::Perhaps => leads_on(&mut stage, scene)?,
        Promise::FromNowOn if cure.action == Action::Sysctl => does_not_return(&mut stage, scene, &answer)?,
        // A change in somebody's source or configuration.
        Promise::FromNowOn => {}
    }
    unhurt.serve(&mut stage)?;
    stage.end().map_err(tell)
}

/// SO_REUSEADDR is advised only where a real bind with it succeeds, or for the next restart.
fn advises_no_useless_option(stage: &mut Stage, scene: &Scene, cure: &Cure) -> Result<(), String> {
    let advised = cure.source == Some(SourceFix::Reuseaddr) || cure.says.starts_with("Set SO_REUSEADDR");
    if !advised || cure.says.contains("from its next restart") {
        return Ok(());
    }
    match stage.attempt(&scene.attempt.with(true, false)).map_err(tell)? {
        None => Ok(()),
        Some((errno, _)) => Err(format!("SO_REUSEADDR is advised and gets {errno}")),
    }
}

/// Types the cure's commands to a shell, with the rights that they ask for.
fn type_commands(stage: &mut Stage, scene: &Scene, answer: &Answer, cure: &Cure) -> Result<(), String> {
    let mut as_root = false;
    for command in &cure.commands {
        let words: Vec<String> =
            command.0.iter().map(|word| String::from_utf8(word.clone()).expect("a scene's text")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (sudo, words) = match words.split_first() {
            Some((&"sudo", rest)) => (true, rest),
            _ => (false, &words[..]),
        };
        as_root |= sudo;
        fits(words, answer)?;
        if let ["inuse", "free", flags @ ..] = words {
            let uid = if sudo { 0 } else { scene.attempt.uid };
            let ran =
                stage.run(uid, Program::Myself, &[&[FREE, scene.name], flags].concat()).map_err(tell)?;
            // Where less than success is promised, freeing may say that it did not come to it; not that it
            // refuses.
            if ran.code != 0 && (ran.code != NOT_FREE || cure.promise == Promise::Now) {
                return Err(format!("{words:?} by uid {uid}: {}", String::from_utf8_lossy(&ran.stdout)));
            }
            continue;
        }
        // Our own command, when it only looks, is asked by `looked`.
        if words.first() == Some(&"inuse") {
            continue;
        }
        let line = Command::new(words.iter().copied()).to_string();
        let uid = if sudo { 0 } else { scene.attempt.uid };
        let ran = stage.run(uid, Program::Path("sh"), &["-c", &line]).map_err(tell)?;
        if ran.code != 0 {
            let said = String::from_utf8_lossy(&ran.stderr);
            return Err(format!("`{line}` by uid {uid} exits with {}: {said}", ran.code));
        }
    }
    let privileged = cure.needs.is_some();
    if !cure.commands.is_empty() && privileged != as_root {
        return Err(format!("needs {:?}, but its commands ask for root: {as_root}", cure.needs));
    }
    Ok(())
}

/// The program of a command that is to be typed, if it is missing. A stage's root needs no sudo, and our own
/// command is not typed.
fn not_installed(command: &Command) -> Option<String> {
    let words = command.0.iter().map(|word| String::from_utf8_lossy(word));
    let program = words.into_iter().find(|word| word != "sudo")?;
    (program != "inuse" && !on_path(&program)).then(|| program.into_owned())
}

/// Whether a command is one of those that a cure may be: it signals none but holders, and destroys none
/// but sockets that are in the way.
fn fits(words: &[&str], answer: &Answer) -> Result<(), String> {
    let wrong = || Err(format!("a command that no cure should be: {words:?}"));
    match words {
        ["kill", "-TERM", pids @ ..] if !pids.is_empty() => {
            let holders = holders(answer);
            for pid in pids {
                let pid: u32 = pid.parse().map_err(|_| format!("not a pid: {pid}"))?;
                if pid <= 1 || !holders.contains(&pid) {
                    return Err(format!("it signals {pid}, and the holders are {holders:?}"));
                }
            }
            Ok(())
        }
        ["inuse", "why" | "next" | "free", address] | ["inuse", "free", "--destroy" | "--kill", address] => {
            let parsed = written::parse(address).map_err(|error| format!("{address}: {error}"))?;
            let asked = &answer.diagnosis.attempt.address;
            let same = match (&parsed.wanted()[..], asked) {
                ([written::Wanted::Unix { name, .. }], Address::Unix { name: asked, .. }) => name == asked,
                (
                    [written::Wanted::Inet { transport, host: written::Host::Ip { ip, .. }, port, .. }],
                    Address::Inet { transport: asked, local, .. },
                ) => (transport, *ip, *port) == (asked, local.ip(), local.port()),
                _ => false,
            };
            if same { Ok(()) } else { Err(format!("{address} is not what was asked for, {asked}")) }
        }
        // Mending a live server is played in full by the tests of options.
        ["inuse", "opts", address, "SO_REUSEADDR=1"] => fits(&["inuse", "why", address], answer),
        ["sysctl", "-w", setting] if setting.starts_with("net.") && setting.contains('=') => Ok(()),
        ["setcap", "cap_net_bind_service=+ep", "PROGRAM"] => Ok(()),
        ["ls", "-ld", "--", path] | ["mkdir", "-p", path] if path.starts_with('/') => Ok(()),
        ["ip", "-brief", "address"] => Ok(()),
        _ => wrong(),
    }
}

/// The sockets in the way of the attempt.
fn blockers(answer: &Answer) -> Vec<&Socket> {
    let by = answer.diagnosis.verdict.by().iter();
    by.filter_map(|&index| answer.snapshot.sockets.get(index)).collect()
}

/// The processes that hold what is in the way: for a unix path that may be in another namespace.
fn holders(answer: &Answer) -> BTreeSet<u32> {
    let elsewhere = answer.snapshot.elsewhere.iter().map(|other| &other.socket);
    let elsewhere = elsewhere.filter(|socket| matches!(socket.address, Address::Unix { .. }));
    let sockets = blockers(answer).into_iter().chain(elsewhere);
    sockets.flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect()
}

/// The attempt with what the cure changes about it.
fn cured(scene: &Scene, answer: &Answer, cure: &Cure) -> Result<Wanted, String> {
    let wanted = scene.attempt;
    Ok(match (cure.action, cure.source, wanted.place) {
        (_, Some(SourceFix::Reuseaddr), _) => wanted.with(true, wanted.reuseport),
        (_, Some(SourceFix::Reuseport), _) => wanted.with(wanted.reuseaddr, true),
        (_, Some(SourceFix::V6only), _) => wanted.v6only(),
        (_, Some(fix), _) => return Err(format!("{fix:?} promises success and cannot be tried")),
        (Action::BindElsewhere, None, Place::Inet(at)) if cure.says.contains("127.0.0.1:") => {
            Wanted { place: Place::Inet((Ipv4Addr::LOCALHOST, at.port()).into()), ..wanted }
        }
        (Action::Configure, None, Place::Inet(_)) => {
            let uid = blockers(answer).iter().find_map(|socket| socket.uid).ok_or("no user to become")?;
            wanted.by(uid)
        }
        _ if cure.commands.is_empty() => return Err("it promises success by words alone".into()),
        _ => wanted,
    })
}

/// Tries the bind until it succeeds or time is up.
fn binds(stage: &mut Stage, wanted: &Wanted, patience: Duration) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    loop {
        match stage.attempt(wanted).map_err(tell)? {
            None => return Ok(()),
            Some((errno, call)) if Instant::now() > deadline => {
                let rows: Vec<String> = stage.rows().map_err(tell)?.iter().map(ToString::to_string).collect();
                return Err(format!("still {errno} at {}:\n{}", call.name(), rows.join("\n")));
            }
            Some(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Whether the cure changes nothing by itself.
fn only_looks(cure: &Cure) -> bool {
    cure.commands.iter().all(|command| {
        let words: Vec<&[u8]> = command.0.iter().map(Vec::as_slice).collect();
        let words = words.strip_prefix(&[&b"sudo"[..]]).unwrap_or(&words);
        let frees = words.get(1) == Some(&&b"free"[..]);
        !frees && matches!(words.first(), Some(&(b"ip" | b"ls" | b"inuse" | b"setcap")))
    })
}

/// Looking again as root shows who it is.
fn looked(stage: &mut Stage, scene: &Scene, cure: &Cure) -> Result<(), String> {
    if cure.action != Action::LookAgain || cure.needs.is_none() {
        return Ok(());
    }
    let answer = ask_as(stage, scene.name, AskedBy::User(0))?;
    if answer.diagnosis.cause == scene.cause || answer.diagnosis.cures.is_empty() {
        return Err(format!("root sees no more: {}", answer.diagnosis.summary));
    }
    Ok(())
}

/// The address may not be free yet; but then the next answer, or the one after it, frees it.
fn leads_on(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let mut said = Vec::new();
    for _ in 0..STEPS {
        if binds(stage, &scene.attempt, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        let answer = ask(stage, scene)?;
        said.push(answer.diagnosis.summary.clone());
        let next = answer.diagnosis.cures.iter().find(|cure| {
            cure.promise == Promise::Now
                && !cure.commands.is_empty()
                && !matches!(cure.action, Action::Wait | Action::Privilege)
        });
        let Some(cure) = next else { break };
        type_commands(stage, scene, &answer, cure)?;
        if cured(scene, &answer, cure)? == scene.attempt {
            return binds(stage, &scene.attempt, ENDING);
        }
    }
    Err(format!("it leads nowhere: {said:#?}"))
}

/// What is there ends; then another outgoing connection is made, and the port is not given to it.
fn does_not_return(stage: &mut Stage, scene: &Scene, answer: &Answer) -> Result<(), String> {
    let Place::Inet(at) = scene.attempt.place else { return Err("a setting for a unix path".into()) };
    for socket in blockers(answer) {
        let (Some((_, local, _)), Some(remote)) = (socket.inet(), socket.remote) else { continue };
        // The connection first: its process would leave remains.
        let (local, remote) = (local.to_string(), remote.to_string());
        stage
            .run(0, Program::Path("ss"), &["-K", "-a", "-t", "src", &local, "dst", &remote])
            .map_err(tell)?;
    }
    for actor in Bystanders::actors(stage, scene)? {
        if holders(answer).contains(&actor.pid) {
            stage.step(&Step::Signal(actor.name, Signal::Kill)).map_err(tell)?;
        }
    }
    let rows = stage.rows().map_err(tell)?;
    let listener = rows.iter().find(|row| row.state == State::Listen).map_or(at, |row| row.local);
    let kind = if listener.is_ipv4() { Kind::Tcp4 } else { Kind::Tcp6 };
    stage.step(&Step::Actor("late", 0)).map_err(tell)?;
    stage.step(&Step::Does("late", Act::Socket("c", kind))).map_err(tell)?;
    // It may be refused, or wait for an answer. Where nobody listens, only a connection to itself succeeds.
    let connected = stage.step(&Step::Does("late", Act::Connect("c", Place::Inet(listener)))).is_ok();
    if connected && listener == at {
        return Err("a client connected to itself again".into());
    }
    binds(stage, &scene.attempt, Duration::ZERO)
}

/// An actor, as far as its scene tells.
struct Actor {
    name: &'static str,
    pid: u32,
    /// Whether it is still the program that obeys, with its main thread.
    obeys: bool,
    /// Its listeners that can be reached: socket and address.
    listens: Vec<(&'static str, Place<'static>)>,
}

/// Those who are not named by a cure, and the connections of a moment before it.
struct Bystanders {
    actors: Vec<Actor>,
    connections: Vec<(SocketAddr, SocketAddr)>,
}

impl Bystanders {
    fn of(stage: &mut Stage, scene: &Scene, answer: &Answer, cure: &Cure) -> Result<Bystanders, String> {
        let mut actors = Bystanders::actors(stage, scene)?;
        let holders = holders(answer);
        let stops = matches!(cure.action, Action::StopProcess | Action::ResumeAndStop);
        let named = |pid: u32| stops && holders.contains(&pid);
        // The actor that asked has ended with that.
        actors.retain(|actor| !named(actor.pid) && AskedBy::Actor(actor.name) != scene.asker);
        Ok(Bystanders { actors, connections: connections(stage)? })
    }

    /// The actors of a scene that are alive at its end.
    fn actors(stage: &mut Stage, scene: &Scene) -> Result<Vec<Actor>, String> {
        let mut actors: Vec<(Actor, Vec<(&str, Place<'static>)>)> = Vec::new();
        for step in scene.steps() {
            let new = |name, named: &[_]| {
                (Actor { name, pid: 0, obeys: true, listens: Vec::new() }, Vec::from(named))
            };
            let (who, act) = match step {
                Step::Actor(name, _) => {
                    actors.push(new(name, &[]));
                    continue;
                }
                Step::Signal(name, Signal::Kill) => {
                    actors.retain(|(actor, _)| actor.name != *name);
                    continue;
                }
                Step::Signal(name, signal) => {
                    let stopped = *signal == Signal::Stop;
                    actors.iter_mut().filter(|(a, _)| a.name == *name).for_each(|(a, _)| a.obeys = !stopped);
                    continue;
                }
                Step::Remove(path) => {
                    let other = |place: &Place<'_>| *place != Place::Path(path);
                    actors.iter_mut().for_each(|(actor, _)| actor.listens.retain(|(_, p)| other(p)));
                    continue;
                }
                Step::Does(who, act) => (*who, *act),
                _ => continue,
            };
            let Some(index) = actors.iter().position(|(actor, _)| actor.name == who) else { continue };
            let (actor, bound) = &mut actors[index];
            match act {
                Act::Fork(child) => {
                    let inherited = new(child, bound);
                    actors.push(inherited);
                }
                Act::Exit => _ = actors.remove(index),
                Act::Exec(_) | Act::EndMainThread => actor.obeys = false,
                // Not to be reached from here.
                Act::OwnNetwork => actor.obeys = false,
                Act::Bind(s, place) => bound.push((s, place)),
                // A backlog of 0 is there to be full.
                Act::Listen(_, 0) => {}
                Act::Listen(s, _) => {
                    actor.listens.extend(bound.iter().filter(|(other, _)| *other == s).copied());
                }
                Act::Close(s) | Act::ShutdownRead(s) => actor.listens.retain(|(other, _)| *other != s),
                _ => {}
            }
        }
        let mut living = Vec::new();
        for (mut actor, _) in actors {
            actor.pid = stage.pid(actor.name).map_err(tell)?;
            living.push(actor);
        }
        Ok(living)
    }

    /// They are alive and obey; and if the cure says that it hurts nobody, every connection goes on.
    fn live(&self, stage: &mut Stage, cure: &Cure) -> Result<(), String> {
        for actor in &self.actors {
            if stage.pid(actor.name).ok() != Some(actor.pid) {
                return Err(format!("{} is gone", actor.name));
            }
            if actor.obeys {
                let step = Step::Does(actor.name, Act::Socketpair("alive-1", "alive-2"));
                stage.step(&step).map_err(tell)?;
            }
        }
        if cure.harms == "nobody" {
            let now = connections(stage)?;
            if let Some((local, remote)) = self.connections.iter().find(|there| !now.contains(there)) {
                return Err(format!("it hurts nobody, it says; the connection {local}-{remote} is gone"));
            }
        }
        Ok(())
    }

    /// Those that listened still accept.
    fn serve(&self, stage: &mut Stage) -> Result<(), String> {
        // A scene may have left no port to those who call.
        stage.step(&Step::Sysctl("net/ipv4/ip_local_port_range", "20000 60000")).map_err(tell)?;
        for actor in self.actors.iter().filter(|actor| actor.obeys) {
            for (s, place) in &actor.listens {
                let kind = match place {
                    Place::Inet(at) if at.is_ipv4() => Kind::Tcp4,
                    Place::Inet(_) => Kind::Tcp6,
                    _ => Kind::UnixStream,
                };
                let caller = format!("call-{}", actor.name);
                for step in [
                    Step::Actor(&caller, 0),
                    Step::Does(&caller, Act::Socket("c", kind)),
                    Step::Does(&caller, Act::Connect("c", *place)),
                    Step::Does(actor.name, Act::Accept(s, "accepted")),
                ] {
                    stage.step(&step).map_err(tell)?;
                }
            }
        }
        Ok(())
    }
}

/// The connections of a stage whose both ends are open.
fn connections(stage: &mut Stage) -> Result<Vec<(SocketAddr, SocketAddr)>, String> {
    let rows = stage.rows().map_err(tell)?;
    let open = rows.iter().filter(|row| row.state == State::Established);
    Ok(open.map(|row| (row.local, row.remote)).collect())
}

/// Every cure that is a wait, all at the same time: the longest is that of a TIME_WAIT.
fn waits() -> Result<Completion, Failed> {
    let waiting: Vec<&'static Scene> = scene::all()
        .filter(|scene| {
            let also = scene.also.contains(&Cause::TimeWait);
            also || matches!(scene.cause, Cause::TimeWait | Cause::FinWait2 | Cause::ClosingOrphan)
        })
        .collect();
    let done: Vec<Result<Waited, Failed>> = std::thread::scope(|scope| {
        let started: Vec<_> = waiting.iter().map(|scene| scope.spawn(|| wait(scene))).collect();
        started.into_iter().map(|thread| thread.join().expect("a thread that returns")).collect()
    });
    let mut waited = BTreeSet::new();
    for (scene, done) in waiting.iter().zip(done) {
        match done.map_err(|why| format!("{}: {}", scene.name, why.message().unwrap_or_default()))? {
            Waited::CouldNot(why) => return cannot(why),
            Waited::Nothing => {}
            Waited::Yes => _ = waited.insert(scene.cause),
        }
    }
    assert!(waited.contains(&Cause::TimeWait) && waited.contains(&Cause::FinWait2), "{waited:?}");
    Ok(Completion::Completed)
}

/// What became of a wait.
enum Waited {
    CouldNot(String),
    /// The answer advises none.
    Nothing,
    Yes,
}

/// Waits as long as the cure says, and not a moment longer; then the bind succeeds.
fn wait(scene: &Scene) -> Result<Waited, Failed> {
    let mut stage = match stage_for(scene)? {
        Ok(stage) => stage,
        Err(why) => return Ok(Waited::CouldNot(why)),
    };
    // Governs the FIN_WAIT_2 of orphans, and no TIME_WAIT.
    stage.step(&Step::Sysctl("net/ipv4/tcp_fin_timeout", "3"))?;
    stage.play(scene)?;
    let answer = ask(&mut stage, scene)?;
    let from = Instant::now();
    let Some(cure) = answer.diagnosis.cures.iter().find(|cure| cure.action == Action::Wait) else {
        return Ok(Waited::Nothing);
    };
    let [Command(words)] = &cure.commands[..] else { return Err("one command".into()) };
    let seconds: u64 = match &words[..] {
        [sleep, seconds] if sleep == b"sleep" => String::from_utf8_lossy(seconds).parse()?,
        _ => return Err(format!("not a wait: {words:?}").into()),
    };
    let least = cure.wait_ms.ok_or("no time")?;
    if seconds * 1000 < least || seconds * 1000 >= least + 1000 {
        return Err(format!("{seconds} s for {least} ms").into());
    }
    if stage.attempt(&scene.attempt)?.is_none() {
        return Err("there was nothing to wait for".into());
    }
    std::thread::sleep(Duration::from_secs(seconds).saturating_sub(from.elapsed()));
    binds(&mut stage, &scene.attempt, Duration::ZERO)?;
    stage.end()?;
    Ok(Waited::Yes)
}

/// The first argument of a run of this binary that binds an address.
const BIND: &str = "__bind";

/// The role that frees an address, as `inuse free` does once it was agreed to.
const FREE: &str = "__free";

/// The role's exit code where the plan was run and the address is not free at the end.
const NOT_FREE: i32 = 3;

/// Frees a scene's address, with the flags that follow its name.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn free_role() {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let scene = words.first().and_then(|name| scene_called(name)).expect("a scene");
    let attempt = scene.attempt.attempt();
    let agreed = |flag: &str| words.iter().any(|word| word == flag);
    let may = Permissions { kill: agreed("--kill"), destroy: agreed("--destroy"), ..Permissions::default() };
    let mut freer = Freer::new(&WhyOptions::default()).expect("sock_diag");
    let plan = freer.look(&attempt).plan(may);
    let outcome = freer.run(&plan, ENDING);
    println!("{:?}: {}\n{plan:#?}", outcome.ending, outcome.says);
    std::process::exit(match outcome.ending {
        Ending::Free | Ending::NothingToDo => 0,
        Ending::NotFree => NOT_FREE,
        Ending::Refused(_) | Ending::Unseen => 1,
    });
}

/// The role of a program that lacks a right: binds the address, and exits with the errno.
fn bind_role() {
    let at = std::env::args().nth(2).expect("an address");
    let bound = std::net::TcpListener::bind(at);
    std::process::exit(bound.map_or_else(|error| error.raw_os_error().unwrap_or(255), |_| 0));
}

/// The right to bind low ports, given to a program's file, as the cure says.
fn setcap() -> Result<Completion, Failed> {
    let scene = scene::by_name("privileged").ok_or("no scene")?;
    let mut stage = match stage_for(scene)? {
        Ok(stage) => stage,
        Err(why) => return cannot(why),
    };
    if !on_path("setcap") {
        return cannot("setcap is missing (libcap2-bin)");
    }
    let answer = ask(&mut stage, scene)?;
    let cure = answer.diagnosis.cures.iter().find(|cure| cure.action == Action::Privilege);
    let cure = cure.ok_or("no such cure")?;
    assert_eq!(cure.promise, Promise::Now);
    let program = common::Removed(common::fresh_path("program"));
    std::fs::copy("/proc/self/exe", &program.0)?;
    let name = program.0.to_str().ok_or("a strange temporary directory")?;
    let Place::Inet(at) = scene.attempt.place else { return Err("no port".into()) };
    let bind = |stage: &mut Stage| {
        let ran = stage.run(scene.attempt.uid, Program::Path(name), &[BIND, &at.to_string()]);
        ran.map(|ran| ran.code)
    };
    assert_eq!(bind(&mut stage)?, scene::Answer::map_or(scene.expect.plain, 0, |(errno, _)| errno.linux()));
    let line = cure.commands[0].to_string();
    let line = line.strip_prefix("sudo ").ok_or("it needs root")?.replace("PROGRAM", &quote(name.as_bytes()));
    let ran = stage.run(0, Program::Path("sh"), &["-c", &line])?;
    if ran.code != 0 {
        return cannot(String::from_utf8_lossy(&ran.stderr));
    }
    assert_eq!(bind(&mut stage)?, 0);
    stage.end()?;
    Ok(Completion::Completed)
}

/// What a command shows is what a shell makes of it, whatever the words.
fn words_survive() -> Result<(), Failed> {
    let every_byte: Vec<u8> = (1..=255).collect();
    let mut commands: Vec<Command> = vec![
        Command(vec![b"x".to_vec(), every_byte, b"".to_vec(), b"\n".to_vec(), b"a\n\n".to_vec()]),
        Command::new([
            "%s",
            "a%sb",
            "\\",
            "\\n",
            "a\\\x01",
            "'",
            "''",
            "\x1b'\"$(id)`id`",
            "-n",
            "~root",
            "a b",
        ]),
        Command(vec![b"\xff\xfe".to_vec(), "\u{202e}\u{200b}x".into(), b"\x0112".to_vec(), b"!!".to_vec()]),
    ];
    for known in inuse_rules::known::HOLDERS {
        commands.extend(known.commands.iter().map(|words| Command::new(words.iter().copied())));
    }
    // Our own command reads back the addresses that it prints.
    let words = commands.iter().flat_map(|command| &command.0);
    // As much as fits into an address.
    for word in words.flat_map(|word| word.chunks(100)) {
        let path = UnixName::Path([&b"/r"[..], word].concat());
        for name in [path, UnixName::Abstract(word.to_vec())] {
            let address = Address::Unix { kind: UnixKind::Stream, name: name.clone() };
            let read = written::parse(&address.to_string()).map(|read| read.target);
            if !matches!(&read, Ok(Target::Unix { name: read, .. }) if *read == name) {
                return Err(format!("{address} is read as {read:?}").into());
            }
        }
    }
    for command in commands {
        let line = command.to_string();
        if line.chars().any(|c| c != '\n' && inuse_rules::address::deceives(c)) {
            return Err(format!("what it shows deceives: {line:?}").into());
        }
        for shell in ["sh", "bash"].into_iter().filter(|shell| on_path(shell)) {
            let script = format!("printf '%s\\0' {line}");
            let output = std::process::Command::new(shell).args(["-c", &script]).output()?;
            let expect: Vec<u8> = command.0.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
            if output.stdout != expect {
                return Err(
                    format!("{shell} makes {:?} of {line}", String::from_utf8_lossy(&output.stdout)).into()
                );
            }
        }
    }
    Ok(())
}
