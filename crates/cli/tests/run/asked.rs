//! `inuse ctl`: what it shows of sockets, and what is left of supervisors that were killed.

use crate::notify::wait;
use crate::{Case, holds, inuse, same};
use inuse_lab::zoo::{Scratch, Supervisor, python, run};
use libtest_mimic::Failed;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

pub(crate) const ALL: &[Case] = &[
    ("sockets_that_are_given", &["python3"], given),
    ("a_socket_that_is_kept", &["python3"], kept),
    ("what_killed_supervisors_left_is_removed", &[], left_behind),
    ("of_several_which_there_are", &["env"], several),
    ("one_that_is_stopped", &["env"], stopped),
];

/// An answer that is as its schema says.
fn fits(answer: Value) -> Result<Value, Failed> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/inuse.ctl-1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema)?)?;
    jsonschema::validate(&schema, &answer).map_err(|error| format!("{error}: {answer}"))?;
    Ok(answer)
}

/// The sockets of `inuse ctl status --json`.
fn sockets(supervisor: &Supervisor) -> Result<Value, Failed> {
    Ok(fits(supervisor.ctl("status")?.answer)?["status"]["sockets"].clone())
}

fn given() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let (tcp, udp) = (format!("web={at}"), format!("udp/{at}"));
    let unix = format!("unix-seqpacket:{}/s", scratch.0.display());
    let options = ["-l", &*tcp, "-l", &*udp, "-l", &*unix, "--ready", "alive:10ms"];
    let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &["sleep", "60"]))?;
    supervisor.ready(1)?;
    let _waits = std::net::TcpStream::connect(at)?;
    let has_it = json!([1]);
    let expect = json!([
        { "name": "web", "address": format!("tcp/{at}"), "protocol": "tcp", "kept": false, "listening": true,
          "queued": 1, "generations": has_it },
        { "address": udp, "protocol": "udp", "kept": false, "listening": false, "generations": has_it },
        { "address": unix, "protocol": "unix-seqpacket", "kept": false, "listening": true, "generations": has_it },
    ]);
    same(sockets(&supervisor)?, expect, "the sockets")?;
    let shown = supervisor.ctl_command("status").output()?.stdout;
    let line = format!("  holds  tcp/{at} as web, given; generation 1 has it, 1 waiting\n");
    holds(String::from_utf8_lossy(&shown).contains(&line), String::from_utf8_lossy(&shown))
}

/// While the old one ends, both have it.
fn kept() -> Result<(), Failed> {
    let at = inuse_lab::zoo::address();
    let server = format!("exec {} -m http.server {} --bind {}", python(), at.port(), at.ip());
    let line = format!("[ \"${{INUSE_GENERATION##*:}}\" != 1 ] || trap '' TERM; {server}");
    let options = ["--rollback-window", "100ms", "--drain", "3s"];
    let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &["sh", "-c", &line]))?;
    supervisor.ready(1)?;
    let row = |generations: Value| {
        json!([{ "address": format!("tcp/{at}"), "protocol": "tcp", "kept": true, "listening": true, "queued": 0,
                 "generations": generations }])
    };
    same(sockets(&supervisor)?, row(json!([1])), "the socket")?;
    supervisor.restart()?;
    same(sockets(&supervisor)?, row(json!([1, 2])), "the socket while the old one ends")?;
    let shown = supervisor.ctl_command("status").output()?.stdout;
    let line = format!("  holds  tcp/{at}, kept; generations 1, 2 have it\n");
    holds(String::from_utf8_lossy(&shown).contains(&line), String::from_utf8_lossy(&shown))?;
    supervisor.event("ended", Some(1))?;
    same(sockets(&supervisor)?, row(json!([2])), "the socket in the end")
}

/// Only a socket behind which is nobody goes, whoever finds it.
fn left_behind() -> Result<(), Failed> {
    let first = Supervisor::start(inuse(), run(inuse(), &["-l", "127.0.0.1:0"], &["sleep", "60"]))?;
    first.event("reachable", None)?;
    let place = first.runtime().join("inuse");
    let dead = || drop(UnixListener::bind(place.join("dead.99999999.ctl")));
    let is_there = |name: &str| place.join(name).symlink_metadata().is_ok();
    let _lives = UnixListener::bind(place.join("lives.99999998.ctl"))?;
    std::fs::write(place.join("file.99999996.ctl"), "")?;
    std::os::unix::fs::symlink("dead.99999999.ctl", place.join("link.99999995.ctl"))?;
    let others = ["lives.99999998.ctl", "file.99999996.ctl", "link.99999995.ctl"];

    dead();
    let ctl = |name: &str| first.ctl_command("status").args(["--name", name, "--json"]).output();
    let output = ctl("dead")?;
    same(output.status.code(), Some(3), "inuse ctl --name dead")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    holds(
        said.contains("the supervisor was killed: dead (pid 99999999)") && !is_there("dead.99999999.ctl"),
        said,
    )?;
    for name in ["file", "link"] {
        let said = String::from_utf8_lossy(&ctl(name)?.stdout).into_owned();
        holds(said.contains("no 'inuse run'"), said)?;
    }

    dead();
    let mut second = run(inuse(), &["-l", "127.0.0.1:0", "--give-up", "1"], &["true"]);
    second.env("XDG_RUNTIME_DIR", first.runtime()).stderr(std::process::Stdio::null());
    holds(second.status()?.success(), "the second supervisor")?;
    holds(!is_there("dead.99999999.ctl"), "what the dead one left is still there")?;
    wait(|| others.iter().all(|name| is_there(name)), "what the others have")?;
    holds(ctl("sleep")?.status.success(), "the first supervisor")
}

/// Another supervisor of the same program, where the first one is; ready.
fn beside(first: &Supervisor) -> Result<Supervisor, Failed> {
    let run = run(inuse(), &["-l", "127.0.0.1:0", "--ready", "alive:10ms"], &["sleep", "60"]);
    let mut command = Command::new("env");
    command.arg(format!("XDG_RUNTIME_DIR={}", first.runtime().display()));
    command.arg(run.get_program()).args(run.get_args());
    let supervisor = Supervisor::start(inuse(), command)?;
    supervisor.ready(1)?;
    Ok(supervisor)
}

fn first() -> Result<Supervisor, Failed> {
    let options = ["-l", "127.0.0.1:0", "-l", "127.0.0.1:0", "--ready", "alive:10ms"];
    let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &["sleep", "60"]))?;
    supervisor.ready(1)?;
    Ok(supervisor)
}

/// Each has a name of its own, and what is to be typed works.
fn several() -> Result<(), Failed> {
    let first = first()?;
    let mut second = beside(&first)?;
    let reachable = |of: &Supervisor| of.event("reachable", None).map(|told| told.message);
    same(reachable(&first)?, "'inuse ctl --name sleep' reaches this supervisor".into(), "the first one")?;
    let expect = "'inuse ctl --name sleep-2' reaches this supervisor; another one has the name sleep";
    same(reachable(&second)?, expect.into(), "the second one")?;
    let ctl = |words: &[&str]| first.ctl_command(words[0]).args(&words[1..]).output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let listed = ctl(&["status"])?;
    same(listed.status.code(), Some(0), "inuse ctl")?;
    let table = text(&listed.stdout);
    let pids = [first.pid(), second.pid()];
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    let starts = rows.iter().map(|row| row[0]).collect::<Vec<_>>();
    same(starts, vec!["NAME", "sleep", "sleep-2"], "the rows")?;
    holds(pids.iter().all(|pid| table.contains(&pid.to_string())) && table.contains("and 1 more"), &table)?;
    let answer = fits(first.ctl("status")?.answer)?;
    same(&answer["ok"], &json!(true), "whether it is an answer")?;
    let of = |name: &str, pid: u32| json!({ "name": name, "pid": pid, "answers": true, "command": ["sleep", "60"] });
    let mut them = answer["supervisors"].clone();
    for one in them.as_array_mut().ok_or("no list")? {
        holds(one["addresses"].as_array().is_some_and(|addresses| !addresses.is_empty()), &one)?;
        one.as_object_mut().ok_or("no object")?.remove("addresses");
    }
    same(them, json!([of("sleep", pids[0]), of("sleep-2", pids[1])]), "the list")?;

    let check = |words: &[&str], code: i32, typed: &str| -> Result<(), Failed> {
        let output = ctl(words)?;
        let said = text(&output.stderr);
        same(output.status.code(), Some(code), &said)?;
        holds(said.contains("NAME") && said.contains("sleep-2") && output.stdout.is_empty(), &said)?;
        let line = format!("inuse: type, for instance: inuse ctl {typed}\n");
        holds(said.ends_with(&line), &said)?;
        let typed: Vec<&str> = typed.split(' ').collect();
        same(ctl(&typed)?.status.code(), Some(0), "what is to be typed")
    };
    check(&["restart"], 2, "restart --name sleep")?;
    check(&["status", "--name", "slep-2"], 3, "status --name sleep-2")?;
    check(&["status", "--pid", "1"], 3, "status --name sleep")?;
    check(&["stop", "--name", "nginx"], 3, "stop --name sleep")?;
    // Its name is free again; the other one keeps its own.
    let third = beside(&first)?;
    holds(reachable(&third)?.starts_with("'inuse ctl --name sleep' "), reachable(&third)?)?;
    second.stop()?;
    drop(third);
    let output = ctl(&["restart"])?;
    same(output.status.code(), Some(3), "inuse ctl restart")?;
    holds(text(&output.stderr).contains("no 'inuse run' of this user is there"), text(&output.stderr))
}

/// Nobody waits for it.
fn stopped() -> Result<(), Failed> {
    let first = first()?;
    first.signal(Signal::STOP)?;
    let stat = format!("/proc/{}/stat", first.pid());
    wait(|| std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") T ")), "its being stopped")?;
    let ctl = first.ctl("status")?;
    same(ctl.code, Some(3), "inuse ctl")?;
    let error = fits(ctl.answer)?["error"].clone();
    let typed = format!("kill -CONT {}", first.pid());
    holds(error.as_str().is_some_and(|text| text.contains("is stopped") && text.ends_with(&typed)), &error)?;
    let second = beside(&first)?;
    let them = fits(first.ctl("status")?.answer)?["supervisors"].clone();
    let silent =
        json!({ "name": "sleep", "pid": first.pid(), "answers": false, "addresses": [], "command": [] });
    holds(them.as_array().is_some_and(|them| them.len() == 2 && them[0] == silent), &them)?;
    drop(second);
    first.signal(Signal::CONT)?;
    same(first.ctl("status")?.code, Some(0), "inuse ctl when it goes on")
}
