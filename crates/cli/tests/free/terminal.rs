//! The one question of `inuse free`, on a terminal of its own.

use crate::Holder;
use crate::pty::{QUESTION, typed};
use std::os::unix::process::ExitStatusExt as _;

pub(crate) fn only_a_yes_is_a_yes_and_it_is_asked_once() {
    let check = |answer: &[u8], code: Option<i32>, signal: Option<i32>, lives: bool| {
        let mut holder = Holder::start();
        let (status, shown) = typed(&["free", &holder.address], || answer.to_vec());
        let what = format!("{:?}: {status}\n{shown}", answer.escape_ascii().to_string());
        assert_eq!((status.code(), status.signal()), (code, signal), "{what}");
        assert_eq!(holder.lives(), lives, "{what}");
        let (plan, rest) = shown.split_once(QUESTION).expect(&what);
        assert!(plan.contains(&format!("Send SIGTERM to sleep (pid {})", holder.child.id())), "{what}");
        assert!(!rest.contains(QUESTION), "{what}");
        assert_eq!(rest.contains("nothing was done"), code == Some(2), "{what}");
        assert_eq!(rest.contains(&format!("tcp/{} is free.", holder.address)), !lives, "{what}");
    };
    for yes in [&b"y\n"[..], b"YES\n", b" yes \n"] {
        check(yes, Some(0), None, false);
    }
    for no in [&b"n\n"[..], b"\n", b"yo\n", b"y es\n", b"\x04"] {
        check(no, Some(2), None, true);
    }
    check(b"\x03", None, Some(2), true);
}
