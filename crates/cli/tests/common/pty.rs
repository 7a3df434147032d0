//! The command on a terminal of its own: pty(7), with setsid(1) so that Ctrl-C is a signal.

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitStatus};

/// What the command asks before it acts.
pub(crate) const QUESTION: &str = "Do this? [y/N] ";

/// Columns of the terminal.
pub(crate) const COLUMNS: u16 = 72;

/// Runs the command, types what `answer` gives when it is asked, and gives back what became of it and all that the
/// terminal showed.
pub(crate) fn typed(arguments: &[&str], answer: impl FnOnce() -> Vec<u8>) -> (ExitStatus, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("its other end");
    unlockpt(&master).expect("its other end");
    let size = Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).expect("its size");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = File::from(open(name.as_c_str(), flags, Mode::empty()).expect("its other end"));
    let mut command = Command::new("setsid");
    // What a script starts in the background ignores SIGINT, and so would all that is started here.
    command.args(["--ctty", "env", "--default-signal=INT,QUIT", env!("CARGO_BIN_EXE_inuse")]).args(arguments);
    command.stdin(end.try_clone().expect("a descriptor"));
    command.stdout(end.try_clone().expect("a descriptor")).stderr(end);
    let mut child = command.spawn().expect("setsid");
    // Its copies of the other end go with it: then the terminal ends with the child.
    drop(command);
    let mut master = File::from(master);
    let (mut shown, mut answer) = (Vec::new(), Some(answer));
    let mut piece = [0; 4096];
    // At the end of a terminal stands EIO.
    while let Ok(more @ 1..) = master.read(&mut piece) {
        shown.extend(&piece[..more]);
        if shown.ends_with(QUESTION.as_bytes())
            && let Some(answer) = answer.take()
        {
            master.write_all(&answer()).expect("the terminal");
        }
    }
    let status = child.wait().expect("our child");
    (status, String::from_utf8(shown).expect("UTF-8"))
}
