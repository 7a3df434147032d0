//! A file of sysfs mapped for reading, where the kernel allows that.
//!
//! # Safety
//!
//! A mapping is memory that nobody may change or take away while it is borrowed as bytes. That cannot be
//! said of any file, but of a constant of the kernel: so only sysfs is mapped, and only privately.
#![allow(unsafe_code)]

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::ops::Deref;
use std::ptr::NonNull;

/// `SYSFS_MAGIC`: what statfs(2) says of a file in sysfs.
const SYSFS: u32 = 0x6265_6572;

/// The mapped bytes.
pub(crate) struct Mapped {
    start: NonNull<c_void>,
    length: usize,
}

impl Mapped {
    /// Maps the first `length` bytes of a constant file in sysfs. Linux 6.16 allows that for the kernel's
    /// BTF; ENODEV before.
    pub(crate) fn new(file: impl AsFd, length: usize) -> Result<Mapped, Errno> {
        if u32::try_from(rustix::fs::fstatfs(&file)?.f_type) != Ok(SYSFS) {
            return Err(Errno::NODEV);
        }
        // SAFETY: a new mapping wherever the kernel wants it takes nothing away from anybody.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)?
        };
        Ok(Mapped { start: NonNull::new(start).ok_or(Errno::NOMEM)?, length })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped with this length for as long as `self` lives, and constant (see above).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole, and no borrow of it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.length) };
    }
}
