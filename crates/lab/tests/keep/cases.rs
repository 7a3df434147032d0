//! What must hold for every program, played by the server in C.

use crate::driver::{Directory, PATIENCE, Supervisor, ask, connect, finish, server};
use inuse_keeper::hold::keep::Event;
use inuse_rules::Address;
use libtest_mimic::Failed;
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

type Case = (&'static str, fn(&str) -> Result<(), Failed>);

pub(crate) const ALL: &[Case] = &[
    ("queue-survives-sigkill", |at| queue_survives(at, &[], "serve", true)),
    ("queue-survives-sigkill-shared-library", |at| queue_survives(at, &[], "serve", false)),
    ("queue-survives-sigkill-through-sh", |at| {
        queue_survives(at, &["sh", "-c", "\"$@\"; true", "sh"], "serve", true)
    }),
    ("queue-survives-sigkill-of-a-child", |at| queue_survives(at, &[], "fork", true)),
    ("overlap", overlap),
    ("shutdown-wakes-a-thread-in-accept", |at| shutdown_wakes(at, "thread")),
    ("shutdown-wakes-a-thread-on-a-duplicate", |at| shutdown_wakes(at, "dup")),
    ("shutdown-wakes-a-thread-in-poll", |at| shutdown_wakes(at, "poller")),
    ("shutdown-reaches-a-busy-thread", |at| shutdown_wakes(at, "busy")),
    ("shutdown-wakes-children-in-accept", |at| shutdown_wakes_children(at, "prefork")),
    ("shutdown-wakes-children-in-poll", |at| shutdown_wakes_children(at, "preforkpoll")),
    ("shutdown-spares-the-newer-generation", shutdown_spares),
    ("shutdown-of-an-event-loop-loses-nothing", shutdown_of_a_loop),
    ("reuseport-workers", workers),
    ("port-zero-stays", port_zero),
    ("the-same-program-binds-again", rebind),
    ("udp", udp),
    ("unix-without-unlink", |_| unix("stay")),
    ("unix-with-unlink", |_| unix("unlink")),
    ("preloaded", preloaded),
    ("preloaded-privileged-port-as-nobody", privileged),
    ("unclaimed-goes", unclaimed),
    ("the-supervisor-dies", supervisor_dies),
    ("hostile", hostile_alone),
    ("nested", nested),
];

/// Those that give up rights which only root has.
pub(crate) const AS_ROOT: &[&str] = &["preloaded-privileged-port-as-nobody"];

const PORT: u16 = 8080;

fn words<'a>(before: &[&'a str], rest: [&'a str; 5]) -> Vec<&'a str> {
    before.iter().copied().chain(rest).collect()
}

fn path(linked_statically: bool) -> &'static str {
    server(linked_statically).to_str().expect("a plain path")
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expect: T, what: &str) -> Result<(), Failed> {
    if got == expect { Ok(()) } else { Err(format!("{what}: {got:?}, not {expect:?}").into()) }
}

/// 50 connections wait in the queue of a stopped server; it is killed, and its successor answers all of them.
fn queue_survives(at: &str, before: &[&str], mode: &str, linked_statically: bool) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let program = path(linked_statically);
    let first = supervisor.start(1, &words(before, [program, mode, at, "8080", "one"]));
    same(supervisor.listening(1).1, false, "adopted")?;
    same(ask(&address)?, "one".into(), "the answer")?;
    first.stop();
    let waiting: Vec<TcpStream> = (0..50).map(|_| connect(&address)).collect::<Result<_, _>>()?;
    let kept = supervisor.keeper.status()?;
    same(
        kept.iter().map(|one| one.queue.map(|(waiting, _)| waiting)).collect(),
        vec![Some(50)],
        "the queue",
    )?;
    same(kept.first().map(|one| one.generations.clone()), Some(vec![1]), "who has it")?;
    let _ = first.end(Signal::KILL);
    supervisor.keeper.ended(1)?;
    let second = supervisor.start(2, &words(before, [program, mode, at, "8080", "two"]));
    same(supervisor.listening(2).1, true, "adopted")?;
    for stream in waiting {
        same(finish(stream)?, "two".into(), "the answer")?;
    }
    supervisor.keeper.ready(2)?;
    let raised =
        supervisor.hear_all().iter().any(|e| matches!(e, Event::Raised { from: 5, to, .. } if *to > 5));
    same(raised, true, "the queue was raised")?;
    let _ = second.end(Signal::KILL);
    Ok(())
}

/// Two generations at once, over and over, with clients all the while: none is refused, and each is answered.
fn overlap(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let mut old = supervisor.start(1, &[path(true), "thread", at, "8080", "1"]);
    supervisor.listening(1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (asked, refused) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut asked, mut refused) = (0, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                asked += 1;
                // What was in the queue of a listener that was shut down is reset; refused it never is.
                if ask(&address).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
                    refused += 1;
                }
            }
            (asked, refused)
        });
        for generation in 2..6u32 {
            let tag = generation.to_string();
            let new = supervisor.start(generation, &[path(true), "serve", at, "8080", &tag]);
            assert!(supervisor.listening(generation).1, "adopted");
            supervisor.keeper.ready(generation).expect("a handler");
            let _ = std::mem::replace(&mut old, new).end(Signal::KILL);
            supervisor.keeper.ended(generation - 1).expect("a handler");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.join().expect("no panic")
    });
    same(refused, 0, "refused")?;
    if asked < 10 {
        return Err(format!("only {asked} connections").into());
    }
    same(ask(&address)?, "5".into(), "the answer")
}

/// A server whose threads wait to be woken by shutdown() ends as it would alone, and its successor gets the port.
fn shutdown_wakes(at: &str, mode: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let first = supervisor.start(1, &[path(true), mode, at, "8080", "one"]);
    supervisor.listening(1);
    same(ask(&address)?, "one".into(), "the answer")?;
    let since = Instant::now();
    let ended = first.end(Signal::TERM);
    if !ended.success() || since.elapsed() > PATIENCE / 2 {
        return Err(format!("it ended with {ended} after {:?}", since.elapsed()).into());
    }
    supervisor.keeper.ended(1)?;
    // Nobody serves, and nobody is refused: the queue goes on.
    let waiting = connect(&address)?;
    let _second = supervisor.start(2, &[path(true), mode, at, "8080", "two"]);
    same(supervisor.listening(2).1, true, "adopted")?;
    same(finish(waiting)?, "two".into(), "the answer")?;
    let reset = supervisor.hear_all().iter().any(|event| matches!(event, Event::QueueReset { .. }));
    same(reset, false, "a reset queue")
}

/// Children that sleep are woken, and nothing is lost from the queue.
fn shutdown_wakes_children(at: &str, mode: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let mut first = supervisor.start(1, &[path(true), mode, at, "8080", "one"]);
    supervisor.listening(1);
    same(ask(&address)?, "one".into(), "the answer")?;
    first.signal_one(Signal::TERM);
    same(first.wait().is_some_and(|status| status.success()), true, "it ends well")?;
    supervisor.keeper.ended(1)?;
    let reset = supervisor.hear_all().iter().any(|event| matches!(event, Event::QueueReset { .. }));
    same(reset, false, "a reset queue")?;
    same(supervisor.keeper.status()?.iter().all(|kept| kept.listening), true, "it listens")?;
    let waiting = connect(&address)?;
    let _second = supervisor.start(2, &[path(true), "serve", at, "8080", "two"]);
    same(supervisor.listening(2).1, true, "adopted")?;
    same(finish(waiting)?, "two".into(), "the answer")
}

/// The older generation ends by shutdown() while the newer one sleeps in accept() on the same listener.
fn shutdown_spares(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let first = supervisor.start(1, &[path(true), "thread", at, "8080", "one"]);
    supervisor.listening(1);
    let _second = supervisor.start(2, &[path(true), "thread", at, "8080", "two"]);
    same(supervisor.listening(2).1, true, "adopted")?;
    supervisor.keeper.ready(2)?;
    same(first.end(Signal::TERM).success(), true, "it ends well")?;
    supervisor.keeper.ended(1)?;
    for _ in 0..5 {
        same(ask(&address)?, "two".into(), "the answer")?;
    }
    let reset = supervisor.hear_all().iter().any(|event| matches!(event, Event::QueueReset { .. }));
    same(reset, false, "a reset queue")
}

/// An event loop that shuts its listener down before it ends loses no connection.
fn shutdown_of_a_loop(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let first = supervisor.start(1, &[path(true), "loop", at, "8080", "one"]);
    supervisor.listening(1);
    same(ask(&address)?, "one".into(), "the answer")?;
    first.stop();
    let waiting: Vec<TcpStream> = (0..20).map(|_| connect(&address)).collect::<Result<_, _>>()?;
    first.signal(Signal::TERM);
    let _ = first.end(Signal::CONT);
    supervisor.keeper.ended(1)?;
    let _second = supervisor.start(2, &[path(true), "loop", at, "8080", "two"]);
    supervisor.listening(2);
    for stream in waiting {
        let answer = finish(stream)?;
        // The old one may have taken the first of them before it looked at its signal.
        if answer != "one" && answer != "two" {
            return Err(format!("the answer {answer:?}").into());
        }
    }
    let reset = supervisor.hear_all().iter().any(|event| matches!(event, Event::QueueReset { .. }));
    same(reset, false, "a reset queue")
}

/// Three listeners on one address, each with its own queue: each is handed over.
fn workers(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let first = supervisor.start(1, &[path(true), "workers", at, "8080", "one"]);
    let three = |supervisor: &mut Supervisor, generation| -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let kept = supervisor.keeper.status()?;
            if kept.iter().filter(|one| one.listening && one.generations.contains(&generation)).count() == 3 {
                return same(kept.len(), 3, "sockets");
            }
            if Instant::now() > deadline {
                return Err(format!("{kept:?}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    three(&mut supervisor, 1)?;
    first.stop();
    let waiting: Vec<TcpStream> = (0..60).map(|_| connect(&address)).collect::<Result<_, _>>()?;
    let _ = first.end(Signal::KILL);
    supervisor.keeper.ended(1)?;
    let _second = supervisor.start(2, &[path(true), "workers", at, "8080", "two"]);
    for stream in waiting {
        same(finish(stream)?, "two".into(), "the answer")?;
    }
    three(&mut supervisor, 2)
}

fn port_zero(at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let mut ports = Vec::new();
    for generation in 1..=3 {
        let mut program = supervisor.start(generation, &[path(true), "zero", at, "0", "tag"]);
        let port = program.line();
        same(supervisor.listening(generation).1, generation > 1, "adopted")?;
        same(ask(&format!("{at}:{port}"))?, "tag".into(), "the answer")?;
        ports.push(port);
        let _ = program.end(Signal::KILL);
        supervisor.keeper.ended(generation)?;
    }
    ports.dedup();
    same(ports.len(), 1, "ports")
}

/// A program that closes its listener and binds the address again gets it, as it would alone.
fn rebind(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    for generation in 1..=2 {
        let tag = generation.to_string();
        let program = supervisor.start(generation, &[path(true), "rebind", at, "8080", &tag]);
        supervisor.listening(generation);
        same(ask(&address)?, tag, "the answer")?;
        let _ = program.end(Signal::KILL);
        supervisor.keeper.ended(generation)?;
    }
    Ok(())
}

/// Datagrams wait for the next generation.
fn udp(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let client = UdpSocket::bind((at, 0))?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.connect(&address)?;
    let answer = |client: &UdpSocket| -> Result<String, Failed> {
        let mut bytes = [0; 64];
        let got = client.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..got]).into_owned())
    };
    let first = supervisor.start(1, &[path(true), "udp", at, "8080", "one"]);
    let (listens, adopted) = supervisor.listening(1);
    same((listens, adopted), (Address::udp(address.parse()?), false), "it listens")?;
    client.send(b"x")?;
    same(answer(&client)?, "one".into(), "the answer")?;
    let _ = first.end(Signal::KILL);
    supervisor.keeper.ended(1)?;
    for _ in 0..3 {
        client.send(b"x")?;
    }
    let _second = supervisor.start(2, &[path(true), "udp", at, "8080", "two"]);
    same(supervisor.listening(2).1, true, "adopted")?;
    for _ in 0..3 {
        same(answer(&client)?, "two".into(), "the answer")?;
    }
    Ok(())
}

/// A unix socket is kept for a program that finds its path taken, and let go for one that removes it first.
fn unix(mode: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let directory = Directory::new(&format!("unix-{mode}"));
    let at = directory.0.join("s");
    let at = at.to_str().ok_or("a strange path")?;
    let say = || -> std::io::Result<UnixStream> {
        let mut stream = UnixStream::connect(at)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"x")?;
        Ok(stream)
    };
    let hear = |mut stream: UnixStream| -> std::io::Result<String> {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let first = supervisor.start(1, &[path(true), "unix", at, mode, "one"]);
    same(supervisor.listening(1).1, false, "adopted")?;
    same(hear(say()?)?, "one".into(), "the answer")?;
    first.stop();
    let waiting = say()?;
    let _ = first.end(Signal::KILL);
    supervisor.keeper.ended(1)?;
    let _second = supervisor.start(2, &[path(true), "unix", at, mode, "two"]);
    let kept = mode == "stay";
    same(supervisor.listening(2).1, kept, "adopted")?;
    same(hear(say()?)?, "two".into(), "the answer")?;
    same(hear(waiting).is_ok_and(|answer| answer == "two"), kept, "what waited is answered")?;
    let let_go = supervisor.hear_all().iter().any(|e| matches!(e, Event::Unclaimed { dropped: true, .. }));
    same(let_go, !kept, "let go")
}

fn preloaded(at: &str) -> Result<(), Failed> {
    let (mut supervisor, address) = (Supervisor::new(), format!("{at}:{PORT}"));
    let socket = TcpListener::bind(&address)?;
    let other = TcpListener::bind((at, 8081))?;
    let unbound =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    same(supervisor.keeper.preload("web", unbound.as_fd()).is_err(), true, "refused")?;
    for (name, socket) in [("web", socket), ("other", other)] {
        supervisor.keeper.preload(name, socket.as_fd())?;
    }
    let waiting = connect(&address)?;
    let _program = supervisor.start(1, &[path(true), "serve", at, "8080", "one"]);
    same(supervisor.listening(1).1, true, "adopted")?;
    same(finish(waiting)?, "one".into(), "the answer")?;
    supervisor.keeper.ready(1)?;
    let unclaimed: Vec<_> = (supervisor.hear_all().iter())
        .filter_map(|event| match event {
            Event::Unclaimed { name, dropped, .. } => Some((name.clone(), *dropped)),
            _ => None,
        })
        .collect();
    same(unclaimed, vec![(Some("other".into()), false)], "unclaimed")?;
    same(supervisor.keeper.status()?.len(), 2, "kept")
}

/// A program without privileges serves a port below 1024 that was bound for it.
fn privileged(at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let socket = TcpListener::bind((at, 80))?;
    supervisor.keeper.preload("web", socket.as_fd())?;
    drop(socket);
    let directory = Directory::new("nobody");
    let program = directory.0.join("server");
    std::fs::copy(server(true), &program)?;
    let program = program.to_str().ok_or("a strange path")?;
    let _program = supervisor.start_as(1, &[program, "serve", at, "80", "one"], Some(65534));
    same(supervisor.listening(1).1, true, "adopted")?;
    same(ask(&format!("{at}:80"))?, "one".into(), "the answer")?;
    let without =
        supervisor.hear_all().iter().any(|e| matches!(e, Event::Entered { no_new_privs: true, .. }));
    same(without, true, "no_new_privs is set without CAP_SYS_ADMIN")
}

/// What the next generation does not bind is let go when that is ready.
fn unclaimed(at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let first = supervisor.start(1, &[path(true), "serve", at, "8080", "one"]);
    supervisor.listening(1);
    let _ = first.end(Signal::KILL);
    supervisor.keeper.ended(1)?;
    let waiting = connect(&format!("{at}:8080"))?;
    let _second = supervisor.start(2, &[path(true), "serve", at, "8081", "two"]);
    same(supervisor.listening(2).1, false, "adopted")?;
    supervisor.keeper.ready(2)?;
    let expect = Address::tcp(format!("{at}:8080").parse()?);
    supervisor.until(|event| {
        matches!(event, Event::Unclaimed { address, waiting: Some(1), dropped: true, .. } if *address == expect)
    });
    same(finish(waiting).is_err(), true, "what waited is reset")?;
    let again = TcpListener::bind((at, 8080)).is_ok();
    same(again, true, "the port is free")
}

/// Without its supervisor a program goes on, and binds and listens as if there had never been one.
fn supervisor_dies(at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let again = "\"$0\" serve \"$1\" 8080 one & echo; read go < \"$2\"; exec \"$0\" rebind \"$1\" 8081 two";
    let directory = Directory::new("orphan");
    let fifo = directory.0.join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )?;
    let go = fifo.to_str().ok_or("a strange path")?;
    let program = supervisor.start(1, &["sh", "-c", again, path(true), at, go]);
    supervisor.listening(1);
    let stand_in = supervisor.keeper.stand_in();
    drop(supervisor);
    same(ask(&format!("{at}:8080"))?, "one".into(), "the answer")?;
    std::fs::write(&fifo, "go\n")?;
    let deadline = Instant::now() + PATIENCE;
    while ask(&format!("{at}:8081")).ok().as_deref() != Some("two") {
        if Instant::now() > deadline {
            return Err("it cannot bind any more".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = program.end(Signal::KILL);
    // The last task with the filter is gone: so is the stand-in. It is a child of this process.
    let pid = i32::try_from(stand_in).ok().and_then(rustix::process::Pid::from_raw).ok_or("a pid")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG)? {
            Some((_, status)) => return same(status.exit_status(), Some(0), "the stand-in's end"),
            None if Instant::now() > deadline => return Err("the stand-in stays".into()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// In a process of its own, whose descriptors can be counted.
fn hostile_alone(at: &str) -> Result<(), Failed> {
    let answer = std::process::Command::new("/proc/self/exe").args(["__alone", at]).output()?;
    match answer.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&answer.stderr).into_owned().into()),
    }
}

/// Whatever a program does, the handler goes on answering others, and holds no more descriptors than before.
pub(crate) fn hostile(at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let descriptors = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let before = descriptors()?;
    let mut wild = supervisor.start(1, &[path(true), "hostile"]);
    let tame = supervisor.start(2, &[path(true), "serve", at, "8080", "one"]);
    supervisor.until(|event| matches!(event, Event::Listening { generation: 2, .. }));
    same(ask(&format!("{at}:8080"))?, "one".into(), "the answer")?;
    same(wild.line(), "done".into(), "it ends")?;
    same(wild.wait().is_some_and(|status| status.success()), true, "it ends well")?;
    let _ = tame.end(Signal::KILL);
    drop(wild);
    supervisor.keeper.ended(1)?;
    supervisor.keeper.ended(2)?;
    supervisor.keeper.ready(3)?;
    let deadline = Instant::now() + PATIENCE;
    while descriptors()? > before || !supervisor.keeper.status()?.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("{} descriptors, before {before}", descriptors()?).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A filter below a filter is refused.
fn nested(_at: &str) -> Result<(), Failed> {
    let mut supervisor = Supervisor::new();
    let me = std::env::current_exe()?;
    let me = me.to_str().ok_or("a strange path")?;
    let mut program = supervisor.start(1, &[me, "__enter", "2", "true"]);
    same(program.wait().and_then(|status| status.code()), Some(99), "the inner stub's exit code")
}
