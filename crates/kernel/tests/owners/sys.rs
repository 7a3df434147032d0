//! The calls that staging needs and that are unsafe.
//!
//! # Safety
//!
//! Each is called by a role that has no other thread which could mind.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::io::{Error, Result};

/// Gives the calling thread a table of open files of its own.
pub(crate) fn unshare_files() -> Result<()> {
    // SAFETY: descriptors of the old table are not used by this thread afterwards.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FILES)? };
    Ok(())
}

/// Ends the calling thread and nothing else: from the main thread, the process lives on in the others.
pub(crate) fn exit_thread() -> ! {
    // SAFETY: the role's other threads use nothing of this thread's stack.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit does not return")
}

/// Waits for a connection on a descriptor that another thread may close meanwhile.
pub(crate) fn accept(listener: RawFd) -> Result<()> {
    // SAFETY: no address is asked for, so the kernel writes nothing; a closed descriptor is an error.
    match unsafe { libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sets an option of level `SOL_SOCKET` that is one `int`.
pub(crate) fn set_socket_int(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `value` lives through the call and `length` is its size.
    match unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Reads an option of level `SOL_SOCKET` that is one `int`.
pub(crate) fn socket_int(socket: impl AsFd, option: libc::c_int) -> Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    let (fd, length) = (socket.as_fd().as_raw_fd(), &raw mut length);
    // SAFETY: `value` and `length` live through the call, and `length` is the size of `value`.
    match unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), length) } {
        0 => Ok(value),
        _ => Err(Error::last_os_error()),
    }
}

/// A new io_uring with these registered files (-1 for an empty slot).
pub(crate) fn ring_with(files: &[RawFd]) -> Result<OwnedFd> {
    /// `IORING_REGISTER_FILES`.
    const REGISTER_FILES: libc::c_uint = 2;
    let mut params = [0u8; 120];
    // SAFETY: `params` is as large as `struct io_uring_params`, and all zero asks for the defaults.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    let ring = RawFd::try_from(ring).ok().filter(|&fd| fd >= 0).ok_or_else(Error::last_os_error)?;
    // SAFETY: the kernel just made this descriptor for us.
    let ring = unsafe { OwnedFd::from_raw_fd(ring) };
    // SAFETY: the slice lives through the call, and its length goes with it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_FILES,
            files.as_ptr(),
            files.len(),
        )
    };
    if done == 0 { Ok(ring) } else { Err(Error::last_os_error()) }
}
