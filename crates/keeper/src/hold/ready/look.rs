//! Whether somebody waits on a socket: a thread asleep in accept(2), poll(2) or select(2) with it, or an epoll
//! instance that has it. Only looks; a program that asks in another way (io_uring) is not seen to.

use super::waits::{self, Wait};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

/// Descriptors and threads of one process that are looked at.
const MOST: usize = 4096;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It waits on a socket.
    Waits,
    /// It can be seen, and does not.
    NotYet,
    /// It cannot be seen: /proc does not show its descriptors to us, or it has an io_uring.
    Hidden,
}

/// Looks at one process for sockets with these inodes.
pub(crate) fn look(pid: u32, inodes: &[u64]) -> Sight {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Sight::Hidden };
    let mut sockets = Vec::new();
    let mut hidden = false;
    for entry in entries.flatten().take(MOST) {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        match target.as_os_str().as_bytes() {
            b"anon_inode:[eventpoll]" => {
                let info = fs::read(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
                if inodes.iter().any(|inode| waits::epoll_has(&info, *inode)) {
                    return Sight::Waits;
                }
            }
            b"anon_inode:[io_uring]" => hidden = true,
            name if inodes.iter().any(|inode| name == format!("socket:[{inode}]").as_bytes()) => {
                sockets.push(number);
            }
            _ => {}
        }
    }
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Sight::Hidden };
    for thread in threads.flatten().take(MOST) {
        let Ok(text) = fs::read(thread.path().join("syscall")) else {
            hidden = true;
            continue;
        };
        let Some(wait) = waits::wait(&text) else { continue };
        let memory = memory(pid, wait);
        if sockets.iter().any(|fd| waits::names(wait, &memory, *fd)) {
            return Sight::Waits;
        }
    }
    if hidden { Sight::Hidden } else { Sight::NotYet }
}

/// What the call points to; nothing where it cannot be read.
fn memory(pid: u32, wait: Wait) -> Vec<u8> {
    let (Wait::Poll { at, .. } | Wait::Select { at, .. }) = wait else { return Vec::new() };
    let mut bytes = vec![0; waits::size(wait)];
    let read = File::open(format!("/proc/{pid}/mem")).and_then(|file| file.read_at(&mut bytes, at));
    bytes.truncate(read.unwrap_or(0));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, epoll, poll};
    use rustix::fs::fstat;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    fn listener() -> (TcpListener, u64) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = fstat(&listener).unwrap().st_ino;
        (listener, inode)
    }

    #[track_caller]
    fn comes_to_wait(inode: u64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while look(std::process::id(), &[inode]) != Sight::Waits {
            assert!(Instant::now() < deadline, "not seen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_thread_in_accept_is_seen() {
        let (listener, inode) = listener();
        let address = listener.local_addr().unwrap();
        assert_ne!(look(std::process::id(), &[inode]), Sight::Waits);
        let thread = std::thread::spawn(move || listener.accept().is_ok());
        comes_to_wait(inode);
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_thread_in_poll_is_seen() {
        let (listener, inode) = listener();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || poll(&mut [PollFd::new(&listener, PollFlags::IN)], None));
        comes_to_wait(inode);
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(1));
    }

    #[test]
    fn an_epoll_instance_is_seen() {
        let (listener, inode) = listener();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        assert_ne!(look(std::process::id(), &[inode]), Sight::Waits);
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
        assert_eq!(look(std::process::id(), &[inode]), Sight::Waits);
    }
}
