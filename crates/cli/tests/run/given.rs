//! What a program is given: descriptors, environment, signals; with systemd's own reader as the judge.

use crate::{Case, holds, inuse, same};
use inuse_lab::zoo::{Scratch, Supervisor, python, run};
use libtest_mimic::Failed;
use std::ffi::OsStr;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const ALL: &[Case] = &[
    ("systemd_reads_what_is_given", &["python3"], systemd_reads),
    ("every_subset_of_descriptors_taken", &["bash"], every_subset),
    ("the_environment_is_kept", &[], environment),
    ("sockets_are_passed_on_from_the_one_above", &["systemd-socket-activate"], passed_on),
    ("each_kind_of_socket", &["python3"], kinds),
    ("an_address_in_use_is_explained", &[], in_use),
    ("a_program_that_binds_for_itself_is_told_apart", &["python3"], binds_itself),
    ("who_holds_for_a_program_is_asked_by_its_own_command", &[], asked_by_ctl),
    ("exit_statuses", &[], statuses),
    ("words_that_are_wrong", &[], wrong_words),
    ("a_port_for_root_only_and_what_helps", &["network", "nsenter", "setpriv", "sysctl"], privileged),
];

/// In the first argument: this run of the test is the program, and writes down what it was given.
const LOOK: &str = "__look";

/// Plays the program, if this run is one.
pub(crate) fn play() -> bool {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != LOOK) {
        return false;
    }
    let mut text = Vec::new();
    let mut numbers: Vec<u32> = std::fs::read_dir("/proc/self/fd")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    for number in numbers {
        // The descriptor with which the directory is read is gone by now.
        if let Ok(target) = std::fs::read_link(format!("/proc/self/fd/{number}")) {
            text.extend(format!("{number} {}\n", target.display()).into_bytes());
        }
    }
    for (name, value) in std::env::vars_os() {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    let mask = std::fs::read_to_string("/proc/self/status").expect("/proc");
    text.extend(
        mask.lines().filter(|line| line.starts_with("Sig")).flat_map(|line| format!("{line}\n").into_bytes()),
    );
    text.extend(format!("pid {}\n", std::process::id()).into_bytes());
    let to = words.next().expect("a file");
    std::fs::File::create(to).and_then(|mut file| file.write_all(&text)).expect("a file");
    true
}

/// Runs ourselves as the program, under a command that is made by `make`; what it wrote down.
fn look(options: &[&str], make: impl Fn(Command) -> Command) -> Result<Vec<u8>, Failed> {
    let scratch = Scratch::new()?;
    let file = scratch.0.join("seen");
    let myself = std::env::current_exe()?;
    let program = [myself.as_os_str(), OsStr::new(LOOK), file.as_os_str()];
    let mut command = make(run(inuse(), options, &program));
    command.env("XDG_RUNTIME_DIR", &scratch.0).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    holds(output.status.success(), format!("{}: {text}", output.status))?;
    Ok(std::fs::read(file)?)
}

/// A unix address for a test; sockets of port 0 have no name that must be free.
fn options() -> [&'static str; 4] {
    ["-l", "a=127.0.0.1:0", "-l", "b=127.0.0.1:0"]
}

/// sd_listen_fds_with_names(3) of libsystemd finds as many, with these names, each a socket that listens.
fn systemd_reads() -> Result<(), Failed> {
    let judge = "
import ctypes, os, sys
systemd = ctypes.CDLL('libsystemd.so.0')
names = ctypes.POINTER(ctypes.c_char_p)()
count = systemd.sd_listen_fds_with_names(0, ctypes.byref(names))
AF_UNSPEC, STREAM, DGRAM = 0, 1, 2
kinds = [[kind for kind in (STREAM, DGRAM) if systemd.sd_is_socket(3 + at, AF_UNSPEC, kind, -1) > 0] for at in range(max(count, 0))]
listens = [systemd.sd_is_socket(3 + at, AF_UNSPEC, 0, 1) for at in range(max(count, 0))]
found = (count, [names[at].decode() for at in range(max(count, 0))], kinds, listens)
sys.exit(None if repr(found) == sys.argv[1] else repr(found))
";
    let check = |options: &[&str], expect: &str| -> Result<(), Failed> {
        let mut supervisor =
            Supervisor::start(inuse(), run(inuse(), options, &[python(), "-c", judge, expect]))?;
        let status = supervisor.ended()?;
        holds(status.success(), format!("{options:?}: {}", supervisor.log()))
    };
    check(&["-l", "127.0.0.1:0"], "(1, ['unknown'], [[1]], [1])")?;
    check(&["-l", "web=127.0.0.1:0", "-l", "web=[::1]:0"], "(2, ['web', 'web'], [[1], [1]], [1, 1])")?;
    let abstract_name = format!("@inuse-given-{}", std::process::id());
    check(
        &["-l", "a b=udp/127.0.0.1:0", "-l", "x=127.0.0.1:0", "-l", &abstract_name],
        "(3, ['a b', 'x', 'unknown'], [[2], [1], [1]], [0, 1, 1])",
    )?;
    check(&["-l", "web=127.0.0.1:0", "--ready", "fd:9"], "(1, ['web'], [[1]], [1])")
}

/// Whatever the supervisor itself inherits, the program has 0 to 4 and nothing else.
fn every_subset() -> Result<(), Failed> {
    let next = AtomicU32::new(0);
    let work = || -> Result<(), Failed> {
        loop {
            let subset = next.fetch_add(1, Ordering::Relaxed);
            if subset > 0xff {
                return Ok(());
            }
            let taken: Vec<String> = (0..8)
                .filter(|bit| subset >> bit & 1 == 1)
                .map(|bit| format!("{}</dev/null", bit + 3))
                .collect();
            let seen = look(&options(), |command| {
                let mut shell = Command::new("bash");
                let line = format!("exec \"$@\" {}", taken.join(" "));
                shell.args(["-c", &line, "bash"]).arg(command.get_program()).args(command.get_args());
                shell
            })?;
            let seen = String::from_utf8_lossy(&seen);
            let open: Vec<(&str, bool)> = seen
                .lines()
                .filter_map(|line| line.split_once(' '))
                .filter(|(number, _)| number.parse::<u32>().is_ok())
                .map(|(number, target)| (number, target.starts_with("socket:")))
                .collect();
            let expect = [("0", false), ("1", false), ("2", false), ("3", true), ("4", true)];
            same(open, expect.to_vec(), &format!("with {taken:?}"))?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread failed")?)
    })
}

/// All that is there stays, byte for byte; what was meant for the supervisor goes.
fn environment() -> Result<(), Failed> {
    let strange = OsStr::from_bytes(b"a\xff\n=b");
    let seen = look(&options(), |mut command| {
        command
            .env("STRANGE", strange)
            .env("EMPTY", "")
            .env("LISTEN_PIDFDID", "1")
            .env("LISTEN_FDNAMES", "x:y");
        command.env("LISTEN_PID", "1").env("LISTEN_FDS", "7").env("NOTIFY_SOCKET", "/nowhere");
        command.env("WATCHDOG_USEC", "1000000").env("WATCHDOG_PID", "1").env_remove("HOME");
        command
    })?;
    let has = |wanted: &[u8]| seen.windows(wanted.len()).any(|window| window == wanted);
    holds(has(b"STRANGE=a\xff\n=b\0"), "a strange value was changed")?;
    holds(has(b"EMPTY=\0"), "an empty variable went")?;
    holds(!has(b"\0HOME="), "a variable came from nowhere")?;
    holds(has(b"LISTEN_FDS=2\0") && has(b"LISTEN_FDNAMES=a:b\0"), "the sockets are not announced")?;
    holds(!has(b"NOTIFY_SOCKET=/nowhere") && has(b"NOTIFY_SOCKET=@"), "the supervisor's own NOTIFY_SOCKET")?;
    holds(!has(b"WATCHDOG_"), "the supervisor's own watchdog")?;
    let text = String::from_utf8_lossy(&seen);
    let pid = text.lines().last().and_then(|line| line.strip_prefix("pid ")).ok_or("no pid")?;
    holds(has(format!("LISTEN_PID={pid}\0").as_bytes()), "LISTEN_PID is another process")?;
    holds(!has(b"LISTEN_PIDFDID=1\0"), "an old LISTEN_PIDFDID stayed")?;
    for line in text.lines().filter(|line| line.starts_with("SigBlk") || line.starts_with("SigPnd")) {
        holds(line.ends_with("0000000000000000"), line)?;
    }
    Ok(())
}

/// Under systemd's own socket activation its sockets come first, with their names.
fn passed_on() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let at = inuse_lab::zoo::address();
    let script = "import os, sys
open(sys.argv[1], 'w').write(os.environ['LISTEN_FDS'] + ' ' + os.environ['LISTEN_FDNAMES'])";
    let file = scratch.0.join("seen");
    let inner = run(
        inuse(),
        &["-l", "more=127.0.0.1:0"],
        &[OsStr::new(python()), "-c".as_ref(), script.as_ref(), file.as_os_str()],
    );
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--fdname=above", "-l", &at.to_string()]).arg(inner.get_program()).args(inner.get_args());
    command
        .env("XDG_RUNTIME_DIR", &scratch.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    // It starts the program when the first client comes.
    let until = std::time::Instant::now() + inuse_lab::zoo::PATIENCE;
    let mut client = None;
    let mut ended = child.try_wait()?;
    while ended.is_none() && std::time::Instant::now() < until {
        client = client.or_else(|| std::net::TcpStream::connect(at).ok());
        std::thread::sleep(std::time::Duration::from_millis(5));
        ended = child.try_wait()?;
    }
    if ended.is_none() {
        child.kill()?;
        child.wait()?;
    }
    same(std::fs::read_to_string(&file).unwrap_or_default(), "2 above:more".to_owned(), "what was given")
}

/// Each kind that `-l` knows, with the mode that was asked for; files at the path stay.
fn kinds() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let path = |name: &str| scratch.0.join(name).to_string_lossy().into_owned();
    let script = "import os, socket, stat, sys
seen = []
for at in range(int(os.environ['LISTEN_FDS'])):
    s = socket.socket(fileno=3 + at)
    name = s.getsockname()
    mode = oct(stat.S_IMODE(os.stat(name).st_mode)) if isinstance(name, str) else '-'
    seen.append(f'{s.family.name} {s.type.name} {mode}')
open(sys.argv[1], 'w').write('; '.join(seen))";
    let seen = path("seen");
    let unix: Vec<String> = ["unix", "unix-dgram", "unix-seqpacket"]
        .iter()
        .map(|kind| format!("{kind}:{}", path(kind)))
        .collect();
    let mut options = vec!["--socket-mode", "620"];
    for word in unix.iter().map(String::as_str).chain(["[::1]:0", "127.0.0.1:0", "udp/[::1]:0"]) {
        options.extend(["-l", word]);
    }
    let mut supervisor =
        Supervisor::start(inuse(), run(inuse(), &options, &[python(), "-c", script, &seen]))?;
    let status = supervisor.ended()?;
    holds(status.success(), supervisor.log())?;
    let expect = "AF_UNIX SOCK_STREAM 0o620; AF_UNIX SOCK_DGRAM 0o620; AF_UNIX SOCK_SEQPACKET 0o620; AF_INET6 \
                  SOCK_STREAM -; AF_INET SOCK_STREAM -; AF_INET6 SOCK_DGRAM -";
    same(std::fs::read_to_string(&seen)?, expect.to_owned(), "the sockets")?;

    // What stands at the path and is no dead socket stays as it is.
    let file = scratch.write("file", "text")?;
    let mut refused = Supervisor::start(inuse(), run(inuse(), &["-l", &format!("unix:{file}")], &["true"]))?;
    same(refused.ended()?.code(), Some(1), "the exit status")?;
    same(std::fs::read_to_string(&file)?, "text".to_owned(), "the file")?;
    let live = path("live");
    let _listener = std::os::unix::net::UnixListener::bind(&live)?;
    let mut refused = Supervisor::start(inuse(), run(inuse(), &["-l", &format!("unix:{live}")], &["true"]))?;
    same(refused.ended()?.code(), Some(1), "the exit status")?;
    std::os::unix::net::UnixStream::connect(&live)?;
    Ok(())
}

/// Nothing is started, and the holder is named.
fn in_use() -> Result<(), Failed> {
    let at = inuse_lab::zoo::address();
    let _listener = std::net::TcpListener::bind(at)?;
    crate::names_the_holder(&["-l", &at.to_string()], std::process::id())
}

/// It meets its own address in use, or never takes what it is given: the log says which words are too many.
fn binds_itself() -> Result<(), Failed> {
    let (at, other) = (inuse_lab::zoo::address(), inuse_lab::zoo::address());
    let check = |binds: SocketAddr, ready: &str, expect: &str| -> Result<(), Failed> {
        let (held, host, port) = (at.to_string(), binds.ip().to_string(), binds.port().to_string());
        let options = ["-l", &held, "--give-up", "1", "--ready", ready, "--ready-timeout", "3s"];
        let program = [python(), "-m", "http.server", &port, "--bind", &host];
        let supervisor = Supervisor::start(inuse(), run(inuse(), &options, &program))?;
        let told = supervisor.event("taken", Some(1))?;
        holds(told.message.contains(expect) && told.message.contains(&held), told.message)
    };
    check(at, "auto", "it says that an address is in use")?;
    check(other, "listen", "it does not take what it is given")
}

/// `inuse free` would be refused: the supervisor is never signalled.
fn asked_by_ctl() -> Result<(), Failed> {
    let at = inuse_lab::zoo::address().to_string();
    let supervisor = Supervisor::start(inuse(), run(inuse(), &["-l", &at], &["sleep", "1000"]))?;
    supervisor.event("started", Some(1))?;
    let why = Command::new(inuse()).args(["why", &at]).output()?;
    let said = String::from_utf8_lossy(&why.stdout);
    let command = format!("inuse ctl stop --pid {}", supervisor.pid());
    holds(said.contains(&command) && !said.contains("inuse free"), &said)
}

/// The status is that of the program, or as a shell has it.
fn statuses() -> Result<(), Failed> {
    let check = |options: &[&str], program: &[&str], expect: i32| -> Result<(), Failed> {
        let mut supervisor = Supervisor::start(inuse(), run(inuse(), options, program))?;
        let status = supervisor.ended()?;
        same(status.code(), Some(expect), &format!("{program:?}: {}", supervisor.log()))
    };
    let socket = ["-l", "127.0.0.1:0", "--give-up", "1"];
    check(&socket, &["true"], 0)?;
    check(&socket, &["sh", "-c", "exit 7"], 7)?;
    check(&socket, &["sh", "-c", "kill -KILL $$"], 137)?;
    check(&socket, &["/no/such/program"], 127)?;
    check(&socket, &["/etc/passwd"], 126)?;
    check(&["-l", "127.0.0.1:port"], &["true"], 2)?;
    check(&["--stop-signal", "STOP"], &["true"], 2)?;
    check(&["--stopsignal", "QUIT"], &["true"], 2)?;
    check(&["--watch", "/no/such/file"], &["true"], 1)?;
    check(&["-l", "127.0.0.1:0", "--before", "false"], &["true"], 1)
}

/// One line names what was typed, what would be right, and the verb's own help.
fn wrong_words() -> Result<(), Failed> {
    let check = |words: &[&str], named: &str, right: &str| -> Result<(), Failed> {
        let output = Command::new(inuse()).args(words).args(["--", "true"]).output()?;
        same(output.status.code(), Some(2), &format!("{words:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expect =
            format!("inuse: invalid value {named}: {right}; 'inuse run --help' shows what there is\n");
        same(said, expect, &format!("{words:?}"))
    };
    let give_up = "write a whole number, such as 5, or 0 for never";
    check(&["run", "--give-up", "x"], "'x' for '--give-up <N>'", give_up)?;
    check(&["--no-color", "run", "--give-up", "-1"], "'-1' for '--give-up <N>'", give_up)?;
    check(&["run", "--max-old", "many"], "'many' for '--max-old <N>'", "write a whole number, such as 4")?;
    let octal = "write up to three octal digits, such as 660";
    check(&["run", "--socket-mode", "rw"], "'rw' for '--socket-mode <MODE>'", octal)?;
    let output = Command::new(inuse()).args(["ctl", "--pid", "web"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expect = "inuse: invalid value 'web' for '--pid <PID>': write the number of a process, such as 4711; 'inuse ctl \
                  --help' shows what there is\n";
    same(said, expect.to_owned(), "inuse ctl --pid web")
}

/// Whether we may make a network of our own, and become another user.
pub(crate) fn has_network() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "setpriv", "--reuid=65534", "--regid=65534", "--init-groups", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A process that ends with this value.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a network of its own: an ordinary user is refused, and each command that is named is typed, and helps.
fn privileged() -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new()?;
    let runtime = scratch.0.join("runtime");
    std::fs::create_dir(&runtime)?;
    std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o711))?;
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(&runtime, Some(65534), Some(65534))?;
    let mut network = Command::new("unshare");
    let network = Ends(network.args(["--net", "sleep", "60"]).spawn()?);
    let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
    let pid = network.0.id().to_string();
    crate::notify::wait(|| namespace(&pid) != namespace("self"), "a network")?;
    let typed = |line: &str| {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net")).args(["sh", "-c", line, "sh"]).arg(inuse());
        command.env("XDG_RUNTIME_DIR", &runtime).stdin(Stdio::null()).output()
    };
    // By a descriptor: the user may not be able to enter the directory where it stands.
    let user = "exec 9<\"$1\"; exec setpriv --reuid=65534 --regid=65534 --init-groups /proc/self/fd/9 run";
    let program = "-l 80 -- sh -c 'echo $(id -u) $LISTEN_FDS'";
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let works = |line: &str| -> Result<(), Failed> {
        let output = typed(line)?;
        same(text(&output.stdout), "65534 1\n".to_owned(), &format!("{line}: {}", text(&output.stderr)))
    };

    let refused = typed(&format!("{user} {program}"))?;
    let said = text(&refused.stderr);
    same(refused.status.code(), Some(1), &said)?;
    holds(!said.contains("setcap"), &said)?;
    let commands: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("sudo ")).collect();
    let [as_root, sysctl] = commands[..] else { return Err(said.into()) };
    works(as_root)?;
    let refused = typed(&format!("{user} --log json {program}"))?;
    let told: serde_json::Value = serde_json::from_slice(&refused.stderr)?;
    let named = told["commands"][0].as_str().unwrap_or_default();
    holds(named.ends_with(&as_root[as_root.find(" -- ").unwrap_or(0)..]), &told)?;

    let set = typed(sysctl)?;
    holds(set.status.success(), text(&set.stderr))?;
    works(&format!("{user} {program}"))
}
