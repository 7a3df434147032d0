//! Which right is missing: over sockets of another user, of a process that may not be traced, of one with more
//! capabilities, and under a seccomp profile like a container's. Yama is not in every kernel: its values are tested as
//! a table, beside the sentence.

use crate::seen;
use inuse_keeper::act::options::{NotFound, Subject};
use inuse_rules::Address;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first argument of a run that asks and writes what it is told.
pub(crate) const ASKER: &str = "__asker";

/// The first argument of a run that nobody may trace.
pub(crate) const HIDING: &str = "__hiding";

const HERE: &str = "127.0.0.1:8080";
const USER: u32 = 1000;

/// EPERM for pidfd_getfd(2), which is 438 on every machine, and then the program.
const UNDER_SECCOMP: &str = "\
import ctypes, os, struct, sys
code = b''.join(struct.pack('HBBI', *one) for one in
  [(0x20, 0, 0, 0), (0x15, 0, 1, 438), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)])
code = ctypes.create_string_buffer(code)
class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
program = Program(4, ctypes.cast(code, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], ['asker'] + sys.argv[2:])";

/// The role: asks for the sockets of a process, or on an address.
#[allow(clippy::print_stdout, reason = "the answer to the parent")]
pub(crate) fn ask(what: &str) {
    let subject = match what.parse() {
        Ok(pid) => Subject::Process(pid),
        Err(_) => Subject::Addresses(vec![Address::tcp(what.parse().expect("an address"))]),
    };
    match seen(&subject, &[]) {
        Err(NotFound::Refused { needs, by_root }) => println!("root {by_root}: {needs}"),
        other => panic!("{other:?}"),
    }
}

/// The role: a process that hides its memory and its files.
#[allow(clippy::print_stdout, reason = "the answer to the parent")]
pub(crate) fn hide() {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).expect("PR_SET_DUMPABLE");
    println!("ready");
    std::thread::sleep(Duration::from_secs(1000));
}

pub(crate) fn missing() {
    let _listener = TcpListener::bind(HERE).expect("the port");
    let mine = std::process::id().to_string();
    let own = |user| {
        let mut command = Command::new("/proc/self/exe");
        command.uid(user).gid(user);
        command
    };
    check(own(USER), HERE, "root true: CAP_SYS_PTRACE, since they belong to user root");
    check(own(USER), &mine, &format!("root true: CAP_SYS_PTRACE, since process {mine} belongs to user root"));

    let mut hiding = own(USER);
    hiding.arg(HIDING);
    let hiding = Started::new(hiding);
    check(own(USER), &hiding.pid(), "is not dumpable (PR_SET_DUMPABLE)");

    let mut able = Command::new("setpriv");
    able.args(["--inh-caps", "+net_raw", "--ambient-caps", "+net_raw", "--reuid", "1000", "--regid", "1000"]);
    able.args(["--clear-groups", "sh", "-c", "echo ready; exec sleep 1000"]);
    let able = Started::new(able);
    check(own(USER), &able.pid(), "has more capabilities than the caller");

    let mut confined = Command::new("python3");
    confined.args(["-c", UNDER_SECCOMP, &format!("/proc/{mine}/exe")]);
    check(confined, &mine, "root false: a seccomp profile without the ban on pidfd_getfd(2)");
}

/// What the asker is told about it.
#[track_caller]
fn check(mut asker: Command, what: &str, expect: &str) {
    let output = asker.args([ASKER, what]).stdin(Stdio::null()).output().expect("an asker");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(expect), "{what}: {said}, not {expect}");
}

/// A program that has said that it is ready.
struct Started(Child);

impl Started {
    fn new(mut command: Command) -> Started {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Started(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
