//! Starting a role as a process, hearing what it staged, and ending it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Why a test cannot run here.
#[derive(Debug)]
pub(crate) struct Cannot(pub(crate) String);

/// What a role said: `pid=12 inode=34`, or `cannot=…` and the reason.
pub(crate) struct Said(BTreeMap<String, String>);

impl Said {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0
            .get(key)
            .map(String::as_str)
            .unwrap_or_else(|| panic!("the role did not say {key}: {:?}", self.0))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key} is {:?}", self.text(key)))
    }
}

/// A role that is being played. It ends when this is dropped.
pub(crate) struct Staged {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) said: Said,
}

/// This binary, about to play a role.
pub(crate) fn role(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.arg("--role").args(words);
    command
}

/// Starts a role and waits until it says what it staged.
pub(crate) fn stage(words: &[&str]) -> Result<Staged, Cannot> {
    start(role(words))
}

/// The same for a command that wraps a role; where it cannot be started the test cannot run.
pub(crate) fn start(mut command: Command) -> Result<Staged, Cannot> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| Cannot(format!("{program} does not start: {error}")))?;
    let input = child.stdin.take();
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut staged = Staged { child, input, output, said: Said(BTreeMap::new()) };
    staged.said = staged.hear();
    match staged.said.0.get("cannot") {
        Some(reason) => Err(Cannot(reason.clone())),
        None => Ok(staged),
    }
}

impl Staged {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells the role to go on, and waits for its answer.
    pub(crate) fn tell(&mut self, word: &str) -> Said {
        let input = self.input.as_mut().expect("still open");
        writeln!(input, "{word}").expect("the role reads");
        self.hear()
    }

    fn hear(&mut self) -> Said {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the role's output");
        let pairs = line.trim_end().split('\t').filter_map(|pair| pair.split_once('='));
        let said: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if said.is_empty() {
            let said = [("cannot".to_owned(), format!("the role ended without a word ({line:?})"))];
            return Said(said.into());
        }
        Said(said)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // The end of its input ends a role and whatever it started; the signal is for one that hangs.
        drop(self.input.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
