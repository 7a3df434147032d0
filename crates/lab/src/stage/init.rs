//! Pid 1 of the stage: prepares its namespaces, starts the actors, passes the steps on to them, and
//! answers questions about what is there.
//!
//! It has one thread. Everything it waits for has a deadline.

use super::channel::{self, Message};
use super::ends;
use super::network;
use super::rows::{self, Row};
use super::tap::{self, Tap};
use super::wire::{act_words, parse_step};
use crate::ROLE;
use inuse_rules::Transport;
use inuse_rules::scene::{Act, Sight, Signal, Step, Thing};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, pidfd_send_signal, wait};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that one step may take.
const STEP: Duration = Duration::from_secs(5);
/// The longest that a program run on the stage may take.
const PROGRAM: Duration = Duration::from_secs(60);
/// The directory of unix sockets, a file system of the stage's own.
const RUN: &str = "/run/";
/// The most actors.
const MOST_ACTORS: usize = 64;

/// What belongs to the stage.
struct World {
    actors: Vec<Actor>,
    /// Whether the namespaces are its own: else only sockets on loopback are.
    private: bool,
    tap: Option<Tap>,
}

/// An actor, as pid 1 knows it.
struct Actor {
    name: String,
    pid: Pid,
    process: OwnedFd,
    /// None once it has become another program.
    control: Option<OwnedFd>,
}

/// A step's answer: words after `ok`, or why not.
type Done = Result<Vec<String>, Trouble>;

/// Why a step was not carried out.
enum Trouble {
    /// The kernel refused the call.
    Errno(i32),
    /// Something else.
    Other(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        error.raw_os_error().map_or_else(|| Trouble::Other(error.to_string()), Trouble::Errno)
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::Errno(errno.raw_os_error())
    }
}

fn other(what: impl Into<String>) -> Trouble {
    Trouble::Other(what.into())
}

/// Becomes pid 1 of the stage.
pub(super) fn main(control: OwnedFd, uids: bool) -> ! {
    let ready = prepare().map(|()| {
        let mut offers = Vec::new();
        if uids {
            offers.push("uids".to_owned());
        }
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            offers.push("ipv6".to_owned());
        }
        if crate::sys::ring::ring().is_ok() {
            offers.push("io_uring".to_owned());
        }
        offers
    });
    let open = ready.is_ok();
    if answer(&control, ready.map_err(other)).is_ok() && open {
        serve(&control, World { actors: Vec::new(), private: true, tap: Tap::open().ok() });
    }
    // Leaving ends every process of the pid namespace.
    std::process::exit(0)
}

/// The same without namespaces: what it starts it must end itself.
pub(super) fn here(control: OwnedFd) -> ! {
    if answer(&control, Ok(Vec::new())).is_ok() {
        serve(&control, World { actors: Vec::new(), private: false, tap: None });
    }
    end_children();
    std::process::exit(0)
}

/// Kills what is left, until nothing is: the children of the killed become ours.
fn end_children() {
    let me = rustix::process::getpid().as_raw_nonzero();
    let file = format!("/proc/{me}/task/{me}/children");
    for _ in 0..MOST_ACTORS {
        let children = std::fs::read_to_string(&file).unwrap_or_default();
        let pids = children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        for pid in pids {
            // Our own child, which cannot have been replaced before we wait for it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        if wait(WaitOptions::empty()).is_err() {
            break;
        }
    }
}

/// Mounts what belongs to the namespaces, and brings loopback up.
fn prepare() -> Result<(), String> {
    let tell = |what: &'static str| move |error: Errno| format!("{what}: {error}");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(tell("making the mounts private"))?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", safe, None).map_err(tell("mounting /proc"))?;
    let open_to_all = CString::new("mode=0777").unwrap_or_default();
    mount("tmpfs", "/run", "tmpfs", safe, open_to_all.as_c_str()).map_err(tell("mounting /run"))?;
    let _ = rustix::thread::set_name(c"stage");
    network::loopback_up().map_err(|error| format!("bringing loopback up: {error}"))
}

/// Obeys until the caller hangs up.
fn serve(control: &OwnedFd, mut world: World) {
    while let Ok(Some(message)) = channel::receive(control, None) {
        let done = obey(&mut world, &message);
        reap(&mut world.actors);
        if answer(control, done).is_err() {
            break;
        }
    }
}

fn answer(control: &OwnedFd, done: Done) -> io::Result<()> {
    let words = match done {
        Ok(mut words) => {
            words.insert(0, "ok".into());
            words
        }
        Err(Trouble::Errno(errno)) => vec!["errno".into(), errno.to_string()],
        Err(Trouble::Other(what)) => vec!["fail".into(), what],
    };
    channel::send(control, &words, &[])
}

/// Takes the exit status of every child that has ended: the children of dead actors come here too.
fn reap(actors: &mut Vec<Actor>) {
    while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
        actors.retain(|actor| actor.pid != pid);
    }
}

fn obey(world: &mut World, message: &Message) -> Done {
    let actors = &mut world.actors;
    let words = message.strs();
    match words.as_slice() {
        ["ends", ports @ ..] => {
            let known: Vec<(&str, Pid)> = actors.iter().map(|actor| (&actor.name[..], actor.pid)).collect();
            let ports: Vec<u16> = ports.iter().filter_map(|port| port.parse().ok()).collect();
            Ok(ends::read(&known, &ports)?.iter().map(ends::to_word).collect())
        }
        ["segments"] => match &world.tap {
            Some(tap) => Ok(tap.drain().iter().map(tap::to_word).collect()),
            None => Err(other("no segments are recorded here")),
        },
        ["rows"] => Ok(rows::read(|_| true)?.iter().map(rows::to_word).collect()),
        ["pid", name] => Ok(vec![find(actors, name)?.pid.as_raw_nonzero().to_string()]),
        ["run", uid, program, arguments @ ..] => {
            let uid = uid.parse().map_err(|_| other("a uid is a number"))?;
            run(uid, program, arguments, &message.fds)
        }
        words => match parse_step(words) {
            Some(step) if world.private || needs_nothing_private(&step) => play(actors, &step),
            Some(_) => Err(other("this takes namespaces of its own")),
            None => Err(other("words that the stage does not know")),
        },
    }
}

/// Whether a step changes nothing but the actors and their sockets on loopback.
fn needs_nothing_private(step: &Step<'_>) -> bool {
    use inuse_rules::scene::Place;
    let loopback = |place: &Place<'_>| matches!(place, Place::Inet(at) if at.ip().is_loopback());
    match step {
        Step::Actor(_, uid) => *uid == 0,
        Step::Does(_, Act::Bind(_, place) | Act::Connect(_, place) | Act::ConnectLater(_, place)) => {
            loopback(place)
        }
        Step::Does(_, Act::OwnNetwork) => false,
        Step::Does(..) | Step::Fails(..) | Step::Signal(..) | Step::Await(_) => true,
        Step::Sysctl(..) | Step::Interface(..) | Step::Address(..) | Step::Create(..) | Step::Remove(_) => {
            false
        }
    }
}

fn play(actors: &mut Vec<Actor>, step: &Step<'_>) -> Done {
    let deadline = Instant::now() + STEP;
    match step {
        Step::Actor(name, uid) => {
            let actor = spawn(actors, name, *uid, deadline)?;
            actors.push(actor);
        }
        Step::Does(who, act) | Step::Fails(who, act, _) => direct(actors, who, act, deadline)?,
        Step::Signal(who, signal) => send_signal(find(actors, who)?, *signal, deadline)?,
        Step::Sysctl(key, value) => {
            std::fs::write(own("/proc/sys/net/", &format!("/proc/sys/{key}"))?, value)?;
        }
        Step::Interface(name, device) => network::add_interface(name, *device)?,
        Step::Address(name, ip) => network::add_address(name, *ip)?,
        Step::Create(path, Thing::File) => drop(std::fs::File::create_new(own(RUN, path)?)?),
        Step::Create(path, Thing::Directory) => std::fs::create_dir(own(RUN, path)?)?,
        Step::Create(path, Thing::Fifo) => rustix::fs::mknodat(
            rustix::fs::CWD,
            own(RUN, path)?,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o666),
            0,
        )?,
        Step::Create(path, Thing::DanglingLink) => std::os::unix::fs::symlink("/nowhere", own(RUN, path)?)?,
        Step::Remove(path) => std::fs::remove_file(own(RUN, path)?)?,
        Step::Await(sight) => await_row(sight, deadline)?,
    }
    Ok(Vec::new())
}

/// A path, if it is in a directory that belongs to the stage: pid 1 may be root of the whole machine, whose
/// files and other settings are none of a scene's business.
fn own<'a>(directory: &str, path: &'a str) -> Result<&'a str, Trouble> {
    let inside = path.strip_prefix(directory).is_some_and(|rest| rest.split('/').all(|part| part != ".."));
    if inside { Ok(path) } else { Err(other(format!("only what is in {directory} belongs to the stage"))) }
}

fn find<'a>(actors: &'a [Actor], name: &str) -> Result<&'a Actor, Trouble> {
    actors.iter().rev().find(|a| a.name == name).ok_or_else(|| other(format!("no actor is called {name}")))
}

/// Starts an actor: the same binary, under the actor's name and uid, with nothing open but its control
/// pipe.
fn spawn(actors: &[Actor], name: &str, uid: u32, deadline: Instant) -> Result<Actor, Trouble> {
    if actors.len() >= MOST_ACTORS {
        return Err(other("too many actors"));
    }
    let (control, theirs) = channel::pair()?;
    let mut command = Command::new("/proc/self/exe");
    // A process group of its own, as a shell gives one to each job.
    command.arg0(name).args([ROLE, "actor", name]).current_dir("/").process_group(0);
    command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
    become_user(&mut command, uid);
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let actor = Actor {
        name: name.into(),
        pid,
        process: pidfd_open(pid, PidfdFlags::empty())?,
        control: Some(control),
    };
    expect_ok(&actor, deadline)?;
    Ok(actor)
}

/// The uid, a gid of the same number, and no capability, unless that is root.
fn become_user(command: &mut Command, uid: u32) {
    if uid != 0 {
        command.uid(uid).gid(uid);
    }
}

/// Tells an actor to do something, and waits until it is done.
fn direct(actors: &mut Vec<Actor>, who: &str, act: &Act<'_>, deadline: Instant) -> Result<(), Trouble> {
    let full = actors.len() >= MOST_ACTORS;
    let actor = actors
        .iter_mut()
        .rev()
        .find(|actor| actor.name == who)
        .ok_or_else(|| other(format!("no actor is called {who}")))?;
    let Some(control) = &actor.control else {
        return Err(other(format!("{who} has become another program and takes no orders")));
    };
    if full && matches!(act, Act::Fork(_)) {
        return Err(other("too many actors"));
    }
    channel::send(control, &act_words(act), &[])?;
    match act {
        Act::Exit => gone(actor, deadline),
        // A new program closes the control pipe; an answer means that there is none.
        Act::Exec(_) => match channel::receive(control, Some(deadline))? {
            Some(answer) => understand(&answer).map(drop),
            None => {
                actor.control = None;
                Ok(())
            }
        },
        Act::Fork(child) => {
            let mut message = channel::receive(control, Some(deadline))?.ok_or_else(|| other("it died"))?;
            understand(&message)?;
            let control = message.fds.pop().ok_or_else(|| other("no pipe to the child"))?;
            let pid = message.words.get(1).and_then(|word| word.parse().ok()).and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| other("no pid of the child"))?;
            let process = pidfd_open(pid, PidfdFlags::empty())?;
            let child = Actor { name: (*child).to_owned(), pid, process, control: Some(control) };
            expect_ok(&child, deadline)?;
            actors.push(child);
            Ok(())
        }
        _ => expect_ok(actor, deadline),
    }
}

fn expect_ok(actor: &Actor, deadline: Instant) -> Result<(), Trouble> {
    let control = actor.control.as_ref().ok_or_else(|| other("it takes no orders"))?;
    match channel::receive(control, Some(deadline))? {
        Some(answer) => understand(&answer),
        None => Err(other(format!("{} died", actor.name))),
    }
}

fn understand(answer: &Message) -> Result<(), Trouble> {
    match answer.strs().as_slice() {
        ["ok", ..] => Ok(()),
        ["errno", errno] => errno.parse().map(Trouble::Errno).map_or_else(|_| Err(other("no errno")), Err),
        ["fail", why] => Err(other(*why)),
        _ => Err(other("an answer that the stage does not know")),
    }
}

/// Waits until the process has ended (all of its threads).
fn gone(actor: &Actor, deadline: Instant) -> Result<(), Trouble> {
    if channel::readable(actor.process.as_fd(), deadline)? {
        Ok(())
    } else {
        Err(other(format!("{} did not end", actor.name)))
    }
}

fn send_signal(actor: &Actor, signal: Signal, deadline: Instant) -> Result<(), Trouble> {
    use rustix::process::Signal as Number;
    let number = match signal {
        Signal::Kill => Number::KILL,
        Signal::Stop => Number::STOP,
        Signal::Continue => Number::CONT,
        Signal::Interrupt => Number::INT,
    };
    match signal {
        // Not yet waited for, so that its number is still its own.
        Signal::Interrupt => rustix::process::kill_process_group(actor.pid, number)?,
        _ => pidfd_send_signal(&actor.process, number)?,
    }
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", actor.pid.as_raw_nonzero()))?;
        Ok(stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
    };
    match signal {
        Signal::Kill | Signal::Interrupt => gone(actor, deadline),
        Signal::Stop => until(deadline, "it did not stop", stopped),
        Signal::Continue => until(deadline, "it did not go on", || stopped().map(|stopped| !stopped)),
    }
}

/// Waits for a row, and says what is there instead when it does not come.
fn await_row(sight: &Sight, deadline: Instant) -> Result<(), Trouble> {
    let wanted =
        |row: &Row| row.transport == Transport::Tcp && (row.local, row.state) == (sight.local, sight.state);
    until(deadline, "", || Ok(!rows::read(wanted)?.is_empty())).map_err(|trouble| {
        let seen = rows::read(|row| row.local.port() == sight.local.port()).unwrap_or_default();
        match trouble {
            Trouble::Other(_) => {
                let rows: Vec<String> = seen.iter().map(Row::to_string).collect();
                other(format!("it did not appear; there is: {}", rows.join("; ")))
            }
            errno => errno,
        }
    })
}

/// Looks every millisecond until the condition holds.
fn until(deadline: Instant, else_: &str, condition: impl Fn() -> io::Result<bool>) -> Result<(), Trouble> {
    while !condition()? {
        if Instant::now() > deadline {
            return Err(other(else_));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs a program to its end, as that user; its output goes to the two descriptors.
fn run(uid: u32, program: &str, arguments: &[&str], fds: &[OwnedFd]) -> Done {
    let [stdout, stderr] = fds else { return Err(other("no files for the output")) };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    become_user(&mut command, uid);
    let mut child = command.spawn()?;
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let in_time = channel::readable(process.as_fd(), Instant::now() + PROGRAM)?;
    if !in_time {
        child.kill()?;
    }
    let status = child.wait()?;
    match (in_time, status.code(), status.signal()) {
        (false, _, _) => Err(other("the program did not end in time")),
        (true, Some(code), _) => Ok(vec![code.to_string()]),
        (true, None, signal) => {
            Err(other(format!("the program was killed by signal {}", signal.unwrap_or(0))))
        }
    }
}
