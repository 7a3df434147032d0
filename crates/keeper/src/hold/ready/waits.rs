//! On what a thread waits: the text of `/proc/TID/syscall` and what lies behind its pointers, as bytes.
//!
//! See proc_pid_syscall(5), poll(2), select(2), and `ep_show_fdinfo` in `fs/eventpoll.c`.

/// A call in which a thread sleeps, as far as it waits for something to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// On this very descriptor: accept(2), recvfrom(2), recvmsg(2) and their like.
    One(u64),
    /// On `count` records of poll(2) at this address.
    Poll { at: u64, count: u64 },
    /// On the descriptors below `count` in the bitmap of select(2) at this address.
    Select { at: u64, count: u64 },
}

/// The most descriptors of one call that are looked at.
const MOST: u64 = 1024;

/// Reads `/proc/TID/syscall`.
pub(super) fn wait(syscall: &[u8]) -> Option<Wait> {
    let text = str::from_utf8(syscall).ok()?;
    let mut words = text.split_ascii_whitespace();
    let call: libc::c_long = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (first, second) = (argument()?, argument()?);
    match call {
        libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg => Some(Wait::One(first)),
        libc::SYS_ppoll => Some(Wait::Poll { at: first, count: second.min(MOST) }),
        libc::SYS_pselect6 => Some(Wait::Select { at: second, count: first.min(MOST) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => Some(Wait::Poll { at: first, count: second.min(MOST) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Some(Wait::Select { at: second, count: first.min(MOST) }),
        _ => None,
    }
}

/// How many bytes stand at the address.
pub(super) fn size(wait: Wait) -> usize {
    let bytes = match wait {
        Wait::One(_) => 0,
        Wait::Poll { count, .. } => count * 8,
        Wait::Select { count, .. } => count.div_ceil(64) * 8,
    };
    usize::try_from(bytes).unwrap_or(0)
}

/// Whether the bytes at the address name a descriptor to be read.
pub(super) fn names(wait: Wait, memory: &[u8], fd: u64) -> bool {
    match wait {
        Wait::One(one) => one == fd,
        Wait::Poll { .. } => memory.chunks_exact(8).any(|record| {
            // struct pollfd: int fd; short events; short revents.
            let Ok(record) = <[u8; 8]>::try_from(record) else { return false };
            let [a, b, c, d, low, high, ..] = record;
            let events = i16::from_ne_bytes([low, high]);
            u64::try_from(i32::from_ne_bytes([a, b, c, d])) == Ok(fd) && events & libc::POLLIN != 0
        }),
        Wait::Select { count, .. } => {
            let at = usize::try_from(fd / 64).unwrap_or(usize::MAX);
            let word = memory.chunks_exact(8).nth(at).and_then(|word| <[u8; 8]>::try_from(word).ok());
            fd < count && word.is_some_and(|word| u64::from_ne_bytes(word) >> (fd % 64) & 1 == 1)
        }
    }
}

/// Whether an epoll's fdinfo lists a file with this inode.
pub(super) fn epoll_has(fdinfo: &[u8], inode: u64) -> bool {
    let wanted = format!("ino:{inode:x}");
    let lines = fdinfo.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"tfd:"));
    lines.into_iter().any(|line| line.split(u8::is_ascii_whitespace).any(|word| word == wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_wait_for_something_to_come_in() {
        let check = |call: libc::c_long, rest: &str, expect: Option<Wait>| {
            assert_eq!(wait(format!("{call} {rest}\n").as_bytes()), expect, "{call} {rest}");
        };
        check(libc::SYS_accept, "0x3 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f", Some(Wait::One(3)));
        check(libc::SYS_accept4, "0x5 0x0", Some(Wait::One(5)));
        check(libc::SYS_ppoll, "0x7ffe 0x2 0x0", Some(Wait::Poll { at: 0x7ffe, count: 2 }));
        check(libc::SYS_pselect6, "0x4 0x7ffe", Some(Wait::Select { at: 0x7ffe, count: 4 }));
        check(libc::SYS_ppoll, "0x1 0xffffffffffffffff", Some(Wait::Poll { at: 1, count: MOST }));
        check(libc::SYS_read, "0x3 0x0", None);
        check(libc::SYS_accept, "", None);
        check(libc::SYS_accept, "3 0", None);
        for nothing in [&b""[..], b"running\n", b"-1 0x0 0x0\n", b"\xff\xfe"] {
            assert_eq!(wait(nothing), None);
        }
    }

    #[test]
    fn memory_names_descriptors() {
        let pollfd = |fd: i32, events: i16| [&fd.to_ne_bytes()[..], &events.to_ne_bytes(), &[0, 0]].concat();
        let memory = [pollfd(4, libc::POLLIN), pollfd(7, libc::POLLOUT), pollfd(-1, libc::POLLIN)].concat();
        let poll = Wait::Poll { at: 0, count: 3 };
        assert_eq!(size(poll), memory.len());
        assert!(names(poll, &memory, 4) && !names(poll, &memory, 7) && !names(poll, &memory, 3));
        assert!(!names(poll, &memory[..7], 4));
        let select = Wait::Select { at: 0, count: 70 };
        let bits = [(1u64 << 5).to_ne_bytes(), (1u64 << 3).to_ne_bytes()].concat();
        assert_eq!(size(select), 16);
        assert!(names(select, &bits, 5) && names(select, &bits, 67) && !names(select, &bits, 6));
        assert!(!names(select, &bits, 71) && !names(select, &[], 5) && !names(select, &bits, u64::MAX));
    }

    #[test]
    fn an_epoll_lists_inodes() {
        let fdinfo = b"pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 5  pos:0 ino:21ab sdev:8\n";
        assert!(epoll_has(fdinfo, 0x21ab));
        assert!(!epoll_has(fdinfo, 0x21a) && !epoll_has(b"", 1) && !epoll_has(b"x ino:1\n", 1));
    }
}
