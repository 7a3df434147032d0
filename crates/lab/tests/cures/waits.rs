//! Cures that are a wait: waited for as long as they say.

use crate::common::cannot;
use crate::{ask, binds, stage_for};
use inuse_rules::Cause;
use inuse_rules::cure::{Action, Command};
use inuse_rules::scene::{self, Scene, Step};
use libtest_mimic::{Completion, Failed};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Every cure that is a wait, all at the same time: the longest is that of a TIME_WAIT.
pub(crate) fn waits() -> Result<Completion, Failed> {
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
pub(crate) enum Waited {
    CouldNot(String),
    /// The answer advises none.
    Nothing,
    Yes,
}

/// Waits as long as the cure says, and not a moment longer; then the bind succeeds.
pub(crate) fn wait(scene: &Scene) -> Result<Waited, Failed> {
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
