//! What other runs of this binary do on the stage: free an address, and bind one without a right; and the cure
//! that gives the right.

use crate::common::{self, cannot, on_path};
use crate::{ENDING, ask, scene_called, stage_for};
use inuse_bind::WhyOptions;
use inuse_keeper::act::{Ending, Freer, Permissions};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::Promise;
use inuse_rules::cure::{Action, quote};
use inuse_rules::scene::{self, Place};
use libtest_mimic::{Completion, Failed};

/// The first argument of a run of this binary that binds an address.
pub(crate) const BIND: &str = "__bind";

/// The role that frees an address, as `inuse free` does once it was agreed to.
pub(crate) const FREE: &str = "__free";

/// The role's exit code where the plan was run, and the address is not free at the end, or that does not show.
pub(crate) const NOT_FREE: i32 = 3;

/// Frees a scene's address, with the flags that follow its name.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn free_role() {
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
        Ending::NotFree | Ending::Unseen => NOT_FREE,
        Ending::Refused(_) => 1,
    });
}

/// The role of a program that lacks a right: binds the address, and exits with the errno.
pub(crate) fn bind_role() {
    let at = std::env::args().nth(2).expect("an address");
    let bound = std::net::TcpListener::bind(at);
    std::process::exit(bound.map_or_else(|error| error.raw_os_error().unwrap_or(255), |_| 0));
}

/// The right to bind low ports, given to a program's file, as the cure says.
pub(crate) fn setcap() -> Result<Completion, Failed> {
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
