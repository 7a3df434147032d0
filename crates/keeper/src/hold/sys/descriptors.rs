#![allow(unsafe_code)]
//! Descriptors by number: taking over inherited ones, and placing them where a program expects them.
//!
//! # Safety
//! A number is taken over only by the code that was told that it is its own, while the process has one
//! thread; a number is overwritten only after everything that we own was moved away from it.

use rustix::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::io;

/// Takes over a descriptor that was inherited under this number.
pub(in crate::hold) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the borrow lives for one call that only asks whether the descriptor is open.
    rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: it is open, and who calls was given the number as its own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A duplicate, closed on exec, whose number is not below `least`.
pub(in crate::hold) fn above(fd: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, least)?)
}

/// Makes `number` name the same file, open across exec. Whatever had that number is closed; the source must
/// have another one (dup2(2) of a descriptor onto itself leaves it to be closed on exec).
pub(in crate::hold) fn place(source: &OwnedFd, number: RawFd) -> io::Result<()> {
    if source.as_raw_fd() == number {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: dup2 touches the table of descriptors only, and nothing of ours has this number any more.
    match unsafe { libc::dup2(source.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Everything from this number on closes on exec (close_range(2), Linux 5.11; before that, one by one).
pub(in crate::hold) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let Ok(least) = u32::try_from(first) else { return Err(io::ErrorKind::InvalidInput.into()) };
    // The C library has a function for it since glibc 2.34 only.
    // SAFETY: CLOSE_RANGE_CLOEXEC closes nothing now.
    if unsafe { libc::syscall(libc::SYS_close_range, least, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            // SAFETY: the borrow lives for one call; a closed number is answered with EBADF.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_descriptors_are_adopted() {
        for number in [-1, RawFd::MIN, 1_000_000] {
            assert!(adopt(number).is_err());
        }
    }
}
