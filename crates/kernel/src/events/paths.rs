//! What happens to a path: inotify(7) on what stands there, and on the directories that lead there.
//!
//! The file itself is watched, not its directory: then a directory in which much happens wakes nobody.
//! Removing a name changes the file's count of links (`IN_ATTRIB`), even while a socket keeps the file.
//! Not here: what stands at the path (`unixpath`).

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::{Errno, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A watch on one path at a time.
pub(super) struct Paths {
    fd: OwnedFd,
    watched: BTreeSet<i32>,
}

impl Paths {
    /// Without a path yet.
    pub(super) fn open() -> Result<Paths> {
        Ok(Paths { fd: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?, watched: BTreeSet::new() })
    }

    /// Watches this path instead of the one before. False when what stands there cannot be watched.
    pub(super) fn watch(&mut self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        let itself =
            WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::DONT_FOLLOW;
        let moved = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let mut now = BTreeSet::new();
        // A directory that cannot be watched costs speed only; the root never moves.
        for directory in path.ancestors().skip(1).filter(|path| path.parent().is_some()) {
            now.extend(add_watch(&self.fd, directory, moved));
        }
        let found = add_watch(&self.fd, path, itself);
        now.extend(found);
        for old in self.watched.difference(&now) {
            // A watch on what is gone has gone with it.
            let _ = remove_watch(&self.fd, *old);
        }
        self.watched = now;
        matches!(found, Ok(_) | Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// Takes away all that was reported. True when something happened to what is watched now.
    pub(super) fn drain(&mut self) -> bool {
        let mut any = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        loop {
            match reader.next() {
                // That a watch has ended says nothing by itself; an overflow has no watch.
                Ok(event) => {
                    any |= event.wd() == -1
                        || (self.watched.contains(&event.wd()) && event.events() != ReadFlags::IGNORED);
                }
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for Paths {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
