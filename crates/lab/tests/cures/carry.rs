//! One cure is carried out on a fresh stage, and what it promises is demanded of a real bind.

use crate::bystanders::Bystanders;
use crate::commands::type_commands;
use crate::common::{Answer, ask_as, tell};
use crate::{ENDING, ask, binds, blockers, holders, stage_for};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::cure::{Action, SourceFix};
use inuse_rules::scene::{Act, AskedBy, Kind, Place, Scene, Signal, Step, Wanted};
use inuse_rules::{Cure, Promise, State};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How often an answer may lead to another one before an address is free.
pub(crate) const STEPS: usize = 3;

/// Carries out one cure of a scene on a fresh stage.
pub(crate) fn carry_out(scene: &Scene, number: usize) -> Result<(), String> {
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
pub(crate) fn advises_no_useless_option(stage: &mut Stage, scene: &Scene, cure: &Cure) -> Result<(), String> {
    let advised = cure.source == Some(SourceFix::Reuseaddr) || cure.says.starts_with("Set SO_REUSEADDR");
    if !advised || cure.says.contains("from its next restart") {
        return Ok(());
    }
    match stage.attempt(&scene.attempt.with(true, false)).map_err(tell)? {
        None => Ok(()),
        Some((errno, _)) => Err(format!("SO_REUSEADDR is advised and gets {errno}")),
    }
}

/// The attempt with what the cure changes about it.
pub(crate) fn cured(scene: &Scene, answer: &Answer, cure: &Cure) -> Result<Wanted, String> {
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

/// Whether the cure changes nothing by itself.
pub(crate) fn only_looks(cure: &Cure) -> bool {
    cure.commands.iter().all(|command| {
        let words: Vec<&[u8]> = command.0.iter().map(Vec::as_slice).collect();
        let words = words.strip_prefix(&[&b"sudo"[..]]).unwrap_or(&words);
        let frees = words.get(1) == Some(&&b"free"[..]);
        !frees && matches!(words.first(), Some(&(b"ip" | b"ls" | b"inuse" | b"setcap")))
    })
}

/// Looking again as root shows who it is.
pub(crate) fn looked(stage: &mut Stage, scene: &Scene, cure: &Cure) -> Result<(), String> {
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
pub(crate) fn leads_on(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
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
        let Some(cure) = next else {
            // Or root, to whom it sends, sees more.
            let look = answer.diagnosis.cures.iter().find(|cure| cure.needs.is_some() && only_looks(cure));
            return match look {
                Some(look) => looked(stage, scene, look),
                None => Err(format!("it leads nowhere: {said:#?}")),
            };
        };
        type_commands(stage, scene, &answer, cure)?;
        if cured(scene, &answer, cure)? == scene.attempt {
            return binds(stage, &scene.attempt, ENDING);
        }
    }
    Err(format!("it leads nowhere: {said:#?}"))
}

/// What is there ends; then another outgoing connection is made, and the port is not given to it.
pub(crate) fn does_not_return(stage: &mut Stage, scene: &Scene, answer: &Answer) -> Result<(), String> {
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
