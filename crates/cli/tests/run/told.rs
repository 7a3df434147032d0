//! `inuse run --log json`: each line that the supervisor writes is an event as its schema says, with what happened as
//! fields.

use crate::{Case, holds, inuse, same};
use inuse_lab::zoo::{Scratch, run};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) const ALL: &[Case] = &[
    ("an_address_that_is_held_is_an_event", &["timeout"], held),
    ("what_cannot_be_set_up_or_started_is_an_event", &["timeout"], not_started),
    ("a_crash_loop_in_fields", &["timeout"], crashes),
    ("who_asked_and_what_is_sent", &["timeout"], asked),
    ("the_same_for_people", &["timeout"], for_people),
];

/// The exit status, and what a supervisor wrote whose program is silent.
fn written(command: &Command) -> Result<(Option<i32>, String), Failed> {
    let scratch = Scratch::new()?;
    let mut bounded = Command::new("timeout");
    bounded.arg("30").arg(command.get_program()).args(command.get_args());
    bounded.env("XDG_RUNTIME_DIR", &scratch.0).stdin(Stdio::null());
    let output = bounded.output()?;
    same(output.stdout, Vec::new(), "stdout")?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

/// The exit status, and the events: each line is one.
fn events(options: &[&str], program: &[&str]) -> Result<(Option<i32>, Vec<Value>), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/inuse.run-1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let schema = jsonschema::draft202012::new(&schema)?;
    let (code, text) = written(&run(inuse(), options, program))?;
    let mut events = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line:?}"))?;
        schema.validate(&event).map_err(|error| format!("{error}: {line}"))?;
        events.push(event);
    }
    Ok((code, events))
}

/// The event of this name, for that generation if there is one, without what differs each time.
fn event(events: &[Value], name: &str, generation: Option<u32>) -> Result<Value, Failed> {
    let fits = |event: &&Value| event["event"] == name && event["generation"] == json!(generation);
    let found = events.iter().find(fits).ok_or_else(|| format!("no {name} in {events:?}"))?;
    let mut found = found.clone();
    for field in ["schema", "time", "message", "event", "generation"] {
        found.as_object_mut().ok_or("no object")?.remove(field);
    }
    Ok(found)
}

fn held() -> Result<(), Failed> {
    let at = inuse_lab::zoo::address();
    let _listener = std::net::TcpListener::bind(at)?;
    let check = |options: &[&str]| -> Result<(), Failed> {
        let (code, events) = events(options, &["true"])?;
        same((code, events.len()), (Some(1), 1), "the exit status, and the events")?;
        let told = event(&events, "not-bound", None)?;
        same(&told["addresses"], &json!([format!("tcp/{at}")]), "the address")?;
        same((&told["errno"], &told["cause"]), (&json!("EADDRINUSE"), &json!("listener")), "the error")?;
        // A process that is just being forked has it too, until its exec.
        let own = json!(std::process::id());
        holds(told["holders"].as_array().is_some_and(|them| them.contains(&own)), &told)?;
        let command = json!(format!("inuse free tcp/{at}"));
        holds(told["commands"].as_array().is_some_and(|them| them.contains(&command)), &told)
    };
    let at = at.to_string();
    check(&["-l", &at])?;
    check(&["-l", &at, "--keep"])?;
    let scratch = Scratch::new()?;
    let file = format!("unix:{}", scratch.write("file", "text")?);
    let (code, events) = events(&["-l", &file], &["true"])?;
    same(code, Some(1), "the exit status")?;
    same(&event(&events, "not-bound", None)?["addresses"], &json!([file]), "the address")
}

fn not_started() -> Result<(), Failed> {
    let (code, told) = events(&["--watch", "/no/such/file"], &["true"])?;
    same((code, told.len()), (Some(1), 1), "the exit status, and the events")?;
    holds(event(&told, "not-set-up", None)?["error"].is_string(), "no error")?;

    let (code, told) = events(&["-l", "web=127.0.0.1:0"], &["/no/such/program"])?;
    same(code, Some(127), "the exit status")?;
    let socket = event(&told, "holds", None)?;
    same((&socket["name"], &socket["protocol"]), (&json!("web"), &json!("tcp")), "the socket")?;
    let expect =
        json!({ "exit_status": 127, "reason": "not-run", "error": "/no/such/program: command not found" });
    same(event(&told, "not-started", None)?, expect, "why it is not started")?;

    let (code, told) = events(&["-l", "127.0.0.1:0", "--before", "exit 3"], &["true"])?;
    same(code, Some(1), "the exit status")?;
    let expect = json!({ "reason": "before", "exit_status": 3 });
    same(event(&told, "before-failed", None)?, expect, "why it is not started")
}

fn crashes() -> Result<(), Failed> {
    let options = ["-l", "127.0.0.1:0", "--give-up", "2"];
    let (code, told) = events(&options, &["sh", "-c", "exit 7"])?;
    same(code, Some(7), "the exit status")?;
    holds(event(&told, "started", Some(2))?["pid"].is_u64(), "no pid")?;
    let failed = event(&told, "failed-start", Some(2))?;
    same(failed, json!({ "reason": "ended", "exit_status": 7 }), "why it failed")?;
    let pause = event(&told, "comes-back", None)?["after_ms"].as_u64();
    holds(pause.is_some_and(|ms| (74..=126).contains(&ms)), format!("{pause:?}"))?;
    same(event(&told, "gave-up", None)?, json!({ "failures": 2 }), "so often")
}

/// The first run of the program asks for a restart, the second one for the end.
const ASKS: [&str; 3] = [
    "sh",
    "-c",
    "case ${INUSE_GENERATION##*:} in 1) s=HUP;; *) s=TERM;; esac; sleep 1; kill -$s $PPID; exec sleep 60",
];

/// With a stop signal of its own.
const OPTIONS: [&str; 8] =
    ["-l", "127.0.0.1:0", "--ready", "alive:100ms", "--rollback-window", "100ms", "--stop-signal", "QUIT"];

fn asked() -> Result<(), Failed> {
    let (code, told) = events(&OPTIONS, &ASKS)?;
    same(code, Some(131), "the exit status")?;
    let pid = |generation| Ok::<_, Failed>(event(&told, "started", Some(generation))?["pid"].clone());
    let expect = json!({ "by": "signal", "signal": "SIGHUP", "sender": pid(1)? });
    same(event(&told, "restart", None)?, expect, "who asked for the restart")?;
    let ready = event(&told, "ready", Some(2))?;
    same(&ready["how"], &json!("alive"), "how it is ready")?;
    same(event(&told, "draining", Some(1))?, json!({ "signal": "SIGQUIT" }), "how it is told to end")?;
    holds(event(&told, "restarted", Some(2))?["took_ms"].is_u64(), "no time")?;
    let expect = json!({ "by": "signal", "signal": "SIGTERM", "sender": pid(2)?, "sends": "SIGQUIT" });
    same(event(&told, "stopping", None)?, expect, "who asked for the end")?;
    same(event(&told, "ended", Some(2))?, json!({ "signal": "SIGQUIT" }), "how it ended")
}

fn for_people() -> Result<(), Failed> {
    let mut command = Command::new(inuse());
    command.arg("run").args(OPTIONS).arg("--").args(ASKS);
    let (code, text) = written(&command)?;
    same(code, Some(131), "the exit status")?;
    let says = [
        "restart, asked for by SIGHUP\n",
        "generation 1 is told to end (SIGQUIT)\n",
        "stopping, asked for by SIGTERM; the program is sent SIGQUIT\n",
    ];
    holds(says.iter().all(|line| text.contains(line)), text)
}
