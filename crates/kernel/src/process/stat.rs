//! `/proc/PID/stat`: name, state, family, terminal, start.
//!
//! The name stands in parentheses and is whatever the process chose, parentheses, spaces and newlines
//! included, so the fields are counted from the *last* `)` (proc_pid_stat(5), `do_task_stat`).

use crate::procfs::decimal;

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What is used of a stat file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `comm`, as the process chose it.
    pub comm: Vec<u8>,
    /// State letter.
    pub state: u8,
    /// Parent.
    pub ppid: u32,
    /// Session.
    pub session: u32,
    /// Controlling terminal in the kernel's encoding, 0 for none.
    pub tty_nr: u32,
    /// `PF_` flags.
    pub flags: u64,
    /// Threads.
    pub threads: u32,
    /// Start, in clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads a stat file; `None` when it is cut short or is something else.
    pub fn parse(bytes: &[u8]) -> Option<Stat> {
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')')?;
        let comm = bytes.get(open + 1..close)?.to_vec();
        // Field 3 of the manual page is the first here.
        let mut fields = bytes.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
        let state = match fields.next()? {
            [letter] => *letter,
            _ => return None,
        };
        let rest: Vec<&[u8]> = fields.take(19).collect();
        let field = |number: usize| rest.get(number - 4).copied();
        // tty_nr is printed as a signed int and session may be -1 when the leader is gone.
        let small =
            |number| field(number).map(|f| decimal(f).and_then(|n| u32::try_from(n).ok()).unwrap_or(0));
        Some(Stat {
            comm,
            state,
            ppid: small(4)?,
            session: small(6)?,
            tty_nr: small(7)?,
            flags: decimal(field(9)?)?,
            threads: small(20)?,
            start_ticks: decimal(field(22)?)?,
        })
    }

    /// Whether the kernel runs it for itself: such a task has no files.
    pub fn kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Whether the main thread has ended: the process is over, or lives on in its other threads.
    pub fn main_thread_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// The controlling terminal as `/dev` names it.
    pub fn tty(&self) -> Option<String> {
        // new_encode_dev: the minor's low byte, the major, the minor's high bits.
        let major = self.tty_nr >> 8 & 0xfff;
        let minor = self.tty_nr & 0xff | self.tty_nr >> 12 & 0xfff00;
        match major {
            0 => None,
            4 if minor < 64 => Some(format!("tty{minor}")),
            4 => Some(format!("ttyS{}", minor - 64)),
            5 if minor == 1 => Some("console".to_owned()),
            // Eight majors of 256 terminals each (`UNIX98_PTY_SLAVE_MAJOR`).
            136..=143 => Some(format!("pts/{}", (major - 136) * 256 + minor)),
            _ => Some(format!("{major}:{minor}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A real line with another name.
    fn line(comm: &[u8], state: &str) -> Vec<u8> {
        let rest = format!(
            ") {state} 4400 4412 4400 34819 4412 4194304 100 0 0 0 5 2 0 0 20 0 11 0 987654 1000000 250 \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        [b"4412 (", comm, rest.as_bytes()].concat()
    }

    #[test]
    fn a_name_may_be_anything() {
        let check = |comm: &[u8]| {
            let stat = Stat::parse(&line(comm, "S")).expect("a whole line");
            assert_eq!(stat.comm, comm);
            assert_eq!((stat.state, stat.ppid, stat.session), (b'S', 4400, 4400));
            assert_eq!((stat.threads, stat.start_ticks), (11, 987_654));
            assert_eq!(stat.tty().as_deref(), Some("pts/3"));
        };
        check(b"node");
        check(b"");
        check(b"a) R 1 (b");
        check(b"((((");
        check(b"))))");
        check(b"two\nlines");
        check(b"\x1b[31mred");
        check("\u{202e}gnp".as_bytes());
        check(b"\xff\xfe");
    }

    #[test]
    fn faulty_lines_are_refused() {
        let whole = line(b"node", "S");
        let check = |bytes: &[u8]| assert_eq!(Stat::parse(bytes), None, "{}", bytes.escape_ascii());
        check(b"");
        check(b"4412 (node");
        check(b"4412 )node(");
        check(b"4412 (node)");
        check(b"4412 (node) S");
        check(b"4412 (node) S 1 2 3 4 5 6");
        check(b"4412 (node) SS 4400 4412 4400 34819 4412 4194304 1 0 0 0 5 2 0 0 20 0 11 0 987654");
        check(&whole[..whole.iter().position(|&b| b == b'9').unwrap()]);
    }

    #[test]
    fn kernel_threads_and_ended_main_threads_are_known() {
        let thread = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0";
        assert!(Stat::parse(thread).is_some_and(|s| s.kernel_thread() && s.tty().is_none()));
        assert!(Stat::parse(&line(b"x", "Z")).is_some_and(|s| s.main_thread_ended() && !s.kernel_thread()));
    }

    #[test]
    fn terminals_have_the_names_of_dev() {
        let check = |tty_nr, expect: Option<&str>| {
            let stat = Stat { tty_nr, ..Stat::parse(&line(b"x", "S")).expect("a whole line") };
            assert_eq!(stat.tty().as_deref(), expect);
        };
        check(0, None);
        check(34816, Some("pts/0"));
        check(136 << 8 | 0x2c | 0x1 << 20, Some("pts/300"));
        check(4 << 8 | 1, Some("tty1"));
        check(4 << 8 | 64, Some("ttyS0"));
        check(5 << 8 | 1, Some("console"));
        check(204 << 8 | 64, Some("204:64"));
        check(u32::MAX, Some("4095:1048575"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Stat::parse(&bytes).map(|stat| stat.tty());
        }

        #[test]
        fn every_name_comes_back(comm in prop::collection::vec(any::<u8>(), 0..16)) {
            prop_assert_eq!(Stat::parse(&line(&comm, "R")).map(|s| s.comm), Some(comm));
        }
    }
}
