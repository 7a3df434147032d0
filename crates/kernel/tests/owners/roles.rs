//! The roles: short programs that hold a socket in some way, say so, and stay until their input ends.

use crate::sys;
use inuse_kernel::owners::{self, FindOptions, Road, Wanted};
use inuse_rules::Ownership;
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::io::{FdFlags, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{Error, Result, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Plays a role to its end.
pub(crate) fn play(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let played = match words[..] {
        ["idle"] => idle(),
        ["named", name] => named(name),
        ["listen"] => listen(),
        ["inherited"] => inherited(),
        ["thread"] => thread(),
        ["churn"] => churn(),
        ["blip"] => blip(),
        ["main-exited"] => main_exited(),
        ["accepting"] => accepting(),
        ["flight", how] => flight(how),
        ["ring"] => ring(),
        ["ask", inode, uid] => ask(inode, uid),
        ["ask-own"] => ask_own(),
        ["options", pid, fd, inode] => options(pid, fd, inode),
        ["nobody", ref rest @ ..] => become_nobody().and_then(|()| match play_as(rest) {
            ExitCode::SUCCESS => Ok(()),
            _ => Err(Error::other("the role failed")),
        }),
        _ => Err(Error::other(format!("there is no role {words:?}"))),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&[("cannot", error.to_string())]);
            ExitCode::FAILURE
        }
    }
}

fn play_as(words: &[&str]) -> ExitCode {
    play(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn say(pairs: &[(&str, String)]) {
    let line: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", line.join("\t"));
    let _ = out.flush();
}

/// Waits for one more word, or for the end.
fn wait() -> Result<bool> {
    let mut line = String::new();
    Ok(std::io::stdin().read_line(&mut line)? > 0)
}

fn inode(fd: impl AsFd) -> Result<String> {
    Ok(rustix::fs::fstat(fd)?.st_ino.to_string())
}

fn listener() -> Result<OwnedFd> {
    Ok(TcpListener::bind("127.0.0.1:0")?.into())
}

fn fd_of(fd: &OwnedFd) -> String {
    fd.as_raw_fd().to_string()
}

fn idle() -> Result<()> {
    say(&[("pid", std::process::id().to_string())]);
    wait().map(drop)
}

/// A process with that `comm`; `\n`, `\e` and `\r` stand for what cannot be said in an argument.
fn named(name: &str) -> Result<()> {
    let name = name.replace("\\n", "\n").replace("\\e", "\x1b");
    rustix::thread::set_name(&std::ffi::CString::new(name)?)?;
    idle()
}

/// One listener under two numbers.
fn listen() -> Result<()> {
    let socket = listener()?;
    let again = rustix::io::fcntl_dupfd_cloexec(&socket, 20)?;
    say(&[("inode", inode(&socket)?), ("fd", fd_of(&socket)), ("again", fd_of(&again))]);
    wait().map(drop)
}

/// A listener without close-on-exec, and a child that inherits it.
fn inherited() -> Result<()> {
    let socket = listener()?;
    rustix::io::fcntl_setfd(&socket, FdFlags::empty())?;
    let exe = std::env::current_exe()?;
    let mut child = Command::new(exe).args(["--role", "idle"]).stdout(Stdio::null()).spawn()?;
    say(&[("inode", inode(&socket)?), ("fd", fd_of(&socket)), ("child", child.id().to_string())]);
    wait()?;
    child.wait().map(drop)
}

/// Sockets and processes that come and go until the input ends.
fn churn() -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let coming_and_going = [0u32, 1].map(|thread| {
        let over = over.clone();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match thread {
                    0 => _ = few_listeners(8).map(|held| std::thread::sleep(held.0)),
                    _ => _ = Command::new("/proc/self/exe").args(["--role", "blip"]).status(),
                }
            }
        })
    });
    idle()?;
    over.store(true, Ordering::Relaxed);
    coming_and_going.into_iter().for_each(|thread| _ = thread.join());
    Ok(())
}

/// A process that has sockets for a moment.
fn blip() -> Result<()> {
    let held = few_listeners(4)?;
    std::thread::sleep(held.0);
    Ok(())
}

/// Some listeners, and how long to hold them.
fn few_listeners(count: usize) -> Result<(Duration, Vec<OwnedFd>)> {
    let held = (0..count).map(|_| listener()).collect::<Result<_>>()?;
    Ok((Duration::from_millis(3), held))
}

/// A listener in the table of one thread only.
fn thread() -> Result<()> {
    let holder = std::thread::spawn(|| {
        sys::unshare_files()?;
        let socket = listener()?;
        let tid = rustix::thread::gettid().as_raw_nonzero().to_string();
        say(&[("inode", inode(&socket)?), ("fd", fd_of(&socket)), ("tid", tid)]);
        wait().map(drop)
    });
    holder.join().unwrap_or_else(|_| Err(Error::other("the thread panicked")))
}

/// A listener in a process whose main thread has ended; two threads share the table that is left.
fn main_exited() -> Result<()> {
    let socket = listener()?;
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
    std::thread::spawn(move || {
        let said = inode(&socket).map(|inode| say(&[("inode", inode), ("fd", fd_of(&socket))]));
        let code = i32::from(said.and_then(|()| wait()).is_err());
        std::process::exit(code)
    });
    sys::exit_thread()
}

/// A listener that was closed while a thread waits in accept(2) on it.
fn accepting() -> Result<()> {
    let socket = listener()?;
    let (inode, fd) = (inode(&socket)?, socket.as_raw_fd());
    let (send, tid) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(rustix::thread::gettid());
        sys::accept(fd)
    });
    let tid = tid.recv().map_err(Error::other)?.as_raw_nonzero();
    let call = format!("/proc/self/task/{tid}/syscall");
    let asleep = |call: &str| call.split(' ').nth(1) == Some(&format!("{fd:#x}"));
    let start = Instant::now();
    while !asleep(&std::fs::read_to_string(&call)?) {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(Error::other("accept does not wait"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let closed = fd_of(&socket);
    drop(socket);
    say(&[("inode", inode), ("fd", closed), ("tid", tid.to_string())]);
    wait().map(drop)
}

/// A listener that is registered with an io_uring and in no table.
fn ring() -> Result<()> {
    let socket = listener()?;
    let inode = inode(&socket)?;
    let ring = sys::ring_with(&[-1, socket.as_raw_fd(), 0])
        .map_err(|error| Error::new(error.kind(), format!("no io_uring here: {error}")))?;
    drop(socket);
    say(&[("inode", inode), ("fd", fd_of(&ring))]);
    wait().map(drop)
}

/// A listener in flight. Told to go on, the role receives one message and says what came out of it.
fn flight(how: &str) -> Result<()> {
    let kind = match how {
        "datagram" => SocketType::DGRAM,
        "seqpacket" => SocketType::SEQPACKET,
        _ => SocketType::STREAM,
    };
    let pair = || rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let unconnected = || rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let socket = listener()?;
    let (sender, receiver) = pair()?;
    let (carrier, _open) = match how {
        "stream" | "datagram" | "seqpacket" => {
            send(&sender, &socket)?;
            (receiver, sender)
        }
        "behind-data" => {
            rustix::net::send(&sender, b"some plain data first", SendFlags::empty())?;
            send(&sender, &socket)?;
            (receiver, sender)
        }
        "second-message" => {
            send(&sender, &receiver)?;
            send(&sender, &socket)?;
            (receiver, sender)
        }
        "peek-offset" => {
            sys::set_socket_int(&receiver, libc::SO_PEEK_OFF, 0)?;
            send(&sender, &socket)?;
            (receiver, sender)
        }
        // The socket that carries it is itself in flight.
        "nested" => {
            let (inner, carried) = pair()?;
            send(&inner, &socket)?;
            send(&sender, &carried)?;
            (receiver, inner)
        }
        // It waits in a connection that nobody has accepted.
        "unaccepted" => {
            let (server, client) = (unconnected()?, unconnected()?);
            let name = format!("inuse-test-{}", std::process::id());
            let name = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
            rustix::net::bind(&server, &name)?;
            rustix::net::listen(&server, 1)?;
            rustix::net::connect(&client, &name)?;
            send(&client, &socket)?;
            (server, client)
        }
        _ => return Err(Error::other(format!("no flight {how}"))),
    };
    let carried = inode(&socket)?;
    drop(socket);
    say(&[("inode", carried), ("fd", fd_of(&carrier))]);
    while wait()? {
        let offset = sys::socket_int(&carrier, libc::SO_PEEK_OFF)?;
        let (bytes, received) = receive(&carrier)?;
        let inodes: Vec<String> = received.iter().filter_map(|fd| inode(fd).ok()).collect();
        drop(received);
        say(&[("bytes", bytes.to_string()), ("inodes", inodes.join(",")), ("offset", offset.to_string())]);
    }
    Ok(())
}

fn send(over: &OwnedFd, what: &OwnedFd) -> Result<()> {
    let what = [what.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&what));
    rustix::net::sendmsg(over, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// The bytes and the descriptors of one receive.
fn receive(from: &OwnedFd) -> Result<(usize, Vec<OwnedFd>)> {
    let mut data = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(from, &mut [IoSliceMut::new(&mut data)], &mut control, flags)?;
    let mut received = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = part {
            received.extend(fds);
        }
    }
    Ok((message.bytes, received))
}

/// Asks for the owner of a socket, and says what was found and what was not seen.
fn ask(inode: &str, uid: &str) -> Result<()> {
    let inode = inode.parse().map_err(Error::other)?;
    let wanted = Wanted { inode, uid: uid.parse().ok() };
    // Whoever may not use the iterator must get the same answer from /proc.
    let seen = owners::find(&[wanted], &FindOptions { road: Road::Iterator, ..FindOptions::default() });
    let owner = match seen.found.get(&inode) {
        Some(Ownership::Held(_)) => "held",
        Some(Ownership::Hidden) => "hidden",
        Some(Ownership::Nobody(why)) => why.code(),
        other => return Err(Error::other(format!("unexpected: {other:?}"))),
    };
    let blind: Vec<String> = seen.blind.iter().map(|b| format!("{} => {}", b.what, b.remedy)).collect();
    say(&[("owner", owner.to_owned()), ("blind", blind.join(" | "))]);
    wait().map(drop)
}

/// Asks who has a socket of its own, and says which process that is.
fn ask_own() -> Result<()> {
    let socket = listener()?;
    let wanted = Wanted { inode: rustix::fs::fstat(&socket)?.st_ino, uid: None };
    let seen = owners::find(&[wanted], &FindOptions { road: Road::Iterator, ..FindOptions::default() });
    let holders: Vec<String> =
        seen.found.values().flat_map(Ownership::holdings).map(|h| h.pid.to_string()).collect();
    say(&[("holders", holders.join(",")), ("own", std::process::id().to_string())]);
    wait().map(drop)
}

/// Tries to read another process's socket options, and says what came of it.
fn options(pid: &str, fd: &str, inode: &str) -> Result<()> {
    let holding = inuse_rules::Holding {
        pid: pid.parse().map_err(Error::other)?,
        tid: None,
        fds: vec![fd.parse().map_err(Error::other)?],
        cloexec: None,
    };
    let read = inuse_kernel::options::read(&holding, inode.parse().map_err(Error::other)?, None);
    say(&[("read", read.map_or_else(|unread| unread.to_string(), |options| format!("{options:?}")))]);
    wait().map(drop)
}

/// Becomes the user nobody for good. The role has one thread, so this is the whole process.
fn become_nobody() -> Result<()> {
    let refused = |error| Error::other(format!("it takes root to become another user: {error}"));
    let (uid, gid) = (rustix::process::Uid::from_raw(65534), rustix::process::Gid::from_raw(65534));
    rustix::thread::set_thread_groups(&[]).map_err(refused)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(refused)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(refused)?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    Ok(())
}
