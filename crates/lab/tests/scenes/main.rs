//! Every scene is played on the real kernel; the kernel must answer as the scene says, and so must `why`.
//!
//! Each scene has a stage of its own. The kernel's answers are those of real binds by a process of the
//! attempt's user: with neither option, with SO_REUSEADDR, and with SO_REUSEPORT. `why` is asked on the
//! stage, by another run of this binary as the scene's asker.
//! That its cures help is tested in `cures.rs` beside this.
//!
//! What cannot be staged here is reported as ignored, with the reason; with INUSE_REQUIRE_ALL=1 that is a
//! failure.

mod kernel;
mod staging;
mod why;

use inuse_lab::{Stage, StageError, all_required};
use inuse_rules::Cause;
use inuse_rules::scene::{self, AskedBy, Scene};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Causes without a scene, and why.
const NOT_STAGED: &[(Cause, &str)] = &[
    (Cause::SocketUnit, "needs systemd as pid 1"),
    (Cause::ContainerProxy, "needs a container runtime; a process that merely has its name is not one"),
    (Cause::ContainerProxyStale, "needs a container runtime"),
    (Cause::Forwarded, "needs an ssh session"),
    (Cause::Respawned, "is about two moments, before and after something was freed"),
    (Cause::TearingDown, "lasts for microseconds"),
    (Cause::NoSocket, "needs a packet filter's redirection"),
    (Cause::Unknown, "is the absence of a cause"),
];

/// A test of a scene that has been played.
type OnStage = fn(&mut Stage, &Scene) -> Result<(), String>;

fn main() {
    inuse_lab::helper_main();
    match std::env::args().nth(1).as_deref() {
        Some("__unprivileged") => return staging::unprivileged(),
        Some("__caller") => return staging::caller(),
        Some("__why") => return why::role(),
        _ => {}
    }
    let mut trials = vec![
        Trial::test("every_cause_has_a_scene_or_a_reason", every_cause_has_a_scene_or_a_reason),
        Trial::ignorable_test("actors_are_gone_after_the_end", || staging::with(staging::actors_end)),
        Trial::ignorable_test("actors_are_gone_when_the_caller_is_killed", || staging::with(staging::killed)),
        Trial::ignorable_test("a_step_that_fails_says_which", || staging::with(staging::failing_steps)),
        Trial::ignorable_test("both_ends_show", || staging::with(staging::both_ends_show)),
        Trial::ignorable_test("an_ordinary_user_can_stage", staging::as_ordinary_user),
    ];
    for scene in scene::all() {
        let name = |area: &str| format!("{area}::{}", scene.name);
        let on_stage = |area, test| Trial::ignorable_test(name(area), move || play_and(scene, test));
        trials.push(on_stage("kernel", kernel::answers));
        trials.push(on_stage("why", why::answers));
        if scene.asker == AskedBy::User(scene.attempt.uid) {
            trials.push(on_stage("probe", why::probed_answers));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    if all_required() {
        return Err(format!("could not run: {reason}").into());
    }
    Ok(Completion::ignored_with(reason))
}

/// A stage on which the scene has been played, or why there is none.
fn played(scene: &Scene) -> Result<Result<Stage, String>, Failed> {
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return Ok(Err(why)),
        other => other?,
    };
    if let Some(need) = scene.needs().into_iter().find(|need| !stage.offers(*need)) {
        return Ok(Err(format!("it needs {}", need.says())));
    }
    match stage.play(scene) {
        Err(StageError::Unavailable(why)) => Ok(Err(why)),
        other => Ok(other.map(|()| Ok(stage))?),
    }
}

/// Plays a scene on a stage of its own, and tests what is then there.
fn play_and(scene: &Scene, test: OnStage) -> Result<Completion, Failed> {
    let mut stage = match played(scene)? {
        Ok(stage) => stage,
        Err(why) => return cannot(why),
    };
    test(&mut stage, scene)?;
    stage.end()?;
    Ok(Completion::Completed)
}

fn every_cause_has_a_scene_or_a_reason() -> Result<(), Failed> {
    let named = why::UNLESS_SHOWN.iter().map(|row| row.0);
    for name in named {
        scene::by_name(name).ok_or_else(|| format!("{name} is no scene"))?;
    }
    for &cause in Cause::ALL {
        let staged = scene::all().any(|scene| scene.cause == cause);
        let excused = NOT_STAGED.iter().any(|(other, _)| *other == cause);
        if staged == excused {
            return Err(format!("{cause}: staged {staged}, excused {excused}").into());
        }
    }
    Ok(())
}
