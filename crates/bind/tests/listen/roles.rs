//! What copies of this binary do: `__hold ADDRESS` or `__hold PATH` listens until its standard input ends;
//! `__as-nobody ADDRESS` gives up root and prints why it cannot listen; `__refused-as-nobody` has both of them play.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Plays the role that the arguments name; false when they name none.
#[allow(clippy::print_stdout, reason = "a role's answer goes to the test that started it")]
pub(crate) fn play() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["__hold", address] => {
            let path = address
                .starts_with('/')
                .then(|| inuse_bind::Listen::unix(address).bind().expect("a new path"));
            let port = path.is_none().then(|| inuse_bind::listen(address).expect("a free port"));
            let at = port.as_ref().map(|held| held.local_addr().expect("bound").to_string());
            println!("{}", at.unwrap_or_else(|| address.to_owned()));
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            true
        }
        ["__refused-as-nobody"] => {
            println!("{}", crate::refusals::refused_as_nobody().unwrap_or_else(|error| error.to_string()));
            true
        }
        ["__as-nobody", address] => {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            match inuse_bind::listen(address) {
                Ok(_) => println!("bound"),
                Err(error) => println!("{:?}: {error}", error.kind()),
            }
            true
        }
        _ => false,
    }
}

/// A copy of this binary in a role.
pub(crate) fn role(words: &[&str]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).stderr(Stdio::inherit());
    Ok(command)
}

/// Another process that listens.
pub(crate) struct Holder {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens; nothing for a path.
    pub(crate) address: SocketAddr,
}

impl Holder {
    pub(crate) fn start(address: &str) -> Result<Holder, Box<dyn std::error::Error>> {
        let mut child = role(&["__hold", address])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let stdin = child.stdin.take();
        Ok(Holder { child, stdin, address: line.trim().parse().unwrap_or(([0, 0, 0, 0], 0).into()) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end; it has not ended yet when this returns.
    pub(crate) fn let_go(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}
