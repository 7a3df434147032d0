//! The cures that are commands or a wait, carried out. Not here: cures that only the reader can carry out.

use super::{all_required, cannot, played};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{self, Scene};
use libtest_mimic::{Completion, Failed};
use std::time::{Duration, Instant};

/// Cures that do not free the address at once, by scene and action, and why. Each must go on not helping:
/// a line that is no longer true is an error.
pub(crate) const NOT_AT_ONCE: &[(&str, &str, &str)] = &[
    (
        "listener-with-client",
        "stop-process",
        "the server's connections are closed by it, and wait for their client",
    ),
    ("established-leftover", "stop-process", "as above"),
    ("v6-blocks-v4", "stop-process", "as above"),
    ("self-connect", "stop-process", "a connection with itself ends in TIME_WAIT"),
    ("ephemeral-collision", "sysctl", "it is for the next time; the connection that is there goes on"),
    ("ephemeral-collision-v6", "sysctl", "as above"),
    ("ephemeral-collision-syn-sent", "sysctl", "as above"),
    ("self-connect", "sysctl", "it is for the next time"),
    ("not-local-before-privileged", "sysctl", "the port is privileged too"),
    ("privileged-before-not-local", "sysctl", "the address is not there either"),
    ("unix-live", "stop-process", "the server leaves its file behind"),
    ("unix-live-not-listening", "stop-process", "as above"),
    ("unix-live-other-netns", "stop-process", "as above"),
];

/// Each cure that is a command is carried out, on a stage of its own, and must help: the same bind then
/// succeeds.
pub(crate) fn help(scene: &Scene) -> Result<Completion, Failed> {
    let mut wrong = Vec::new();
    for tried in 0.. {
        let mut stage = match played(scene)? {
            Ok(stage) => stage,
            Err(why) => return cannot(why),
        };
        let ran = stage.run(0, Program::Myself, &["__why", scene.name, "looking"])?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let mut cures = said.lines().filter_map(|line| line.strip_prefix("cure ")?.split_once(": "));
        let Some((action, commands)) = cures.by_ref().filter(to_carry_out).nth(tried) else {
            break;
        };
        let commands = commands.replace("sudo ", "");
        let ran = stage.run(0, Program::Path("sh"), &["-c", &commands])?;
        if ran.code == 127 {
            return cannot(String::from_utf8_lossy(&ran.stderr).trim());
        }
        let excused = NOT_AT_ONCE.iter().any(|(name, what, _)| (*name, *what) == (scene.name, action));
        let helped = bindable_soon(&mut stage, scene)?;
        if helped == excused {
            let rows: Vec<String> = stage.rows()?.iter().map(ToString::to_string).collect();
            let verdict = if helped { "helped, so take it out of NOT_AT_ONCE" } else { "did not help" };
            wrong.push(format!("{action}: {commands}: it {verdict}; {}", rows.join("; ")));
        }
        stage.end()?;
    }
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}

/// Where waiting is the cure, the address is free within the time that it names, and not long before.
pub(crate) fn waiting_helps() -> Result<Completion, Failed> {
    if !all_required() {
        return Ok(Completion::ignored_with("it takes a minute; INUSE_REQUIRE_ALL=1 runs it"));
    }
    let mut waiting = Vec::new();
    for name in ["time-wait", "fin-wait-2", "v6-blocks-v4-time-wait"] {
        let scene = scene::by_name(name).ok_or("no such scene")?;
        let mut stage = match played(scene)? {
            Ok(stage) => stage,
            Err(why) => return cannot(why),
        };
        let ran = stage.run(0, Program::Myself, &["__why", scene.name, "looking"])?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let seconds = said.lines().find_map(|line| line.strip_prefix("cure wait: sleep ")?.parse().ok());
        waiting.push((scene, stage, Instant::now(), seconds.ok_or("no wait is named")?));
    }
    while let Some((scene, stage, since, seconds)) = waiting.first_mut() {
        let free = stage.attempt(&scene.attempt)?.is_none();
        let waited: u64 = since.elapsed().as_secs();
        if waited > *seconds || free && waited + 5 < *seconds {
            return Err(format!("{}: free {free} after {waited} s of {seconds}", scene.name).into());
        }
        if free {
            waiting.remove(0).1.end()?;
        } else {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(Completion::Completed)
}

/// Whether a cure is a command that helps at once.
fn to_carry_out((action, commands): &(&str, &str)) -> bool {
    !commands.is_empty()
        && !matches!(*action, "wait" | "look-again" | "bind-elsewhere" | "configure" | "privilege")
}

/// Whether the attempt succeeds now, or as soon as a process that was told to end has ended.
fn bindable_soon(stage: &mut Stage, scene: &Scene) -> Result<bool, StageError> {
    let deadline = Instant::now() + Duration::from_millis(500);
    loop {
        if stage.attempt(&scene.attempt)?.is_none() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
