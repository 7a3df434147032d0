//! Sockets from foreign parents: systemd-socket-activate, a Python parent, a C parent, and a shell that announces
//! what is wrong in every way.
//!
//! The child is a copy of this binary, which each parent starts by exec. What is not installed is told as ignored,
//! and with INUSE_REQUIRE_ALL=1 is a failure.
#![allow(clippy::print_stdout, reason = "the child's answer goes to its parent's standard output")]

use inuse_bind::{Error, Listen, inherited, listen};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("__take") {
        return take(&arguments[1..]);
    }
    let mut trials = vec![
        Trial::ignorable_test("systemd_socket_activate", systemd_socket_activate),
        Trial::ignorable_test("python::each_kind", python_each_kind),
        Trial::ignorable_test("python::by_name", python_by_name),
        Trial::ignorable_test("python::another_address_is_bound", python_another_address),
        Trial::ignorable_test("python::v6only_must_be_as_asked", python_v6only),
        Trial::ignorable_test("python::the_number_of_a_pidfd", python_pidfd),
        Trial::ignorable_test("python::blocking_is_as_asked", python_blocking),
        Trial::ignorable_test("python::what_is_no_socket", python_no_socket),
        Trial::ignorable_test("c::two_sockets", c_two_sockets),
    ];
    trials.extend(MALFORMED.iter().map(|&(words, expect)| {
        Trial::test(format!("malformed::{words}"), move || malformed(words, expect))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The child: gets a socket for each argument, in order, and says of each where it came from.
///
/// Arguments are `tcp=ADDRESS`, `udp=ADDRESS`, `unix=PATH`; with `NAME@` in front only the inherited one of that
/// name, with `6@` one for IPv6 only. `accept` answers one connection on the first, `left` tells what nobody took,
/// `child` whether a program started from here would get one.
fn take(wanted: &[String]) {
    let before = environment();
    let mut sockets: Vec<Box<dyn AsRawFd>> = Vec::new();
    let mut first: Option<TcpListener> = None;
    for word in wanted {
        match word.as_str() {
            "accept" => {
                let (mut connection, _) =
                    first.as_ref().expect("tcp comes first").accept().expect("a client");
                connection.write_all(b"taken\n").expect("it listens");
            }
            "left" => match inherited() {
                Ok(left) => println!(
                    "left {}",
                    left.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",")
                ),
                Err(error) => println!("error {error}"),
            },
            "child" => {
                let listed = Command::new("ls").arg("/proc/self/fd").output().expect("ls runs");
                // ls has its own directory open as number 3.
                let more = String::from_utf8_lossy(&listed.stdout).split_whitespace().any(|fd| fd == "4");
                println!("child {}", if more { "got one" } else { "got none" });
            }
            word => match one(word, &mut first) {
                Ok(socket) => {
                    let flags =
                        rustix::io::fcntl_getfd(rustix::fd::AsFd::as_fd(&socket)).expect("it is open");
                    let closed = flags.contains(rustix::io::FdFlags::CLOEXEC);
                    let mode = rustix::fs::fcntl_getfl(rustix::fd::AsFd::as_fd(&socket)).expect("it is open");
                    let waits = !mode.contains(rustix::fs::OFlags::NONBLOCK);
                    println!(
                        "fd {} {} {}",
                        socket.as_raw_fd(),
                        if closed { "cloexec" } else { "kept on exec" },
                        if waits { "blocking" } else { "non-blocking" },
                    );
                    sockets.push(Box::new(socket));
                }
                Err(error) => println!("error {error}"),
            },
        }
    }
    println!("environment {}", if environment() == before { "untouched" } else { "changed" });
}

fn environment() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().collect()
}

fn one(word: &str, first: &mut Option<TcpListener>) -> Result<rustix::fd::OwnedFd, Error> {
    let (kind, address) = word.split_once('=').expect("KIND=ADDRESS");
    let (name, kind) = kind.split_once('@').map_or((None, kind), |(name, kind)| (Some(name), kind));
    match (name, kind) {
        (None, "tcp") => {
            let server = listen(address)?;
            *first = server.try_clone().ok();
            Ok(server.into())
        }
        (Some("6"), _) => Ok(Listen::tcp(address).v6only(true).bind()?.into()),
        (Some(name), "tcp") => Ok(Listen::tcp(address).name(name).bind()?.into()),
        (_, "udp") => Ok(Listen::udp(address).bind()?.into()),
        (_, _) => Ok(Listen::unix(address).bind()?.into()),
    }
}

fn this_binary() -> Result<String, Failed> {
    Ok(std::env::current_exe()?.to_str().ok_or("a path that is not UTF-8")?.to_owned())
}

/// Every one of these lines, and no other.
fn check(output: &Output, expect: &[&str]) -> Result<Completion, Failed> {
    let said = String::from_utf8_lossy(&output.stdout);
    let fits = said.lines().count() == expect.len()
        && said.lines().zip(expect).all(|(line, part)| line.starts_with(part));
    if fits { Ok(Completion::Completed) } else { Err(format!("expected {expect:?}, got {output:?}").into()) }
}

/// The end of a test whose program is not there.
fn missing(program: &str) -> Result<Completion, Failed> {
    let why = format!("{program} is not installed");
    if inuse_lab::all_required() { Err(why.into()) } else { Ok(Completion::ignored_with(why)) }
}

fn installed(program: &str) -> bool {
    let there =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    there.is_ok_and(|status| status.success())
}

/// A port that was free a moment ago, below those that outgoing connections get; another one for each caller.
fn free_port() -> Result<u16, Failed> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let from = 21_000 + u16::try_from(std::process::id() % 8000)?;
    std::iter::repeat_with(|| TRIED.fetch_add(1, Ordering::Relaxed))
        .take_while(|tried| *tried < 500)
        .map(|tried| from + tried)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or("no port".into())
}

/// A child that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn systemd_socket_activate() -> Result<Completion, Failed> {
    if !installed("systemd-socket-activate") {
        return missing("systemd-socket-activate");
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut parent = Command::new("systemd-socket-activate");
    parent.args([
        "-l",
        &address.to_string(),
        &this_binary()?,
        "__take",
        &format!("tcp={address}"),
        "accept",
        "left",
    ]);
    let mut running = Running(parent.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let until = Instant::now() + Duration::from_secs(20);
    let mut answer = String::new();
    while Instant::now() < until {
        if let Ok(mut client) = TcpStream::connect(address) {
            client.set_read_timeout(Some(Duration::from_secs(20)))?;
            client.read_to_string(&mut answer)?;
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    if answer != "taken\n" {
        return Err(format!("the client got {answer:?}").into());
    }
    let mut stdout = Vec::new();
    running.0.stdout.take().ok_or("no stdout")?.read_to_end(&mut stdout)?;
    let output = Output { status: running.0.wait()?, stdout, stderr: Vec::new() };
    check(&output, &["fd 3 cloexec", "left ", "environment untouched"])
}

/// A Python parent: runs `make`, which must leave the sockets in the list `sockets`, puts them at 3 and up, and
/// becomes the child. `words` may set variables besides.
fn python(make: &str, words: &str, child: &[&str]) -> Result<Option<Output>, Failed> {
    if !installed("python3") {
        return Ok(None);
    }
    let script = format!(
        "import os, socket, sys\n\
         {make}\n\
         high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]\n\
         for i, fd in enumerate(high): os.dup2(fd, 3 + i, inheritable=True); os.close(fd)\n\
         os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))\n\
         {words}\n\
         os.execv(sys.argv[1], sys.argv[1:])\n"
    );
    let mut parent = Command::new("python3");
    parent.args(["-c", &script, &this_binary()?, "__take"]).args(child);
    Ok(Some(parent.stdin(Stdio::null()).output()?))
}

/// The same, held against what the child must say.
fn from_python(make: &str, words: &str, child: &[&str], expect: &[&str]) -> Result<Completion, Failed> {
    match python(make, words, child)? {
        Some(output) => check(&output, expect),
        None => missing("python3"),
    }
}

/// A listening TCP socket in Python.
fn listening(address: &str, port: u16) -> String {
    let family = if address.contains(':') { "AF_INET6" } else { "AF_INET" };
    format!(
        "s = socket.socket(socket.{family}); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
         s.bind(('{address}', {port})); s.listen(); sockets = [s]"
    )
}

fn python_each_kind() -> Result<Completion, Failed> {
    let port = free_port()?;
    let path: PathBuf = std::env::temp_dir().join(format!("inuse-inherit-{}.s", std::process::id()));
    let shown = path.display();
    let make = format!(
        "{tcp}; u = socket.socket(type=socket.SOCK_DGRAM); u.bind(('127.0.0.1', {port})); \
         x = socket.socket(socket.AF_UNIX); x.bind('{shown}'); x.listen(); sockets += [u, x]",
        tcp = listening("127.0.0.1", port),
    );
    let (tcp, udp, unix) =
        (format!("tcp=127.0.0.1:{port}"), format!("udp=127.0.0.1:{port}"), format!("unix={shown}"));
    // In another order than the parent's; the second time there is none left, and this process itself is in the way.
    let child = [&*udp, &unix, "child", &tcp, "left", &tcp];
    // By whom need not be found within its 100 ms: the machine may be busy.
    let twice = format!("error cannot bind 127.0.0.1:{port}: Address already in use. ");
    let expect = [
        "fd 4 cloexec",
        "fd 5 cloexec",
        "child got none",
        "fd 3 cloexec",
        "left ",
        &twice,
        "environment untouched",
    ];
    let result = from_python(&make, "", &child, &expect);
    let _ = std::fs::remove_file(path);
    result
}

fn python_by_name() -> Result<Completion, Failed> {
    let port = free_port()?;
    let make = format!("{}; sockets += [s.dup()]", listening("127.0.0.1", port));
    let child = ["admin@tcp=127.0.0.1:0", "web@tcp=0.0.0.0:0", "nobody@tcp=127.0.0.1:0", "left"];
    let mismatch = format!(
        "error cannot take over the sockets that the parent announced: the inherited socket 'web' is tcp/127.0.0.1:{port}, and tcp/0.0.0.0:0 was asked for"
    );
    // The third is bound anew: at the lowest number that is free.
    let expect = ["fd 4 cloexec", &mismatch, "fd 5 cloexec", "left web", "environment untouched"];
    from_python(&make, "os.environ['LISTEN_FDNAMES'] = 'web:admin'", &child, &expect)
}

fn python_another_address() -> Result<Completion, Failed> {
    let port = free_port()?;
    let other = free_port()? + 501;
    let child = [format!("tcp=127.0.0.1:{other}"), format!("udp=127.0.0.1:{port}"), "left".into()];
    let child: Vec<&str> = child.iter().map(String::as_str).collect();
    // The second copy of the first has number 5.
    let expect = ["fd 4 cloexec", "fd 6 cloexec", "left unknown", "environment untouched"];
    from_python(&listening("127.0.0.1", port), "", &child, &expect)
}

fn python_v6only() -> Result<Completion, Failed> {
    let port = free_port()?;
    let make = listening("::", port);
    let only = format!("6@tcp=[::]:{port}");
    let any = format!("tcp=[::]:{port}");
    let wrong = format!(
        "error cannot take over the sockets that the parent announced: the inherited socket on tcp/[::]:{port} takes IPv4 as well"
    );
    from_python(&make, "", &[&only, &any], &[&wrong, "fd 3 cloexec", "environment untouched"])
}

/// Whatever the parent, or an earlier child, has made of it: `listen` gives a socket that waits.
fn python_blocking() -> Result<Completion, Failed> {
    let port = free_port()?;
    let make = format!("{}; s.setblocking(False)", listening("127.0.0.1", port));
    let tcp = format!("tcp=127.0.0.1:{port}");
    from_python(&make, "", &[&tcp], &["fd 3 cloexec blocking", "environment untouched"])
}

fn python_pidfd() -> Result<Completion, Failed> {
    let port = free_port()?;
    let make = listening("127.0.0.1", port);
    let tcp = format!("tcp=127.0.0.1:{port}");
    let own = "p = os.pidfd_open(os.getpid()); os.environ['LISTEN_PIDFDID'] = str(os.fstat(p).st_ino + SHIFT); os.close(p)";
    if python("sockets = [socket.socket()]; os.pidfd_open(os.getpid())", "", &[])?
        .is_none_or(|o| !o.status.success())
    {
        return missing("a python3 that knows pidfd_open");
    }
    from_python(&make, &own.replace("SHIFT", "0"), &[&tcp], &["fd 3 cloexec", "environment untouched"])?;
    if !on_pidfs()? {
        return Ok(Completion::ignored_with("this kernel has no pidfs"));
    }
    // For another process with the same pid: the socket is not taken, and the address is in use.
    let refused = format!("error cannot bind 127.0.0.1:{port}: Address already in use");
    from_python(
        &make,
        &own.replace("SHIFT", "1"),
        &[&tcp, "left"],
        &[&refused, "left ", "environment untouched"],
    )
}

/// Whether a pidfd's inode number names its process (Linux 6.9).
fn on_pidfs() -> Result<bool, Failed> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
    Ok(rustix::fs::fstatfs(own)?.f_type == 0x5049_4446)
}

fn python_no_socket() -> Result<Completion, Failed> {
    let make = "sockets = [open('/dev/null'), socket.socket(type=socket.SOCK_RAW, proto=1) if os.geteuid() == 0 else open('/')]";
    let make = make.replace("open('/')", "open('/dev/zero')");
    from_python(
        &make,
        "",
        &["tcp=127.0.0.1:0", "left"],
        &["fd 5 cloexec", "left unknown,unknown", "environment untouched"],
    )
}

/// A parent in C, written as people write it: two listeners at 3 and 4, named, and then exec.
const C_PARENT: &str = r#"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener(int port) {
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 1)) { perror("listener"); exit(1); }
    return fd;
}

int main(int argc, char **argv) {
    char pid[24];
    int a = listener(atoi(argv[1])), b = listener(atoi(argv[2]));
    if (a != 3 || b != 4) return 2;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", "one:two", 1);
    execv(argv[3], argv + 3);
    return 3;
}
"#;

fn c_two_sockets() -> Result<Completion, Failed> {
    if !installed("gcc") {
        return missing("gcc");
    }
    let folder = std::env::temp_dir().join(format!("inuse-inherit-c-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (source, parent) = (folder.join("parent.c"), folder.join("parent"));
    std::fs::write(&source, C_PARENT)?;
    let compiled = Command::new("gcc").arg("-o").arg(&parent).arg(&source).output()?;
    if !compiled.status.success() {
        return Err(format!("{compiled:?}").into());
    }
    let (one, two) = (free_port()? + 1001, free_port()? + 1502);
    let mut command = Command::new(&parent);
    command.args([&one.to_string(), &two.to_string(), &this_binary()?, "__take"]);
    command.args([
        format!("two@tcp=127.0.0.1:{two}"),
        "left".into(),
        format!("tcp=127.0.0.1:{one}"),
        "child".into(),
    ]);
    let output = command.stdin(Stdio::null()).output();
    let _ = std::fs::remove_dir_all(&folder);
    check(&output?, &["fd 4 cloexec", "left one", "fd 3 cloexec", "child got none", "environment untouched"])
}

const FAULT: &str = "error cannot take over the sockets that the parent announced: ";

/// What a shell sets before it becomes the child, and what the child says. Descriptors 3 and 4 are open, and no
/// sockets; 5 is not open.
const MALFORMED: &[(&str, &str)] = &[
    ("LISTEN_FDS=1", "fd 5"),
    ("LISTEN_PID=1 LISTEN_FDS=nonsense", "fd 5"),
    ("LISTEN_PID=0$$ LISTEN_FDS=1", "fd 5"),
    ("LISTEN_PID= LISTEN_FDS=1", "LISTEN_PID is ''"),
    ("LISTEN_PID=\"$$ \" LISTEN_FDS=1", "LISTEN_PID is '"),
    ("LISTEN_PID=none LISTEN_FDS=1", "LISTEN_PID is 'none'"),
    ("LISTEN_PID=$$", "fd 5"),
    ("LISTEN_PID=$$ LISTEN_FDS=0", "LISTEN_FDS is '0', and must be a number from 1 on"),
    ("LISTEN_PID=$$ LISTEN_FDS=", "LISTEN_FDS is ''"),
    ("LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS is '-1'"),
    ("LISTEN_PID=$$ LISTEN_FDS=1x", "LISTEN_FDS is '1x'"),
    ("LISTEN_PID=$$ LISTEN_FDS=2147483647", "LISTEN_FDS is '2147483647'"),
    ("LISTEN_PID=$$ LISTEN_FDS=3", "LISTEN_FDS announces descriptor 5, which is not open"),
    ("LISTEN_PID=$$ LISTEN_FDS=2000000000", "LISTEN_FDS announces descriptor 5, which is not open"),
    (
        "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=one",
        "LISTEN_FDNAMES has 1 name, and LISTEN_FDS announces 2",
    ),
    (
        "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=a:b:c",
        "LISTEN_FDNAMES has 3 names, and LISTEN_FDS announces 1",
    ),
    ("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=x", "LISTEN_PIDFDID is 'x'"),
];

fn malformed(words: &str, expect: &str) -> Result<(), Failed> {
    let script = format!("exec 3</dev/null 4</dev/null; export {words}; exec \"$0\" \"$@\"");
    let mut parent = Command::new("sh");
    parent.args(["-c", &script, &this_binary()?, "__take", "tcp=127.0.0.1:0", "tcp=127.0.0.1:0"]);
    for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] {
        parent.env_remove(variable);
    }
    let output = parent.stdin(Stdio::null()).output()?;
    let (first, second) = match expect.starts_with("fd") {
        // The first is kept twice.
        true => ("fd 5".to_owned(), "fd 7".to_owned()),
        // It stays wrong for as long as the process lives.
        false => (format!("{FAULT}{expect}"), format!("{FAULT}{expect}")),
    };
    check(&output, &[&first, &second, "environment untouched"]).map(drop)
}
