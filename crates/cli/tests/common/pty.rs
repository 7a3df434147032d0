//! The command on a terminal of its own: pty(7), with setsid(1) so that Ctrl-C is a signal.

#[path = "terminal.rs"]
pub(crate) mod terminal;

use std::io::{Read as _, Write as _};
use std::process::{Command, ExitStatus};

/// What the command asks before it acts.
pub(crate) const QUESTION: &str = "Do this? [y/N] ";

/// Runs the command, types what `answer` gives when it is asked, and gives back what became of it and all that the
/// terminal showed.
pub(crate) fn typed(arguments: &[&str], answer: impl FnOnce() -> Vec<u8>) -> (ExitStatus, String) {
    let (mut master, end) = terminal::pair();
    let mut command = Command::new("setsid");
    // What a script starts in the background ignores SIGINT, and so would all that is started here.
    command.args(["--ctty", "env", "--default-signal=INT,QUIT", env!("CARGO_BIN_EXE_inuse")]).args(arguments);
    command.stdin(end.try_clone().expect("a descriptor"));
    command.stdout(end.try_clone().expect("a descriptor")).stderr(end);
    let mut child = command.spawn().expect("setsid");
    // Its copies of the other end go with it: then the terminal ends with the child.
    drop(command);
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
