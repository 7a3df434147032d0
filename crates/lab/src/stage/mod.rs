//! A stage: private namespaces in which scenes are played by real processes on the real kernel.
//!
//! ```no_run
//! # use inuse_lab::stage::{Program, Stage, StageError};
//! # fn play(scene: &inuse_rules::scene::Scene) -> Result<(), StageError> {
//! let mut stage = Stage::open()?;
//! for step in scene.steps() {
//!     stage.step(step)?;          // one call of one process
//!     for row in stage.rows()? {  // what netstat would show now
//!         assert_ne!(row.local.port(), 0);
//!     }
//! }
//! stage.attempt(&scene.attempt)?; // what the kernel says to a bind
//! stage.run(0, Program::Path("ss"), &["-tan"])?;
//! stage.end()                     // every actor is gone
//! # }
//! ```
//!
//! The caller may have any number of threads: what must be done before there are any is done by a helper
//! process, another run of the same binary (see [`crate::helper_main`]). When the caller ends, however
//! it ends, everything on the stage ends with it.

pub(crate) mod channel;
mod ends;
pub(crate) mod helper;
mod init;
pub(crate) mod network;
mod rows;
mod tap;
pub(crate) mod wire;

pub use ends::End;
pub use rows::Row;
pub use tap::Segment;

use crate::ROLE;
use channel::Message;
use inuse_rules::scene::{Act, Answer, Need, Opt, Place, Scene, Step, Wanted};
use inuse_rules::verdict::{Call, Errno};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for an answer of the stage: longer than anything that the stage itself waits for.
const PATIENCE: Duration = Duration::from_secs(90);
/// The most output of a program that is read.
const LONGEST_OUTPUT: u64 = 16 << 20;

/// Private namespaces with actors in them.
#[derive(Debug)]
pub struct Stage {
    /// `None` once it has ended.
    control: Option<OwnedFd>,
    helper: Child,
    offers: Vec<String>,
    /// The users for whom an actor stands ready to attempt a bind.
    newcomers: Vec<u32>,
}

/// Why something could not be staged.
#[derive(Debug)]
#[non_exhaustive]
pub enum StageError {
    /// This machine does not let us have private namespaces, or its kernel lacks something.
    Unavailable(String),
    /// The kernel refused a call that should have succeeded.
    Refused {
        /// The step.
        step: String,
        /// The error.
        error: io::Error,
    },
    /// A call succeeded that the kernel should have refused.
    NotRefused {
        /// The step.
        step: String,
    },
    /// A step failed in another way.
    Failed {
        /// The step.
        step: String,
        /// What happened.
        what: String,
    },
    /// The stage does not answer.
    Lost(io::Error),
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::Unavailable(why) => write!(f, "no stage here: {why}"),
            StageError::Refused { step, error } => write!(f, "{step}: {error}"),
            StageError::NotRefused { step } => write!(f, "{step}: it succeeded"),
            StageError::Failed { step, what } => write!(f, "{step}: {what}"),
            StageError::Lost(error) => write!(f, "the stage does not answer: {error}"),
        }
    }
}

impl std::error::Error for StageError {}

/// What a program run on the stage answered.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// A program to run on the stage.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// A file, or a name to look up in PATH.
    Path(&'a str),
    /// The binary that opened the stage.
    Myself,
}

impl Stage {
    /// Opens a stage: network, pid, mount and IPC namespaces of its own, with loopback up, its own /proc
    /// and an empty /run. Needs root, or a kernel that lets ordinary users have user namespaces.
    pub fn open() -> Result<Stage, StageError> {
        Stage::of_kind("stage")
    }

    /// A stage without namespaces, for who may not have any: its actors are processes of the caller, and
    /// use loopback addresses of the machine. It plays what needs no more than that.
    pub fn here() -> Result<Stage, StageError> {
        Stage::of_kind("here")
    }

    fn of_kind(kind: &str) -> Result<Stage, StageError> {
        if std::env::args_os().nth(1).is_some_and(|word| word == ROLE) {
            // A helper that got this far would start helpers for ever.
            return Err(StageError::Unavailable("main() did not call helper_main() first".into()));
        }
        let (control, theirs) = channel::pair().map_err(StageError::Lost)?;
        let helper = Command::new("/proc/self/exe")
            .args([ROLE, kind])
            .stdin(theirs)
            .stdout(Stdio::null())
            // What Ctrl+C ends is the caller; the stage sees that, and ends what it has started.
            .process_group(0)
            .spawn()
            .map_err(StageError::Lost)?;
        let mut stage = Stage { control: Some(control), helper, offers: Vec::new(), newcomers: Vec::new() };
        let Message { mut words, .. } = stage.receive()?;
        match words.first().map(String::as_str) {
            Some("ok") => {
                stage.offers = words.split_off(1);
                Ok(stage)
            }
            _ => Err(StageError::Unavailable(words.pop().unwrap_or_default())),
        }
    }

    /// Whether it offers something that a scene may need.
    pub fn offers(&self, need: Need) -> bool {
        let word = match need {
            Need::Uids => "uids",
            Need::Ipv6 => "ipv6",
            Need::IoUring => "io_uring",
        };
        self.offers.iter().any(|offer| offer == word)
    }

    /// Plays all steps of a scene.
    pub fn play(&mut self, scene: &Scene) -> Result<(), StageError> {
        scene.steps().try_for_each(|step| self.step(step))
    }

    /// Plays one step.
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), StageError> {
        let done = self.ask(&wire::step_words(step), &[])?;
        match (step, done) {
            (Step::Fails(_, _, errno), Done::Errno(number)) if errno.linux() == number => Ok(()),
            (Step::Fails(..), Done::Ok(_)) => Err(StageError::NotRefused { step: step.to_string() }),
            (Step::Interface(..), Done::Errno(libc::EOPNOTSUPP)) => {
                Err(StageError::Unavailable(format!("{step}: this kernel has no such interfaces")))
            }
            (_, done) => done.or_refused(step).map(drop),
        }
    }

    /// The rows that the kernel shows in the stage's network namespace.
    pub fn rows(&mut self) -> Result<Vec<Row>, StageError> {
        let words = self.ask(&["rows"], &[])?.or_refused(&"rows")?;
        Ok(words.iter().filter_map(|word| rows::from_word(word)).collect())
    }

    /// Every socket with a name, by sock_diag, and the actors that have it open; or only those of some ports.
    pub fn ends(&mut self, ports: &[u16]) -> Result<Vec<End>, StageError> {
        let mut words = vec!["ends".to_owned()];
        words.extend(ports.iter().map(u16::to_string));
        let words = self.ask(&words, &[])?.or_refused(&"ends")?;
        Ok(words.iter().filter_map(|word| ends::from_word(word)).collect())
    }

    /// The TCP segments that passed the stage's loopback since the last time; `None` where they are not
    /// recorded.
    pub fn segments(&mut self) -> Result<Option<Vec<Segment>>, StageError> {
        Ok(match self.ask(&["segments"], &[])? {
            Done::Ok(words) => Some(words.iter().filter_map(|word| tap::from_word(word)).collect()),
            _ => None,
        })
    }

    /// An actor's pid, in the stage's pid namespace.
    pub fn pid(&mut self, actor: &str) -> Result<u32, StageError> {
        let words = self.ask(&["pid", actor], &[])?.or_refused(&"pid")?;
        let pid = words.first().and_then(|word| word.parse().ok());
        pid.ok_or_else(|| StageError::Failed { step: "pid".into(), what: "no number".into() })
    }

    /// Asks the kernel: socket, options, bind and listen, by a process of that uid; everything is closed
    /// again at once, and a path that came into being is removed.
    pub fn attempt(&mut self, wanted: &Wanted) -> Result<Answer, StageError> {
        let who = format!("newcomer-{}", wanted.uid);
        if !self.newcomers.contains(&wanted.uid) {
            self.step(&Step::Actor(&who, wanted.uid))?;
            self.newcomers.push(wanted.uid);
        }
        self.step(&Step::Does(&who, Act::Socket("s", wanted.kind)))?;
        let answer = self.calls(&who, wanted);
        self.step(&Step::Does(&who, Act::Close("s")))?;
        if let (Ok(None), Place::Path(path)) = (&answer, wanted.place) {
            self.step(&Step::Remove(path))?;
        }
        answer
    }

    /// The calls of an attempt after socket(), until one is refused.
    fn calls(&mut self, who: &str, wanted: &Wanted) -> Result<Answer, StageError> {
        let mut calls = Vec::new();
        for (opt, on) in [
            (Opt::Reuseaddr, wanted.reuseaddr),
            (Opt::Reuseport, wanted.reuseport),
            (Opt::V6only, wanted.v6only),
        ] {
            if on {
                calls.push((Call::Setsockopt, Act::Set("s", opt, true)));
            }
        }
        calls.push((Call::Bind, Act::Bind("s", wanted.place)));
        if wanted.kind.listens() {
            calls.push((Call::Listen, Act::Listen("s", 16)));
        }
        for (call, act) in calls {
            let step = Step::Does(who, act);
            match self.ask(&wire::step_words(&step), &[])? {
                Done::Errno(number) => {
                    let errno = Errno::ALL.into_iter().find(|errno| errno.linux() == number);
                    return match errno {
                        Some(errno) => Ok(Some((errno, call))),
                        None => Done::Errno(number).or_refused(&step).map(|_| None),
                    };
                }
                done => done.or_refused(&step)?,
            };
        }
        Ok(None)
    }

    /// Runs a program on the stage to its end, as that user.
    pub fn run(&mut self, uid: u32, program: Program<'_>, arguments: &[&str]) -> Result<Ran, StageError> {
        let program = match program {
            Program::Path(path) => path,
            Program::Myself => "/proc/self/exe",
        };
        let memory = || memfd_create("output", MemfdFlags::CLOEXEC).map_err(|e| StageError::Lost(e.into()));
        let (stdout, stderr) = (memory()?, memory()?);
        let uid = uid.to_string();
        let mut words = vec!["run", &uid, program];
        words.extend(arguments);
        let step = words.get(2..).unwrap_or_default().join(" ");
        let code = self.ask(&words, &[stdout.as_fd(), stderr.as_fd()])?.or_refused(&step)?;
        let code = code.first().and_then(|word| word.parse().ok());
        Ok(Ran {
            code: code.ok_or(StageError::Failed { step, what: "no exit code".into() })?,
            stdout: contents(stdout).map_err(StageError::Lost)?,
            stderr: contents(stderr).map_err(StageError::Lost)?,
        })
    }

    /// Ends it, and waits until every process on it is gone.
    pub fn end(mut self) -> Result<(), StageError> {
        self.close().map_err(StageError::Lost)
    }

    /// The pid of the helper outside, whose child is the stage's pid 1.
    pub fn helper_pid(&self) -> u32 {
        self.helper.id()
    }

    fn close(&mut self) -> io::Result<()> {
        // The helper sees the hang-up, kills pid 1, and waits until the kernel has ended all others.
        drop(self.control.take());
        self.helper.wait().map(drop)
    }

    fn ask<W: AsRef<str>>(&mut self, words: &[W], fds: &[BorrowedFd<'_>]) -> Result<Done, StageError> {
        let control = self.control.as_ref().ok_or_else(closed)?;
        channel::send(control, words, fds).map_err(StageError::Lost)?;
        let Message { mut words, .. } = self.receive()?;
        Ok(match words.first().map(String::as_str) {
            Some("ok") => Done::Ok(words.split_off(1)),
            Some("errno") => Done::Errno(words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0)),
            _ => Done::Failed(words.pop().unwrap_or_default()),
        })
    }

    fn receive(&self) -> Result<Message, StageError> {
        let control = self.control.as_ref().ok_or_else(closed)?;
        let message = channel::receive(control, Some(Instant::now() + PATIENCE)).map_err(StageError::Lost)?;
        message.ok_or_else(closed)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.control.is_some() {
            // Nobody is left to tell of an error.
            let _ = self.close();
        }
    }
}

fn closed() -> StageError {
    StageError::Lost(io::ErrorKind::UnexpectedEof.into())
}

/// An answer of the stage.
enum Done {
    Ok(Vec<String>),
    Errno(i32),
    Failed(String),
}

impl Done {
    /// The words of a success.
    fn or_refused(self, step: &impl ToString) -> Result<Vec<String>, StageError> {
        match self {
            Done::Ok(words) => Ok(words),
            Done::Errno(number) => Err(StageError::Refused {
                step: step.to_string(),
                error: io::Error::from_raw_os_error(number),
            }),
            Done::Failed(what) => Err(StageError::Failed { step: step.to_string(), what }),
        }
    }
}

/// What was written to a file in memory, from its beginning.
fn contents(memory: impl Into<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut file = File::from(memory.into());
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(LONGEST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
