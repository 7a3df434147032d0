//! What a program says by sd_notify(3), and what anybody else says in its name.

use crate::{Case, Served, holds, same};
use inuse_lab::zoo::python;
use libtest_mimic::Failed;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, sendto, socket};
use rustix::process::Signal;
use std::time::Duration;

pub(crate) const ALL: &[Case] = &[
    ("strange_messages_do_no_harm", &["python3"], strange),
    ("a_sender_that_has_ended_is_heard", &["python3"], ended),
    ("one_of_another_user_that_has_ended_is_not", &["python3", "setpriv", "root"], ended_stranger),
    ("a_sender_without_a_number_is_nobody", &["unshare", "python3"], nobody),
    ("its_own_supervisor_hears_of_it", &["python3"], upwards),
];

/// Says many strange things, each from the program itself; waits for a file; then says that it is ready.
const SAYS: &str = "
import array, os, socket, sys, time
name = os.environ['NOTIFY_SOCKET']
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('\\0' + name[1:])
fds = array.array('i', [1] * 253)
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
for text in (b'', b'\\0' * 100, bytes(range(256)), b'READY=2', b'READY=1' + b'x' * 5000, b'x' * 5000 + b'\\nREADY=1',
             b'=', b'\\n' * 4000, b'STATUS=\\x1b[31m\\xff', b'MAINPID=1', b'MAINPID=-1', b'WATCHDOG=trigger',
             b'EXTEND_TIMEOUT_USEC=99999999999999999999', b'FDSTORE=1\\nFDNAME=x', b'STOPPING=x'):
    s.send(text)
    s.sendmsg([text or b'x'], rights)
    s.sendmsg([], rights)
# A barrier ends when the descriptor that came with it is closed.
r, w = os.pipe()
s.sendmsg([b'BARRIER=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))])
os.close(w)
assert os.read(r, 1) == b''
open(sys.argv[1] + '/said', 'w')
while not os.path.exists(sys.argv[1] + '/go'): time.sleep(0.01)
s.send(b'STATUS=well\\nREADY=1')
";

/// Only the program's own words count, only whole ones, and no descriptor stays.
fn strange() -> Result<(), Failed> {
    let line = format!("cat >\"$dir/says.py\" <<'END'\n{SAYS}\nEND\n{} \"$dir/says.py\" \"$dir\"", python());
    let served = Served::begun(&["--ready", "notify"], &line)?;
    let supervisor = &served.supervisor;
    let first = supervisor.process(1)?;
    let open = || std::fs::read_dir(format!("/proc/{}/fd", supervisor.pid())).map(Iterator::count);
    let before = open()?;
    wait(|| served.scratch.0.join("said").exists(), "the strange messages")?;

    // A process that is none of its own: this one.
    let name = notify_socket(first).ok_or("no NOTIFY_SOCKET")?;
    say_to(&name, &["READY=1", "STATUS=mine"])?;
    let status = supervisor.ctl("status")?;
    same(status.code, Some(0), "inuse ctl status")?;
    let generation = &status.answer["status"]["generations"][0];
    same(generation["state"].as_str(), Some("starting"), "its state")?;
    let says = generation["says"].as_str().unwrap_or_default();
    holds(!says.contains(['\u{1b}', '\n']) && says != "mine", format!("it says {says:?}"))?;
    let now = open()?;
    holds(now <= before, format!("the supervisor has {now} descriptors, after {before}"))?;

    std::fs::write(served.scratch.0.join("go"), "")?;
    let ready = supervisor.ready(1)?;
    holds(ready.message.contains("sd_notify"), ready.message)?;
    let status = supervisor.ctl("status")?;
    same(status.answer["status"]["generations"][0]["says"].as_str(), Some("well"), "what it says")
}

/// The abstract name that a process has in its environment.
fn notify_socket(pid: u32) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut words = environment.split(|byte| *byte == 0);
    words.find_map(|word| word.strip_prefix(b"NOTIFY_SOCKET=@")).map(<[u8]>::to_vec)
}

fn say_to(name: &[u8], texts: &[&str]) -> Result<(), Failed> {
    let from = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let to = SocketAddrUnix::new_abstract_name(name)?;
    for text in texts {
        sendto(&from, text.as_bytes(), SendFlags::empty(), &to)?;
    }
    Ok(())
}

/// What it says, and then ends.
const ENDS: &str = "
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b'READY=1', '\\0' + sys.argv[1])";

/// The supervisor has other things to do until the sender is gone.
fn ended() -> Result<(), Failed> {
    let line = format!(
        "cat >\"$dir/ends.py\" <<'END'\n{ENDS}\nEND
while [ ! -e \"$dir/go\" ]; do sleep 0.01; done
{} \"$dir/ends.py\" \"${{NOTIFY_SOCKET#@}}\"; touch \"$dir/ended\"",
        python()
    );
    let served = Served::begun(&["--ready", "notify"], &line)?;
    let _ = served.supervisor.process(1)?;
    served.supervisor.signal(Signal::STOP)?;
    std::fs::write(served.scratch.0.join("go"), "")?;
    wait(|| served.scratch.0.join("ended").exists(), "the end of who says it")?;
    served.supervisor.signal(Signal::CONT)?;
    let ready = served.supervisor.ready(1)?;
    holds(ready.message.contains("sd_notify"), ready.message)
}

fn ended_stranger() -> Result<(), Failed> {
    let line = "while [ ! -e \"$dir/go\" ]; do sleep 0.01; done";
    let served = Served::begun(&["--ready", "notify", "--ready-timeout", "1s", "--give-up", "1"], line)?;
    let first = served.supervisor.process(1)?;
    let name = String::from_utf8(notify_socket(first).ok_or("no NOTIFY_SOCKET")?)?;
    let mut stranger = std::process::Command::new("setpriv");
    stranger.args(["--reuid=65534", "--clear-groups", python(), "-c", ENDS, &name]);
    holds(stranger.status()?.success(), "the stranger could not speak")?;
    served.supervisor.event("gave-up", None)?;
    same(served.supervisor.count("ready"), 0, "ready")
}

/// The supervisor is in a pid namespace of its own, and who speaks is outside: the kernel calls that process 0.
fn nobody() -> Result<(), Failed> {
    const WAITS: &str = "
import os, socket, sys, time
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])
s.send(b'STATUS=well\\nREADY=1')
time.sleep(60)";
    let scratch = inuse_lab::zoo::Scratch::new()?;
    let go = scratch.0.join("go").display().to_string();
    let options = ["-l", "127.0.0.1:0", "--ready", "notify"];
    let (mut supervisor, first) = crate::alone::start(&options, &[python(), "-c", WAITS, &go])?;
    let first = u32::try_from(first.as_raw_pid())?;
    // Its own NOTIFY_SOCKET, if it has one, is not this: below it is the program.
    let program = || inuse_lab::zoo::tree(first).into_iter().skip(1).find_map(notify_socket);
    wait(|| program().is_some(), "the program")?;
    let name = program().ok_or("no NOTIFY_SOCKET")?;
    for _ in 0..20 {
        say_to(&name, &["READY=1", "STATUS=mine"])?;
    }
    let generation = |of: &inuse_lab::zoo::Ctl| of.answer["status"]["generations"][0].clone();
    let status = generation(&supervisor.ctl("status")?);
    same(status["state"].as_str(), Some("starting"), "its state")?;
    holds(status["says"].as_str() != Some("mine"), &status)?;
    std::fs::write(&go, "")?;
    supervisor.ready(1)?;
    same(generation(&supervisor.ctl("status")?)["says"].as_str(), Some("well"), "what it says")?;
    same(supervisor.ctl("stop")?.code, Some(0), "inuse ctl stop")?;
    same(supervisor.ended()?.code(), Some(143), "the exit status")
}

/// READY when the first generation is ready, RELOADING with a time and READY around a restart, STOPPING in the end.
fn upwards() -> Result<(), Failed> {
    let scratch = inuse_lab::zoo::Scratch::new()?;
    let path = scratch.0.join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path)?;
    // The queue of such a socket is short: somebody reads all the time.
    let reader = std::thread::spawn(move || {
        let (mut said, mut bytes) = (Vec::new(), [0u8; 4096]);
        while let Ok(length @ 1..) = socket.recv(&mut bytes) {
            said.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        said
    });
    let at = inuse_lab::zoo::address().to_string();
    let server = scratch.write("server.py", inuse_lab::zoo::SERVER)?;
    let options = ["-l", &*at, "--rollback-window", "50ms"];
    let mut command = inuse_lab::zoo::run(crate::inuse(), &options, &[python(), &server]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut supervisor = inuse_lab::zoo::Supervisor::start(crate::inuse(), command)?;
    supervisor.ready(1)?;
    supervisor.restart()?;
    supervisor.stop()?;
    std::os::unix::net::UnixDatagram::unbound()?.send_to(b"", &path)?;
    let said = reader.join().map_err(|_| "the reader failed")?;
    holds(said.iter().any(|text| text == "WATCHDOG=1"), format!("no sign of life: {said:?}"))?;
    let states: Vec<&str> = said
        .iter()
        .filter_map(|text| text.lines().next())
        .filter(|text| !text.starts_with("STATUS=") && *text != "WATCHDOG=1")
        .collect();
    same(states, vec!["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], "what it said")?;
    let reloading = said.iter().find(|text| text.starts_with("RELOADING")).ok_or("no RELOADING")?;
    let usec = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    holds(usec.is_some_and(|usec| usec.parse::<u64>().is_ok()), reloading)?;
    holds(said.iter().any(|text| text.contains("generation 2 serving")), format!("{said:?}"))
}

/// Waits until something holds.
pub(crate) fn wait(fact: impl Fn() -> bool, what: &str) -> Result<(), Failed> {
    let until = std::time::Instant::now() + inuse_lab::zoo::PATIENCE;
    while !fact() {
        holds(std::time::Instant::now() < until, format!("{what}: not in time"))?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
