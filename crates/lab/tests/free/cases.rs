//! Situations that are about more than one moment: signals that are ignored, supervisors, pids that are given
//! out again, bytes that must still arrive.

use crate::scenes::{Neighbour, free, life, understood};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::scene::{self, Act, Kind, Place, Step, Wanted};
use libtest_mimic::Failed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One of them.
pub(crate) type Case = fn(&mut Stage) -> Result<(), Failed>;

/// All of them.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("sigterm_is_ignored", sigterm_is_ignored),
    ("sigterm_is_ignored_and_sigkill_agreed_to", sigkill),
    ("respawned_after_50_ms", respawned),
    ("process_1_is_the_holder", process_1),
    ("an_ancestor_is_the_holder", an_ancestor),
    ("time_wait_as_an_ordinary_user", time_wait_unprivileged),
    ("time_wait_protected_by_rfc1337", time_wait_protected),
    ("many_time_waits", many_time_waits),
    ("many_time_waits_as_an_ordinary_user", many_time_waits_unprivileged),
    ("fin_wait_2_as_an_ordinary_user", fin_wait_2_unprivileged),
    ("the_last_three_megabytes_arrive", last_words),
    ("a_pid_given_out_again", race),
    ("a_process_whose_pid_is_the_port", pid_is_port),
];

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Rounds of the race for a pid at a time.
const PORTION: usize = 50;
/// An ordinary user.
const TOM: u32 = 1000;

/// A program that holds the port, and was started so that it sees no SIGTERM.
fn deaf_server(stage: &mut Stage) -> Result<(), Failed> {
    let deaf = ["sh", "-c", "trap '' TERM; exec sleep 1000"];
    for step in [
        Step::Actor("deaf", 0),
        Step::Does("deaf", Act::Socket("s", Kind::Tcp4)),
        Step::Does("deaf", Act::Bind("s", Place::Inet(HERE))),
        Step::Does("deaf", Act::Listen("s", 16)),
        Step::Does("deaf", Act::Exec(&deaf)),
    ] {
        stage.step(&step)?;
    }
    // The shell must have become it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(())
}

fn sigterm_is_ignored(stage: &mut Stage) -> Result<(), Failed> {
    deaf_server(stage)?;
    let before = life(stage, "deaf");
    let said = free(stage, 0, "127.0.0.1:8080", None)?;
    expect(&said, "NotFree", "listener-inherited")?;
    assert!(said.text.contains("did not let go"), "{}", said.text);
    assert!(!said.calls.contains("SIGKILL"), "{}", said.calls);
    assert_eq!(life(stage, "deaf"), before);
    assert!(stage.attempt(&Wanted::tcp(HERE))?.is_some());
    Ok(())
}

fn sigkill(stage: &mut Stage) -> Result<(), Failed> {
    deaf_server(stage)?;
    let neighbour = Neighbour::move_in(stage)?;
    let said = free(stage, 0, "127.0.0.1:8080", Some("--kill"))?;
    expect(&said, "Free", "none")?;
    assert!(said.calls.contains("SIGKILL"), "{}", said.calls);
    assert_eq!(stage.attempt(&Wanted::tcp(HERE))?, None);
    Ok(neighbour.serves(stage)?)
}

fn respawned(stage: &mut Stage) -> Result<(), Failed> {
    let words = ["/proc/self/exe", "__supervisor", "127.0.0.1:8080"];
    stage.step(&Step::Actor("supervisor", 0))?;
    stage.step(&Step::Does("supervisor", Act::Exec(&words)))?;
    until_listening(stage)?;
    let before = life(stage, "supervisor").ok_or("no supervisor")?;
    let said = free(stage, 0, "127.0.0.1:8080", None)?;
    expect(&said, "NotFree", "respawned")?;
    assert!(said.text.contains(&format!("(pid {}) started", before.0)), "{}", said.text);
    assert_eq!(life(stage, "supervisor"), Some(before));
    Ok(())
}

fn until_listening(stage: &mut Stage) -> Result<(), Failed> {
    for _ in 0..1000 {
        if stage.rows()?.iter().any(|row| row.local.port() == 8080) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err("nobody came to listen".into())
}

fn process_1(stage: &mut Stage) -> Result<(), Failed> {
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().ok_or("a path that is no text")?;
    let ran = stage.run(0, Program::Path("unshare"), &["--pid", "--fork", "--mount-proc", exe, "__first"])?;
    let calls = stage.run(0, Program::Path("cat"), &["/run/calls"])?;
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let said = understood(text, String::from_utf8_lossy(&calls.stdout).into_owned());
    expect(&said, "Refused(Never)", "listener")?;
    assert_eq!(said.calls, "", "{}", said.text);
    Ok(())
}

/// The shell from which the command is called has inherited the listener.
fn an_ancestor(stage: &mut Stage) -> Result<(), Failed> {
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().ok_or("a path that is no text")?;
    let script = format!(
        "strace -f -qq -o /run/calls -e {} -e signal=none {exe} __free 127.0.0.1:8080 --kill >/run/said 2>&1; \
         echo $? >/run/code; sleep 1000",
        crate::scenes::SIGNALS
    );
    let shell = ["sh", "-c", script.as_str()];
    for step in [
        Step::Actor("shell", 0),
        Step::Does("shell", Act::Socket("s", Kind::Tcp4)),
        Step::Does("shell", Act::Bind("s", Place::Inet(HERE))),
        Step::Does("shell", Act::Listen("s", 16)),
        Step::Does("shell", Act::Exec(&shell)),
    ] {
        stage.step(&step)?;
    }
    let wait = "until test -s /run/code; do sleep 0.05; done; cat /run/said";
    let text = stage.run(0, Program::Path("timeout"), &["20", "sh", "-c", wait])?.stdout;
    let calls = stage.run(0, Program::Path("cat"), &["/run/calls"])?.stdout;
    let said =
        understood(String::from_utf8_lossy(&text).into_owned(), String::from_utf8_lossy(&calls).into_owned());
    expect(&said, "Refused(Never)", "listener-inherited")?;
    assert_eq!(said.calls, "", "{}", said.text);
    assert!(life(stage, "shell").is_some());
    Ok(())
}

fn time_wait_unprivileged(stage: &mut Stage) -> Result<(), Failed> {
    play(stage, "time-wait")?;
    let client = life(stage, "client");
    let said = free(stage, TOM, "time-wait", None)?;
    expect(&said, "Free", "none")?;
    assert_eq!(stage.attempt(&Wanted::tcp(HERE))?, None);
    assert_eq!(life(stage, "client"), client);
    // Nothing is left of the way in which it was done either.
    assert!(!stage.rows()?.iter().any(|row| row.local.port() == 8080), "{:?}", stage.rows()?);
    Ok(())
}

/// More of them than are told one by one, and than stay rows of their own.
const MANY: usize = 20;

fn leave_many(stage: &mut Stage) -> Result<(), Failed> {
    for step in [
        Step::Actor("server", 0),
        Step::Does("server", Act::Socket("s", Kind::Tcp4)),
        Step::Does("server", Act::Bind("s", Place::Inet(HERE))),
        Step::Does("server", Act::Listen("s", 16)),
        Step::Actor("client", 0),
    ] {
        stage.step(&step)?;
    }
    for _ in 0..MANY {
        for step in [
            Step::Does("client", Act::Socket("c", Kind::Tcp4)),
            Step::Does("client", Act::Connect("c", Place::Inet(HERE))),
            Step::Does("server", Act::Accept("s", "a")),
            Step::Does("server", Act::Close("a")),
            Step::Does("client", Act::Close("c")),
        ] {
            stage.step(&step)?;
        }
    }
    stage.step(&Step::Does("server", Act::Exit))?;
    let start = std::time::Instant::now();
    while left_at(stage, HERE.port())? < MANY && start.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(left_at(stage, HERE.port())?, MANY, "{:?}", stage.rows()?);
    Ok(())
}

fn left_at(stage: &mut Stage, port: u16) -> Result<usize, Failed> {
    Ok(stage.rows()?.iter().filter(|row| row.local.port() == port).count())
}

fn many_time_waits(stage: &mut Stage) -> Result<(), Failed> {
    leave_many(stage)?;
    let said = free(stage, 0, "127.0.0.1:8080", None)?;
    expect(&said, "Free", "none")?;
    assert!(said.text.contains(&format!("{MANY} TIME_WAITs of 127.0.0.1:8080 destroyed")), "{}", said.text);
    assert_eq!((stage.attempt(&Wanted::tcp(HERE))?, left_at(stage, 8080)?), (None, 0));
    Ok(())
}

fn many_time_waits_unprivileged(stage: &mut Stage) -> Result<(), Failed> {
    leave_many(stage)?;
    let said = free(stage, TOM, "127.0.0.1:8080", None)?;
    expect(&said, "Free", "none")?;
    assert!(said.text.contains(&format!("{MANY} TIME_WAITs of 127.0.0.1:8080 removed")), "{}", said.text);
    assert_eq!((stage.attempt(&Wanted::tcp(HERE))?, left_at(stage, 8080)?), (None, 0));
    Ok(())
}

fn time_wait_protected(stage: &mut Stage) -> Result<(), Failed> {
    play(stage, "time-wait")?;
    stage.step(&Step::Sysctl("net/ipv4/tcp_rfc1337", "1"))?;
    let said = free(stage, TOM, "time-wait", None)?;
    expect(&said, "Refused(NeedsPrivilege)", "time-wait")?;
    assert!(stage.attempt(&Wanted::tcp(HERE))?.is_some());
    Ok(())
}

fn fin_wait_2_unprivileged(stage: &mut Stage) -> Result<(), Failed> {
    play(stage, "fin-wait-2")?;
    let client = life(stage, "client");
    let said = free(stage, TOM, "fin-wait-2", None)?;
    expect(&said, "Refused(NeedsPrivilege)", "fin-wait-2")?;
    assert_eq!((said.calls.as_str(), life(stage, "client")), ("", client));
    Ok(())
}

fn last_words(stage: &mut Stage) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Myself, &["__delivers"])?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let bytes = format!("sent: {0}\nreceived: {0}\n", 3 << 20);
    assert!(text.starts_with("ending: Refused(NeedsFlag)") && text.contains(&bytes), "{text}");
    Ok(())
}

/// As many rounds as `INUSE_RACE_ROUNDS` says, in portions that a stage has the patience for.
#[allow(clippy::print_stderr, reason = "figures for the long run")]
fn race(stage: &mut Stage) -> Result<(), Failed> {
    let rounds: usize = std::env::var("INUSE_RACE_ROUNDS").map_or(Ok(PORTION), |rounds| rounds.parse())?;
    let mut done = 0;
    while done < rounds {
        let portion = PORTION.min(rounds - done);
        let ran = stage.run(0, Program::Myself, &["__race", &portion.to_string()])?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let expect = format!("rounds: {portion}\nreused: {portion}\nharmed: 0\n");
        assert!(text == expect, "after {done}: {text}{}", String::from_utf8_lossy(&ran.stderr));
        done += portion;
    }
    eprintln!("{done} rounds, the pid given out again in each, nobody harmed");
    Ok(())
}

fn pid_is_port(stage: &mut Stage) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Myself, &["__pid-is-port"])?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(text, "ending: Free\nlives: true\n", "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn play(stage: &mut Stage, name: &str) -> Result<(), Failed> {
    Ok(stage.play(scene::by_name(name).ok_or("no such scene")?)?)
}

/// Held against what was said.
pub(crate) fn expect(said: &crate::scenes::Said, ending: &str, cause: &str) -> Result<(), Failed> {
    if (said.ending.as_str(), said.cause.as_str()) == (ending, cause) {
        return Ok(());
    }
    Err(format!("expected {ending}, {cause}:\n{}\ncalls:\n{}", said.text, said.calls).into())
}
