//! Which threads sleep in a call that waits for a given socket: accept, epoll, poll and select.
//!
//! They would wait for ever if something that should wake them were kept from happening. Read from
//! `/proc/TID/syscall`, the links in `/proc/TID/fd`, the `tfd:` lines of an epoll's fdinfo, and the caller's memory
//! for poll's array.
//!
//! Not here: waking them.

use super::target::Target;
use crate::procfs;
use rustix::fd::AsFd as _;
use rustix::io::Result;

/// Descriptors of one poll(2) that are looked at; one that waits for more counts as waiting for the socket.
const MOST_POLLED: u64 = 4096;
/// Bytes of an epoll's fdinfo.
const MOST_FDINFO: usize = 1 << 20;

/// A thread that sleeps in a call which waits for the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its process.
    pub tgid: u32,
    /// The thread.
    pub tid: u32,
    /// How it waits.
    pub how: Waits,
}

/// How a thread waits for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// In a call that names the descriptor, and looks it up anew when it is made again: accept, poll, select.
    ByNumber,
    /// In a call that has taken hold of the file itself: epoll.
    ByFile,
    /// Not yet: the thread runs, and may be about to fall asleep in any call.
    Perhaps,
}

/// The processes that have the socket with this inode open, as far as can be seen; without the caller's own.
pub fn holders(inode: u64) -> Result<Vec<u32>> {
    let root = procfs::open_root()?;
    let own = std::process::id();
    let mut holders = Vec::new();
    let (mut pids, mut buf) = (Vec::new(), procfs::dir_buf());
    procfs::numbers(&root, &mut buf, |_, pid| pids.push(pid))?;
    for pid in pids.into_iter().filter(|&pid| pid != own) {
        let Ok(fds) = procfs::open_dir(&root, format!("{pid}/fd")) else { continue };
        let mut has = false;
        let looked = procfs::numbers(&fds, &mut buf, |name, _| {
            has = has
                || procfs::link(&fds, name).ok().and_then(|link| procfs::socket_inode(&link)) == Some(inode);
        });
        if looked.is_ok() && has {
            holders.push(pid);
        }
    }
    Ok(holders)
}

/// The threads of these processes that wait for the socket with this inode, or run and may do so next. The thread `but` is left out: it is
/// in another call. `None` when a thread could not be looked at, so that one may wait unseen.
pub fn waiters(inode: u64, processes: &[u32], but: u32) -> Option<Vec<Waiter>> {
    let root = procfs::open_root().ok()?;
    let mut found = Vec::new();
    let mut buf = procfs::dir_buf();
    for &tgid in processes {
        let Ok(tasks) = procfs::open_dir(root.as_fd(), format!("{tgid}/task")) else { continue };
        let mut tids = Vec::new();
        procfs::numbers(&tasks, &mut buf, |_, tid| tids.push(tid)).ok()?;
        for tid in tids.into_iter().filter(|&tid| tid != but) {
            let Ok(target) = Target::new(tid) else { continue };
            let call = match procfs::read(&tasks, format!("{tid}/syscall"), 512) {
                Ok(text) => Sleeping::parse(&text),
                // It has ended.
                Err(rustix::io::Errno::SRCH | rustix::io::Errno::NOENT) => Sleeping::Elsewhere,
                Err(_) => return None,
            };
            let how = match call {
                Sleeping::In(call) => waits(&target, &tasks, tid, call, inode),
                Sleeping::Not => Some(Waits::Perhaps),
                Sleeping::Elsewhere => None,
            };
            if let Some(how) = how {
                found.push(Waiter { tgid, tid, how });
            }
        }
    }
    Some(found)
}

/// Whether the call waits for the socket, and then how.
fn waits(target: &Target, tasks: impl rustix::fd::AsFd, tid: u32, call: InCall, inode: u64) -> Option<Waits> {
    let fd = u32::try_from(call.arguments[0]).ok();
    match i64::try_from(call.number).ok()? {
        libc::SYS_accept | libc::SYS_accept4 => (target.socket(fd?)? == inode).then_some(Waits::ByNumber),
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => {
            let fdinfo = procfs::read(tasks, format!("{tid}/fdinfo/{}", fd?), MOST_FDINFO).ok()?;
            watched(&fdinfo, inode, |fd| target.socket(fd)).then_some(Waits::ByFile)
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => {
            let fdinfo = procfs::read(tasks, format!("{tid}/fdinfo/{}", fd?), MOST_FDINFO).ok()?;
            watched(&fdinfo, inode, |fd| target.socket(fd)).then_some(Waits::ByFile)
        }
        libc::SYS_ppoll => polls(target, call, inode).then_some(Waits::ByNumber),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => polls(target, call, inode).then_some(Waits::ByNumber),
        // Which descriptors they wait for is not read; to think that this is one of them does no harm.
        libc::SYS_pselect6 => Some(Waits::ByNumber),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Some(Waits::ByNumber),
        _ => None,
    }
}

fn polls(target: &Target, call: InCall, inode: u64) -> bool {
    let [address, count, ..] = call.arguments;
    if count > MOST_POLLED {
        return true;
    }
    // `struct pollfd`: an int and two shorts.
    let mut array = vec![0; count as usize * 8];
    let Ok(read) = target.memory(address, &mut array) else { return true };
    array.truncate(read);
    array.chunks_exact(8).any(|one| {
        let fd = u32::from_ne_bytes([one[0], one[1], one[2], one[3]]);
        target.socket(fd) == Some(inode)
    })
}

/// Whether an epoll's fdinfo names the socket: by inode since Linux 4.13, else by what the number is.
fn watched(fdinfo: &[u8], inode: u64, socket: impl Fn(u32) -> Option<u64>) -> bool {
    fdinfo.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"tfd:")).any(|line| {
        let words: Vec<&[u8]> =
            line.split(|b| b.is_ascii_whitespace() || *b == b':').filter(|w| !w.is_empty()).collect();
        let after =
            |name: &[u8]| words.iter().position(|&word| word == name).and_then(|at| words.get(at + 1));
        match after(b"ino") {
            Some(hex) => {
                str::from_utf8(hex).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok()) == Some(inode)
            }
            None => {
                let fd =
                    words.first().and_then(|fd| procfs::decimal(fd)).and_then(|fd| u32::try_from(fd).ok());
                fd.and_then(&socket) == Some(inode)
            }
        }
    })
}

/// A line of /proc/TID/syscall: where a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeping {
    In(InCall),
    /// Outside of any call, or in a way that is not known here.
    Elsewhere,
    /// It runs, or would if it had a processor; it may be inside of a call.
    Not,
}

/// The call in which a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InCall {
    number: u64,
    arguments: [u64; 6],
}

impl Sleeping {
    fn parse(text: &[u8]) -> Sleeping {
        match text.trim_ascii() {
            b"running" => Sleeping::Not,
            line => InCall::parse(line).map_or(Sleeping::Elsewhere, Sleeping::In),
        }
    }
}

impl InCall {
    fn parse(line: &[u8]) -> Option<InCall> {
        let mut words = line.split(u8::is_ascii_whitespace);
        let number = procfs::decimal(words.next()?)?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            let hex = str::from_utf8(words.next()?.strip_prefix(b"0x")?).ok()?;
            *argument = u64::from_str_radix(hex, 16).ok()?;
        }
        Some(InCall { number, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_syscall() {
        let check = |text: &[u8], expect: Option<(u64, [u64; 6])>| {
            let expect = expect.map_or(Sleeping::Elsewhere, |(number, arguments)| {
                Sleeping::In(InCall { number, arguments })
            });
            assert_eq!(Sleeping::parse(text), expect, "{}", text.escape_ascii());
        };
        check(
            b"43 0x3 0x0 0x0 0x0 0x1 0xffffffffffffffff 0x7ffe 0x7f3f\n",
            Some((43, [3, 0, 0, 0, 1, u64::MAX])),
        );
        assert_eq!(Sleeping::parse(b"running\n"), Sleeping::Not);
        check(b"-1 0x7ffe5d2f8a10 0x7f3f8e1126a7\n", None);
        check(b"43 0x3 0x0\n", None);
        check(b"43 3 0 0 0 0 0\n", None);
        check(b"", None);
    }

    #[test]
    fn an_epoll_names_what_it_watches() {
        let check = |fdinfo: &[u8], expect| {
            assert_eq!(
                watched(fdinfo, 0x21a6, |fd| (fd == 9).then_some(0x21a6)),
                expect,
                "{}",
                fdinfo.escape_ascii()
            );
        };
        check(
            b"pos:\t0\ntfd:        5 events:       19 data:                5  pos:0 ino:21a6 sdev:8\n",
            true,
        );
        check(b"tfd:        5 events:       19 data:                5  pos:0 ino:21a7 sdev:8\n", false);
        check(b"tfd:        9 events:       19 data:                9\n", true);
        check(b"tfd:        8 events:       19 data:                8\n", false);
        check(b"tfd:\ntfd: ino\ntfd: ino:zz\n", false);
        check(b"", false);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            Sleeping::parse(&bytes);
            watched(&bytes, 1, |_| None);
        }
    }

    #[test]
    fn a_thread_in_accept_is_found_by_any_number_of_the_socket() {
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let inode = rustix::fs::fstat(&listener).expect("open").st_ino;
        let other = listener.try_clone().expect("a duplicate");
        let own = std::process::id();
        let waits = || {
            let mut waiters = waiters(inode, &[own], 0).expect("our own threads");
            // Those of other tests run.
            waiters.retain(|waiter| waiter.how != Waits::Perhaps);
            waiters
        };
        assert_eq!(waits(), []);
        std::thread::scope(|scope| {
            scope.spawn(|| other.accept());
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while waits().is_empty() && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            let seen = waits();
            drop(TcpStream::connect(address));
            assert!(
                matches!(seen[..], [Waiter { tgid, how: Waits::ByNumber, .. }] if tgid == own),
                "{seen:?}"
            );
        });
        assert!(!holders(inode).expect("/proc").contains(&own));
    }
}
