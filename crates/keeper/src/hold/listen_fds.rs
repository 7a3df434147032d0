//! The protocol of sd_listen_fds(3), the sender's side: names, places, and the words in the environment.
//!
//! Descriptors stand at 3, 4, … without a gap, in order, open across exec; `LISTEN_PID` is the process after
//! exec, `LISTEN_FDNAMES` has as many names as there are descriptors. `LISTEN_PIDFDID` is the inode of a
//! pidfd of that process, where pidfds have one (Linux 6.9).

use rustix::fd::RawFd;
use std::ffi::OsString;

/// The number of the first descriptor (`SD_LISTEN_FDS_START`).
pub(super) const FIRST: RawFd = 3;

/// The longest name.
const LONGEST_NAME: usize = 255;

/// `PID_FS_MAGIC`: since Linux 6.9 each pidfd has an inode of its own there.
const PID_FS_MAGIC: rustix::fs::FsWord = 0x5049_4446;

/// All variables of the protocol.
pub(super) const VARIABLES: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

/// Whether a socket may have this name (`fdname_is_valid` of systemd).
pub fn is_name(name: &str) -> bool {
    let fine = |byte: u8| (b' '..127).contains(&byte) && byte != b':';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fine)
}

/// The environment for these sockets; nothing for none.
pub(super) fn environment(
    names: &[String],
    pid: u32,
    pidfd_inode: Option<u64>,
) -> Vec<(&'static str, OsString)> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut words: Vec<(&str, OsString)> = vec![
        ("LISTEN_FDS", names.len().to_string().into()),
        ("LISTEN_PID", pid.to_string().into()),
        ("LISTEN_FDNAMES", names.join(":").into()),
    ];
    words.extend(pidfd_inode.map(|inode| ("LISTEN_PIDFDID", inode.to_string().into())));
    words
}

/// The inode of this process's pidfd, where it has one of its own.
pub(super) fn own_pidfd_inode() -> Option<u64> {
    let flags = rustix::process::PidfdFlags::empty();
    let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), flags).ok()?;
    let on_pidfs = rustix::fs::fstatfs(&pidfd).ok()?.f_type == PID_FS_MAGIC;
    let inode = rustix::fs::fstat(&pidfd).ok()?.st_ino;
    on_pidfs.then_some(inode)
}

/// What we were given ourselves: how many, and their names, from the values of the variables.
pub(super) fn given(fds: Option<&str>, pid: Option<&str>, names: Option<&str>, own_pid: u32) -> Vec<String> {
    let count = fds.and_then(digits).filter(|count| (1..=1024).contains(count));
    let (Some(count), true) = (count, pid.and_then(digits) == Some(own_pid)) else { return Vec::new() };
    let names: Vec<&str> = names.map(|names| names.split(':').collect()).unwrap_or_default();
    (0..count as usize)
        .map(|at| names.get(at).copied().filter(|name| is_name(name)).unwrap_or(super::UNNAMED).to_owned())
        .collect()
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_systemd() {
        for (name, fine) in [
            ("web", true),
            ("a b", true),
            ("", false),
            ("a:b", false),
            ("a\n", false),
            ("ä", false),
            ("\u{7f}", false),
            (&*"x".repeat(255), true),
            (&*"x".repeat(256), false),
        ] {
            assert_eq!(is_name(name), fine, "{name:?}");
        }
    }

    #[test]
    fn the_environment_counts() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(environment(&[], 7, Some(1)), []);
        assert_eq!(
            environment(&names(&["web", "unknown"]), 70, Some(9)),
            [
                ("LISTEN_FDS", "2".into()),
                ("LISTEN_PID", "70".into()),
                ("LISTEN_FDNAMES", "web:unknown".into()),
                ("LISTEN_PIDFDID", "9".into()),
            ]
        );
        assert_eq!(environment(&names(&["a"]), 70, None).len(), 3);
    }

    #[test]
    fn only_what_is_ours_was_given_to_us() {
        let check = |fds: &str, pid: &str, names: Option<&str>, expect: &[&str]| {
            assert_eq!(given(Some(fds), Some(pid), names, 70), expect, "{fds:?} {pid:?} {names:?}");
        };
        check("2", "70", Some("a:b"), &["a", "b"]);
        check("2", "70", None, &["unknown", "unknown"]);
        check("2", "70", Some("a"), &["a", "unknown"]);
        check("1", "70", Some("a:b"), &["a"]);
        for (fds, pid) in [
            ("0", "70"),
            ("", "70"),
            ("-1", "70"),
            ("01", "70"),
            ("99999999999", "70"),
            ("2000", "70"),
            ("2", "71"),
            ("2", "070"),
            ("2", "70 "),
            ("2", ""),
        ] {
            check(fds, pid, None, &[]);
        }
        assert!(given(None, None, None, 70).is_empty());
    }
}
