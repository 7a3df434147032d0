//! An actor: a process that does, one after the other, what the stage tells it.
//!
//! It has one thread (until a step gives it more) and its sockets by name. Its own control pipe is
//! close-on-exec and far away from the descriptors of the scene, so that what a program inherits in a
//! scene is what it would inherit in life.

mod acts;

use crate::stage::channel::{self, Message};
use crate::stage::wire::parse_act;
use crate::sys::fork::{Forked, fork};
use inuse_rules::scene::Act;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// Where the control pipe is put: out of the way of the scene's descriptors, which start at 3.
const CONTROL: i32 = 100;

/// An actor's state.
struct Actor {
    control: OwnedFd,
    /// Its sockets (and other descriptors), by the name that the scene gives them.
    open: Vec<(String, OwnedFd)>,
}

/// Becomes an actor of that name; standard input is its control pipe.
pub(crate) fn main(name: &str) -> ! {
    match start(name) {
        Ok(actor) => actor.run(),
        Err(_) => std::process::exit(1),
    }
}

fn start(name: &str) -> io::Result<Actor> {
    // Whoever has few descriptors gets by with few.
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| i32::try_from(limit / 2).ok());
    let least = limit.map_or(CONTROL, |half| half.min(CONTROL));
    let control = fcntl_dupfd_cloexec(rustix::stdio::stdin(), least)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    set_name(name)?;
    crate::sys::interrupt::ends_the_process()?;
    channel::send(&control, &["ok"], &[])?;
    Ok(Actor { control, open: Vec::new() })
}

/// The process's `comm`.
fn set_name(name: &str) -> io::Result<()> {
    Ok(rustix::thread::set_name(&CString::new(name)?)?)
}

impl Actor {
    /// Obeys until told to exit, or until the stage is gone.
    fn run(mut self) -> ! {
        while let Ok(Some(Message { words, .. })) = channel::receive(&self.control, None) {
            let strs: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = match parse_act(&strs) {
                None => Err(io::Error::other("an act that this actor does not know")),
                Some(Act::Exit) => std::process::exit(0),
                Some(Act::EndMainThread) => self.end_main_thread(),
                Some(Act::Fork(child)) => match self.fork(child) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                Some(act) => acts::perform(&mut self.open, &act),
            };
            if self.answer(done).is_err() {
                break;
            }
        }
        std::process::exit(0)
    }

    fn answer(&self, done: io::Result<()>) -> io::Result<()> {
        match done {
            Ok(()) => channel::send(&self.control, &["ok"], &[]),
            Err(error) => match error.raw_os_error() {
                Some(errno) => channel::send(&self.control, &["errno", &errno.to_string()], &[]),
                None => channel::send(&self.control, &["fail", &error.to_string()], &[]),
            },
        }
    }

    /// fork(2): the parent answers with the child's pid and the stage's end of the child's control pipe.
    fn fork(&mut self, child: &str) -> io::Result<()> {
        let (theirs, ours) = channel::pair()?;
        // Far from the scene's descriptors, like the first one.
        let ours = fcntl_dupfd_cloexec(&ours, CONTROL)?;
        match fork()? {
            Forked::Parent(pid) => {
                let pid = pid.as_raw_nonzero().to_string();
                channel::send(&self.control, &["ok", &pid], &[theirs.as_fd()])
            }
            Forked::Child => {
                self.control = ours;
                set_name(child)?;
                channel::send(&self.control, &["ok"], &[])
            }
        }
    }

    /// Goes on in a new thread once the main one has ended.
    fn end_main_thread(&mut self) -> io::Result<()> {
        let control = self.control.try_clone()?;
        let open = std::mem::take(&mut self.open);
        let heir = Actor { control: fcntl_dupfd_cloexec(&control, CONTROL)?, open };
        std::thread::Builder::new().spawn(move || {
            let done = acts::until(|| {
                // The state letter stands behind the name, which is in parentheses.
                let stat = std::fs::read_to_string("/proc/self/stat")?;
                Ok(stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
            });
            if heir.answer(done).is_err() {
                std::process::exit(0);
            }
            heir.run()
        })?;
        crate::sys::thread::exit_thread()
    }
}

/// The descriptor of that name.
fn named<'a>(open: &'a [(String, OwnedFd)], name: &str) -> io::Result<BorrowedFd<'a>> {
    open.iter()
        .rev()
        .find(|(known, _)| known == name)
        .map(|(_, fd)| fd.as_fd())
        .ok_or_else(|| io::Error::other(format!("no socket is called {name}")))
}
