//! `inuse lab`: every scene is played by the command itself, and must come out as it says.
//!
//! What is held against what: the states and segments of the lessons against lists written by hand, every
//! event against the committed schema, every page against the events, exit statuses against the manual. That the verdicts are right is
//! tested elsewhere. Scenes that wait for the kernel's timers take minutes and are played with
//! INUSE_LAB_LONG=1 only (scripts/soak).

mod browser;
mod lessons;
mod page;
mod words;

use inuse_lab::{Stage, StageError, all_required};
use inuse_rules::scene::lesson::{Play, plays};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// Scenes whose address is still taken at the end, and why.
const NOT_CURED: &[(&str, &str)] = &[
    ("owner-hidden", "an ordinary user cannot stop root's server"),
    ("owner-hidden-unix-other-netns", "nor look into another namespace"),
    ("own-process", "the cure is in the program's own source"),
    ("ephemeral-collision-bound", "the cure is in the program's own source"),
    ("kernel-socket", "no process is there to stop"),
    ("not-local-tentative", "the address becomes usable by itself"),
    ("not-local-needs-scope", "the cure is another way to write the address"),
    ("unix-not-a-socket", "what is no socket is never removed"),
    ("unix-not-a-socket-directory", "what is no socket is never removed"),
    ("unix-not-a-socket-fifo", "what is no socket is never removed"),
    ("unix-not-a-socket-link", "what is no socket is never removed"),
    ("denied-unix-directory", "whose directory it is, and why, only its owner can say"),
];

/// Stages that are open at once: most of a play's time is spent waiting for processes to start.
const STAGES: usize = 4;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let path = format!("{}/../../docs/schema/inuse.lab-1.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
});

fn main() {
    inuse_lab::helper_main();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(STAGES);
    let long = std::env::var_os("INUSE_LAB_LONG").is_some();
    let mut trials = words::trials();
    trials.extend(page::trials());
    trials.extend(browser::trials());
    for play in plays() {
        let waits = matches!(play, Play::Lesson(lesson) if lesson.is_long());
        if !waits || long {
            trials.push(Trial::ignorable_test(format!("plays::{}", play.name()), move || plays_well(play)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn inuse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.arg("lab").args(arguments).stdin(Stdio::null()).env_remove("SUDO_UID");
    command
}

/// The events that were printed, each held against the schema.
fn events(output: &Output) -> Result<Vec<Value>, Failed> {
    let text = String::from_utf8(output.stdout.clone())?;
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for event in &events {
        SCHEMA.validate(event).map_err(|error| format!("{error}: {event}"))?;
    }
    Ok(events)
}

/// What belongs to the end of a play.
struct Ended {
    events: Vec<Value>,
    code: Option<i32>,
    stderr: String,
}

fn play(command: &mut Command) -> Result<Ended, Failed> {
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Ended {
        events: events(&output).map_err(|error| format!("{error:?} {stderr}"))?,
        code: output.status.code(),
        stderr,
    })
}

impl Ended {
    /// Every act, in order.
    fn acts(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().filter_map(|event| event["acts"].as_array()).flatten()
    }

    /// How each bind and listen came out.
    fn binds(&self) -> Vec<Option<&str>> {
        self.acts().filter(|act| act["binds"] == true).map(|act| act["errno"].as_str()).collect()
    }

    /// Played to the end, with nothing otherwise.
    fn is_as_told(&self) -> Result<(), Failed> {
        let last = self.events.last().ok_or_else(|| self.stderr.clone())?;
        let well = last["event"] == "end" && last["as_told"] == true && last["exit"] == 0;
        if well && self.code == Some(0) && self.stderr.is_empty() {
            return Ok(());
        }
        let whys: Vec<&Value> = self.events.iter().filter(|event| event["kind"] == "why").collect();
        Err(format!("{:?} {last} {} {whys:#?}", self.code, self.stderr).into())
    }
}

fn plays_well(scene: Play) -> Result<Completion, Failed> {
    let stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    if let Some(need) = scene.needs().into_iter().find(|need| !stage.offers(*need)) {
        return cannot(format!("it needs {}", need.says()));
    }
    stage.end()?;
    let folder = page::Folder::new(scene.name())?;
    let file = folder.0.join("page.html");
    let ended = play(inuse(&[scene.name(), "--json", "--html"]).arg(&file))?;
    if ended.code == Some(3) {
        return cannot(&ended.stderr);
    }
    ended.is_as_told()?;
    page::check(&std::fs::read_to_string(&file)?, &ended)?;
    let first = ended.events.first().ok_or("no events")?;
    assert_eq!((&first["event"], &first["ground"]["kind"]), (&"begin".into(), &"namespaces".into()));
    let binds = ended.binds();
    let cured = binds.last().is_none_or(Option::is_none);
    let excused = NOT_CURED.iter().any(|(name, _)| *name == scene.name());
    if cured == excused {
        return Err(format!("binds came out as {binds:?}, excused {excused}").into());
    }
    if let Play::Lesson(lesson) = scene {
        if !binds.iter().any(Option::is_some) {
            return Err("nothing was refused".into());
        }
        lessons::check(lesson.name, &ended)?;
    }
    Ok(Completion::Completed)
}
