//! Real programs: servers that people run, started on a stage, with a client connected to them. `why` must
//! name the right program and processes, read the options that it is known to set, and never blame the
//! client; and when the server is killed while its client stays, say what the kernel then has.
//!
//! A program that is not installed makes its test ignored, with the reason; with INUSE_REQUIRE_ALL=1 that is
//! a failure. Not here: carrying out cures (`cures`).

mod common;

use common::{Answer, ask_as, cannot, fresh_path, on_path, tell};
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, AskedBy, Kind, Place, Signal, Step, Wanted};
use inuse_rules::written::{self, Host};
use inuse_rules::{Address, Attempt, Cause, Outcome, Socket, State};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a program may take to start and to listen.
const STARTING: Duration = Duration::from_secs(20);
/// Where they listen.
const PORT: u16 = 8080;
/// The path of those that listen on one.
const SOCKET: &str = "/run/app.sock";

/// A server, and what must be said of it.
struct Server {
    name: &'static str,
    /// The programs that it takes.
    needs: &'static [&'static str],
    /// Its command; the directory is its own, outside of the stage.
    command: fn(&Path) -> Result<Vec<String>, Failed>,
    /// How the file name of its executable begins.
    program: &'static str,
    /// How many processes have the listener open: they are those to be stopped.
    processes: usize,
    kind: Kind,
    /// SO_REUSEADDR and SO_REUSEPORT, as its source sets them.
    options: (bool, bool),
    cause: Cause,
    /// The cause once the first process was killed, with the client still there.
    killed: Cause,
}

const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        needs: &["nginx"],
        command: |dir| nginx(dir, "127.0.0.1:8080"),
        program: "nginx",
        // The master and two workers.
        processes: 3,
        kind: Kind::Tcp4,
        options: (true, false),
        cause: Cause::Listener,
        // They go on without their master.
        killed: Cause::WorkersOutlivedMaster,
    },
    Server {
        name: "nginx-unix",
        needs: &["nginx"],
        command: |dir| nginx(dir, "unix:/run/app.sock"),
        program: "nginx",
        processes: 3,
        kind: Kind::UnixStream,
        options: (false, false),
        cause: Cause::UnixLive,
        killed: Cause::WorkersOutlivedMaster,
    },
    Server {
        name: "python-http-server",
        needs: &["python3"],
        command: |_| {
            Ok(vec![python()?, "-m".into(), "http.server".into(), "8080".into(), "--bind=127.0.0.1".into()])
        },
        program: "python3",
        processes: 1,
        kind: Kind::Tcp4,
        options: (true, false),
        cause: Cause::Listener,
        killed: Cause::FinWait2,
    },
    Server {
        name: "python-unix",
        needs: &["python3"],
        command: |_| {
            Ok(vec![python()?, "-c".into(), "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('/run/app.sock'); s.listen(); c = s.accept(); time.sleep(600)".into()])
        },
        program: "python3",
        processes: 1,
        kind: Kind::UnixStream,
        options: (false, false),
        cause: Cause::UnixLive,
        killed: Cause::UnixStale,
    },
    Server {
        name: "python-udp",
        needs: &["python3"],
        command: |_| {
            Ok(vec![python()?, "-c".into(), "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 8080)); time.sleep(600)".into()])
        },
        program: "python3",
        processes: 1,
        kind: Kind::Udp4,
        options: (false, false),
        cause: Cause::Udp,
        killed: Cause::Free,
    },
    Server {
        name: "node",
        needs: &["node"],
        command: |_| {
            let script = "require('net').createServer(() => {}).listen(8080, '127.0.0.1')";
            Ok(vec!["node".into(), "-e".into(), script.into()])
        },
        program: "node",
        processes: 1,
        kind: Kind::Tcp4,
        options: (true, false),
        cause: Cause::Listener,
        killed: Cause::FinWait2,
    },
    Server {
        name: "static-c",
        needs: &["gcc"],
        command: |dir| static_server(dir, "0"),
        program: "static-server",
        processes: 1,
        kind: Kind::Tcp4,
        options: (false, false),
        cause: Cause::Listener,
        killed: Cause::FinWait2,
    },
    Server {
        name: "static-c-reuseport",
        needs: &["gcc"],
        command: |dir| static_server(dir, "SO_REUSEPORT"),
        program: "static-server",
        processes: 1,
        kind: Kind::Tcp4,
        options: (false, true),
        cause: Cause::Listener,
        killed: Cause::FinWait2,
    },
    Server {
        name: "socat-fork",
        needs: &["socat"],
        command: |_| {
            Ok(["socat", "TCP-LISTEN:8080,bind=127.0.0.1,reuseaddr,fork", "PIPE"].map(String::from).into())
        },
        program: "socat",
        processes: 1,
        kind: Kind::Tcp4,
        options: (true, false),
        cause: Cause::Listener,
        // The child that serves the client goes on.
        killed: Cause::EstablishedLeftover,
    },
];

fn main() {
    inuse_lab::helper_main();
    if std::env::args().nth(1).as_deref() == Some(common::ASK) {
        return common::asker(attempt_at);
    }
    let mut trials: Vec<Trial> = SERVERS
        .iter()
        .map(|server| Trial::ignorable_test(server.name, move || named_and_killed(server)))
        .collect();
    trials.push(Trial::ignorable_test("python-whose-shell-was-killed", shell_killed));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// What is asked about, as people write it.
fn attempt_at(text: &str) -> Option<Attempt> {
    let written = written::parse(text).ok()?;
    let address = match written.wanted().into_iter().next()? {
        written::Wanted::Unix { kind, name } => Address::Unix { kind, name },
        written::Wanted::Inet { transport, host: Host::Ip { ip, .. }, port, .. } => {
            Address::Inet { transport, local: SocketAddr::new(ip, port), device: 0 }
        }
        written::Wanted::Inet { .. } => return None,
    };
    Some(Attempt::plain(address))
}

impl Server {
    fn place(&self) -> Place<'static> {
        match self.kind {
            Kind::UnixStream => Place::Path(SOCKET),
            _ => Place::Inet(SocketAddr::from(([127, 0, 0, 1], PORT))),
        }
    }

    /// Its address as people write it.
    fn at(&self) -> &'static str {
        match self.kind {
            Kind::UnixStream => "unix:/run/app.sock",
            Kind::Udp4 => "udp/127.0.0.1:8080",
            _ => "tcp/127.0.0.1:8080",
        }
    }
}

/// A server with a client is named, and so is what it leaves when it is killed.
fn named_and_killed(server: &Server) -> Result<Completion, Failed> {
    let (mut stage, dir) = match stage_with(server.needs)? {
        Ok(ready) => ready,
        Err(why) => return cannot(why),
    };
    let command = (server.command)(&dir.0)?;
    start(&mut stage, "server", &command)?;
    let pid = stage.pid("server")?;
    let client = connect(&mut stage, server)?;

    let answer = settled(&mut stage, server.at(), |answer| serving(answer).len() >= server.processes)?;
    let said = answer.diagnosis.summary.clone();
    assert_eq!(answer.diagnosis.cause, server.cause, "{said}");
    let serving = serving(&answer);
    assert!(serving.contains(&pid) && serving.len() == server.processes, "{pid}, {serving:?}: {said}");
    assert!(is_freed(&answer), "no cure gets it back: {:?}", answer.diagnosis.cures);
    assert!(signalled(&answer).is_subset(&serving), "{said}");
    for holder in &serving {
        let exe = answer.snapshot.processes.get(holder).and_then(|process| process.exe.clone());
        let exe = PathBuf::from(OsString::from_vec(exe.unwrap_or_default()));
        let file = exe.file_name().unwrap_or_default().to_string_lossy();
        assert!(file.starts_with(server.program), "{}", exe.display());
    }
    if server.kind != Kind::UnixStream {
        let listening = in_the_way(&answer).find(|s| matches!(s.state, State::Listen | State::Unconn));
        let options = listening.ok_or("no listener")?.options;
        let expect = (Some(server.options.0), Some(server.options.1));
        assert_eq!((options.reuseaddr, options.reuseport), expect, "{said}");
    }
    blames_not(&answer, client);
    agrees(&mut stage, server, &answer)?;

    stage.step(&Step::Signal("server", Signal::Kill))?;
    let answer = settled(&mut stage, server.at(), |answer| answer.diagnosis.cause == server.killed)?;
    assert_eq!(answer.diagnosis.cause, server.killed, "killed: {}", answer.diagnosis.summary);
    blames_not(&answer, client);
    agrees(&mut stage, server, &answer)?;
    stage.end()?;
    Ok(Completion::Completed)
}

/// A server that a shell started, and the shell is gone: the server is named, not the shell.
fn shell_killed() -> Result<Completion, Failed> {
    let (mut stage, _dir) = match stage_with(&["python3", "sh"])? {
        Ok(ready) => ready,
        Err(why) => return cannot(why),
    };
    // The second command keeps the shell from becoming the first.
    let line = format!("{} -m http.server 8080 --bind 127.0.0.1; true", python()?);
    start(&mut stage, "shell", &["sh".into(), "-c".into(), line])?;
    let shell = stage.pid("shell")?;
    let at = "tcp/127.0.0.1:8080";
    let listening = |answer: &Answer| answer.diagnosis.cause == Cause::Listener;
    let before = settled(&mut stage, at, listening)?;
    stage.step(&Step::Signal("shell", Signal::Kill))?;
    let after = settled(&mut stage, at, listening)?;
    for answer in [&before, &after] {
        assert_eq!(answer.diagnosis.cause, Cause::Listener, "{}", answer.diagnosis.summary);
        blames_not(answer, shell);
        let process = answer.snapshot.processes.values().next().ok_or("nobody")?;
        assert!(process.comm.starts_with(b"python3"), "{process:?}");
    }
    assert_eq!(holders(&before), holders(&after));
    let parents = |answer: &Answer| answer.snapshot.processes.values().map(|p| p.ppid).collect::<Vec<_>>();
    assert_eq!((parents(&before), parents(&after)), (vec![shell], vec![1]));
    stage.end()?;
    Ok(Completion::Completed)
}

/// A stage and a directory of the test's own, or why there is none.
fn stage_with(needs: &[&str]) -> Result<Result<(Stage, Directory), String>, Failed> {
    if let Some(missing) = needs.iter().find(|program| !on_path(program)) {
        return Ok(Err(format!("{missing} is not installed")));
    }
    let stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return Ok(Err(why)),
        other => other?,
    };
    let dir = Directory(fresh_path("program"));
    std::fs::create_dir(&dir.0)?;
    Ok(Ok((stage, dir)))
}

/// A directory that goes when the test does.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it is in the way of nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new process of the stage becomes that program.
fn start(stage: &mut Stage, name: &str, command: &[String]) -> Result<(), Failed> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    stage.step(&Step::Actor(name, 0))?;
    stage.step(&Step::Does(name, Act::Exec(&words)))?;
    Ok(())
}

/// A client connects as soon as somebody serves, and waits until it was accepted. Its pid.
fn connect(stage: &mut Stage, server: &Server) -> Result<u32, Failed> {
    stage.step(&Step::Actor("client", 0))?;
    stage.step(&Step::Does("client", Act::Socket("c", server.kind)))?;
    let deadline = Instant::now() + STARTING;
    while let Err(error) = stage.step(&Step::Does("client", Act::Connect("c", server.place()))) {
        if Instant::now() > deadline {
            return Err(format!("nobody serves: {error}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    loop {
        let accepted = server.kind != Kind::Tcp4
            || stage.rows()?.iter().any(|row| {
                Place::Inet(row.local) == server.place() && row.state == State::Established && row.inode != 0
            });
        if accepted {
            break;
        }
        if Instant::now() > deadline {
            return Err("nobody accepts".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(stage.pid("client")?)
}

/// Asks until the answer is as expected, or time is up: a program takes a while to start and to end.
fn settled(stage: &mut Stage, at: &str, expected: impl Fn(&Answer) -> bool) -> Result<Answer, Failed> {
    let deadline = Instant::now() + STARTING;
    loop {
        let answer = ask_as(stage, at, AskedBy::User(0))?;
        if expected(&answer) || Instant::now() > deadline {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The sockets in the way.
fn in_the_way(answer: &Answer) -> impl Iterator<Item = &Socket> {
    let by = answer.diagnosis.verdict.by().iter();
    by.filter_map(|&index| answer.snapshot.sockets.get(index))
}

/// The processes that have one of the sockets in the way.
fn holders(answer: &Answer) -> BTreeSet<u32> {
    in_the_way(answer).flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect()
}

/// The processes that have the listener open, or the datagram socket.
fn serving(answer: &Answer) -> BTreeSet<u32> {
    let serves = |socket: &&Socket| matches!(socket.state, State::Listen | State::Unconn);
    let holdings = in_the_way(answer).filter(serves).flat_map(|socket| socket.owners.holdings());
    holdings.map(|holding| holding.pid).collect()
}

/// Whether `inuse free` is among the cures; whom it stops is tested where it is run.
fn is_freed(answer: &Answer) -> bool {
    let mut commands = answer.diagnosis.cures.iter().flat_map(|cure| &cure.commands);
    commands.any(|command| command.0.iter().take(2).eq([b"inuse".as_slice(), b"free"]))
}

/// The processes that a cure signals itself.
fn signalled(answer: &Answer) -> BTreeSet<u32> {
    let commands = answer.diagnosis.cures.iter().flat_map(|cure| &cure.commands);
    let kills = commands.filter(|command| command.0.first().is_some_and(|word| word == b"kill"));
    kills
        .flat_map(|kill| &kill.0[2..])
        .filter_map(|pid| std::str::from_utf8(pid).ok()?.parse().ok())
        .collect()
}

/// A process is no holder, and no cure signals it.
#[track_caller]
fn blames_not(answer: &Answer, pid: u32) {
    assert!(!holders(answer).contains(&pid), "{}", answer.diagnosis.summary);
    assert!(!signalled(answer).contains(&pid), "{:?}", answer.diagnosis.cures);
}

/// What was said of a bind without options is what a real one gets.
fn agrees(stage: &mut Stage, server: &Server, answer: &Answer) -> Result<(), String> {
    let real = stage.attempt(&Wanted::plain(server.kind, server.place())).map_err(tell)?;
    let said = match &answer.diagnosis.plain.outcome {
        Outcome::Ok => None,
        Outcome::Refused(refusal) => Some((refusal.errno, refusal.at)),
        Outcome::Unknown { .. } => return Err(format!("undecided: {:?}", answer.diagnosis.plain)),
    };
    if real == said { Ok(()) } else { Err(format!("said {said:?}, the kernel says {real:?}")) }
}

/// The interpreter itself: the `python3` of a version manager is a script.
fn python() -> Result<String, Failed> {
    let script = "import os, sys; print(os.path.realpath(sys.executable), end='')";
    let output = std::process::Command::new("python3").args(["-c", script]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// A master and two workers, in the foreground.
fn nginx(dir: &Path, at: &str) -> Result<Vec<String>, Failed> {
    let file = dir.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path /run/nginx-{what};\n"))
        .concat();
    std::fs::write(
        &file,
        format!(
            "user root;\ndaemon off;\nworker_processes 2;\npid /run/nginx.pid;\nerror_log /dev/null;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten {at};\n}}\n}}\n"
        ),
    )?;
    let file = file.to_str().ok_or("a strange temporary directory")?;
    Ok(["nginx", "-e", "/dev/null", "-c", file].map(String::from).into())
}

/// A server in C, linked statically; one option is set, or none ("0").
fn static_server(dir: &Path, option: &str) -> Result<Vec<String>, Failed> {
    let source = format!(
        "#include <arpa/inet.h>\n\
         #include <unistd.h>\n\
         int main(void) {{\n\
           int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);\n\
           struct sockaddr_in at = {{ .sin_family = AF_INET, .sin_port = htons({PORT}) }};\n\
           at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);\n\
           if ({option}) setsockopt(s, SOL_SOCKET, {option}, &one, sizeof one);\n\
           if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 16)) return 1;\n\
           for (;;) if (accept(s, 0, 0) < 0) pause();\n\
         }}\n"
    );
    let (code, program) = (dir.join("server.c"), dir.join("static-server"));
    std::fs::write(&code, source)?;
    let compiled =
        std::process::Command::new("gcc").arg("-static").arg("-o").args([&program, &code]).output()?;
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stderr).into_owned().into());
    }
    Ok(vec![program.to_str().ok_or("a strange temporary directory")?.to_owned()])
}
