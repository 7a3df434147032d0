//! `/proc/PID/syscall`: the call in which a thread sleeps, with its arguments (proc_pid_syscall(5)).

use crate::procfs::decimal;

/// The number of the system call in which a thread sleeps, and its first argument; `None` when it runs,
/// or sleeps outside of any call.
pub fn sleeping_in(syscall: &[u8]) -> Option<(u64, u64)> {
    // 288 0x3 0x0 0x0 0x80000 0x0 0x0 0x7ffe5d2f8a10 0x7f3f8e1126a7
    let mut words = syscall.split(u8::is_ascii_whitespace);
    let number = decimal(words.next()?)?;
    let first = str::from_utf8(words.next()?.strip_prefix(b"0x")?).ok()?;
    Some((number, u64::from_str_radix(first, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_call_and_its_first_argument() {
        let check = |text: &[u8], expect| assert_eq!(sleeping_in(text), expect, "{}", text.escape_ascii());
        check(b"288 0x3 0x0 0x0 0x80000 0x0 0x0 0x7ffe5d2f8a10 0x7f3f8e1126a7\n", Some((288, 3)));
        check(b"running\n", None);
        check(b"-1 0x7ffe5d2f8a10 0x7f3f8e1126a7\n", None);
        check(b"288\n", None);
        check(b"288 3\n", None);
        check(b"288 0x\n", None);
        check(b"288 0xfffffffffffffffff\n", None);
        check(b"", None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            sleeping_in(&bytes);
        }
    }
}
