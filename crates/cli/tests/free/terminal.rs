//! The one question of `inuse free`, on a terminal of its own: pty(7), with setsid(1) so that Ctrl-C is a signal.

use crate::Holder;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

const QUESTION: &str = "Do this? [y/N] ";

/// Asks on a terminal, types the answer there, and gives back what became of it and all that the terminal showed.
fn typed(address: &str, answer: &[u8]) -> (ExitStatus, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("its other end");
    unlockpt(&master).expect("its other end");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = File::from(open(name.as_c_str(), flags, Mode::empty()).expect("its other end"));
    let mut command = Command::new("setsid");
    let inuse = env!("CARGO_BIN_EXE_inuse");
    command.args(["--ctty", inuse, "free", address]).stdin(end.try_clone().expect("a descriptor"));
    command.stdout(end.try_clone().expect("a descriptor")).stderr(end);
    let mut child = command.spawn().expect("setsid");
    // Its copies of the other end go with it: then the terminal ends with the child.
    drop(command);
    let mut master = File::from(master);
    let (mut shown, mut asked) = (Vec::new(), false);
    let mut piece = [0; 4096];
    // At the end of a terminal stands EIO.
    while let Ok(more @ 1..) = master.read(&mut piece) {
        shown.extend(&piece[..more]);
        if !asked && shown.ends_with(QUESTION.as_bytes()) {
            asked = true;
            master.write_all(answer).expect("the terminal");
        }
    }
    let status = child.wait().expect("our child");
    (status, String::from_utf8(shown).expect("UTF-8"))
}

#[test]
fn only_a_yes_is_a_yes_and_it_is_asked_once() {
    let check = |answer: &[u8], code: Option<i32>, signal: Option<i32>, lives: bool| {
        let mut holder = Holder::start();
        let (status, shown) = typed(&holder.address, answer);
        let what = format!("{:?}: {status}\n{shown}", answer.escape_ascii().to_string());
        assert_eq!((status.code(), status.signal()), (code, signal), "{what}");
        assert_eq!(holder.lives(), lives, "{what}");
        let (plan, rest) = shown.split_once(QUESTION).expect(&what);
        assert!(plan.contains(&format!("Send SIGTERM to sleep (pid {})", holder.child.id())), "{what}");
        assert!(!rest.contains(QUESTION), "{what}");
        assert_eq!(rest.contains("nothing was done"), code == Some(2), "{what}");
        assert_eq!(rest.contains(&format!("tcp/{} is free.", holder.address)), !lives, "{what}");
    };
    for yes in [&b"y\n"[..], b"YES\n", b" yes \n"] {
        check(yes, Some(0), None, false);
    }
    for no in [&b"n\n"[..], b"\n", b"yo\n", b"y es\n", b"\x04"] {
        check(no, Some(2), None, true);
    }
    check(b"\x03", None, Some(2), true);
}
