//! The words with which a parent announces sockets: `LISTEN_PID`, `LISTEN_PIDFDID`, `LISTEN_FDS`,
//! `LISTEN_FDNAMES` (sd_listen_fds(3)).
//!
//! Pure: what the environment says, and who asks, are arguments. The order of the checks is that of libsystemd:
//! words for somebody else are no error, however wrong the rest of them is.

use super::fault::Fault;
use std::ffi::{OsStr, OsString};

/// The number of the first descriptor (`SD_LISTEN_FDS_START`).
pub(super) const FIRST: i32 = 3;

/// The name of a descriptor to which the parent gave none.
const UNKNOWN: &str = "unknown";

/// The four variables, as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) pid: Option<OsString>,
    pub(super) pidfdid: Option<OsString>,
    pub(super) fds: Option<OsString>,
    pub(super) fdnames: Option<OsString>,
}

impl Words {
    /// Those of this process. Nothing is changed: to write the environment is unsound while other threads may
    /// read it, and a child has another pid than `LISTEN_PID` says.
    pub(super) fn of_this_process() -> Words {
        let word = std::env::var_os;
        Words {
            pid: word("LISTEN_PID"),
            pidfdid: word("LISTEN_PIDFDID"),
            fds: word("LISTEN_FDS"),
            fdnames: word("LISTEN_FDNAMES"),
        }
    }

    /// How many descriptors there are for the process with this pid, from [`FIRST`] on, and their names.
    /// `pidfd` tells the inode number of a pidfd of that process, where the kernel has such a thing.
    pub(super) fn read(&self, pid: u32, pidfd: impl FnOnce() -> Option<u64>) -> Result<Announced, Fault> {
        let nothing = Ok(Announced { count: 0, names: None });
        let Some(word) = &self.pid else { return nothing };
        let malformed = |variable, word: &OsStr| Err(Fault::Malformed { variable, word: word.to_owned() });
        match number(word) {
            Number::Is(other) if other == u64::from(pid) => {}
            // With a leading zero it is the number of no process as a sender has to write it.
            Number::Is(_) | Number::LeadingZero => return nothing,
            Number::Malformed => return malformed("LISTEN_PID", word),
        }
        if let Some(word) = &self.pidfdid {
            match (number(word), pidfd()) {
                (Number::Is(theirs), Some(own)) if theirs != own => return nothing,
                (Number::Is(_), _) => {}
                _ => return malformed("LISTEN_PIDFDID", word),
            }
        }
        let Some(word) = &self.fds else { return nothing };
        let count = match number(word) {
            Number::Is(count) if count >= 1 => i32::try_from(count).ok().filter(|n| *n <= i32::MAX - FIRST),
            _ => None,
        };
        let Some(count) = count else { return malformed("LISTEN_FDS", word) };
        let Some(word) = &self.fdnames else { return Ok(Announced { count, names: None }) };
        let names: Vec<String> = word.to_string_lossy().split(':').map(str::to_owned).collect();
        if usize::try_from(count) != Ok(names.len()) {
            return Err(Fault::Names { names: names.len(), descriptors: count });
        }
        Ok(Announced { count, names: Some(names) })
    }
}

/// What is there for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) count: i32,
    names: Option<Vec<String>>,
}

impl Announced {
    /// The name of the descriptor at this place, counted from 0.
    pub(super) fn name(&self, place: usize) -> &str {
        self.names.as_ref().map_or(UNKNOWN, |names| names.get(place).map_or(UNKNOWN, String::as_str))
    }
}

enum Number {
    Is(u64),
    LeadingZero,
    Malformed,
}

/// Decimal digits, nothing else: no sign, no blanks.
fn number(word: &OsStr) -> Number {
    let digits = word.to_str().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    match digits {
        Some(text) if text.len() > 1 && text.starts_with('0') => Number::LeadingZero,
        Some(text) => text.parse().map_or(Number::Malformed, Number::Is),
        None => Number::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    const PID: u32 = 4711;

    /// `-` stands for a variable that is not set.
    #[track_caller]
    fn check(words: [&str; 4], expect: &str) {
        let [pid, pidfdid, fds, fdnames] =
            words.map(|word| (word != "-").then(|| OsString::from_vec(word.into())));
        let read = Words { pid, pidfdid, fds, fdnames }.read(PID, || Some(99));
        let shown = match read {
            Ok(found) => {
                let names: Vec<&str> = (0..found.count as usize).map(|place| found.name(place)).collect();
                format!("{} {}", found.count, names.join(","))
            }
            Err(fault) => fault.to_string(),
        };
        assert!(shown.starts_with(expect), "{words:?}: {shown}");
    }

    #[test]
    fn what_parents_write() {
        // LISTEN_PID, LISTEN_PIDFDID, LISTEN_FDS, LISTEN_FDNAMES
        check(["4711", "-", "1", "-"], "1 unknown");
        check(["4711", "-", "2", "web:admin"], "2 web,admin");
        check(["4711", "99", "1", "web"], "1 web");
        check(["4711", "-", "2", "web:web"], "2 web,web");
        check(["4711", "-", "1", ""], "1 ");
        check(["4711", "-", "-", "-"], "0 ");
    }

    #[test]
    fn words_for_somebody_else_are_no_error() {
        check(["-", "-", "1", "web"], "0 ");
        check(["4712", "-", "1", "-"], "0 ");
        check(["4712", "x", "x", "x"], "0 ");
        check(["04711", "-", "1", "-"], "0 ");
        check(["4711", "98", "1", "-"], "0 ");
        check(["4711", "98", "none", "-"], "0 ");
        check(["18446744073709551615", "-", "1", "-"], "0 ");
    }

    #[test]
    fn malformed_words_are_told_with_the_variable() {
        for pid in ["", "4711 ", " 4711", "+4711", "-4711", "0x1267", "4711\n", "18446744073709551616"] {
            check([pid, "-", "1", "-"], "LISTEN_PID is ");
        }
        for fds in ["0", "", "-1", "1 ", "1.0", "one", "01", "2147483647", "99999999999999999999"] {
            check(["4711", "-", fds, "-"], "LISTEN_FDS is ");
        }
        for pidfdid in ["", "0x63", "99 ", "-99", "099"] {
            check(["4711", pidfdid, "1", "-"], "LISTEN_PIDFDID is ");
        }
        check(["4711", "-", "2", "web"], "LISTEN_FDNAMES has 1 name, and LISTEN_FDS announces 2");
        check(["4711", "-", "1", "web:admin"], "LISTEN_FDNAMES has 2 names, and LISTEN_FDS announces 1");
        check(["4711", "-", "2", ""], "LISTEN_FDNAMES has 1 name, and LISTEN_FDS announces 2");
    }

    #[test]
    fn without_pidfs_the_number_of_a_pidfd_is_not_asked() {
        let words = Words {
            pid: Some("4711".into()),
            pidfdid: Some("98".into()),
            fds: Some("1".into()),
            fdnames: None,
        };
        assert_eq!(words.read(PID, || None).map(|found| found.count).ok(), Some(1));
    }

    /// Near what parents write, and any bytes.
    fn word() -> impl Strategy<Value = Option<OsString>> {
        let written = "4711|99|[0-9]{1,3}|[a-z:]{0,8}|[ +0-9:-]{0,12}".prop_map(String::into_bytes);
        proptest::option::of(prop_oneof![written, any::<Vec<u8>>()].prop_map(OsString::from_vec))
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic_and_only_our_own_count(
            pid in prop_oneof![Just(Some(OsString::from("4711"))), word()],
            pidfdid in word(),
            fds in word(),
            fdnames in word(),
            own in any::<Option<u64>>(),
        ) {
            let ours = pid.as_deref() == Some(OsStr::new("4711"));
            match (Words { pid, pidfdid, fds, fdnames }).read(PID, || own) {
                Ok(found) => {
                    prop_assert!(found.count == 0 || ours);
                    prop_assert!((0..=i32::MAX - FIRST).contains(&found.count));
                    for place in [0, 1, usize::MAX] {
                        let _ = found.name(place);
                    }
                }
                Err(fault) => prop_assert!(!fault.to_string().chars().any(char::is_control)),
            }
        }
    }
}
