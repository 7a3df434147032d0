//! kcmp(2): whether two tasks share one table of open files.
//!
//! # Safety
//!
//! The call takes five integers and touches no memory of the caller.
#![allow(unsafe_code)]

use rustix::io::Errno;

/// `KCMP_FILES` of `include/uapi/linux/kcmp.h`.
const FILES: libc::c_int = 2;

/// Whether two tasks share one table of open files. Fails where the kernel was built without kcmp
/// (ENOSYS), where it is not permitted (EPERM), and when either has ended (ESRCH).
pub(crate) fn same_files(one: u32, other: u32) -> Result<bool, Errno> {
    // SAFETY: integers only; a task that does not exist is an error, not undefined.
    let answer = unsafe { libc::syscall(libc::SYS_kcmp, one, other, FILES, 0, 0) };
    match answer {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        order => Ok(order == 0),
    }
}
