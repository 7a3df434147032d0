//! What other runs of this binary do on the stage: free an address, serve, supervise, be process 1.

use inuse_bind::WhyOptions;
use inuse_keeper::act::{Freer, Outcome, Permissions, Plan};
use inuse_rules::{Address, Attempt, scene};
use rustix::net::sockopt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a process may take after each signal, in these tests.
const GRACE: Duration = Duration::from_millis(700);
/// The bytes that a dead server still has to deliver.
const LAST_WORDS: usize = 3 << 20;

/// Plays a role, if this run has one.
pub(crate) fn play() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["__free", what, ref flags @ ..] => free(what, flags),
        ["__server", address] => serve(address),
        ["__supervisor", address] => supervise(address),
        ["__first"] => first(),
        ["__delivers"] => delivers(),
        ["__race", rounds] => race(rounds.parse().expect("a number")),
        ["__pid-is-port"] => pid_is_port(),
        _ => return false,
    }
    true
}

/// Frees a scene's address, or one that is written, and prints what came of it.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn free(what: &str, flags: &[&str]) {
    let attempt = match scene::by_name(what) {
        Some(scene) => scene.attempt.attempt(),
        None => tcp(what),
    };
    let (plan, outcome) = freed(&attempt, flags);
    let suspects: Vec<String> = plan.suspects().map(|suspect| suspect.process.pid.to_string()).collect();
    println!("ending: {:?}", outcome.ending);
    println!("cause: {}", outcome.cause.map_or("none", |cause| cause.code()));
    println!("stopped: {}", suspects.join(" "));
    println!("says: {}", outcome.says);
    println!("{:#?}\n{:#?}", outcome.deeds, plan);
}

fn tcp(address: &str) -> Attempt {
    Attempt::plain(Address::tcp(address.parse().expect("an address")))
}

fn freed(attempt: &Attempt, flags: &[&str]) -> (Plan, Outcome) {
    let agreed = |flag: &str| flags.contains(&flag);
    let may = Permissions {
        kill: agreed("--kill"),
        destroy: agreed("--destroy"),
        container: agreed("--container"),
        unit: agreed("--unit"),
    };
    let mut freer = Freer::new(&WhyOptions::default()).expect("sock_diag");
    let plan = freer.look(attempt).plan(may);
    let outcome = freer.run(&plan, GRACE);
    (plan, outcome)
}

/// Listens, until it is told to end.
fn serve(address: &str) {
    let listener = TcpListener::bind(address).expect("the address");
    for stream in listener.incoming() {
        drop(stream);
    }
}

/// Starts a server, and 50 ms after each end another one.
fn supervise(address: &str) {
    loop {
        let mut server = myself(&["__server", address]).spawn().expect("a server");
        server.wait().expect("its end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As process 1 of a pid namespace: listens, and has its own port freed by force.
fn first() {
    assert_eq!(std::process::id(), 1);
    let _listener = TcpListener::bind("127.0.0.1:8080").expect("the address");
    let exe = std::env::current_exe().expect("this file");
    let trace = ["-f", "-qq", "-o", "/run/calls", "-e", crate::scenes::SIGNALS, "-e", "signal=none"];
    let status = Command::new("strace")
        .args(trace)
        .arg(exe)
        .args(["__free", "127.0.0.1:8080", "--kill", "--destroy"])
        .status()
        .expect("strace");
    assert!(status.success());
}

/// A server dies with 3 MB that its client has not read. The port is asked for, and then every byte must still
/// come.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn delivers() {
    let listener = TcpListener::bind("127.0.0.1:8080").expect("the address");
    let mut client = TcpStream::connect("127.0.0.1:8080").expect("the server");
    let (mut server, _) = listener.accept().expect("a client");
    sockopt::set_socket_send_buffer_size_force(&server, 4 * LAST_WORDS).expect("a large buffer");
    server.set_nonblocking(true).expect("a socket");
    let words = vec![b'x'; LAST_WORDS];
    let mut sent = 0;
    while let Ok(more @ 1..) = server.write(&words[sent..]) {
        sent += more;
    }
    drop((server, listener));
    let (plan, outcome) = freed(&tcp("127.0.0.1:8080"), &[]);
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("every byte");
    println!("ending: {:?}\nsent: {sent}\nreceived: {}\n{plan:#?}", outcome.ending, received.len());
}

/// Between the look and the act the holder ends, and its pid is given to somebody else, who must live.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn race(rounds: usize) {
    let (mut reused, mut harmed) = (0, 0);
    for round in 0..rounds {
        let mut holder = server("127.0.0.1:8080");
        let attempt = tcp("127.0.0.1:8080");
        let mut freer = Freer::new(&WhyOptions::default()).expect("sock_diag");
        let may = Permissions { kill: true, ..Permissions::default() };
        let plan = freer.look(&attempt).plan(may);
        assert!(plan.is_ready(), "{plan:#?}");
        let pid = holder.id();
        holder.kill().expect("our child");
        holder.wait().expect("its end");
        let mut newcomer = with_pid(
            pid,
            |round_of| match round_of % 2 {
                0 => Command::new("sleep").arg("1000").spawn().expect("sleep"),
                _ => server("127.0.0.1:8080"),
            },
            round,
        );
        reused += usize::from(newcomer.id() == pid);
        let outcome = freer.run(&plan, Duration::from_millis(50));
        let lives = newcomer.try_wait().expect("our child").is_none();
        if !lives {
            harmed += 1;
            println!("round {round}: {outcome:#?}");
        }
        newcomer.kill().expect("our child");
        newcomer.wait().expect("its end");
    }
    println!("rounds: {rounds}\nreused: {reused}\nharmed: {harmed}");
}

/// A process whose pid is the number of the port has nothing to do with it.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn pid_is_port() {
    let mut namesake = with_pid(8080, |_| Command::new("sleep").arg("1000").spawn().expect("sleep"), 0);
    assert_eq!(namesake.id(), 8080);
    let mut holder = server("127.0.0.1:8080");
    let (_, outcome) = freed(&tcp("127.0.0.1:8080"), &["--kill"]);
    let lives = namesake.try_wait().expect("our child").is_none();
    println!("ending: {:?}\nlives: {lives}", outcome.ending);
    for child in [&mut namesake, &mut holder] {
        let _ = child.kill();
        child.wait().expect("its end");
    }
}

/// Starts a process with that pid, as well as the kernel lets us choose it.
fn with_pid(pid: u32, start: impl Fn(usize) -> Child, round: usize) -> Child {
    for _ in 0..20 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("ns_last_pid");
        let mut child = start(round);
        if child.id() == pid {
            return child;
        }
        child.kill().expect("our child");
        child.wait().expect("its end");
    }
    start(round)
}

/// A server that listens.
fn server(address: &str) -> Child {
    let child = myself(&["__server", address]).spawn().expect("a server");
    let at: SocketAddr = address.parse().expect("an address");
    for _ in 0..2000 {
        // Looking leaves nothing on the port, which connecting would.
        let look = Freer::new(&WhyOptions::default())
            .expect("sock_diag")
            .asker()
            .verdict(&Attempt::plain(Address::tcp(at)));
        if look.outcome != inuse_rules::Outcome::Ok {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn myself(words: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(words).stdin(Stdio::null());
    command
}
