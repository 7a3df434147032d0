//! Wrong words: exit code 2, one line on stderr, nothing on stdout, nothing done.

use crate::run::{command, inuse, inuse_reading};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[track_caller]
fn refuse(arguments: &[&str], line: &str) {
    let ran = inuse(arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "{arguments:?}");
    assert_eq!(ran.stderr, format!("inuse: {line}\n"), "{arguments:?}");
}

#[test]
fn wrong_words_are_one_line_and_exit_code_2() {
    let port = "a port is a number from 0 to 65535";
    let help = "'inuse --help' shows what there is";
    refuse(&[], "no address is given; for instance: inuse 8080, or: npm start 2>&1 | inuse -");
    refuse(&["why"], "no address is given; for instance: inuse 8080, or: npm start 2>&1 | inuse -");
    refuse(&["99999"], &format!("'99999': this port is too large; {port}"));
    refuse(&["why", "8080x"], &format!("'8080x': a port has digits only; {port}"));
    refuse(&["8080", "udp/"], &format!("'udp/': the port is missing; {port}"));
    refuse(&["[::1"], "'[::1': this bracket is never closed; write [::1]:8080");
    refuse(
        &["fe80::1%nosuch0:80"],
        "'fe80::1%nosuch0:80': there is no interface of this name; 'ip link' lists the interfaces",
    );
    refuse(
        &["127.0.0.1%nosuch0:80"],
        "'127.0.0.1%nosuch0:80': there is no interface of this name; 'ip link' lists the interfaces",
    );
    refuse(
        &["release", "8080"],
        "'release': this is a name without a port; write a port (8080), HOST:PORT, [IPV6]:PORT, udp/PORT or unix:PATH",
    );
    refuse(
        &["no-such-host.invalid:80"],
        "'no-such-host.invalid:80': this name has no address here; check the spelling, or write the IP address",
    );
    refuse(
        &["\u{1b}[2J\n"],
        "'\\u{1b}[2J': this character cannot stand in a host name; write a port (8080), HOST:PORT, [IPV6]:PORT, udp/PORT or unix:PATH",
    );
    let order =
        "the verb comes first, its flags and addresses behind it; for instance: inuse why 8080 --json";
    refuse(&["--json", "why", "80"], order);
    refuse(&["--reuseaddr", "explain", "98"], order);
    refuse(&["80", "--colour"], &format!("unexpected argument '--colour' found; {help}"));
    refuse(
        &["80", "--as-uid"],
        &format!("a value is required for '--as-uid <USER>' but none was supplied; {help}"),
    );
    refuse(
        &["80", "--as-uid", "no such user"],
        "--as-uid 'no such user': there is no such user in /etc/passwd; write a name or a number",
    );
    refuse(&["80", "--snapshot", "/nonexistent/x"], "/nonexistent/x: No such file or directory (os error 2)");
    refuse(
        &["80", "--snapshot", "x", "--probe"],
        &format!("the argument '--snapshot <FILE>' cannot be used with '--probe'; {help}"),
    );
    refuse(
        &["80", "--netns", "/nonexistent/ns"],
        "--netns: cannot open the network namespace /nonexistent/ns: there is none",
    );
}

#[test]
fn a_path_that_is_too_long_is_refused_before_anything_is_asked() {
    let path = format!("/{}", "x".repeat(107));
    refuse(
        &[&path],
        &format!(
            "'{path}': a unix path of 108 bytes does not fit into a socket address; it may have 107 at most"
        ),
    );
}

#[test]
fn a_message_that_names_no_address_is_refused() {
    let check = |input: &[u8], line: &str| {
        let ran = inuse_reading(&["why", "-"], input);
        // What was piped in is shown first.
        let stderr = format!("{}{line}", String::from_utf8_lossy(input));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        assert_eq!(ran.stderr, stderr);
    };
    check(b"", "inuse: the text is empty; pipe the error message in: cmd 2>&1 | inuse why -\n");
    check(
        b"all is well\n",
        "inuse: the text complains about no address; ask with the port, for instance inuse 8080\n",
    );
    check(
        b"Traceback:\nOSError: [Errno 98] Address already in use\n",
        "inuse: the message does not say which address ('OSError: [Errno 98] Address already in use'); ask with the port, for instance inuse 8080; inuse ls lists those that are taken\n",
    );
    check(
        b"a NUL: \x00\n",
        "inuse: the text complains about no address; ask with the port, for instance inuse 8080\n",
    );
}

#[test]
fn a_path_need_not_be_utf8() {
    let ran = command(&[]).arg(OsStr::from_bytes(b"/tmp/no-such-\xff.sock")).output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(text.starts_with("unix:/tmp/no-such-\\xff.sock is free"), "{text}");
}

#[test]
fn help_and_version_are_data() {
    for arguments in [&["--help"][..], &["-h"], &["why", "--help"], &["--version"]] {
        let ran = inuse(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!ran.stdout.contains('\u{1b}'), "{arguments:?}: colour in a pipe");
    }
    assert!(inuse(&["--help"]).stdout.contains("3  not enough could be seen to say"));
}
