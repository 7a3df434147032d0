//! Reading /proc through directory descriptors: bounded, and without a formatted path per entry.
//!
//! A descriptor of `/proc/PID` (or of anything below it) stays with that very process: once the process
//! has ended, everything read through it fails with ESRCH or ENOENT, even when the pid was given out
//! again. So readers open a directory once and go on from there (proc(5), `fs/proc/base.c`).
//!
//! Not here: what the files mean (`process`, `owners`).

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::{Errno, Result};
use rustix::path::Arg;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;

/// A reused buffer for one batch of directory entries: some six hundred of them.
pub(crate) type DirBuf = [MaybeUninit<u8>; 16 * 1024];

/// Nearly every file of a process fits in here.
const PAGE: usize = 4096;

/// An unfilled [`DirBuf`].
pub(crate) const fn dir_buf() -> DirBuf {
    [MaybeUninit::uninit(); 16 * 1024]
}

/// A directory for reading.
pub(crate) fn open_dir(at: impl AsFd, path: impl Arg) -> Result<OwnedFd> {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The caller's /proc; ENOENT when something else is mounted there.
pub(crate) fn open_root() -> Result<OwnedFd> {
    let root = open_dir(rustix::fs::CWD, c"/proc")?;
    match rustix::fs::fstatfs(&root)?.f_type {
        rustix::fs::PROC_SUPER_MAGIC => Ok(root),
        _ => Err(Errno::NOENT),
    }
}

/// At most `most` bytes of a file.
pub(crate) fn read(at: impl AsFd, path: impl Arg, most: usize) -> Result<Vec<u8>> {
    let file = rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // An empty one would be filled 32 bytes at a time.
    let mut bytes = Vec::with_capacity(most.min(PAGE));
    match File::from(file).take(most as u64).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// The target of a link, cut at 4 KiB (`d_path` gives no more).
pub(crate) fn link(at: impl AsFd, path: impl Arg) -> Result<Vec<u8>> {
    let mut buf = [MaybeUninit::uninit(); 4096];
    let (target, _) = rustix::fs::readlinkat_raw(at, path, &mut buf)?;
    Ok(target.to_vec())
}

/// The inode in a link such as `net:[4026531840]`.
pub(crate) fn namespace(at: impl AsFd, path: impl Arg) -> Result<u64> {
    let target = link(at, path)?;
    let inode = target.split(|&b| b == b'[').nth(1).and_then(|rest| decimal(rest.strip_suffix(b"]")?));
    inode.ok_or(Errno::INVAL)
}

/// Every entry of a directory whose name is a number: processes, threads, descriptors.
pub(crate) fn numbers(dir: impl AsFd, buf: &mut DirBuf, mut each: impl FnMut(&CStr, u32)) -> Result<()> {
    // A descriptor that was read before stands at its end.
    rustix::fs::seek(&dir, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(dir, buf);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(number) = decimal(name.to_bytes()).and_then(|n| u32::try_from(n).ok()) {
            each(name, number);
        }
    }
    Ok(())
}

/// A number in decimal digits and nothing else.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &digit| {
        let value = digit.wrapping_sub(b'0');
        if value > 9 { None } else { sum.checked_mul(10)?.checked_add(value.into()) }
    })
}

/// The inode in the link of a socket's descriptor, `socket:[12345]`.
pub(crate) fn socket_inode(link: &[u8]) -> Option<u64> {
    decimal(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_link_has_an_inode() {
        let check = |link: &[u8], expect| assert_eq!(socket_inode(link), expect, "{}", link.escape_ascii());
        check(b"socket:[8613]", Some(8613));
        check(b"socket:[18446744073709551615]", Some(u64::MAX));
        check(b"socket:[18446744073709551616]", None);
        check(b"socket:[]", None);
        check(b"socket:[12", None);
        check(b"socket:[1 2]", None);
        check(b"socket:[-1]", None);
        check(b"/tmp/socket:[12]", None);
        check(b"pipe:[12]", None);
        check(b"", None);
    }

    #[test]
    fn the_namespace_of_this_process_is_read() {
        let root = open_root().expect("/proc is mounted");
        assert!(namespace(&root, c"self/ns/net").is_ok_and(|inode| inode > 0));
        assert_eq!(namespace(&root, c"self/exe"), Err(Errno::INVAL));
    }
}
