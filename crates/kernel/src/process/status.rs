//! `/proc/PID/status`: effective user, groups, effective capabilities (proc_pid_status(5)).
//!
//! The name in its first line is escaped by the kernel, so a line cannot be forged.

use crate::procfs::decimal;

/// What is used of a status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Effective user id.
    pub uid: Option<u32>,
    /// The effective group and the supplementary ones.
    pub groups: Vec<u32>,
    /// `CapEff`, one bit for each capability.
    pub capabilities: u64,
}

impl Status {
    /// Reads a status file; what is not in it stays at its default.
    pub fn parse(bytes: &[u8]) -> Status {
        let mut status = Status::default();
        for line in bytes.split(|&b| b == b'\n') {
            if let Some(ids) = line.strip_prefix(b"Uid:") {
                // Real, effective, saved, file system.
                status.uid = numbers(ids).nth(1);
            } else if let Some(ids) = line.strip_prefix(b"Gid:") {
                status.groups.extend(numbers(ids).nth(1));
            } else if let Some(ids) = line.strip_prefix(b"Groups:") {
                status.groups.extend(numbers(ids));
            } else if let Some(mask) = line.strip_prefix(b"CapEff:") {
                let mask = str::from_utf8(mask.trim_ascii()).ok();
                status.capabilities = mask.and_then(|m| u64::from_str_radix(m, 16).ok()).unwrap_or(0);
            }
        }
        status
    }
}

fn numbers(text: &[u8]) -> impl Iterator<Item = u32> {
    text.split(u8::is_ascii_whitespace).filter_map(|word| decimal(word).and_then(|n| u32::try_from(n).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, uid: Option<u32>, groups: &[u32], capabilities: u64) {
        let expect = Status { uid, groups: groups.to_vec(), capabilities };
        assert_eq!(Status::parse(text.as_bytes()), expect, "{text:?}");
    }

    #[test]
    fn the_effective_ids_count() {
        check(
            "Name:\tsudo\nState:\tS (sleeping)\nUid:\t1000\t0\t0\t0\nGid:\t1000\t27\t27\t27\nGroups:\t4 24 27 \nCapEff:\t000001ffffffffff\n",
            Some(0),
            &[27, 4, 24, 27],
            0x1ff_ffff_ffff,
        );
        check(
            "Uid:\t65534\t65534\t65534\t65534\nGid:\t1\t1\t1\t1\nGroups:\t \nCapEff:\t0\n",
            Some(65534),
            &[1],
            0,
        );
    }

    #[test]
    fn faulty_lines_leave_defaults() {
        check("", None, &[], 0);
        check("Uid:\nGid:\nGroups:\nCapEff:\n", None, &[], 0);
        check("Uid:\t1000", None, &[], 0);
        check("Uid:\tx\ty\tz\nCapEff:\tzz\n", None, &[], 0);
        check("Uid:\t1\t99999999999\t1\n", Some(1), &[], 0);
        check("Name:\tUid:\\n\nUi", None, &[], 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            Status::parse(&bytes);
        }
    }
}
