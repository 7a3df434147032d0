//! `inuse wait` as a command: its exit status, what it says, and its JSON against the committed schema. What
//! ends a wait, and how soon, is tested where the waiter is (`inuse-lab`, `tests/wait`).

use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, Kind, Opt, Place, Step};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
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
        Trial::test("addresses_from_an_error_message", addresses_from_an_error_message),
        Trial::test("listening_on_a_path", listening_on_a_path),
        Trial::test("unrelated_closes_cost_nothing", unrelated_closes_cost_nothing),
        Trial::test("wrong_words", wrong_words),
        Trial::test("events_match_their_schema", events_match_their_schema),
        Trial::ignorable_test("listening_in_another_namespace", || on_stage(another_namespace)),
        Trial::ignorable_test("hopeless_in_another_namespace", || on_stage(hopeless_elsewhere)),
        Trial::ignorable_test("too_little_can_be_seen", || on_stage(too_little)),
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
        &["0"],
        &["--listening", "udp/127.0.0.1:0"],
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

/// '-': the addresses of an error message on standard input, which is passed on.
fn addresses_from_an_error_message() -> Result<(), Failed> {
    let (server, address) = server()?;
    let message = format!("Error: listen EADDRINUSE: address already in use {address}\n");
    let piped = |arguments: &[&str]| -> Result<Output, Failed> {
        let mut command = command(arguments);
        let mut waiting =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        waiting.stdin.take().ok_or("no pipe")?.write_all(message.as_bytes())?;
        Ok(waiting.wait_with_output()?)
    };
    let output = piped(&["--timeout", "200ms", "-"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default();
    if output.status.code() != Some(1)
        || !last.starts_with(&format!("inuse: tcp/{address} is still in use after "))
    {
        return Err(format!("{output:?}").into());
    }
    drop(server);
    let output = piped(&["--timeout", "20s", "-"])?;
    if output.status.code() == Some(0) { Ok(()) } else { Err(format!("{output:?}").into()) }
}

/// A socket file that is left of a dead server serves nobody; one with a server behind it does.
fn listening_on_a_path() -> Result<(), Failed> {
    let path = inuse_lab::scratch_root().join(format!("inuse-wait-{}.sock", std::process::id()));
    let word = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path)?);
    let stale = run(&["--listening", "--timeout", "200ms", &word]);
    std::fs::remove_file(&path)?;
    check(&stale?, 1, &format!("inuse: waiting until somebody listens on {word}\n"))?;
    let waiting = command(&["--listening", "--timeout", "20s", &word])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    thread::sleep(Duration::from_millis(200));
    let server = UnixListener::bind(&path)?;
    let output = waiting.wait_with_output();
    let at_once = run(&["--listening", "--timeout", "20s", &word]);
    drop(server);
    std::fs::remove_file(&path)?;
    check(&output?, 0, &format!("inuse: waiting until somebody listens on {word}\n"))?;
    check(&at_once?, 0, "")
}

/// The processor time of the whole process, while 10,000 sockets a second close on other ports.
fn unrelated_closes_cost_nothing() -> Result<(), Failed> {
    const CLOSES: u32 = 10_000;
    let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = format!("udp/{}", held.local_addr()?);
    let mut waiting =
        command(&["--timeout", "20s", &address]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It has begun when it has said why it waits.
    let mut says = BufReader::new(waiting.stderr.take().ok_or("no pipe")?);
    says.read_line(&mut String::new())?;
    let before = worked(waiting.id())?;
    let began = Instant::now();
    for closed in 1..=2 * CLOSES {
        drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        if closed % 100 == 0 {
            thread::sleep((Duration::from_secs(1) * closed / CLOSES).saturating_sub(began.elapsed()));
        }
    }
    let (worked, lasted) = (worked(waiting.id())? - before, began.elapsed());
    drop(held);
    let output = waiting.wait_with_output()?;
    tell(&format!("{} closes in {lasted:?}: {worked:?} of processor time", 2 * CLOSES));
    // On an idle machine it is nothing at all; the clock of the kernel's statistics ticks every 10 ms.
    if output.status.code() == Some(0) && worked * 20 < lasted {
        Ok(())
    } else {
        Err(format!("{worked:?} of {lasted:?}: {output:?}").into())
    }
}

/// The processor time that a process has used: the 14th and 15th field of its stat file, in ticks of 10 ms.
fn worked(pid: u32) -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
fn tell(figures: &str) {
    eprintln!("    {figures}");
}

fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn on_stage(test: fn(&mut Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return cannot("entering another namespace needs root");
    }
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    test(&mut stage)?;
    stage.end()?;
    Ok(Completion::Completed)
}

fn netns(stage: &Stage) -> String {
    format!("/proc/{}/ns/net", stage.helper_pid())
}

/// `inuse wait --listening --timeout 30s 5432 && ./migrate`, the server in another namespace.
fn another_namespace(stage: &mut Stage) -> Result<(), Failed> {
    let waiting = command(&["--listening", "--timeout", "30s", "--netns", &netns(stage), "5432"])
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
    check(&output, 0, "inuse: waiting until somebody listens on tcp/5432\n")
}

/// What is local is a question of the namespace.
fn hopeless_elsewhere(stage: &mut Stage) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Path("ip"), &["address", "add", "192.0.2.1/32", "dev", "lo"])?;
    if ran.code != 0 {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned().into());
    }
    let netns = netns(stage);
    check(&run(&["--netns", &netns, "--timeout", "0", "192.0.2.1:8080"])?, 0, "")?;
    check(&run(&["192.0.2.1:8080"])?, 4, "inuse: waiting does not help: ")?;
    check(&run(&["--netns", &netns, "192.0.2.2:8080"])?, 4, "inuse: waiting does not help: ")?;
    let low = ["--netns", &netns, "--as-uid", "1000", "127.0.0.1:80"];
    check(&run(&low)?, 4, "inuse: waiting does not help: ")
}

/// Whether another user's bound socket has SO_REUSEADDR does not show: at the end of the time nobody can say.
fn too_little(stage: &mut Stage) -> Result<(), Failed> {
    stage.step(&Step::Actor("server", 0))?;
    let place = Place::Inet("127.0.0.1:8080".parse()?);
    for act in [Act::Socket("s", Kind::Tcp4), Act::Set("s", Opt::Reuseaddr, true), Act::Bind("s", place)] {
        stage.step(&Step::Does("server", act))?;
    }
    let copy = std::env::temp_dir().join(format!("inuse-wait-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_inuse"), &copy)?;
    let file = copy.to_str().ok_or("a path that is no text")?;
    let words = ["wait", "--reuseaddr", "--timeout", "300ms", "127.0.0.1:8080"];
    let (tom, root) =
        (stage.run(1000, Program::Path(file), &words), stage.run(0, Program::Path(file), &words));
    std::fs::remove_file(&copy)?;
    let (tom, root) = (tom?, root?);
    // Root sees the option, and that the bind would succeed.
    if (tom.code, root.code) == (3, 0) { Ok(()) } else { Err(format!("{tom:?}, {root:?}").into()) }
}
