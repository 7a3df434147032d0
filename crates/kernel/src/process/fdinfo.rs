//! `/proc/PID/fdinfo/FD`: close-on-exec, descriptors in flight, files registered with an io_uring
//! (proc_pid_fdinfo(5), `unix_show_fdinfo` in `net/unix/af_unix.c`, `io_uring_show_fdinfo` in
//! `io_uring/fdinfo.c`).
//!
//! The kernel escapes spaces and newlines in the paths it prints there, so a line cannot be forged.

use crate::procfs::{decimal, socket_inode};

/// Whether the `flags:` line of an fdinfo (octal, as open(2) takes them) has `O_CLOEXEC`.
pub fn close_on_exec(fdinfo: &[u8]) -> Option<bool> {
    let flags = value(fdinfo, b"flags:")?;
    let flags = u32::from_str_radix(str::from_utf8(flags).ok()?.trim(), 8).ok()?;
    Some(flags & libc::O_CLOEXEC as u32 != 0)
}

/// How many descriptors wait in a unix socket's queue, from its fdinfo; `None` for any other file.
pub fn descriptors_in_flight(fdinfo: &[u8]) -> Option<u64> {
    decimal(value(fdinfo, b"scm_fds:")?.trim_ascii())
}

/// The inodes of the sockets in a ring's fdinfo; `None` when it has no list of files.
pub fn registered_sockets(fdinfo: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let mut lines = fdinfo.split(|&b| b == b'\n');
    lines.find(|line| line.starts_with(b"UserFiles:"))?;
    Some(lines.map_while(slot).filter_map(socket_inode))
}

fn value<'a>(fdinfo: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fdinfo.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name))
}

/// What stands in a numbered slot, `    2: socket:[8615]`; `None` where the list ends.
fn slot(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (number, rest) = line.split_at_checked(colon)?;
    decimal(number.trim_ascii())?;
    Some(rest.get(1..)?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn close_on_exec_is_read_from_octal_flags() {
        let check =
            |fdinfo: &[u8], expect| assert_eq!(close_on_exec(fdinfo), expect, "{}", fdinfo.escape_ascii());
        check(b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t8614\n", Some(true));
        check(b"pos:\t0\nflags:\t02\n", Some(false));
        check(b"pos:\t0\nflags:\t02004002\n", Some(true));
        check(b"pos:\t0\nflags:\t9\n", None);
        check(b"pos:\t0\nflags:\t\n", None);
        check(b"pos:\t0\nflags:\t77777777777777777777\n", None);
        check(b"pos:\t0\nfla", None);
        check(b"", None);
    }

    #[test]
    fn only_a_unix_socket_counts_descriptors_in_flight() {
        let check = |fdinfo: &[u8], expect| {
            assert_eq!(descriptors_in_flight(fdinfo), expect, "{}", fdinfo.escape_ascii());
        };
        check(b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t8615\nscm_fds: 1\n", Some(1));
        check(b"pos:\t0\nscm_fds: 0\n", Some(0));
        check(b"pos:\t0\nino:\t8613\n", None);
        check(b"scm_fds: \n", None);
        check(b"scm_fds: 99999999999999999999999\n", None);
        check(b"scm_fds: -1\n", None);
        check(b"", None);
    }

    #[test]
    fn registered_files_are_the_numbered_lines_after_their_heading() {
        let check = |fdinfo: &str, expect: Option<&[u64]>| {
            let got = registered_sockets(fdinfo.as_bytes()).map(|files| files.collect::<Vec<_>>());
            assert_eq!(got.as_deref(), expect, "{fdinfo}");
        };
        check(
            "pos:\t0\nSqMask:\t0x3\nUserFiles:\t4\n    0: socket:[8613]\n    2: socket:[8615]\n    3: /dev/null\n\
             UserBufs:\t0\n",
            Some(&[8613, 8615]),
        );
        check(
            "UserFiles:\t2\n    0: <none>\n    1: socket:[7]\nUserBufs:\t1\n    0: 0x7f00/4096\n",
            Some(&[7]),
        );
        check("UserFiles:\t0\nUserBufs:\t0\n", Some(&[]));
        check("pos:\t0\nflags:\t02000002\nmnt_id:\t17\n", None);
        check("", None);
        check("UserFiles:\t1\n    0: /tmp/socket:[9]\n", Some(&[]));
        check("UserFiles:\t1\n    0: socket:[99", Some(&[]));
        check("UserFiles:\t1\n:\n    1: socket:[5]\n", Some(&[]));
        check("UserFiles", None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            close_on_exec(&bytes);
            descriptors_in_flight(&bytes);
            let _ = registered_sockets(&bytes).map(Iterator::count);
        }

        #[test]
        fn no_lines_make_it_panic(text in "(flags:|scm_fds:|UserFiles:|socket:\\[|[0-9]{1,3}|[: \t\n]){0,20}") {
            let bytes = text.as_bytes();
            close_on_exec(bytes);
            descriptors_in_flight(bytes);
            let _ = registered_sockets(bytes).map(Iterator::count);
        }
    }
}
