//! Namespaces, interfaces and socket options for the cases.
//!
//! # Safety
//! unshare(2) without `CLONE_FILES` breaks no rule of Rust; the ioctl and setsockopt calls are handed
//! whole structures that live across the call.
#![allow(unsafe_code)]

use crate::Missing;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities, unshare_unsafe};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Set for a copy of this program that only listens on 127.0.0.1 and that port.
pub(crate) const LISTEN_INSTEAD: &str = "INUSE_FACTS_LISTEN";

/// Without root, enters a user namespace in which the caller is root. Must run before any thread exists.
pub(crate) fn own_user_namespace() -> Result<(), Missing> {
    if geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: the process has one thread, and keeps its file table.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }
        .map_err(|errno| Missing(format!("no user namespaces here: {errno}")))?;
    let write = |name: &str, text: String| std::fs::write(format!("/proc/self/{name}"), text);
    write("setgroups", "deny".into())
        .and_then(|()| write("uid_map", format!("0 {uid} 1")))
        .and_then(|()| write("gid_map", format!("0 {gid} 1")))
        .map_err(|error| Missing(format!("a user namespace cannot be set up: {error}")))
}

/// Runs a case in a thread with a network namespace of its own, in which `lo` is up.
pub(crate) fn in_fresh_netns(case: fn() -> Result<(), Missing>) -> Result<(), Missing> {
    let thread = std::thread::spawn(move || {
        enter_fresh_netns()?;
        set_up("lo");
        case()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves this thread to a network namespace of its own, in which `lo` is down.
pub(crate) fn enter_fresh_netns() -> Result<(), Missing> {
    // SAFETY: the thread keeps its file table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| Missing(format!("no network namespaces here: {errno}")))
}

/// Moves this thread to a mount namespace of its own, whose mounts stay there.
pub(crate) fn enter_fresh_mounts() -> Result<(), Missing> {
    // SAFETY: the thread keeps its file table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|errno| Missing(format!("no mount namespaces here: {errno}")))?;
    mount("--make-rprivate /")
}

/// Runs mount(8) with these words.
pub(crate) fn mount(words: &str) -> Result<(), Missing> {
    let output = Command::new("mount").args(words.split_whitespace()).output();
    let output = output.map_err(|error| Missing(format!("the program mount: {error}")))?;
    let refusal = || Missing(format!("mount {words}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    if output.status.success() { Ok(()) } else { Err(refusal()) }
}

/// Sets an interface up (netdevice(7)).
pub(crate) fn set_up(name: &str) {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
    // SAFETY: ifreq is plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // The C libraries do not agree on the type of a request.
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives until the call returns.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    assert_eq!(done, 0, "{name}: {}", std::io::Error::last_os_error());
}

/// SO_BINDTODEVICE.
pub(crate) fn bind_to_device(socket: impl AsFd, name: &str) {
    let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    let fd = socket.as_fd().as_raw_fd();
    let length = name.len().try_into().unwrap();
    // SAFETY: the name lives until the call returns, and its length is given.
    let done = unsafe { libc::setsockopt(fd, level, option, name.as_ptr().cast(), length) };
    assert_eq!(done, 0, "{name}: {}", std::io::Error::last_os_error());
}

/// TCP_DEFER_ACCEPT: a connection stays a request until data comes.
pub(crate) fn defer_accept(socket: impl AsFd) {
    let seconds: libc::c_int = 60;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the number lives until the call returns, and its size is given.
    let done = unsafe { libc::setsockopt(fd, level, option, (&raw const seconds).cast(), length) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Makes this thread as powerless as any user's, whatever its uid.
pub(crate) fn give_up_capabilities() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).unwrap();
}

/// A socket of that type and of the address's family.
pub(crate) fn socket(kind: SocketType, address: SocketAddr) -> OwnedFd {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// A tcp socket bound to that address, not listening.
pub(crate) fn bound(address: SocketAddr, v6only: bool) -> OwnedFd {
    let socket = socket(SocketType::STREAM, address);
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, v6only).unwrap();
    }
    bind(&socket, &address).unwrap();
    socket
}

/// A tcp socket that listens on that address.
pub(crate) fn listening(address: SocketAddr, v6only: bool, backlog: i32) -> TcpListener {
    let socket = bound(address, v6only);
    listen(&socket, backlog).unwrap();
    socket.into()
}

/// Asks again and again until `done` says so, for at most five seconds; gives the last answer.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> T, done: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if done(&answer) || start.elapsed() > Duration::from_secs(5) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs ip(8) with these words.
pub(crate) fn ip(words: &str) -> Result<String, Missing> {
    let output = Command::new("ip").args(words.split_whitespace()).output();
    let output = output.map_err(|error| Missing(format!("the program ip (iproute2): {error}")))?;
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process in this thread's network namespace that listens until it is dropped.
pub(crate) struct Listener {
    process: Child,
}

impl Listener {
    /// Starts it on 127.0.0.1 and that port.
    pub(crate) fn start(port: u16) -> Listener {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(LISTEN_INSTEAD, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        Listener { process }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Listener {
    /// The end of its standard input tells it to end.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What the process of a [`Listener`] does.
pub(crate) fn listen_until_told(port: &OsStr) -> ExitCode {
    let port: u16 = port.to_str().unwrap().parse().unwrap();
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::io::stdout().write_all(b"listening\n").unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
