//! Programs are restarted and killed under connections.

use crate::Case;
use crate::driver::{
    Directory, Run, ask, children, connect, eventually, finish, same, send, server, state, stop,
};
use libtest_mimic::Failed;
use rustix::process::Signal;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const fn case(
    name: &'static str,
    needs: &'static [&'static str],
    test: fn(&str) -> Result<(), Failed>,
) -> Case {
    Case { name, needs, test }
}

pub(crate) const ALL: &[Case] = &[
    case("python-restarts-under-connections", &["python3"], python),
    case("nonblocking-all-the-time", &["python3"], nonblocking),
    case("queue-survives-sigkill-static", &["gcc"], |at| queue_survives(at, true, "exec")),
    case("queue-survives-sigkill-shared", &["gcc"], |at| queue_survives(at, false, "exec")),
    case("queue-survives-sigkill-below-sh", &["gcc"], |at| queue_survives(at, true, "")),
    case("thread-in-accept-is-woken", &["gcc"], |at| woken(at, "thread", &[])),
    case("children-in-accept-are-woken", &["gcc"], |at| woken(at, "prefork", &["--no-overlap"])),
    case("children-in-accept-are-woken-alone", &["gcc"], |at| woken(at, "prefork", &[])),
    case("children-in-poll-are-woken-alone", &["gcc"], |at| woken(at, "preforkpoll", &[])),
    case("a-busy-child-is-woken-when-it-is-done", &["gcc"], busy_child),
    case("port-zero-stays", &["gcc"], port_zero),
    case("every-listener-is-waited-for", &["gcc"], two_listeners),
    case("bound-for-a-program-without-rights", &["gcc", "setpriv", "root"], bound_for_it),
    case("bound-for-every-address", &["python3"], bound_for_every_address),
    case("no-overlap", &["gcc"], no_overlap),
    case("a-new-one-that-binds-nothing", &["gcc"], binds_nothing),
    case("a-new-one-that-binds-another-port", &["gcc"], binds_another_port),
    case("a-new-one-that-dies-brings-the-old-one-back", &["gcc"], dies_in_window),
];

/// The words of a run of the server in C that answers with the number of its generation.
fn tagged(server: &str, mode: &str, at: &str, port: u16, exec: &str) -> String {
    format!("{exec} {server} {mode} {at} {port} \"${{INUSE_GENERATION##*:}}\"; exit $?")
}

/// An event loop that sets O_NONBLOCK after bind(), as asyncio and gunicorn do, and looks all the time whether it still
/// is: the next generation, which takes its time between the two, must not make its accept() wait.
const EVENT_LOOP: &str = r#"
import fcntl, os, socket, sys, threading, time
s = socket.socket()
s.bind((sys.argv[1], 8000))
time.sleep(0.3)
s.setblocking(False)
s.listen()
def look():
    while True:
        if not fcntl.fcntl(s, fcntl.F_GETFL) & os.O_NONBLOCK:
            os._exit(7)
        time.sleep(0.001)
threading.Thread(target=look, daemon=True).start()
while True:
    try:
        s.accept()[0].close()
    except BlockingIOError:
        time.sleep(0.01)
"#;

fn nonblocking(at: &str) -> Result<(), Failed> {
    let run = Run::listening(&["--rollback-window", "300ms", "--", "python3", "-c", EVENT_LOOP, at]);
    run.ready(1)?;
    for generation in 2..=3 {
        run.restart()?;
        run.ready(generation)?;
    }
    let log = run.log();
    let told = |part: &str| log.iter().filter(|line| line.to_string().contains(part)).count();
    same((told("O_NONBLOCK"), told("status 7")), (0, 0), "the flag, told and seen")?;
    same(run.count("started", ""), 3, "starts")
}

/// An unmodified server is restarted again and again, and killed; no client is refused.
fn python(at: &str) -> Result<(), Failed> {
    let address = format!("{at}:8000");
    let run = Run::listening(&[
        "--rollback-window",
        "300ms",
        "--",
        "python3",
        "-m",
        "http.server",
        "8000",
        "--bind",
        at,
    ]);
    run.ready(1)?;
    let stop = AtomicBool::new(false);
    let (answered, lost, refused) = std::thread::scope(|scope| {
        let client = || {
            let (mut answered, mut lost, mut refused) = (0, 0, 0);
            while !stop.load(Ordering::Relaxed) {
                match ask(&address) {
                    Ok(answer) if answer.starts_with("HTTP/1.0 200") => answered += 1,
                    // It was in the hands of a process that ended.
                    Ok(_) => lost += 1,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => refused += 1,
                    Err(_) => lost += 1,
                }
            }
            (answered, lost, refused)
        };
        let clients = [scope.spawn(client), scope.spawn(client), scope.spawn(client)];
        let restarts = || -> Result<(), Failed> {
            for generation in 2..=4 {
                run.restart()?;
                run.ready(generation)?;
            }
            for generation in 5..=6 {
                send(run.pid_of(generation - 1)?, Signal::KILL);
                run.ready(generation)?;
            }
            Ok(())
        };
        let restarted = restarts();
        stop.store(true, Ordering::Relaxed);
        let sums = clients.map(|client| client.join().expect("no panic"));
        restarted.map(|()| sums.into_iter().fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2)))
    })?;
    same(refused, 0, "refused")?;
    // Each end of a process takes what it was just answering; nothing else is lost.
    if answered < 20 || lost > 5 * 3 {
        return Err(format!("{answered} answered, {lost} lost").into());
    }
    same(run.count("queue-raised", "not the 5"), 1, "the queue is raised once")
}

/// 50 connections wait in the queue of a server that is stopped and then killed; its successor answers them all.
fn queue_survives(at: &str, linked_statically: bool, exec: &str) -> Result<(), Failed> {
    let address = format!("{at}:8000");
    let program = tagged(&server(linked_statically), "serve", at, 8000, exec);
    let run = Run::listening(&["--", "sh", "-c", &program]);
    run.ready(1)?;
    same(ask(&address)?, "1".into(), "the answer")?;
    let first = run.pid_of(1)?;
    let serves = children(first).first().copied().unwrap_or(first);
    stop(serves)?;
    let waiting: Vec<TcpStream> = (0..50).map(|_| connect(&address)).collect::<Result<_, _>>()?;
    same(run.status()?["sockets"][0]["queued"].as_u64(), Some(50), "the queue")?;
    send(serves, Signal::KILL);
    for stream in waiting {
        same(finish(stream)?, "2".into(), "the answer")?;
    }
    run.until("listens", "as it was kept")
}

/// A server that waits to be woken out of accept() by shutdown() ends by itself, long before it would be killed.
fn woken(at: &str, mode: &str, more: &[&str]) -> Result<(), Failed> {
    let address = format!("{at}:8000");
    let program = tagged(&server(true), mode, at, 8000, "exec");
    let words = ["--drain", "20s", "--rollback-window", "100ms", "--", "sh", "-c", &program];
    let mut run = Run::listening(&[more, &words[..]].concat());
    run.ready(1)?;
    same(ask(&address)?, "1".into(), "the answer")?;
    // With overlap: the newer one, which sleeps in accept() on the same listener, must not be woken.
    run.restart()?;
    run.until("ended", "generation 1 ended: exit status 0")?;
    for _ in 0..5 {
        same(ask(&address)?, "2".into(), "the answer")?;
    }
    run.signal(Signal::TERM);
    same(run.wait()?.code(), Some(0), "the exit status")?;
    same(run.count("drain-over", ""), 0, "killed")
}

/// A child that answers somebody when its listener is shut down answers, and is woken when it sleeps in accept() again.
fn busy_child(at: &str) -> Result<(), Failed> {
    let address = format!("{at}:8000");
    let program = tagged(&server(true), "prefork", at, 8000, "exec");
    let words = ["--drain", "20s", "--rollback-window", "100ms", "--", "sh", "-c", &program];
    let run = Run::listening(&words);
    run.ready(1)?;
    let mut slow = TcpStream::connect(&address)?;
    let children = children(run.pid_of(1)?);
    let reads = |child: &&u32| {
        std::fs::read_to_string(format!("/proc/{child}/syscall")).is_ok_and(|call| call.starts_with("0 "))
    };
    eventually("a child reads", || children.iter().filter(reads).count() == 1)?;
    run.restart()?;
    eventually("the other one ends", || {
        children.iter().filter(|child| state(**child).is_some()).count() == 1
    })?;
    slow.write_all(b"x")?;
    same(finish(slow)?, "1".into(), "the answer")?;
    run.until("ended", "generation 1 ended: exit status 0")?;
    same(run.count("drain-over", ""), 0, "killed")?;
    same(ask(&address)?, "2".into(), "the answer")
}

/// A port that was left to the kernel is the same in every generation.
fn port_zero(at: &str) -> Result<(), Failed> {
    let program = tagged(&server(true), "zero", at, 0, "exec");
    let run = Run::listening(&["--rollback-window", "100ms", "--", "sh", "-c", &program]);
    for generation in 1..=3u32 {
        run.ready(generation)?;
        // It says its port after it listens.
        eventually("each says its port", || run.stdout().lines().count() >= generation as usize)?;
        let ports: Vec<String> = run.stdout().lines().map(str::to_owned).collect();
        same(ports.len(), generation as usize, "ports")?;
        same(ports.iter().all(|port| Some(port) == ports.first()), true, "the same port")?;
        let port = ports.first().cloned().unwrap_or_default();
        same(ask(&format!("{at}:{port}"))?, generation.to_string(), "the answer")?;
        match generation {
            1 => run.restart()?,
            _ => send(run.pid_of(generation)?, Signal::KILL),
        }
    }
    Ok(())
}

/// A generation is ready when it listens wherever the one before it did, and not earlier.
fn two_listeners(at: &str) -> Result<(), Failed> {
    let server = server(true);
    let program = format!("{server} serve {at} 8000 a & sleep 0.5; exec {server} serve {at} 8001 b");
    let run = Run::listening(&["--rollback-window", "100ms", "--", "sh", "-c", &program]);
    run.ready(1)?;
    run.until("listens", "8001, which is kept")?;
    run.restart()?;
    for port in [8000, 8001] {
        same(
            run.count("listens", &format!("generation 2 listens on tcp/{at}:{port}, as it was kept")),
            1,
            "kept",
        )?;
        same(ask(&format!("{at}:{port}")).is_ok(), true, "an answer")?;
    }
    let order: Vec<String> =
        run.log().iter().filter_map(|one| one["event"].as_str().map(str::to_owned)).collect();
    let at = |word: &str| order.iter().rposition(|event| event == word);
    same(at("listens") < at("ready"), true, "it is ready when it listens everywhere")?;
    same(run.count("warning", "no longer kept"), 0, "nothing is dropped")
}

/// The supervisor binds port 80, and a program without the right to do that serves it, across restarts.
fn bound_for_it(at: &str) -> Result<(), Failed> {
    let directory = Directory::new();
    let program = directory.0.join("server");
    std::fs::copy(server(true), &program)?;
    let program = program.to_str().ok_or("a strange path")?;
    let (address, listen) = (format!("{at}:80"), format!("web={at}:80"));
    let words = ["-l", &listen, "--keep", "--rollback-window", "100ms", "--"];
    let as_nobody =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "serve", at, "80", "x"];
    let run = Run::listening(&[&words[..], &as_nobody[..]].concat());
    run.ready(1)?;
    same(run.count("listens", "as it was kept"), 1, "its bind got what was bound for it")?;
    same(ask(&address)?, "x".into(), "the answer")?;
    run.restart()?;
    same(ask(&address)?, "x".into(), "the answer")?;
    same(run.status()?["sockets"][0]["name"].as_str(), Some("web"), "its name")
}

/// A port alone is bound for it in each form that a program may ask for.
fn bound_for_every_address(_at: &str) -> Result<(), Failed> {
    let port = free_port()?;
    for host in ["0.0.0.0", "::"] {
        let port = port.to_string();
        let words = ["-l", &port, "--keep", "--", "python3", "-m", "http.server", &port, "--bind", host];
        let mut run = Run::listening(&words);
        run.ready(1)?;
        same(run.count("listens", "as it was kept"), 1, "its bind got what was bound for it")?;
        same(ask(&format!("127.0.0.1:{port}"))?.contains("200"), true, "an answer")?;
        same(run.count("warning", ""), 0, "nothing is amiss")?;
        run.signal(Signal::TERM);
        run.wait()?;
    }
    Ok(())
}

/// A port of every address that nothing has, below those for outgoing connections.
fn free_port() -> Result<u16, Failed> {
    let from = 21_000 + (std::process::id() % 5000) as u16;
    let free = (from..from + 100).find(|port| {
        std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()
            && std::net::TcpListener::bind(("::", *port)).is_ok()
    });
    free.ok_or_else(|| "no free port".into())
}

/// The old one ends before the new one starts; who connects meanwhile waits.
fn no_overlap(at: &str) -> Result<(), Failed> {
    let address = format!("{at}:8000");
    let program = format!("sleep 0.3; {}", tagged(&server(true), "serve", at, 8000, "exec"));
    let run = Run::listening(&["--no-overlap", "--rollback-window", "100ms", "--", "sh", "-c", &program]);
    run.ready(1)?;
    let restarted = std::thread::scope(|scope| {
        let restart = scope.spawn(|| run.ctl(&["restart"]).status.success());
        run.until("ended", "generation 1")?;
        same(ask(&address)?, "2".into(), "the answer")?;
        Ok::<_, Failed>(restart.join().expect("no panic"))
    })?;
    same(restarted, true, "restarted")
}

/// A new generation that never listens leaves the old one as it was.
fn binds_nothing(at: &str) -> Result<(), Failed> {
    let (address, good) = (format!("{at}:8000"), tagged(&server(true), "serve", at, 8000, "exec"));
    let program = format!("[ -e broken ] && exec sleep 60; {good}");
    let run = Run::listening(&["--ready-timeout", "1500ms", "--", "sh", "-c", &program]);
    run.ready(1)?;
    std::fs::write(run.place().join("broken"), "")?;
    let answer = run.ctl(&["restart"]);
    same(answer.status.code(), Some(1), "the exit status of ctl")?;
    same(String::from_utf8_lossy(&answer.stderr).contains("was not ready within"), true, "the reason")?;
    same(ask(&address)?, "1".into(), "the answer")
}

/// Another port is what the program wants now: the old listener goes when that has proven itself.
fn binds_another_port(at: &str) -> Result<(), Failed> {
    let (old, new) =
        (tagged(&server(true), "serve", at, 8000, "exec"), tagged(&server(true), "serve", at, 8001, "exec"));
    let program = format!("[ -e new ] && {{ {new}; }}; {old}");
    let run = Run::listening(&["--rollback-window", "300ms", "--", "sh", "-c", &program]);
    run.ready(1)?;
    std::fs::write(run.place().join("new"), "")?;
    run.restart()?;
    same(ask(&format!("{at}:8001"))?, "2".into(), "the answer")?;
    run.until("warning", "8000 is no longer kept: the new generation did not bind it")?;
    eventually("the old port is free", || std::net::TcpListener::bind((at, 8000)).is_ok())
}

/// A new generation that is ready and then dies: the old program comes back, and what waited meanwhile is answered.
fn dies_in_window(at: &str) -> Result<(), Failed> {
    let (address, good) = (format!("{at}:8000"), tagged(&server(true), "serve", at, 8000, "exec"));
    let run = Run::listening(&[
        "--rollback-window",
        "5s",
        "--",
        "sh",
        "-c",
        &format!(
            "[ -e broken ] || {{ {good}; }}; {}",
            // It listens, and ends.
            format_args!("{} serve {at} 8000 bad & sleep 0.5; kill -KILL $!; exit 3", server(true))
        ),
    ]);
    run.ready(1)?;
    // The first one must have proven itself to be what one comes back to.
    std::thread::sleep(Duration::from_millis(5200));
    std::fs::write(run.place().join("broken"), "")?;
    let answer = run.ctl(&["restart"]);
    same(answer.status.code(), Some(1), "the exit status of ctl")?;
    std::fs::remove_file(run.place().join("broken"))?;
    run.until("rolled-back", "generation 3")?;
    eventually("it is served", || {
        ask(&address).is_ok_and(|answer| answer.parse::<u32>().is_ok_and(|n| n >= 3))
    })?;
    same(run.pid_of(1).ok().and_then(state), None, "the old process is gone")
}
