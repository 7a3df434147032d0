//! The other end: finding a supervisor, and asking it.

use super::place::{Place, Reachable};
use super::protocol::{Answer, LONGEST_ANSWER, Request, Status, Supervisor, Verb};
use crate::hold::sys::peer;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long those of whom one is to be named may take, all together, to say how they are.
const MOMENT: Duration = Duration::from_secs(1);

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
    /// No supervisor fits; those that there are.
    None(Vec<Supervisor>),
    /// Only such as were killed: their names and processes. What they left for `inuse ctl` is removed.
    Killed(Vec<(String, u32)>),
    /// Several do.
    Several(Vec<Supervisor>),
    /// It is stopped, as by Ctrl-Z: its name and process.
    Stopped(String, u32),
    /// It cannot be reached, or hung up.
    Io(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::None(others) if others.is_empty() => f.write_str("no 'inuse run' of this user is there"),
            Trouble::None(_) => f.write_str("no 'inuse run' of this user is there that fits"),
            Trouble::Killed(them) => {
                let words: Vec<String> =
                    them.iter().map(|(name, pid)| format!("{name} (pid {pid})")).collect();
                write!(
                    f,
                    "the supervisor was killed: {}. What it ran may live on, and nobody restarts it: end that, then \
                     start 'inuse run' again",
                    words.join(", ")
                )
            }
            Trouble::Several(_) => f.write_str("several 'inuse run' of this user fit; say which"),
            Trouble::Stopped(name, pid) => write!(
                f,
                "{name} is stopped, as by Ctrl-Z, and answers nobody until it goes on: type 'fg' or 'bg' where it was \
                 started, or: kill -CONT {pid}"
            ),
            Trouble::Io(error) => write!(f, "the supervisor does not answer: {error}"),
        }
    }
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
    let (mut live, mut others, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    for one in place.all().map_err(Trouble::Io)? {
        match UnixStream::connect(&one.path) {
            Ok(stream) if fits(&one) => live.push((one, stream)),
            Ok(stream) => others.push((one, stream)),
            Err(_) if fits(&one) && one.clear() => killed.push((one.name, one.pid)),
            Err(_) => {}
        }
    }
    if live.len() > 1 {
        return Err(Trouble::Several(overview(live)));
    }
    let Some((one, stream)) = live.pop() else {
        return Err(if killed.is_empty() {
            Trouble::None(overview(others))
        } else {
            Trouble::Killed(killed)
        });
    };
    // One that is stopped later is waited for, as one whose restart takes long.
    if peer::pid(&stream).is_ok_and(|pid| pid.is_some_and(is_stopped)) {
        return Err(Trouble::Stopped(one.name, one.pid));
    }
    exchange(stream, verb).map_err(Trouble::Io)
}

/// What each of them says of itself within a moment.
fn overview(them: Vec<(Reachable, UnixStream)>) -> Vec<Supervisor> {
    let until = Instant::now() + MOMENT;
    let asked: Vec<_> = them.into_iter().map(|(one, stream)| (one, request(stream, Verb::Status))).collect();
    let status = |stream: io::Result<UnixStream>| {
        let stream = stream.ok()?;
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).ok()?;
        answer(stream).ok()?.status
    };
    let row = |(one, stream): (Reachable, io::Result<UnixStream>)| {
        let status = status(stream);
        let answers = status.is_some();
        let Status { sockets, command, .. } = status.unwrap_or_default();
        let addresses = sockets.into_iter().map(|socket| socket.address).collect();
        Supervisor { name: one.name, pid: one.pid, answers, addresses, command }
    };
    asked.into_iter().map(row).collect()
}

fn exchange(stream: UnixStream, verb: Verb) -> io::Result<Answer> {
    answer(request(stream, verb)?)
}

fn request(mut stream: UnixStream, verb: Verb) -> io::Result<UnixStream> {
    let user = peer::uid(&stream)?;
    if user != 0 && user != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user answers there"));
    }
    let mut line = serde_json::to_vec(&Request::new(verb))?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(stream)
}

fn answer(stream: UnixStream) -> io::Result<Answer> {
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it answered"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Whether job control stopped a process (proc_pid_stat(5): `T`).
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its name, in parentheses, may hold anything.
    let end = stat.iter().rposition(|byte| *byte == b')');
    end.and_then(|end| stat.get(end + 2)) == Some(&b'T')
}

/// Removes what supervisors left that were killed. Nothing depends on its coming to be.
pub(super) fn clear(place: &Place) {
    place.all().unwrap_or_default().into_iter().for_each(|one| _ = one.clear());
}

/// Whether somebody serves this path.
pub(super) fn answers(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}
