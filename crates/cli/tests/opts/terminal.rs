//! `inuse opts` where a person sits: the one question before anything is set, what happens to the socket while the
//! question stands, and tables that fit the terminal.

use crate::pty::terminal::COLUMNS;
use crate::pty::{QUESTION, typed};
use crate::{Holder, option};
use rustix::net::sockopt;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;

#[test]
fn only_a_yes_sets_it_and_it_is_asked_once() {
    let check = |answer: &[u8], code: Option<i32>, signal: Option<i32>, expect: &str| {
        let holder = Holder::tcp();
        let words = ["opts", &holder.address, "SO_KEEPALIVE=1", "SO_RCVBUF=64KiB"];
        let (status, shown) = typed(&words, || answer.to_vec());
        let what = format!("{:?}: {status}\n{shown}", answer.escape_ascii().to_string());
        assert_eq!((status.code(), status.signal()), (code, signal), "{what}");
        assert_eq!(option(&holder.address, "SO_KEEPALIVE")["value"], expect, "{what}");
        let (plan, rest) = shown.split_once(QUESTION).expect(&what);
        assert!(plan.contains("1. SO_KEEPALIVE: off → on on tcp/127.0.0.1:"), "{what}");
        assert!(plan.contains("2. SO_RCVBUF: "), "{what}");
        assert!(!rest.contains(QUESTION), "{what}");
        assert_eq!(rest.contains("nothing was done"), code == Some(2), "{what}");
        assert_eq!(rest.contains("is in force"), code == Some(0), "{what}");
        assert_eq!(rest.contains("the kernel doubles it"), code == Some(0), "{what}");
    };
    for yes in [&b"y\n"[..], b"YES\n", b" yes \n"] {
        check(yes, Some(0), None, "on");
    }
    for no in [&b"n\n"[..], b"\n", b"yo\n", b"\x04"] {
        check(no, Some(2), None, "off");
    }
    check(b"\x03", None, Some(2), "off");
}

/// The test itself holds the socket, and gives its descriptor to another one before it answers.
#[test]
fn a_descriptor_that_is_replaced_at_the_question_is_not_set() {
    let socket = || OwnedFd::from(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    let (mut held, other) = (socket(), socket());
    let target = format!("pid:{}/fd:{}", std::process::id(), held.as_raw_fd());
    let answer = || {
        rustix::io::dup2(&other, &mut held).expect("its number");
        b"y\n".to_vec()
    };
    let (status, shown) = typed(&["opts", &target, "SO_KEEPALIVE=1"], answer);
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("was closed meanwhile (EBADF)"), "{shown}");
    assert_eq!(sockopt::socket_keepalive(&other), Ok(false), "the other socket was set");
    // Asked about that one, it is set.
    let (status, shown) = typed(&["opts", &target, "SO_KEEPALIVE=1"], || b"y\n".to_vec());
    assert_eq!((status.code(), sockopt::socket_keepalive(&other)), (Some(0), Ok(true)), "{shown}");
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    let holder = Holder::tcp();
    for words in [
        &["opts", &holder.address][..],
        &["opts", "--all", &holder.pid()],
        &["opts", "--list"],
        &["opts", "--list", "SO_LINGER", "SO_ATTACH_FILTER"],
        &["opts", "--yes", &holder.address, "SO_RCVBUF=1", "SO_SNDBUF=900MiB"],
    ] {
        let (status, shown) = typed(words, Vec::new);
        assert_eq!(status.code(), Some(0), "{shown}");
        for line in shown.lines() {
            assert!(line.chars().count() <= usize::from(COLUMNS), "{words:?}: {line}");
        }
    }
}
