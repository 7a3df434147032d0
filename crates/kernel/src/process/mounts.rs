//! `/proc/PID/mountinfo`: how /proc is mounted (proc_pid_mountinfo(5)).

use crate::procfs::decimal;

/// The option by which the visible /proc hides processes (`hidepid`), unless the exempt group is one of
/// the caller's. `hidepid=1` and `noaccess` hide files, `2` and `invisible` whole processes, `4` and
/// `ptraceable` what ptrace(2) would refuse; a capability may lift all of it.
pub fn hidden_processes(mountinfo: &[u8], in_group: impl Fn(u32) -> bool) -> Option<String> {
    // The last mount on a place is the one that shows.
    let proc = mountinfo.split(|&b| b == b'\n').filter_map(proc_options).next_back()?;
    let options = || proc.split(|&b| b == b',');
    let value = |name: &[u8]| options().find_map(|option| option.strip_prefix(name));
    let hides = value(b"hidepid=")?;
    let exempt = value(b"gid=").and_then(decimal).and_then(|gid| u32::try_from(gid).ok());
    let hides = match hides {
        b"0" | b"off" => return None,
        other => str::from_utf8(other).ok()?,
    };
    // ptraceable knows no exempt group.
    if exempt.is_some_and(in_group) && !matches!(hides, "4" | "ptraceable") {
        return None;
    }
    Some(format!("hidepid={hides}"))
}

/// The file system's options of a line that mounts proc on /proc.
fn proc_options(line: &[u8]) -> Option<&[u8]> {
    // 22 27 0:21 / /proc rw,relatime shared:1 - proc proc rw,hidepid=invisible
    let mut fields = line.split(|&b| b == b' ');
    if fields.nth(4)? != b"/proc" {
        return None;
    }
    let mut after = fields.skip_while(|&field| field != b"-").skip(1);
    let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
    (kind == b"proc").then_some(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hidepid_is_an_option_of_the_file_system() {
        let check = |text: &str, expect: Option<&str>| {
            let got = hidden_processes(text.as_bytes(), |gid| gid == 27);
            assert_eq!(got.as_deref(), expect, "{text:?}");
        };
        check("22 27 0:21 / /proc rw,relatime - proc proc rw\n", None);
        check("22 27 0:21 / /proc rw shared:5 - proc proc rw,hidepid=invisible\n", Some("hidepid=invisible"));
        check("22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n", Some("hidepid=2"));
        check("22 27 0:21 / /proc rw - proc proc rw,hidepid=off\n", None);
        check("22 27 0:21 / /proc rw - proc proc rw,gid=27,hidepid=2\n", None);
        check("22 27 0:21 / /proc rw - proc proc rw,gid=28,hidepid=2\n", Some("hidepid=2"));
        check("22 27 0:21 / /proc rw - proc proc rw,gid=27,hidepid=ptraceable\n", Some("hidepid=ptraceable"));
        check("22 27 0:21 / /mnt/proc rw - proc proc rw,hidepid=2\n", None);
        check("22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n90 22 0:50 / /proc rw - proc proc rw\n", None);
        check("22 27 0:21 / /proc rw shared:5\n", None);
        check("22 27 0:21 / /proc rw - proc\n", None);
        check("22 27 0:21 /", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            hidden_processes(&bytes, |_| true);
        }
    }
}
