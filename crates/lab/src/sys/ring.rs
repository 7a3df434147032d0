//! io_uring_setup(2) and io_uring_register(2), as far as holding a file takes.
//!
//! Nothing is ever submitted, so the rings are not mapped.
//!
//! # Safety
//! io_uring reads and writes memory that it is given; here that is one parameter block and one array of
//! descriptors, both only during the call.
#![allow(unsafe_code)]

use rustix::io_uring::{IoringRegisterOp, io_uring_params, io_uring_register, io_uring_setup};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

/// A ring of one entry.
pub(crate) fn ring() -> io::Result<OwnedFd> {
    let mut params = io_uring_params::default();
    // SAFETY: `params` is valid for reading and writing during the call, and asks for no memory of ours.
    Ok(unsafe { io_uring_setup(1, &mut params) }?)
}

/// Makes a file one of the ring's registered files: the ring then holds it like a descriptor would.
pub(crate) fn register(ring: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file.as_raw_fd()];
    // SAFETY: `files` is an array of one descriptor that is open during the call; the kernel takes its
    // own reference to the file and keeps no pointer.
    unsafe { io_uring_register(ring, IoringRegisterOp::RegisterFiles, files.as_ptr().cast(), 1) }?;
    Ok(())
}
