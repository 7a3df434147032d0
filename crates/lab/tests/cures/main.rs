//! Cures are carried out: what `why` advises is done, on the stage, to the letter; then the bind is tried
//! again for real, and those who were not to be hurt must be alive and serving.
//!
//! Each cure of each scene gets a stage of its own. Commands are typed to a shell, with the rights that
//! the cure asks for and no more; options are set by a real attempt that sets them; waits are waited.
//! What the test demands of the bind is what the cure promises ([`Promise`]); a cure that promises less
//! than success must bring the reader a step further, to an answer whose own cures succeed.

#[path = "../common/mod.rs"]
mod common;

mod bystanders;
mod carry;
mod commands;
mod roles;
mod waits;

use carry::carry_out;
use commands::{not_installed, words_survive};
use common::{Answer, ask_as, cannot, tell};
use inuse_lab::{Stage, StageError};
use inuse_rules::cure::Action;
use inuse_rules::scene::{self, Act, AskedBy, Expect, Kind, Place, Scene, Step, Wanted};
use inuse_rules::{Address, Cause, Outcome, Socket};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use roles::{BIND, FREE, bind_role, free_role, setcap};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use waits::waits;

/// Scenes in which nothing can be advised, and why.
const WITHOUT_CURE: &[(&str, &str)] =
    &[("denied-unix-directory", "whose directory it is, and why, only its owner can say")];

/// How long a process may take to end and its sockets to close.
pub(crate) const ENDING: Duration = Duration::from_secs(3);
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
pub(crate) fn scene_called(name: &str) -> Option<&'static Scene> {
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
pub(crate) fn stage_for(scene: &Scene) -> Result<Result<Stage, String>, StageError> {
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
pub(crate) fn ask(stage: &mut Stage, scene: &Scene) -> Result<Answer, String> {
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

/// The sockets in the way of the attempt.
pub(crate) fn blockers(answer: &Answer) -> Vec<&Socket> {
    let by = answer.diagnosis.verdict.by().iter();
    by.filter_map(|&index| answer.snapshot.sockets.get(index)).collect()
}

/// The processes that hold what is in the way: for a unix path that may be in another namespace.
pub(crate) fn holders(answer: &Answer) -> BTreeSet<u32> {
    let elsewhere = answer.snapshot.elsewhere.iter().map(|other| &other.socket);
    let elsewhere = elsewhere.filter(|socket| matches!(socket.address, Address::Unix { .. }));
    let sockets = blockers(answer).into_iter().chain(elsewhere);
    sockets.flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect()
}

/// Tries the bind until it succeeds or time is up.
pub(crate) fn binds(stage: &mut Stage, wanted: &Wanted, patience: Duration) -> Result<(), String> {
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
