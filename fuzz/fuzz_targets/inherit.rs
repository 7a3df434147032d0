//! Whatever a parent announces with `LISTEN_*`: only words for this process count, only numbers that a descriptor can
//! have, one name for each or none, and what is wrong is told in one line.
//!
//! The parser is no part of the library's surface, so its files are included here.
#![no_main]
#![allow(dead_code, reason = "the faults of descriptors are none of words")]

#[path = "../../crates/bind/src/inherit/fault.rs"]
mod fault;
#[path = "../../crates/bind/src/inherit/words.rs"]
mod words;

use fault::Fault;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const PID: u32 = 4711;

fuzz_target!(|input: (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>)| {
    let (pid, pidfdid, fds, fdnames, pidfd) = input;
    let word = |bytes: Option<Vec<u8>>| bytes.map(OsString::from_vec);
    // Most words are not for this process, which says little: an empty one stands for the right one.
    let pid = pid.map(|pid| if pid.is_empty() { PID.to_string().into_bytes() } else { pid });
    let own = pid.as_deref() == Some(PID.to_string().as_bytes());
    let names = fdnames.as_ref().map(|names| names.split(|&byte| byte == b':').count());
    let words =
        words::Words { pid: word(pid), pidfdid: word(pidfdid), fds: word(fds), fdnames: word(fdnames) };
    match words.read(PID, || pidfd) {
        Ok(found) => {
            assert!(found.count == 0 || own);
            assert!((0..=i32::MAX - words::FIRST).contains(&found.count));
            if let (Some(names), true) = (names, found.count > 0) {
                assert_eq!(usize::try_from(found.count), Ok(names));
            }
            for place in [0, 1, usize::MAX] {
                let _ = found.name(place);
            }
        }
        Err(fault) => {
            let told = fault.to_string();
            assert!(told.len() < 1000 && !told.chars().any(char::is_control), "{told:?}");
        }
    }
});
