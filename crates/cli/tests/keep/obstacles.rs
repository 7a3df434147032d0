//! What stands in the way of keeping, and the deaths of those who keep: said in one line, and lived with.

use crate::Case;
use crate::driver::{
    Directory, INUSE, Run, ask, built, connect, eventually, finish, same, send, server, state, stop,
};
use libtest_mimic::Failed;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt as _;

pub(crate) const ALL: &[Case] = &[
    Case { name: "below-another-filter", needs: &["gcc"], test: nested },
    Case { name: "a-set-uid-program", needs: &["gcc", "setpriv", "root"], test: set_uid },
    Case { name: "a-container-that-forbids-it", needs: &["gcc"], test: denied },
    Case { name: "a-container-that-forbids-it-with-a-bound-port", needs: &["gcc"], test: denied_with_port },
    Case { name: "listening-through-an-io-uring", needs: &["gcc"], test: io_uring },
    Case { name: "the-stand-in-is-killed", needs: &["gcc"], test: stand_in_killed },
    Case { name: "the-stand-in-outlives-a-stop-of-all", needs: &["gcc"], test: stand_in_stays },
    Case {
        name: "the-supervisor-is-killed",
        needs: &["gcc", "mkfifo"],
        test: |at| supervisor_killed(at, false),
    },
    Case {
        name: "the-supervisor-is-killed-after-the-stand-in",
        needs: &["gcc", "mkfifo"],
        test: |at| supervisor_killed(at, true),
    },
    Case {
        name: "the-supervisor-is-killed-amid-binds",
        needs: &["gcc"],
        test: |_| killed_amid(None, 10, 20),
    },
    Case {
        name: "the-supervisor-is-killed-amid-walks",
        needs: &["gcc"],
        test: |at| killed_amid(Some(at), 3, 10),
    },
];

/// The kernel allows one such filter: the inner supervisor goes on without, and restarts without overlap.
fn nested(at: &str) -> Result<(), Failed> {
    let (address, server) = (format!("{at}:8000"), server(true));
    let program = format!("exec {server} serve {at} 8000 ${{INUSE_GENERATION##*:}}");
    let words =
        ["--log", "json", "--name", "inner", "--rollback-window", "100ms", "--", "sh", "-c", &program];
    let run = Run::start(&[&["--name", "outer", "--", INUSE, "run"], &words[..]].concat());
    run.until("warning", "another program above already answers for system calls")?;
    same(run.count("warning", "ends the old process before it starts the new one"), 1, "in one line")?;
    eventually("it is served", || ask(&address).is_ok_and(|answer| answer == "1"))?;
    // Its readiness is its living on, so that a restart takes a second.
    run.until("ready", "it has lived for")?;
    let answer = run.ctl(&["restart", "--name", "inner"]);
    same(answer.status.success(), true, "restarted")?;
    same(ask(&address)?, "2".into(), "the answer")
}

/// A program that would lose the rights of its file under the filter runs without the filter, and has them.
fn set_uid(_at: &str) -> Result<(), Failed> {
    let directory = Directory::new();
    std::fs::set_permissions(&directory.0, std::fs::Permissions::from_mode(0o755))?;
    let copy = |from: &str, name: &str, mode: u32| -> Result<String, Failed> {
        let to = directory.0.join(name);
        std::fs::copy(from, &to)?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode))?;
        Ok(to.to_str().ok_or("a strange path")?.to_owned())
    };
    let inuse = copy(INUSE, "inuse", 0o755)?;
    let id = std::fs::canonicalize("/usr/bin/id")?;
    let id = copy(id.to_str().ok_or("a strange path")?, "id", 0o4755)?;
    let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &inuse];
    let mut run = Run::start_by(&by, &["--", &id]);
    same(run.wait()?.code(), Some(0), "the exit status")?;
    same(run.stdout().contains("euid=0"), true, &run.stdout())?;
    same(run.count("warning", "is set-uid, and would run without those rights"), 1, "in one line")
}

fn deny() -> String {
    built("deny", include_str!("deny.c"), &[])
}

/// Nothing can be kept: that is said, and a restart ends the old process first.
fn denied(at: &str) -> Result<(), Failed> {
    let (address, server) = (format!("{at}:8000"), server(true));
    let program = format!("exec {server} serve {at} 8000 ${{INUSE_GENERATION##*:}}");
    let words = ["--rollback-window", "100ms", "--", "sh", "-c", &program];
    let run = Run::start_by(&[&deny(), INUSE], &words);
    run.until("warning", "a container's profile forbids pidfd_getfd(2); start inuse with CAP_SYS_PTRACE")?;
    same(run.count("warning", ""), 1, "in one line")?;
    run.until("ready", "it has lived for")?;
    run.restart()?;
    same(ask(&address)?, "2".into(), "the answer")?;
    run.until("ended", "generation 1")
}

/// What was bound for the program is given to it in the other way, for it cannot take the place of its own.
fn denied_with_port(at: &str) -> Result<(), Failed> {
    let (listen, server) = (format!("{at}:8000"), server(true));
    let program = format!(
        "[ -n \"$LISTEN_FDS\" ] && echo given $LISTEN_FDS && exec sleep 60; exec {server} serve {at} 8000 x"
    );
    let run = Run::start_by(&[&deny(), INUSE], &["-l", &listen, "--keep", "--", "sh", "-c", &program]);
    run.until("warning", "is given what -l binds by LISTEN_FDS")?;
    eventually("it is given the socket", || run.stdout() == "given 1\n")
}

/// A listener that the filter does not see is found where it is, and a restart ends the old process first.
fn io_uring(at: &str) -> Result<(), Failed> {
    let (address, server) = (format!("{at}:8000"), built("uring", include_str!("uring.c"), &[]));
    let program = format!("exec {server} {at} 8000 ${{INUSE_GENERATION##*:}}");
    let run = Run::start(&["--rollback-window", "100ms", "--give-up", "1", "--", "sh", "-c", &program]);
    eventually("it is ready, or has no io_uring", || run.count("ready", "") + run.count("gave-up", "") > 0)?;
    if run.count("failed-start", "exit status 77") > 0 {
        // The kernel has no such operations, so that nothing escapes the filter.
        return Ok(());
    }
    run.until("warning", "tcp/ADDRESS cannot be kept".replace("ADDRESS", &address).as_str())?;
    same(ask(&address)?, "1".into(), "the answer")?;
    run.restart()?;
    same(ask(&address)?, "2".into(), "the answer")?;
    same(run.count("warning", ""), 1, "in one line, once")
}

/// Kills the stand-in, and waits until there is another.
fn kill_stand_in(run: &Run, times: usize) -> Result<(), Failed> {
    let first = run.stand_in().ok_or("no stand-in")?;
    send(first, Signal::KILL);
    run.until_count("warning", "another took its place", times)?;
    let other = || run.stand_in().is_some_and(|second| second != first);
    eventually("another stand-in", other)
}

/// Nothing is lost with the stand-in: no queue, no bind, and no restart knows of it.
fn stand_in_killed(at: &str) -> Result<(), Failed> {
    let (address, server) = (format!("{at}:8000"), server(true));
    let program = format!("exec {server} serve {at} 8000 ${{INUSE_GENERATION##*:}}");
    let run = Run::listening(&["--rollback-window", "100ms", "--", "sh", "-c", &program]);
    run.ready(1)?;
    let served = run.pid_of(1)?;
    stop(served)?;
    let waiting: Vec<_> = (0..50).map(|_| connect(&address)).collect::<Result<_, _>>()?;
    kill_stand_in(&run, 1)?;
    send(served, Signal::KILL);
    for stream in waiting {
        same(finish(stream)?, "2".into(), "the answer to what had waited")?;
    }
    run.ready(2)?;
    run.restart()?;
    same(ask(&address)?, "3".into(), "the answer")?;
    kill_stand_in(&run, 2)?;
    run.restart()?;
    same(ask(&address)?, "4".into(), "the answer")?;
    same(run.count("listens", "as it was kept"), 3, "on the listener of the first")
}

/// SIGTERM to every process at once, as a service manager sends it: the stand-in goes on.
fn stand_in_stays(at: &str) -> Result<(), Failed> {
    let server = server(true);
    let mut run = Run::listening(&["--", &server, "thread", at, "8000", "x"]);
    run.ready(1)?;
    let stand_in = run.stand_in().ok_or("no stand-in")?;
    send(stand_in, Signal::TERM);
    send(stand_in, Signal::INT);
    send(stand_in, Signal::HUP);
    run.signal(Signal::TERM);
    same(run.wait()?.code(), Some(0), "the exit status")?;
    same(run.count("warning", ""), 0, "warnings")?;
    eventually("it ends with the last of them", || state(stand_in).is_none_or(|letter| letter == 'Z'))
}

/// Without its supervisor the program serves what it has, and binds and listens as if there had never been one.
fn supervisor_killed(at: &str, after_the_stand_in: bool) -> Result<(), Failed> {
    let server = server(true);
    let program = format!(
        "mkfifo go; {server} serve {at} 8000 one & read word < go; exec {server} rebind {at} 8001 two"
    );
    let mut run = Run::listening(&["--", "sh", "-c", &program]);
    run.ready(1)?;
    if after_the_stand_in {
        kill_stand_in(&run, 1)?;
    }
    let (stand_in, sh) = (run.stand_in().ok_or("no stand-in")?, run.pid_of(1)?);
    run.signal(Signal::KILL);
    run.wait()?;
    same(ask(&format!("{at}:8000"))?, "one".into(), "the answer")?;
    std::fs::write(run.place().join("go"), "go\n")?;
    eventually("it binds", || ask(&format!("{at}:8001")).is_ok_and(|answer| answer == "two"))?;
    same(state(stand_in).is_some_and(|letter| letter != 'Z'), true, "the stand-in is there")?;
    drop(run);
    eventually("all of it is gone", || {
        [stand_in, sh].iter().all(|pid| state(*pid).is_none_or(|letter| letter == 'Z'))
    })
}

/// Whatever the supervisor was about to answer when it was killed, no bind waits for ever. With an address each bind is of
/// a kept listener that was closed, and takes a walk through all processes: none is refused while the supervisor lives.
fn killed_amid(address: Option<&str>, rounds: u64, count: u64) -> Result<(), Failed> {
    const THREADS: usize = 4;
    let program = built("binds", include_str!("binds.c"), &[]);
    for round in 0..rounds {
        let mut words = vec!["--ready", "alive:10ms", "--", &program, "counts"];
        words.extend(address);
        let mut run = Run::start(&words);
        let counts = run.place().join("counts");
        let read = || -> Vec<u64> {
            let bytes = std::fs::read(&counts).unwrap_or_default();
            bytes.chunks_exact(8).map(|one| u64::from_ne_bytes(one.try_into().unwrap_or_default())).collect()
        };
        let beyond = |floor: &[u64]| {
            let now = read();
            now.len() == 2 * THREADS && now.iter().zip(floor).all(|(now, floor)| now > floor)
        };
        eventually("each thread binds", || beyond(&[count + round; THREADS]))?;
        same(read().get(THREADS..), Some(&[0; THREADS][..]), "refused")?;
        run.signal(Signal::KILL);
        run.wait()?;
        let floor: Vec<u64> = read().iter().take(THREADS).map(|now| now + count).collect();
        eventually("each thread binds without the supervisor", || beyond(&floor))?;
    }
    Ok(())
}
