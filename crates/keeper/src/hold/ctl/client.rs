//! The other end: finding a supervisor, and asking it.

use super::place::{Place, Reachable};
use super::protocol::{Answer, LONGEST_ANSWER, Request, Verb};
use crate::hold::sys::peer;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Which supervisor is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The only one.
    Only,
    /// That name.
    Name(String),
    /// That process.
    Pid(u32),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// No supervisor fits.
    None,
    /// Only such as were killed: their names and processes. What they left for `inuse ctl` is removed.
    Killed(Vec<(String, u32)>),
    /// Several do: their names and processes.
    Several(Vec<(String, u32)>),
    /// It cannot be reached, or hung up.
    Io(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::None => f.write_str("no 'inuse run' of this user is there that fits"),
            Trouble::Killed(them) => write!(
                f,
                "the supervisor was killed: {}. What it ran may live on, and nobody restarts it: end that, then start \
                 'inuse run' again",
                listed(them)
            ),
            Trouble::Several(them) => {
                write!(f, "several are there; say which with --name or --pid: {}", listed(them))
            }
            Trouble::Io(error) => write!(f, "the supervisor does not answer: {error}"),
        }
    }
}

fn listed(them: &[(String, u32)]) -> String {
    let words: Vec<String> = them.iter().map(|(name, pid)| format!("{name} (pid {pid})")).collect();
    words.join(", ")
}

/// Asks a supervisor, and waits for its answer.
///
/// # Errors
/// When there is none that is meant, more than one, or no answer.
pub fn ask(place: &Place, which: &Which, verb: Verb) -> Result<Answer, Trouble> {
    let fits = |one: &Reachable| match which {
        Which::Only => true,
        Which::Name(name) => one.name == *name,
        Which::Pid(pid) => one.pid == *pid,
    };
    let all = place.all().map_err(Trouble::Io)?;
    let (mut live, mut killed) = (Vec::new(), Vec::new());
    for one in all.into_iter().filter(fits) {
        match UnixStream::connect(&one.path) {
            Ok(stream) => live.push((one, stream)),
            Err(_) if one.clear() => killed.push((one.name, one.pid)),
            Err(_) => {}
        }
    }
    if live.len() > 1 {
        return Err(Trouble::Several(live.into_iter().map(|(one, _)| (one.name, one.pid)).collect()));
    }
    let Some((_, stream)) = live.pop() else {
        return Err(if killed.is_empty() { Trouble::None } else { Trouble::Killed(killed) });
    };
    exchange(stream, verb).map_err(Trouble::Io)
}

fn exchange(mut stream: UnixStream, verb: Verb) -> io::Result<Answer> {
    let user = peer::uid(&stream)?;
    if user != 0 && user != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user answers there"));
    }
    let mut line = serde_json::to_vec(&Request::new(verb))?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it answered"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Removes what supervisors left that were killed. Nothing depends on its coming to be.
pub(super) fn clear(place: &Place) {
    place.all().unwrap_or_default().into_iter().for_each(|one| _ = one.clear());
}

/// Whether somebody serves this path.
pub(super) fn answers(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}
