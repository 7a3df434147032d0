//! The words, the exit status, and sockets of this very process.

use super::{cannot, fits, inuse};
use libtest_mimic::{Completion, Failed};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
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
    check(&["node"], "other traits are filtered with --program");
    check(&["app.sock"], "write unix:app.sock");
    check(&["90-80"], "write 80-90; other traits");
    check(&["127.0.0.1"], "the port is missing; write 127.0.0.1:8080");
    check(&["99999"], "a port is a number from 0 to 65535");
    check(&["tcp:80"], "write tcp/80");
    check(&["0"], "port 0 is no port");
    check(&["127.0.0.1:0"], "port 0 is no port");
    check(&["no-such-host.invalid:80"], "this name has no address here");
    check(&["*%nosuch0:80"], "there is no interface of this name");
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

/// Every form of an address that the other verbs take; each brings the sockets that take what comes there, and
/// no others.
pub(super) fn addresses_as_every_verb_takes_them() {
    let exact = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = exact.local_addr().expect("bound").port();
    let other = TcpListener::bind(("127.0.0.2", port)).expect("the same port elsewhere");
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port of the other protocol");
    let wild = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let wild_port = wild.local_addr().expect("bound").port();
    let listed = |words: &[&str]| {
        let ran = inuse(&[&["ls", "--json", "--pid", &std::process::id().to_string()], words].concat());
        let sockets = fits(&ran.stdout)["sockets"].as_array().expect("a list").clone();
        sockets.iter().map(|row| row["address"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let tcp = format!("tcp/127.0.0.1:{port}");
    let udp = format!("udp/127.0.0.1:{port}");
    let elsewhere = format!("tcp/127.0.0.2:{port}");
    let wildcard = format!("tcp/0.0.0.0:{wild_port}");
    let check = |word: String, expect: &[&String]| {
        assert_eq!(listed(&[&word]).iter().collect::<Vec<_>>(), expect, "{word}");
    };
    check(format!("127.0.0.1:{port}"), &[&tcp, &udp]);
    check(format!("{port}"), &[&tcp, &elsewhere, &udp]);
    check(format!("tcp/{port}"), &[&tcp, &elsewhere]);
    check(format!("*:{port}"), &[&tcp, &elsewhere, &udp]);
    check(format!("{port}/udp"), &[&udp]);
    check(tcp.clone(), &[&tcp]);
    check(udp.clone(), &[&udp]);
    check(format!("http://127.0.0.1:{port}/index"), &[&tcp]);
    check(format!("127.0.0.2:{port}"), &[&elsewhere]);
    check(format!("127.0.0.3:{port}"), &[]);
    check(format!("[::1]:{port}"), &[]);
    check(format!("127.0.0.3:{wild_port}"), &[&wildcard]);
    check(format!("[::1]:{wild_port}"), &[]);
    let both = listed(&[&format!("127.0.0.2:{port}"), &format!("127.0.0.1:{wild_port}")]);
    assert!(both.contains(&elsewhere) && both.contains(&wildcard) && both.len() == 2, "{both:?}");
    drop((exact, other, datagrams, wild));
}

/// By its path, through a symbolic link, and whatever its type is.
pub(super) fn a_unix_socket_by_its_path() {
    let folder = std::env::temp_dir().join(format!("inuse-ls-path-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let _stream = UnixListener::bind(path("stream")).expect("a path");
    let _datagram = UnixDatagram::bind(path("datagram")).expect("a path");
    std::os::unix::fs::symlink("datagram", path("link")).expect("a link");
    let check = |word: String, expect: &[String]| {
        let ran = inuse(&["ls", "--json", &word]);
        let value = fits(&ran.stdout);
        let rows = value["sockets"].as_array().expect("a list").iter();
        let rows: Vec<&str> = rows.map(|row| row["local"].as_str().expect("text")).collect();
        assert_eq!(rows, expect, "{word} {}", ran.stderr);
    };
    check(path("stream"), &[path("stream")]);
    check(format!("unix:{}", path("stream")), &[path("stream")]);
    check(path("datagram"), &[path("datagram")]);
    check(path("link"), &[path("datagram")]);
    check(format!("unix-dgram:{}", path("datagram")), &[path("datagram")]);
    check(format!("unix-dgram:{}", path("stream")), &[]);
    check(path("nothing"), &[]);
    // As a server does that puts its socket in place in one step: its name is the one that can be connected to.
    let _renamed = UnixListener::bind(path("renamed.1.new")).expect("a path");
    std::fs::rename(path("renamed.1.new"), path("renamed")).expect("our file");
    check(path("renamed"), &[path("renamed")]);
    let all = inuse(&["ls", "--proto", "unix"]).stdout;
    assert!(all.contains(&path("renamed")) && !all.contains(&path("renamed.1.new")), "{all}");
    std::fs::remove_dir_all(&folder).expect("our folder");
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
