//! The words, the exit status, and sockets of this very process.

use super::{cannot, fits, inuse};
use libtest_mimic::{Completion, Failed};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

pub(super) fn wrong_words() {
    let check = |arguments: &[&str], says: &str| {
        let ran = inuse(&[&["ls"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.stderr.starts_with("inuse: ") && ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    };
    check(&["--port", "http"], "write a port, or a range as 3000-3999");
    check(&["--port", "90-80"], "ends before it begins");
    check(&["--state", "asleep"], "write one of established, syn-sent");
    check(&["--user", "no such user"], "--user 'no such user'");
    check(&["--pid", "0"], "0 is not in 1..");
    check(&["--proto", "sctp"], "possible values: tcp, udp, unix");
    check(&["--netns", "x", "--all-netns"], "cannot be used with");
    check(&["node"], "no port and no range of ports");
    check(&["127.0.0.1:8080"], "'inuse why' explains an address");
    check(&["-v", "--json"], "cannot be used with");
}

pub(super) fn this_process_is_listed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let udp_port = udp.local_addr().expect("bound").port().to_string();
    let (pid, port) = (std::process::id().to_string(), address.port().to_string());
    let uid = rustix::process::geteuid().as_raw().to_string();
    let filters: [&[&str]; 9] = [
        &["--port", &port],
        &[&port],
        &[&format!(":{port}"), "--port", "1"],
        &["-v", &port],
        &["--pid", &pid, "--port", &format!("{port},{udp_port}")],
        &["--user", &uid, "--state", "listen", "--port", &format!("{port}-{port}")],
        &["--program", "l*", "--proto", "tcp,udp"],
        &["--all", "--pid", &pid],
        &["--state", "LISTENING", "--proto", "tcp"],
    ];
    for filter in filters {
        let ran = inuse(&[&["ls"], filter].concat());
        assert_eq!(ran.code, Some(0), "{filter:?} {}", ran.stderr);
        let row =
            ran.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(&address.to_string()));
        let row = row.unwrap_or_else(|| panic!("{filter:?} {}", ran.stdout));
        assert!(row.split([' ', ',']).any(|word| word == pid), "{row}");
        assert_eq!(ran.stdout.lines().next().map(|head| head.starts_with("PROTO ")), Some(true));
    }
    let value = fits(&inuse(&["ls", "--json", "--port", &udp_port, "--proto", "udp"]).stdout);
    let socket = &value["sockets"][0];
    assert_eq!(socket["address"], format!("udp/127.0.0.1:{udp_port}"));
    assert_eq!((&socket["state"], &socket["no_owner"]), (&"UNCONN".into(), &serde_json::Value::Null));
    assert_eq!(socket["owners"][0]["pid"], std::process::id());
    assert_eq!(socket["owners"][0]["comm"].as_str().map(|comm| comm.starts_with("ls-")), Some(true));
    fits(&inuse(&["ls", "--json", "--all"]).stdout);
}

pub(super) fn nothing_that_fits() {
    // A listener that has ended: nobody has its port, unless somebody took it this very moment.
    let port =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a port").port();
    let ran = inuse(&["ls", "--port", &port.to_string(), "--proto", "tcp"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "inuse: nothing fits the filter; --all looks at every socket\n");
    let ran = inuse(&["ls", "--port", &port.to_string(), "--proto", "tcp", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    assert_eq!(fits(&ran.stdout)["sockets"], serde_json::json!([]));
}

/// Another user's socket: the note has the words as they were typed, for root.
pub(super) fn the_note_keeps_the_words() -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return cannot("needs root, to have a socket that another user may not look into");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port().to_string();
    let command = env!("CARGO_BIN_EXE_inuse");
    let words = ["ls", "--proto", "tcp", "--port", &port];
    let mut asked = Command::new(command);
    asked.args(words).env_clear().stdin(Stdio::null()).uid(65_534).gid(65_534);
    let ran = match asked.output() {
        Err(error) => return cannot(format!("another user may not start {command}: {error}")),
        Ok(ran) => ran,
    };
    let (text, talk) = (String::from_utf8(ran.stdout)?, String::from_utf8(ran.stderr)?);
    assert!(text.contains("  ?  ") && text.contains("(hidden)"), "{text}");
    let again = format!("to see them: sudo {command} ls --proto tcp --port {port}");
    assert_eq!(talk, format!("inuse: 1 socket of other users: owner hidden; {again}\n"));
    Ok(Completion::Completed)
}
