//! Every scene is freed, or refused, on the real kernel; what the tool says must be what a real bind says then,
//! and nobody else may be hurt.
//!
//! `roles` holds what other runs of this binary do on the stage, `scenes` the table of all scenes, `cases` the
//! situations that are about more than one moment, `programs`, `docker` and `systemd` real servers and
//! managers.

mod cases;
mod docker;
mod programs;
mod roles;
mod scenes;
mod systemd;

use inuse_lab::{Stage, StageError};
use inuse_rules::scene;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    inuse_lab::helper_main();
    if roles::play() {
        return;
    }
    let mut trials = Vec::new();
    for scene in scene::all() {
        for agreed in scenes::agreements(scene) {
            let name =
                format!("scene::{}{}", scene.name, agreed.map_or(String::new(), |flag| format!("::{flag}")));
            trials.push(Trial::ignorable_test(name, move || scenes::run(scene, agreed)));
        }
    }
    for (name, test) in cases::ALL {
        trials.push(Trial::ignorable_test(format!("case::{name}"), move || on_stage(*test)));
    }
    for (program, test) in programs::ALL {
        let run = move || {
            if programs::is_there(program) { on_stage(*test) } else { cannot(format!("it needs {program}")) }
        };
        trials.push(Trial::ignorable_test(format!("program::{program}"), run));
    }
    trials.push(Trial::ignorable_test("program::systemd", systemd::systemd));
    let ended = libtest_mimic::run(&Arguments::from_args(), trials);
    if let Some(figures) = scenes::figures() {
        tell(&figures);
    }
    ended.exit();
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}

/// Runs a test on a stage of its own.
fn on_stage(test: fn(&mut Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    match Stage::open() {
        Err(StageError::Unavailable(why)) => cannot(why),
        Err(error) => Err(error.into()),
        Ok(mut stage) => {
            if !stage.offers(inuse_rules::scene::Need::Uids) {
                return cannot("it needs several users");
            }
            test(&mut stage)?;
            stage.end()?;
            Ok(Completion::Completed)
        }
    }
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match std::env::var_os("INUSE_REQUIRE_ALL") {
        Some(value) if value == "1" => Err(format!("could not run: {reason}").into()),
        _ => Ok(Completion::ignored_with(reason)),
    }
}
