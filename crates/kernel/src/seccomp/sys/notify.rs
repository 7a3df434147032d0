//! The ioctls of the descriptor where questions arrive (seccomp_unotify(2)).
//!
//! # Safety
//!
//! Each request reads or writes one structure. Those that the kernel may make larger one day are as large as it
//! says that its own are (`SECCOMP_GET_NOTIF_SIZES`).
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::ffi::c_void;

/// `SECCOMP_IOCTL_NOTIF_ID_VALID` with the direction bits that it had first, which every kernel takes.
const ID_VALID: libc::Ioctl = libc::_IOR::<u64>(b'!' as u32, 2);

/// The sizes of the kernel's `struct seccomp_notif` and `struct seccomp_notif_resp`.
pub(in super::super) fn sizes() -> Result<(usize, usize), Errno> {
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: the kernel writes one structure, which lives through the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) };
    match answer {
        0 => Ok((sizes.seccomp_notif.into(), sizes.seccomp_notif_resp.into())),
        _ => Err(last()),
    }
}

/// Receives a question into `buffer`, which has at least the size that [`sizes`] said.
pub(in super::super) fn receive(fd: impl AsFd, buffer: &mut [u64]) -> Result<libc::seccomp_notif, Errno> {
    let (size, _) = sizes()?;
    if size_of_val(buffer) < size.max(size_of::<libc::seccomp_notif>()) {
        return Err(Errno::INVAL);
    }
    // The kernel refuses a structure that is not zeroed.
    buffer.fill(0);
    // SAFETY: the buffer is as large as the kernel's structure, was just checked to be, and is aligned to 8.
    unsafe { request(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, buffer.as_mut_ptr().cast()) }?;
    // SAFETY: the buffer is large and aligned enough, and every bit pattern is one of this structure of numbers.
    Ok(unsafe { buffer.as_ptr().cast::<libc::seccomp_notif>().read() })
}

/// Whether the call with this id still waits. ENOENT: it does not.
pub(in super::super) fn valid(fd: impl AsFd, id: u64) -> Result<(), Errno> {
    let mut id = id;
    // SAFETY: the kernel reads eight bytes, which live through the call.
    unsafe { request(fd, ID_VALID, (&raw mut id).cast()) }.map(drop)
}

/// Answers. `buffer` has at least the size that [`sizes`] said.
pub(in super::super) fn send(
    fd: impl AsFd,
    answer: &libc::seccomp_notif_resp,
    buffer: &mut [u64],
) -> Result<(), Errno> {
    let (_, size) = sizes()?;
    if size_of_val(buffer) < size.max(size_of::<libc::seccomp_notif_resp>()) {
        return Err(Errno::INVAL);
    }
    buffer.fill(0);
    let place = buffer.as_mut_ptr();
    // SAFETY: the buffer is large and aligned enough for the structure, as just checked.
    unsafe { place.cast::<libc::seccomp_notif_resp>().write(libc::seccomp_notif_resp { ..*answer }) };
    // SAFETY: the buffer is as large as the kernel's structure.
    unsafe { request(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, place.cast()) }.map(drop)
}

/// Puts a descriptor of ours into the table of the caller.
pub(in super::super) fn add_fd(fd: impl AsFd, given: &libc::seccomp_notif_addfd) -> Result<(), Errno> {
    let given: *const libc::seccomp_notif_addfd = given;
    // SAFETY: the kernel only reads the structure, which lives through the call; its size is in the request.
    unsafe { request(fd, libc::SECCOMP_IOCTL_NOTIF_ADDFD, given.cast_mut().cast()) }.map(drop)
}

/// # Safety
///
/// `argument` must point to what this request reads or writes.
unsafe fn request(fd: impl AsFd, request: libc::Ioctl, argument: *mut c_void) -> Result<libc::c_int, Errno> {
    // SAFETY: the caller vouches for the argument.
    match unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, argument) } {
        -1 => Err(last()),
        answer => Ok(answer),
    }
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
