#![allow(unsafe_code)]
//! Sessions and process groups by their numbers, as getsid(2) and getpgid(2) say them.
//!
//! rustix has both, in a type that cannot be 0; yet the kernel says 0 for a number that our pid namespace does not hold
//! (`pid_vnr`): so are session and group of a container's first process, unless what started it made new ones.
//!
//! # Safety
//! The calls take and give back integers.

use std::io;

/// The pid of a process that is 0 where it has no number here.
pub(in crate::hold) fn known(pid: libc::pid_t) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}

/// Our session, which has its leader's number.
pub(in crate::hold) fn session() -> Option<u32> {
    // SAFETY: no memory of ours is touched.
    known(unsafe { libc::getsid(0) })
}

/// The process group of a process, of our own for `None`. `Ok(None)` is a group of an outer pid namespace.
pub(in crate::hold) fn group(of: Option<rustix::process::Pid>) -> io::Result<Option<u32>> {
    // SAFETY: no memory of ours is touched.
    match unsafe { libc::getpgid(rustix::process::Pid::as_raw(of)) } {
        -1 => Err(io::Error::last_os_error()),
        group => Ok(known(group)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Pid;

    #[test]
    fn only_a_number_is_known() {
        assert_eq!([1, 0, -1].map(known), [Some(1), None, None]);
    }

    /// Whoever runs this may have been started from outside of our pid namespace, or by a shell with job control.
    #[test]
    fn as_proc_says_it() {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("our own");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let field = |at| fields.split(' ').nth(at).and_then(|field| field.parse().ok()).and_then(known);
        assert_eq!((group(None).expect("a group"), session()), (field(2), field(3)));
        let child = std::process::Command::new("true").spawn().expect("a child");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        assert_eq!(group(pid).expect("its group"), field(2));
        child.wait_with_output().expect("its end");
        assert!(group(Some(Pid::from_raw(i32::MAX).expect("a number"))).is_err());
    }
}
