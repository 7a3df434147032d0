//! What `why` answers, asked on the stage by another run of this binary.

use inuse_bind::{Asker, Report, WhyOptions};
use inuse_kernel::netns::NetnsName;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{self, Act, Answer, AskedBy, Expect, Scene, Step};
use inuse_rules::{Cause, Errno, Fact, Outcome, Ownership, Snapshot, Verdict};
use std::process::Command;

/// Scenes whose cause depends on what a machine may not show; and the causes that are said where it does
/// not.
pub(crate) const UNLESS_SHOWN: &[(&str, &[Cause])] = &[
    // Options of a socket that nobody has a descriptor of.
    ("free-after-reuseaddr", &[Cause::TimeWait]),
    ("free-after-v6only", &[Cause::V6BlocksV4]),
    // That nobody else has it: even root may be refused a look into some process, and a descriptor that
    // travels between processes elsewhere on the machine may be it.
    ("kernel-socket", &[Cause::OwnerHidden, Cause::InFlight]),
];

/// The answers of `why`, asked by the scene's asker, must be those that the scene states: the cause, what
/// must stand under *also*, and the three verdicts. A verdict may stay open only where it depends on an
/// option of a socket that nobody has a descriptor of, and must then allow the true answer.
pub(crate) fn answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let tell = |error: StageError| error.to_string();
    let said = match scene.asker {
        AskedBy::User(uid) => {
            stage.run(uid, Program::Myself, &["__why", scene.name, "looking"]).map_err(tell)?.stdout
        }
        AskedBy::Outside => {
            let netns = format!("/proc/{}/ns/net", stage.helper_pid());
            let mut command = Command::new("/proc/self/exe");
            let output = command.args(["__why", scene.name, "of", &netns]).output();
            output.map_err(|error| error.to_string())?.stdout
        }
        AskedBy::Actor(who) => {
            // The actor becomes the one who asks: the same process, with the same descriptors.
            let me = ["/proc/self/exe", "__why", scene.name, "for", "/run/why"];
            stage.step(&Step::Does(who, Act::Exec(&me))).map_err(tell)?;
            let wait = "until test -e /run/why; do sleep 0.01; done; cat /run/why";
            stage.run(0, Program::Path("timeout"), &["10", "sh", "-c", wait]).map_err(tell)?.stdout
        }
    };
    let undecided = UNLESS_SHOWN.iter().find(|(name, _)| *name == scene.name).map(|(_, causes)| *causes);
    judge_answer(scene, &String::from_utf8_lossy(&said), true, undecided.unwrap_or_default())
}

/// The same with a probe by the very user whose bind it is: nothing may stay open.
pub(crate) fn probed_answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let ran = stage.run(scene.attempt.uid, Program::Myself, &["__why", scene.name, "probing"]);
    judge_answer(scene, &String::from_utf8_lossy(&ran.map_err(|error| error.to_string())?.stdout), false, &[])
}

/// Holds an answer against the scene. Verdicts may be open where `open` says so, and the cause one of
/// `undecided`.
fn judge_answer(scene: &Scene, said: &str, open: bool, undecided: &[Cause]) -> Result<(), String> {
    let answer =
        |answer: Answer| answer.map_or("ok".into(), |(errno, at)| format!("{errno} at {}", at.name()));
    let mut wrong = Vec::new();
    let mut check = |what: &str, fits: &dyn Fn(&str) -> bool, expect: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        if !line.is_some_and(fits) {
            wrong.push(format!("{what}: {}, expected {expect}", line.unwrap_or("nothing")));
        }
    };
    let cause = |code: &str| code == scene.cause.code() || undecided.iter().any(|cause| cause.code() == code);
    check("cause", &cause, scene.cause.code());
    for also in scene.also {
        check("also", &|list| list.split(' ').any(|code| code == also.code()), also.code());
    }
    let Expect { plain, reuseaddr, reuseport } = super::kernel::expected(scene);
    for (what, expect) in [("plain", plain), ("reuseaddr", reuseaddr), ("reuseport", reuseport)] {
        let expect = answer(expect);
        let fits = |verdict: &str| match verdict.strip_prefix("not shown: ") {
            Some(possible) => open && possible.split(", ").any(|answer| answer == expect),
            None => verdict == expect,
        };
        check(what, &fits, &expect);
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n\n{said}", wrong.join("\n"))) }
}

/// The role that asks: the scene's name, and `looking` or `probing`, or `of` another network namespace, or
/// `for` a file, which appears when the answer is complete; then it asks about its own bind.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn role() {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let (scene, netns, file) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [name, "looking" | "probing"] => (scene::by_name(name), None, None),
        [name, "of", netns] => (scene::by_name(name), Some(NetnsName::Path(netns.into())), None),
        [name, "for", file] => (scene::by_name(name), None, Some(file)),
        _ => (None, None, None),
    };
    let scene = scene.expect("the name of a scene");
    let probe = words.iter().any(|word| word == "probing");
    let options = WhyOptions { own_bind: file.is_some(), netns, probe, ..WhyOptions::default() };
    let report = Asker::new(&options).expect("sock_diag").why(&scene.attempt.attempt());
    let Report { diagnosis, snapshot } = &report;
    let verdict = |verdict: &Verdict| match &verdict.outcome {
        Outcome::Ok => "ok".to_owned(),
        Outcome::Refused(refusal) => format!("{} at {}", refusal.errno, refusal.at.name()),
        Outcome::Unknown { possible, missing, .. }
            if missing.iter().all(|fact| shown_by_none(snapshot, fact)) =>
        {
            // Options decide at bind() only.
            let at = |answer: &Option<Errno>| answer.map_or("ok".into(), |errno| format!("{errno} at bind"));
            format!("not shown: {}", possible.iter().map(at).collect::<Vec<_>>().join(", "))
        }
        Outcome::Unknown { possible, missing, .. } => {
            format!("unknown: {possible:?}, for lack of {missing:?}")
        }
    };
    let also: Vec<&str> = diagnosis.also.iter().map(|cause| cause.code()).collect();
    let cures: String = diagnosis
        .cures
        .iter()
        .map(|cure| {
            let commands: Vec<String> = cure.commands.iter().map(ToString::to_string).collect();
            format!("cure {}: {}\n", cure.action.code(), commands.join("; "))
        })
        .collect();
    let said = format!(
        "cause: {}\nalso: {}\nplain: {}\nreuseaddr: {}\nreuseport: {}\n{cures}{}\n{:#?}\n{:#?}\n",
        diagnosis.cause,
        also.join(" "),
        verdict(&diagnosis.plain),
        verdict(&diagnosis.reuseaddr),
        verdict(&diagnosis.reuseport),
        diagnosis.summary,
        snapshot.blind,
        snapshot.sockets,
    );
    match file {
        None => print!("{said}"),
        Some(file) => {
            let unfinished = format!("{file}.unfinished");
            std::fs::write(&unfinished, said).expect("a place for the answer");
            std::fs::rename(unfinished, file).expect("the answer appears");
        }
    }
}

/// Whether a fact is an option of a socket that no process has a descriptor of.
fn shown_by_none(snapshot: &Snapshot, fact: &Fact) -> bool {
    let option = matches!(fact, Fact::V6only(_) | Fact::Reuseaddr(_) | Fact::Reuseport(_));
    let socket = fact.socket().and_then(|index| snapshot.sockets.get(index));
    option && socket.is_some_and(|socket| !matches!(socket.owners, Ownership::Held(_)))
}
