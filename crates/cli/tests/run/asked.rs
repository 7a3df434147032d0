//! `inuse ctl`: what it shows of sockets, and what is left of supervisors that were killed.

use crate::notify::wait;
use crate::{Case, holds, inuse, same};
use inuse_lab::zoo::{Scratch, Supervisor, python, run};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use std::os::unix::net::UnixListener;
use std::path::Path;

pub(crate) const ALL: &[Case] = &[
    ("sockets_that_are_given", &["python3"], given),
    ("a_socket_that_is_kept", &["python3"], kept),
    ("what_killed_supervisors_left_is_removed", &[], left_behind),
];

/// The sockets of `inuse ctl status --json`, which is as its schema says.
fn sockets(supervisor: &Supervisor) -> Result<Value, Failed> {
    let answer = supervisor.ctl("status")?.answer;
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/inuse.ctl-1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema)?)?;
    jsonschema::validate(&schema, &answer).map_err(|error| format!("{error}: {answer}"))?;
    Ok(answer["status"]["sockets"].clone())
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
