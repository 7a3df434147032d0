//! Every scene, freed or refused. The table below says by hand what must come of each.

use crate::cannot;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::Cause;
use inuse_rules::scene::{Act, AskedBy, Kind, Place, Scene, Step};
use libtest_mimic::{Completion, Failed};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every call by which a process can be signalled.
pub(crate) const SIGNALS: &str =
    "trace=kill,tkill,tgkill,pidfd_send_signal,rt_sigqueueinfo,rt_tgsigqueueinfo";

/// The words of an ending.
type Endings = &'static [&'static str];
const FREE: Endings = &["Free"];
const NEEDS_FLAG: Endings = &["Refused(NeedsFlag)"];
const NEVER: Endings = &["Refused(Never)"];
const UNSEEN: Endings = &["Refused(Unseen)"];
const NOT_FREE: Endings = &["NotFree"];
/// Where the kernel says yes: what is left of connections may still look doubtful, and is then taken away.
const NOTHING: Endings = &["NothingToDo", "Free"];

/// The flags under which a scene is freed; `None` for none.
pub(crate) fn agreements(scene: &Scene) -> Vec<Option<&'static str>> {
    match scene.cause {
        Cause::InFlight | Cause::IoUringFile => vec![None, Some("--kill")],
        Cause::CloseWait
        | Cause::EstablishedLeftover
        | Cause::EphemeralCollision
        | Cause::SelfConnect
        | Cause::ClosingOrphan => vec![None, Some("--destroy")],
        _ => vec![None],
    }
}

/// What must come of it.
fn expected(scene: &Scene, agreed: Option<&str>) -> Endings {
    let own = match (scene.attempt.reuseaddr, scene.attempt.reuseport) {
        (false, false) => scene.expect.plain,
        (true, _) => scene.expect.reuseaddr,
        (false, true) => scene.expect.reuseport,
    };
    if own.is_none() {
        return NOTHING;
    }
    match (scene.name, agreed) {
        // Connections of living programs, which only IPv4's wildcard minds.
        ("v6-blocks-v4", _) => return NEEDS_FLAG,
        // The client bound the port itself: it keeps it until it closes the socket.
        ("ephemeral-collision-bound", Some(_)) => return NOT_FREE,
        // The kernel's own socket is not told from one of another pid namespace on the stage.
        // It is tried: the connection that is not refused keeps the file.
        ("owner-hidden-unix-other-netns", _) => return &["Unseen"],
        ("kernel-socket", _) => return &["Refused(Never)", "Refused(Unseen)"],
        _ => {}
    }
    match scene.cause {
        Cause::InFlight
        | Cause::IoUringFile
        | Cause::CloseWait
        | Cause::EstablishedLeftover
        | Cause::EphemeralCollision
        | Cause::SelfConnect
        | Cause::ClosingOrphan
            if agreed.is_none() =>
        {
            NEEDS_FLAG
        }
        Cause::Privileged
        | Cause::NotLocal
        | Cause::Denied
        | Cause::EphemeralExhausted
        | Cause::UnixNotASocket => NEVER,
        Cause::OwnerHidden => UNSEEN,
        _ => FREE,
    }
}

/// Trials of scenes, those that ended right, and what became of everybody who was to be spared.
static TRIALS: AtomicUsize = AtomicUsize::new(0);
static RIGHT: AtomicUsize = AtomicUsize::new(0);
static BYSTANDERS: AtomicUsize = AtomicUsize::new(0);
static HARMED: AtomicUsize = AtomicUsize::new(0);

/// The figures of all scenes that were played; nothing where none was.
pub(crate) fn figures() -> Option<String> {
    let [trials, right, bystanders, harmed] =
        [&TRIALS, &RIGHT, &BYSTANDERS, &HARMED].map(|count| count.load(Ordering::Relaxed));
    (trials > 0).then(|| {
        format!("scenes freed or refused right: {right} of {trials}; bystanders looked after: {bystanders}, harmed: {harmed}")
    })
}

fn count(figure: &AtomicUsize) {
    figure.fetch_add(1, Ordering::Relaxed);
}

/// Plays a scene, has it freed, and holds what is said against the kernel and against everybody else's life.
pub(crate) fn run(scene: &'static Scene, agreed: Option<&'static str>) -> Result<Completion, Failed> {
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    if let Some(need) = scene.needs().into_iter().find(|need| !stage.offers(*need)) {
        return cannot(format!("it needs {}", need.says()));
    }
    match stage.play(scene) {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    }
    count(&TRIALS);
    let neighbour = Neighbour::move_in(&mut stage)?;
    let before = lives(&mut stage, scene);
    let uid = match scene.asker {
        AskedBy::User(uid) => uid,
        AskedBy::Actor(_) | AskedBy::Outside => 0,
    };
    let said = free(&mut stage, uid, scene.name, agreed)?;
    let expect = expected(scene, agreed);
    let check = |holds: bool, what: &str| -> Result<(), Failed> {
        if holds {
            Ok(())
        } else {
            Err(format!("{}: {what}\n{}\ncalls:\n{}", scene.name, said.text, said.calls).into())
        }
    };
    check(expect.contains(&said.ending.as_str()), &format!("expected {expect:?}"))?;
    // The kernel's own answer.
    let answer = stage.attempt(&scene.attempt)?;
    let is_free = matches!(said.ending.as_str(), "Free" | "NothingToDo");
    check(answer.is_none() == is_free, &format!("a real bind answers {answer:?}"))?;
    // Whoever was to be spared lives, as the same process, and the neighbour serves.
    let after = lives(&mut stage, scene);
    for (name, (pid, start)) in &before {
        if !said.stopped.contains(pid) {
            count(&BYSTANDERS);
            let lives = after.get(name) == Some(&(*pid, start.clone()));
            if !lives {
                count(&HARMED);
            }
            check(lives, &format!("{name} was harmed"))?;
        }
    }
    // Both ends of its connection.
    count(&BYSTANDERS);
    count(&BYSTANDERS);
    neighbour.serves(&mut stage).inspect_err(|_| count(&HARMED))?;
    if said.ending.starts_with("Refused") || said.ending == "NothingToDo" {
        check(said.calls.is_empty(), "a refusal, and yet a signal")?;
        check(
            said.stopped.is_empty() || said.ending.starts_with("Refused"),
            "nothing to do, and yet a victim",
        )?;
    }
    stage.end()?;
    count(&RIGHT);
    Ok(Completion::Completed)
}

/// What a freeing said and did.
pub(crate) struct Said {
    pub(crate) ending: String,
    pub(crate) cause: String,
    pub(crate) stopped: Vec<u32>,
    pub(crate) text: String,
    /// The system calls by which somebody was signalled.
    pub(crate) calls: String,
}

/// Has an address freed, under the eyes of strace.
pub(crate) fn free(stage: &mut Stage, uid: u32, what: &str, agreed: Option<&str>) -> Result<Said, Failed> {
    free_with(stage, uid, &[], what, agreed)
}

/// The same, in an environment with these variables, or by way of the program whose words follow them.
pub(crate) fn free_with(
    stage: &mut Stage,
    uid: u32,
    env: &[&str],
    what: &str,
    agreed: Option<&str>,
) -> Result<Said, Failed> {
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().ok_or("a path that is no text")?;
    let log = format!("/run/calls-{uid}");
    let mut words = env.to_vec();
    words.extend([
        "strace",
        "-f",
        "-qq",
        "-o",
        &log,
        "-e",
        SIGNALS,
        "-e",
        "signal=none",
        exe,
        "__free",
        what,
    ]);
    words.extend(agreed);
    let ran = stage.run(uid, Program::Path("env"), &words)?;
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let calls = stage.run(0, Program::Path("cat"), &[&log])?;
    // The next one may be somebody else's.
    stage.run(0, Program::Path("rm"), &["-f", &log])?;
    Ok(understood(text, String::from_utf8_lossy(&calls.stdout).into_owned()))
}

/// Reads what the role printed.
pub(crate) fn understood(text: String, calls: String) -> Said {
    let line = |what: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(": "))
            .unwrap_or_default()
            .to_owned()
    };
    let stopped = line("stopped").split(' ').filter_map(|pid| pid.parse().ok()).collect();
    Said { ending: line("ending"), cause: line("cause"), stopped, calls, text }
}

/// Pid and start of each of the scene's actors that lives.
fn lives(stage: &mut Stage, scene: &Scene) -> BTreeMap<&'static str, (u32, String)> {
    let names = scene.steps().filter_map(|step| match *step {
        Step::Actor(name, _) | Step::Does(_, Act::Fork(name)) => Some(name),
        _ => None,
    });
    let names: Vec<&'static str> = names.collect();
    names.into_iter().filter_map(|name| Some((name, life(stage, name)?))).collect()
}

/// Pid and start (field 22 of its stat file) of an actor that lives.
pub(crate) fn life(stage: &mut Stage, name: &str) -> Option<(u32, String)> {
    let pid = stage.pid(name).ok()?;
    let stat = stage.run(0, Program::Path("cat"), &[&format!("/proc/{pid}/stat")]).ok()?;
    let stat = String::from_utf8_lossy(&stat.stdout).into_owned();
    let after_name = stat.rsplit(')').next()?;
    let start = after_name.split_whitespace().nth(19)?;
    Some((pid, start.to_owned()))
}

/// A server on the port next door, of the same process group as everybody on the stage, and its client.
pub(crate) struct Neighbour;

const NEXT_DOOR: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9191);

const PASSER_BY: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9192);

impl Neighbour {
    pub(crate) fn move_in(stage: &mut Stage) -> Result<Neighbour, StageError> {
        for step in [
            Step::Actor("neighbour", 0),
            Step::Does("neighbour", Act::Socket("s", Kind::Tcp4)),
            Step::Does("neighbour", Act::Bind("s", Place::Inet(NEXT_DOOR))),
            Step::Does("neighbour", Act::Listen("s", 16)),
            Step::Actor("passer-by", 0),
        ] {
            stage.step(&step)?;
        }
        Ok(Neighbour)
    }

    /// A request, and its answer.
    pub(crate) fn serves(&self, stage: &mut Stage) -> Result<(), StageError> {
        for step in [
            Step::Does("passer-by", Act::Socket("c", Kind::Tcp4)),
            // A port of its own: some scenes leave none to choose.
            Step::Does("passer-by", Act::Bind("c", Place::Inet(PASSER_BY))),
            Step::Does("passer-by", Act::Connect("c", Place::Inet(NEXT_DOOR))),
            Step::Does("neighbour", Act::Accept("s", "a")),
            Step::Does("passer-by", Act::Send("c", 7)),
            Step::Does("neighbour", Act::Recv("a", 7)),
            Step::Does("neighbour", Act::Send("a", 7)),
            Step::Does("passer-by", Act::Recv("c", 7)),
        ] {
            stage.step(&step)?;
        }
        Ok(())
    }
}
