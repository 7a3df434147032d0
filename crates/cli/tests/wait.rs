//! `inuse wait` as a command: its exit status, what it says, and its JSON against the committed schema. What
//! ends a wait, and how soon, is tested where the waiter is (`inuse-lab`, `tests/wait`).

use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, Kind, Place, Step};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    inuse_lab::helper_main();
    let trials = vec![
        Trial::test("free_at_once", free_at_once),
        Trial::test("timeout", timeout),
        Trial::test("ready", ready),
        Trial::test("listening", listening),
        Trial::test("hopeless", hopeless),
        Trial::test("wrong_words", wrong_words),
        Trial::test("events_match_their_schema", events_match_their_schema),
        Trial::ignorable_test("listening_in_another_namespace", another_namespace),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.arg("wait").args(arguments).stdin(Stdio::null()).env_remove("SUDO_UID");
    command
}

fn run(arguments: &[&str]) -> std::io::Result<Output> {
    command(arguments).output()
}

/// Exit status, and what stderr must begin with; nothing is written to stdout.
fn check(output: &Output, code: i32, says: &str) -> Result<(), Failed> {
    let said = String::from_utf8_lossy(&output.stderr);
    let fits = output.status.code() == Some(code) && said.starts_with(says) && output.stdout.is_empty();
    if fits { Ok(()) } else { Err(format!("{output:?}, expected {code} and {says:?}").into()) }
}

/// A server on a port of its own.
fn server() -> std::io::Result<(TcpListener, SocketAddr)> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    Ok((server, address))
}

fn free_at_once() -> Result<(), Failed> {
    let (server, address) = server()?;
    drop(server);
    let output = run(&["--timeout", "0", &address.to_string()])?;
    check(&output, 0, "")?;
    if output.stderr.is_empty() { Ok(()) } else { Err(format!("{output:?}").into()) }
}

fn timeout() -> Result<(), Failed> {
    let (_server, address) = server()?;
    let began = Instant::now();
    let output = run(&["--timeout", "300ms", &address.to_string()])?;
    check(&output, 1, "inuse: waiting: ")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    if !last.starts_with(&format!("inuse: tcp/{address} is still in use after "))
        || !last.ends_with(" (listener)")
    {
        return Err(format!("the last line: {last}").into());
    }
    if began.elapsed() < Duration::from_millis(300) { Err("it gave up early".into()) } else { Ok(()) }
}

fn ready() -> Result<(), Failed> {
    let (server, address) = server()?;
    let waiting = command(&["--timeout", "20s", &address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    thread::sleep(Duration::from_millis(300));
    drop(server);
    let output = waiting.wait_with_output()?;
    check(&output, 0, "inuse: waiting: ")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let expect = format!("\ninuse: tcp/{address} can be bound now, after ");
    if said.contains(&expect) { Ok(()) } else { Err(format!("{said}, expected {expect}").into()) }
}

fn listening() -> Result<(), Failed> {
    let (server, address) = server()?;
    let port = address.port().to_string();
    for word in [address.to_string(), port.clone(), format!("localhost:{port}")] {
        check(&run(&["--listening", "--timeout", "20s", &word])?, 0, "")?;
    }
    let elsewhere = run(&["--listening", "--timeout", "100ms", &format!("[::1]:{port}")])?;
    check(&elsewhere, 1, &format!("inuse: waiting until somebody listens on tcp/[::1]:{port}\n"))?;
    drop(server);
    let output = run(&["--listening", "--timeout", "100ms", &port])?;
    check(&output, 1, &format!("inuse: waiting until somebody listens on tcp/{port}\n"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains(&format!("nobody listens on tcp/{port} after ")) {
        Ok(())
    } else {
        Err(format!("{said}").into())
    }
}

fn hopeless() -> Result<(), Failed> {
    let (_server, address) = server()?;
    let says = "inuse: waiting does not help: ";
    check(&run(&["--as-uid", "12345", "127.0.0.1:1"])?, 4, says)?;
    check(&run(&["192.0.2.1:8080"])?, 4, says)?;
    check(&run(&[&address.to_string(), "192.0.2.1:8080"])?, 4, says)?;
    check(&run(&["--listening", "192.0.2.1:8080"])?, 4, says)?;
    check(&run(&["unix:/no/such/directory/x.sock"])?, 4, says)
}

fn wrong_words() -> Result<(), Failed> {
    for arguments in [
        &[][..],
        &["99999"],
        &["--timeout", "soon", "80"],
        &["--timeout", "-1", "80"],
        &["--timeout", "1e3", "80"],
        &["--timeout", "", "80"],
        &["--listening", "--reuseaddr", "80"],
        &["--netns", "no-such-namespace", "80"],
        &["--as-uid", "no such user", "80"],
    ] {
        let output = run(arguments)?;
        check(&output, 2, "inuse: ")?;
        if output.stderr.iter().filter(|&&byte| byte == b'\n').count() != 1 {
            return Err(format!("{arguments:?}: more than a line: {output:?}").into());
        }
    }
    Ok(())
}

/// Events of every kind; stderr is silent meanwhile.
fn events_match_their_schema() -> Result<(), Failed> {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/inuse.wait-1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema)?)?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    let (server, address) = server()?;
    let taken = address.to_string();
    let check = |arguments: &[&str], expect: &[&str]| -> Result<(), Failed> {
        let output = run(&[&["--json", "--timeout", "100ms"], arguments].concat())?;
        let mut events = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let event: Value = serde_json::from_str(line)?;
            if let Err(error) = validator.validate(&event) {
                return Err(format!("{line}: {error}").into());
            }
            events.push(event["event"].as_str().unwrap_or_default().to_owned());
        }
        if events == expect && output.stderr.is_empty() {
            return Ok(());
        }
        Err(format!("{arguments:?}: {events:?}, {}", String::from_utf8_lossy(&output.stderr)).into())
    };
    check(&[&taken], &["waiting", "timeout"])?;
    check(&["--listening", &taken], &["ready"])?;
    check(&["192.0.2.1:8080"], &["hopeless"])?;
    drop(server);
    check(&[&taken], &["ready"])?;
    check(&["--listening", &taken], &["waiting", "timeout"])
}

/// `inuse wait --listening --timeout 30s 5432 && ./migrate`, the server in another namespace.
fn another_namespace() -> Result<Completion, Failed> {
    let cannot = |reason: String| match inuse_lab::all_required() {
        true => Err(Failed::from(format!("could not run: {reason}"))),
        false => Ok(Completion::ignored_with(reason)),
    };
    if !rustix::process::geteuid().is_root() {
        return cannot("entering another namespace needs root".into());
    }
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    let netns = format!("/proc/{}/ns/net", stage.helper_pid());
    let waiting = command(&["--listening", "--timeout", "30s", "--netns", &netns, "5432"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    thread::sleep(Duration::from_millis(300));
    stage.step(&Step::Actor("server", 0))?;
    let place = Place::Inet("127.0.0.1:5432".parse()?);
    for act in [Act::Socket("s", Kind::Tcp4), Act::Bind("s", place), Act::Listen("s", 1)] {
        stage.step(&Step::Does("server", act))?;
    }
    let output = waiting.wait_with_output()?;
    check(&output, 0, "inuse: waiting until somebody listens on tcp/5432\n")?;
    stage.end()?;
    Ok(Completion::Completed)
}
