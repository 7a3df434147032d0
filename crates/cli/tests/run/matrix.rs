//! What may go wrong with a restart: a row, a test. In all of them clients ask meanwhile, and who asked for the
//! restart is told.

use crate::notify::wait;
use crate::{Case, Served, holds, inuse, nothing_lost, same};
use inuse_lab::load::{Dialect, connect, finish};
use inuse_lab::zoo::{Scratch, Supervisor, python, run, tree};
use libtest_mimic::Failed;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, sendto, socket};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

pub(crate) const ALL: &[Case] = &[
    ("new_exits_before_ready", &["python3"], exits),
    ("new_hangs", &["python3"], hangs),
    ("new_serves_and_is_not_ready_in_time", &["python3"], late),
    ("new_hangs_and_ignores_sigterm", &["python3"], late_and_deaf),
    ("new_is_ready_then_dies_in_the_window", &["python3"], dies),
    ("new_never_takes_its_socket", &["python3"], never_takes),
    ("new_binds_another_port", &["python3"], other_port),
    ("new_binds_what_another_program_holds", &["python3"], taken),
    ("first_binds_what_another_program_holds", &["python3"], taken_at_first),
    ("it_tries_a_taken_address_again_and_again", &["python3"], tries_again),
    ("new_binds_what_overlaps_with_the_old_one", &["python3"], overlaps),
    ("new_steals_notify_from_a_wrong_pid", &["python3"], steals),
    ("new_is_not_runnable_any_more", &["python3"], not_runnable),
    ("the_command_before_it_fails", &["python3"], before_fails),
    ("old_ignores_sigterm", &["python3"], ignores),
    ("old_signals_its_whole_group", &["python3"], signals_its_group),
    ("old_forks_away", &["python3"], forks_away),
    ("it_goes_into_the_background_and_writes_over_its_environment", &["nginx"], background),
    ("old_owns_something_exclusive", &["python3"], exclusive),
    ("supervisor_killed", &["python3"], supervisor_killed),
    ("descriptor_limit", &["python3"], limit),
    ("set_uid_program", &[], set_uid),
    ("two_restarts_at_once", &["python3"], two_at_once),
    ("file_change_storm", &["python3"], change_storm),
    ("disk_full_while_logging", &["python3"], disk_full),
];

/// A restart that must fail with these words, and leave generation 1 as it was.
fn fails(served: &Served, words: &str) -> Result<Vec<String>, Failed> {
    let ctl = served.supervisor.ctl("restart")?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    let error = ctl.answer["error"].as_str().unwrap_or_default();
    holds(error.contains(words), format!("{error:?} has no {words:?}"))?;
    same(served.answers()?, "1".into(), "the generation that answers")?;
    let lines = ctl.answer["output"].as_array().cloned().unwrap_or_default();
    Ok(lines.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect())
}

/// The failing restart, then one that succeeds; clients notice neither.
fn fails_then_succeeds(options: &[&str], line: &str, words: &str) -> Result<Vec<String>, Failed> {
    let served = Served::new(options, line)?;
    let load = served.load()?;
    let output = fails(&served, words)?;
    wait(|| tree_is_gone(&served, 2), "the end of generation 2")?;
    served.supervisor.restart()?;
    same(served.answers()?, "3".into(), "the generation that answers")?;
    nothing_lost(load)?;
    Ok(output)
}

fn tree_is_gone(served: &Served, generation: u32) -> bool {
    let Ok(pid) = served.supervisor.process(generation) else { return true };
    // A number may have come to mean another process by now.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mark = format!("INUSE_GENERATION={}:{generation}", served.supervisor.pid());
    !environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
}

fn exits() -> Result<(), Failed> {
    let line = "[ $n != 2 ] || { echo 'no such table' >&2; exit 3; }";
    let output = fails_then_succeeds(&[], line, "ended before it was ready: exit status 3")?;
    holds(output.iter().any(|line| line == "no such table"), format!("its last lines: {output:?}"))
}

fn hangs() -> Result<(), Failed> {
    let options = ["--ready", "listen", "--ready-timeout", "6s"];
    fails_then_succeeds(&options, "[ $n != 2 ] || exec sleep 60", "was not ready within").map(drop)
}

/// What it has accepted is answered before it ends.
fn late() -> Result<(), Failed> {
    let tells = "import os, socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])";
    // Told by a child once the server listens: it was given its socket listening.
    let line = format!("[ $n = 2 ] || {} -c \"{tells}\"", python());
    let served = Served::new(&["--ready", "notify", "--ready-timeout", "5s"], &line)?;
    let load = served.load()?;
    let ctl = served.supervisor.ctl("restart")?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    served.supervisor.event("draining", Some(2))?;
    let ended = served.supervisor.event("ended", Some(2))?;
    holds(ended.message.ends_with("exit status 0"), ended.message)?;
    same(served.answers()?, "1".into(), "the generation that answers")?;
    served.supervisor.restart()?;
    let tally = load.stop();
    holds(tally.generations.len() == 3 && tally.lost() == 0 && tally.turned_away() == 0, tally)
}

/// It is killed with all it started when the drain time is over.
fn late_and_deaf() -> Result<(), Failed> {
    let options = ["--ready", "listen", "--ready-timeout", "6s", "--drain", "2s"];
    let line = "[ $n != 2 ] || { trap '' TERM; sleep 60; exit; }";
    let served = Served::new(&options, line)?;
    let load = served.load()?;
    fails(&served, "was not ready within")?;
    let drain_over = served.supervisor.event("drain-over", Some(2))?;
    let ended = served.supervisor.event("ended", Some(2))?;
    holds(ended.message.ends_with("SIGKILL") && drain_over.at <= ended.at, ended.message)?;
    served.supervisor.restart()?;
    same(served.answers()?, "3".into(), "the generation that answers")?;
    nothing_lost(load)
}

fn dies() -> Result<(), Failed> {
    let line = "[ $n != 2 ] || { while [ ! -e \"$dir/go\" ]; do sleep 0.01; done; kill -KILL $$; } &";
    let served = Served::new(&["--rollback-window", "2s"], line)?;
    // The first one has a window too; only what lived through it is come back to.
    std::thread::sleep(Duration::from_millis(2200));
    let load = served.load()?;
    let ctl = std::thread::scope(|scope| {
        let asks = scope.spawn(|| served.supervisor.ctl("restart"));
        served.supervisor.ready(2)?;
        std::fs::write(served.scratch.0.join("go"), "")?;
        Ok::<_, Failed>(asks.join().map_err(|_| "the asking failed")??)
    })?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    let error = ctl.answer["error"].as_str().unwrap_or_default();
    holds(error.contains("after it was ready: SIGKILL"), error)?;
    same(served.supervisor.event("rolled-back", None)?.generation, Some(3), "what comes back")?;
    served.supervisor.ready(3)?;
    same(served.answers()?, "3".into(), "the generation that answers")?;
    let tally = load.stop();
    holds(tally.ok > 0 && tally.turned_away() == 0, tally)
}

/// It counts as ready in the end, with a warning; clients wait in the queue, and the next generation answers them.
fn never_takes() -> Result<(), Failed> {
    let served = Served::new(&[], "[ $n != 2 ] || exec sleep 60")?;
    served.supervisor.restart()?;
    served.supervisor.wait("a warning", |told| {
        told.iter().find(|told| told.message.contains("does it know LISTEN_FDS?")).map(drop)
    })?;
    wait(|| tree_is_gone(&served, 1), "the end of generation 1")?;
    let waiting: Vec<_> = (0..5).map(|_| connect(served.at, Dialect::Http)).collect::<Result<_, _>>()?;
    served.supervisor.restart()?;
    waiting.into_iter().try_for_each(|stream| finish(stream, Dialect::Http).map(drop).map_err(Failed::from))
}

fn other_port() -> Result<(), Failed> {
    let options = ["--ready", "listen", "--ready-timeout", "6s"];
    let line = format!("[ $n != 2 ] || exec {} -m http.server 8081 --bind ${{at%:*}}", python());
    fails_then_succeeds(&options, &line, "was not ready within").map(drop)
}

/// A program that binds for itself, where its file says: `PORT` of this address.
fn binds_where_told(
    at: std::net::SocketAddr,
    scratch: &Scratch,
    options: &[&str],
) -> Result<Supervisor, Failed> {
    scratch.write("port", &at.port().to_string())?;
    let line =
        format!("exec {} -m http.server --bind {} $(cat '{}/port')", python(), at.ip(), scratch.0.display());
    Ok(Supervisor::start(inuse(), run(inuse(), options, &["sh", "-c", &line]))?)
}

/// Who restarts is told who holds the new address, the cause by name, and what to type.
fn taken() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let supervisor = binds_where_told(at, &scratch, &["--rollback-window", "200ms"])?;
    supervisor.ready(1)?;
    // A port that no other test has: its bucket's memory is part of the rule.
    let other = std::net::TcpListener::bind((at.ip(), 8083))?;
    scratch.write("port", "8083")?;
    let ctl = supervisor.ctl("restart")?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    let error = ctl.answer["error"].as_str().unwrap_or_default();
    // A process that is just being forked has it too, until its exec.
    let (pid, listens) = (std::process::id().to_string(), format!(" on {}:8083.", at.ip()));
    for words in [
        "ended before it was ready",
        &pid,
        "(cause: listener)",
        &listens,
        &format!("inuse free tcp/{}:8083", at.ip()),
    ] {
        holds(error.contains(words), format!("{error:?} has no {words:?}"))?;
    }
    let told = supervisor.event("taken", Some(2))?;
    holds(told.message.contains(&listens), told.message)?;
    std::net::TcpStream::connect(at)?;
    drop(other);
    supervisor.restart()?;
    std::net::TcpStream::connect((at.ip(), 8083))?;
    same(supervisor.count("taken"), 1, "how often it was told")
}

/// It is said once, however often the program is started again.
fn taken_at_first() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let _other = std::net::TcpListener::bind((at.ip(), 8084))?;
    let at = std::net::SocketAddr::new(at.ip(), 8084);
    let mut supervisor = binds_where_told(at, &scratch, &["--give-up", "3"])?;
    same(supervisor.ended()?.code(), Some(1), "the exit status")?;
    let told = supervisor.event("taken", Some(1))?;
    let named = [&*std::process::id().to_string(), "(cause: listener)", &format!(" on {at}.")]
        .iter()
        .all(|words| told.message.contains(words));
    holds(named && told.message.contains("inuse free"), told.message)?;
    same((supervisor.count("taken"), supervisor.count("started")), (1, 3), "told, and started")
}

/// As nginx does, for longer than a program must live to count as ready where it shows nothing else.
fn tries_again() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let _other = std::net::TcpListener::bind((at.ip(), 8085))?;
    let tries = format!(
        "import socket, time
s = socket.socket()
for i in range(6):
    try: s.bind(('{}', 8085))
    except OSError: time.sleep(0.5)
raise SystemExit(3)",
        at.ip()
    );
    let program = scratch.write("tries.py", &tries)?;
    let mut supervisor =
        Supervisor::start(inuse(), run(inuse(), &["--give-up", "1"], &[python(), &program]))?;
    same(supervisor.ended()?.code(), Some(3), "the exit status")?;
    let told = supervisor.event("taken", Some(1))?;
    holds(told.message.contains("(cause: listener)"), told.message)?;
    same(supervisor.count("ready"), 0, "ready")
}

/// Who is in the way is this very run, whose server must not be freed away.
fn overlaps() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    // Every address has to be free, so it is no port that another run of this test has.
    let port = 20_000 + std::process::id() % 10_000;
    let line = format!("exec {} -m http.server --bind $(cat '{}/ip') {port}", python(), scratch.0.display());
    scratch.write("ip", "0.0.0.0")?;
    let options = ["--rollback-window", "200ms"];
    let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &["sh", "-c", &line]))?;
    supervisor.ready(1)?;
    scratch.write("ip", "127.0.0.1")?;
    let ctl = supervisor.ctl("restart")?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    let error = ctl.answer["error"].as_str().unwrap_or_default();
    holds(error.contains("this very run") && !error.contains("inuse free"), error)?;
    same(supervisor.ctl("status")?.answer["status"]["restarting"].as_bool(), Some(false), "restarting")
}

/// The word of a process that is not one of the generation's does not count.
fn steals() -> Result<(), Failed> {
    let says = "import os, socket, sys
name = '\\0' + os.environ['NOTIFY_SOCKET'][1:]
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', name)
os.execv(sys.argv[1], sys.argv[1:])";
    let line = format!("[ $n != 2 ] || exec sleep 60; exec {} -c \"{says}\" \"$@\"", python());
    let served = Served::new(&["--ready", "notify", "--ready-timeout", "6s"], &line)?;
    let load = served.load()?;
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| fails(&served, "was not ready within"));
        let pid = served.supervisor.process(2)?;
        let name = || {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut words = environment.split(|byte| *byte == 0);
            words.find_map(|word| word.strip_prefix(b"NOTIFY_SOCKET=@")).map(<[u8]>::to_vec)
        };
        wait(|| name().is_some(), "the environment of generation 2")?;
        let to = SocketAddrUnix::new_abstract_name(&name().ok_or("no NOTIFY_SOCKET")?)?;
        let from = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        sendto(&from, b"READY=1", SendFlags::empty(), &to)?;
        asks.join().map_err(|_| "the asking failed")?.map(drop)
    })?;
    served.supervisor.restart()?;
    nothing_lost(load)
}

/// The file has gone meanwhile: the restart fails, and what serves goes on.
fn not_runnable() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let text = format!("#!{}\n{}", python(), inuse_lab::zoo::SERVER);
    let script = scratch.write("server", &text)?;
    let executable = || {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
    };
    executable()?;
    let options = ["-l", &*at.to_string(), "--rollback-window", "100ms"];
    let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &[&script]))?;
    supervisor.ready(1)?;
    let load = inuse_lab::load::Load::start(&inuse_lab::load::Plan::new(at, Dialect::Http))?;
    std::fs::remove_file(&script)?;
    let ctl = supervisor.ctl("restart")?;
    same(ctl.code, Some(1), "inuse ctl restart")?;
    holds(ctl.answer["error"].as_str().is_some_and(|error| error.contains("command not found")), ctl.answer)?;
    scratch.write("server", &text)?;
    executable()?;
    supervisor.restart()?;
    nothing_lost(load)
}

fn before_fails() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let bad = scratch.0.join("bad");
    let before = format!(
        "test -z \"$LISTEN_FDS\" || exit 9; test ! -e {0} || {{ echo error in line 7; exit 1; }}",
        bad.display()
    );
    let served = Served::new(&["--before", &before], "")?;
    let load = served.load()?;
    std::fs::write(&bad, "")?;
    let output = fails(&served, "the command of --before failed: exit status 1")?;
    same(output, vec!["error in line 7".to_owned()], "its last lines")?;
    same(served.supervisor.count("started"), 1, "starts")?;
    std::fs::remove_file(&bad)?;
    served.supervisor.restart()?;
    same(served.answers()?, "2".into(), "the generation that answers")?;
    nothing_lost(load)
}

/// A shell that ignores SIGTERM is the first process, and the server its child.
const DEAF: &str = "trap '' TERM; sh -c 'LISTEN_PID=$$ exec \"$@\"' sh \"$@\"; exit";

fn ignores() -> Result<(), Failed> {
    let served = Served::new(&["--drain", "700ms"], &format!("[ $n != 1 ] || {{ {DEAF}; }}"))?;
    let all = tree(served.supervisor.process(1)?);
    holds(all.len() > 1, "a shell and its server")?;
    let load = served.load()?;
    served.supervisor.restart()?;
    served.supervisor.event("drain-over", Some(1))?;
    served.supervisor.event("ended", Some(1))?;
    // All were killed at once; which of them the kernel buries last is its own affair.
    for pid in all {
        let gone = || {
            let environ = std::fs::read(format!("/proc/{pid}/environ"));
            environ.map_or_else(|error| error.kind() == ErrorKind::NotFound, |bytes| bytes.is_empty())
        };
        wait(gone, &format!("the end of process {pid} of generation 1"))?;
    }
    same(served.answers()?, "2".into(), "the generation that answers")?;
    let tally = load.stop();
    holds(tally.ok > 0 && tally.turned_away() == 0, tally)
}

/// Told to end, it signals its whole process group, as Apache does and many a script: nobody else is in there.
fn signals_its_group() -> Result<(), Failed> {
    let line = "[ $n != 1 ] || { trap 'trap \"\" TERM; kill 0; wait $pid; exit' TERM
sh -c 'LISTEN_PID=$$ exec \"$@\"' sh \"$@\" & pid=$!; wait $pid; exit; }";
    let served = Served::new(&[], line)?;
    let load = served.load()?;
    served.supervisor.restart()?;
    served.supervisor.event("ended", Some(1))?;
    same(served.answers()?, "2".into(), "the generation that answers")?;
    same(served.supervisor.count("stopping"), 0, "signals to the supervisor")?;
    nothing_lost(load)
}

fn forks_away() -> Result<(), Failed> {
    let line = "[ $n != 1 ] || { sh -c 'LISTEN_PID=$$ exec setsid \"$@\"' sh \"$@\" &
while [ ! -e \"$dir/go\" ]; do sleep 0.01; done; exit 0; }";
    // Only once its server is ready: one that goes before that has failed to start.
    let served = Served::new(&[], line)?;
    std::fs::write(served.scratch.0.join("go"), "")?;
    served.supervisor.event("forked", Some(1))?;
    let load = served.load()?;
    served.supervisor.restart()?;
    served.supervisor.event("ended", Some(1))?;
    same(served.answers()?, "2".into(), "the generation that answers")?;
    nothing_lost(load)
}

/// nginx as it starts by default: its first process ends at once, with success, and the master shows no environment.
fn background() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), inuse_lab::zoo::Scratch::new()?);
    let d = scratch.0.display();
    let text = format!(
        "pid {d}/pid; error_log stderr warn; worker_processes 2; events {{ }}
http {{ access_log off; client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c;
uwsgi_temp_path {d}/e; scgi_temp_path {d}/f; server {{ listen {at}; location / {{ return 200 \"up\"; }} }} }}"
    );
    let conf = scratch.write("nginx.conf", &text)?;
    let program = ["nginx", "-p", &d.to_string(), "-c", &conf, "-e", "stderr"];
    let options = ["--rollback-window", "200ms", "--stop-signal", "QUIT"];
    let mut supervisor = Supervisor::start(inuse(), run(inuse(), &options, &program))?;
    for generation in 1..=4 {
        supervisor.ready(generation)?;
        supervisor.event("forked", Some(generation))?;
        std::net::TcpStream::connect(at)?;
        if generation < 4 {
            supervisor.restart()?;
        }
    }
    same(supervisor.ctl("stop")?.code, Some(0), "inuse ctl stop")?;
    same(supervisor.ended()?.code(), Some(0), "the exit status")?;
    holds(std::net::TcpListener::bind(at).is_ok(), "somebody has the address still")
}

/// A lock that two generations cannot have: without overlap clients wait, and nothing is lost.
fn exclusive() -> Result<(), Failed> {
    let line = "mkdir \"$dir/lock\" || exit 1; trap 'kill $pid; wait $pid; rmdir \"$dir/lock\"; exit' TERM
sh -c 'LISTEN_PID=$$ exec \"$@\"' sh \"$@\" & pid=$!; wait $pid; exit";
    let served = Served::new(&["--no-overlap"], line)?;
    let load = served.load()?;
    for expect in ["2", "3"] {
        served.supervisor.restart()?;
        same(served.answers()?, expect.into(), "the generation that answers")?;
    }
    nothing_lost(load)
}

/// The server goes on; `inuse ctl` says that nobody supervises it.
fn supervisor_killed() -> Result<(), Failed> {
    let mut served = Served::new(&[], "")?;
    let load = served.load()?;
    holds(load.goes_on(20), "no answers")?;
    served.supervisor.signal(Signal::KILL)?;
    served.supervisor.ended()?;
    holds(load.goes_on(100), "no answers without a supervisor")?;
    let output = served.supervisor.ctl_command("restart").output()?;
    same(output.status.code(), Some(3), "inuse ctl restart")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = format!("(pid {})", served.supervisor.pid());
    holds(said.contains("was killed") && said.contains(&pid), said)?;
    // Its file is gone with that answer.
    let output = served.supervisor.ctl_command("status").output()?;
    same(output.status.code(), Some(3), "inuse ctl")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    holds(said.contains("no 'inuse run'"), said)?;
    nothing_lost(load)?;
    // The socket is still open in the server: its port is taken, and by whom is said.
    let options = ["-l", &*served.at.to_string()];
    crate::names_the_holder(&options, served.supervisor.process(1)?)
}

/// No descriptor is left for a new generation: that is said, what serves goes on, and later it works again.
fn limit() -> Result<(), Failed> {
    let served = Served::new(&[], "")?;
    let load = served.load()?;
    let pid = i32::try_from(served.supervisor.pid()).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let set = |current| prlimit(pid, Resource::Nofile, Rlimit { current, maximum });
    let open = std::fs::read_dir(format!("/proc/{}/fd", served.supervisor.pid()))?.count();
    set(Some(u64::try_from(open)?))?;
    served.supervisor.signal(Signal::HUP)?;
    served.supervisor.event("restart-failed", None)?;
    same(served.answers()?, "1".into(), "the generation that answers")?;
    set(Some(1024))?;
    served.supervisor.restart()?;
    nothing_lost(load)
}

/// With sockets that are given, nothing keeps a set-uid program from being one.
fn set_uid() -> Result<(), Failed> {
    let options = ["-l", "127.0.0.1:0"];
    let program = ["grep", "-q", "^NoNewPrivs:.0", "/proc/self/status"];
    let mut supervisor = Supervisor::start(inuse(), run(inuse(), &options, &program))?;
    same(supervisor.ended()?.code(), Some(0), "NoNewPrivs")
}

fn two_at_once() -> Result<(), Failed> {
    let served = Served::new(&[], "")?;
    let load = served.load()?;
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2).map(|_| scope.spawn(|| served.supervisor.restart())).collect();
        asking.into_iter().try_for_each(|asks| match asks.join() {
            Ok(asked) => asked.map(drop).map_err(Failed::from),
            Err(_) => Err("the asking failed".into()),
        })
    })?;
    holds(served.supervisor.last() <= 3, "more restarts than were asked for")?;
    same(served.answers()?, served.supervisor.last().to_string(), "the generation that answers")?;
    nothing_lost(load)
}

/// Many changes at once are one reason.
fn change_storm() -> Result<(), Failed> {
    let sources = Scratch::new()?;
    let path = sources.0.to_string_lossy().into_owned();
    let served = Served::new(&["--watch", &path], "")?;
    let load = served.load()?;
    for number in 0..400 {
        sources.write(&format!("file-{}", number % 20), &number.to_string())?;
        std::thread::sleep(Duration::from_millis(2));
    }
    served.supervisor.event("restarted", None)?;
    wait(
        || served.supervisor.ctl("status").is_ok_and(|ctl| ctl.answer["status"]["restarting"] == false),
        "the last restart",
    )?;
    let restarts = served.supervisor.count("restart");
    holds(restarts <= 8, format!("{restarts} restarts"))?;
    nothing_lost(load)
}

/// Lines that cannot be written are lost, and nothing else.
fn disk_full() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let server = scratch.write("server.py", inuse_lab::zoo::SERVER)?;
    let options = ["-l", &*at.to_string(), "--rollback-window", "100ms"];
    let inner = run(inuse(), &options, &[python(), &server]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>/dev/full", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let mut supervisor = Supervisor::start(inuse(), command)?;
    wait(|| inuse_lab::load::ask(at, Dialect::Http).is_ok(), "an answer")?;
    let load = inuse_lab::load::Load::start(&inuse_lab::load::Plan::new(at, Dialect::Http))?;
    supervisor.restart()?;
    let answer = inuse_lab::load::ask(at, Dialect::Http)?;
    holds(answer.ends_with(":2"), answer)?;
    nothing_lost(load)?;
    same(supervisor.stop()?.code(), Some(0), "the exit status")
}
