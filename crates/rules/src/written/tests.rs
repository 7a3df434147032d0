//! The grammar as a table: what is typed, and what it asks for or what is said against it.

use super::message::{self, Nothing};
use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(typed: &str, expect: &str) {
    let written = parse(typed).unwrap_or_else(|mistake| panic!("{mistake}"));
    assert_eq!(format!("{written}"), expect, "{typed:?}");
    let again = parse(expect).unwrap_or_else(|mistake| panic!("{mistake}"));
    assert_eq!(again.target, written.target, "{typed:?} reads back");
}

#[test]
fn what_people_type() {
    check("8080", "tcp/8080");
    check(" 8080\n", "tcp/8080");
    check("0", "tcp/0");
    check(":8080", "tcp/8080");
    check("*:8080", "tcp/8080");
    check("127.0.0.1:8080", "tcp/127.0.0.1:8080");
    check("[::1]:8080", "tcp/[::1]:8080");
    check("[0:0:0:0:0:0:0:1]:80", "tcp/[::1]:80");
    check("localhost:8080", "tcp/localhost:8080");
    check("my-host.example:1", "tcp/my-host.example:1");
    check("udp/53", "udp/53");
    check("UDP/:53", "udp/53");
    check("53/udp", "udp/53");
    check("tcp/[::]:80", "tcp/[::]:80");
    check("[::ffff:1.2.3.4]:80", "tcp/[::ffff:1.2.3.4]:80");
    check("3000-3010", "tcp/3000-3010");
    check("udp/127.0.0.1:3000-3000", "udp/127.0.0.1:3000");
    check("[fe80::1%eth0]:80", "tcp/[fe80::1%eth0]:80");
    check("[fe80::1%2]:80", "tcp/[fe80::1%2]:80");
    check("0.0.0.0%eth0:68", "tcp/0.0.0.0%eth0:68");
    check("*%wlan0:68", "tcp/*%wlan0:68");
    check("[::]%eth0:546", "tcp/[::]%eth0:546");
}

#[test]
fn what_people_paste() {
    check(":::3000", "tcp/[::]:3000");
    check("::1:631", "tcp/[::1]:631");
    check("::ffff:1.2.3.4:80", "tcp/[::ffff:1.2.3.4]:80");
    check("fe80::1%eth0:80", "tcp/[fe80::1%eth0]:80");
    check("192.168.1.103.8000", "tcp/192.168.1.103:8000");
    check("*.8000", "tcp/8000");
    check("::1.8000", "tcp/[::1]:8000");
    check("fe80::1%lo0.8000", "tcp/[fe80::1%lo0]:8000");
    check("127.0.0.1#53", "tcp/127.0.0.1:53");
    check("[127.0.0.1]:8080", "tcp/127.0.0.1:8080");
    check("http://localhost:3000/", "tcp/localhost:3000");
    check("http://localhost", "tcp/localhost:80");
    check("https://[::1]/x?y#z", "tcp/[::1]:443");
    check("http://user:pw@127.0.0.1:8080/a:b@c", "tcp/127.0.0.1:8080");
    check("postgres://db.local/app", "tcp/db.local:5432");
    check("http://+:5000", "tcp/5000");
    check("udp://0.0.0.0:69", "udp/0.0.0.0:69");
    check("localhost:3000/index.html", "tcp/localhost:3000");
    check("0.0.0.0:8080->80/tcp", "tcp/0.0.0.0:8080");
    check("0.0.0.0:53->53/udp", "udp/0.0.0.0:53");
}

#[test]
fn unix_names() {
    check("unix:/run/x.sock", "unix:/run/x.sock");
    check("/run/x.sock", "unix:/run/x.sock");
    check("./x.sock", "unix:./x.sock");
    check("unix:x.sock", "unix:x.sock");
    check("unix:///run/x.sock", "unix:/run/x.sock");
    check("//run/x.sock", "unix:/run/x.sock");
    check("./@x", "unix:./@x");
    check("@name", "@name");
    check("unix:@name", "@name");
    check("@a\\u{0}b", "@a\\u{0}b");
    check("unix:/a\\xff\\n", "unix:/a\\xff\\n");
    check("/run/systemd-\\x2d", "unix:/run/systemd-\\\\x2d");
    check("unix-dgram:/run/log", "unix-dgram:/run/log");
    check("unix-seqpacket:@udev", "unix-seqpacket:@udev");
    check(&format!("/{}", "x".repeat(106)), &format!("unix:/{}", "x".repeat(106)));
}

/// The text that is pointed at, and the whole line.
#[track_caller]
fn refuse(typed: &str, blamed: &str, line: &str) {
    let mistake = parse(typed).expect_err("should be refused");
    assert_eq!(&typed[mistake.span.clone()], blamed, "{mistake}");
    assert_eq!(format!("{mistake}"), line);
}

#[test]
fn mistakes_point_at_the_part_that_is_wrong() {
    let port = "a port is a number from 0 to 65535";
    let forms = "write a port (8080), HOST:PORT, [IPV6]:PORT, udp/PORT or unix:PATH";
    refuse("99999", "99999", &format!("'99999': this port is too large; {port}"));
    refuse("8080x", "x", &format!("'8080x': a port has digits only; {port}"));
    refuse("-1", "-1", &format!("'-1': a port has digits only; {port}"));
    refuse("127.0.0.1:80 80", " 80", &format!("'127.0.0.1:80 80': a port has digits only; {port}"));
    refuse("[::1", "[", "'[::1': this bracket is never closed; write [::1]:8080");
    refuse("udp/", "", &format!("'udp/': the port is missing; {port}"));
    refuse(":", "", &format!("':': the port is missing; {port}"));
    refuse("localhost:", "", &format!("'localhost:': the port is missing; {port}"));
    refuse("localhost", "localhost", &format!("'localhost': this is a name without a port; {forms}"));
    refuse(
        "app.sock",
        "app.sock",
        "'app.sock': this is a name without a port; write unix:app.sock for a socket file",
    );
    refuse("127.0.0.1", "", "'127.0.0.1': the port is missing; write 127.0.0.1:8080");
    refuse("::1", "", "'::1': the port is missing; write [::1]:8080");
    refuse("fe80::1%eth0", "", "'fe80::1%eth0': the port is missing; write [fe80::1%eth0]:8080");
    refuse("[::1]", "", "'[::1]': the port is missing; write [::1]:8080");
    refuse(
        "[::1]8080",
        "8080",
        "'[::1]8080': a colon and the port should follow the bracket; write [::1]:8080",
    );
    refuse(
        "256.0.0.1:80",
        "256.0.0.1",
        "'256.0.0.1:80': this is no IPv4 address; it has four numbers from 0 to 255, as 127.0.0.1",
    );
    refuse("ho$t:80", "$", &format!("'ho$t:80': this character cannot stand in a host name; {forms}"));
    let two = "these are two ports, as docker publishes them, and only the first is bound here";
    refuse("8080:80", "8080:80", &format!("'8080:80': {two}; write 8080"));
    refuse(
        "127.0.0.1:8080:80",
        "127.0.0.1:8080:80",
        &format!("'127.0.0.1:8080:80': {two}; write 127.0.0.1:8080"),
    );
    refuse("tcp:8080", ":", "'tcp:8080': a slash stands behind the transport; write tcp/8080");
    refuse("UDP:x", ":", "'UDP:x': a slash stands behind the transport; write udp/8080");
    let sctp = "SCTP is not modelled; write tcp/PORT, udp/PORT or unix:PATH";
    refuse("sctp/80", "sctp/80", &format!("'sctp/80': {sctp}"));
    refuse("80/sctp", "80/sctp", &format!("'80/sctp': {sctp}"));
    refuse(
        "localhost:http",
        "http",
        "'localhost:http': a port is written as a number; for a service, 'getent services http' prints it",
    );
    let comma = "a comma joins no addresses; give each address as a word of its own";
    refuse("8080,8081", ",", &format!("'8080,8081': {comma}: 8080 8081"));
    refuse("8080, 3000-3010", ",", &format!("'8080, 3000-3010': {comma}: 8080 3000-3010"));
    refuse("8080,", ",", &format!("'8080,': {comma}: 8080"));
    refuse("127.0.0.1:80,81", ",", &format!("'127.0.0.1:80,81': {comma}"));
    refuse("80,tea", ",tea", "'80,tea': a port has digits only; a port is a number from 0 to 65535");
    refuse("3010-3000", "3010-3000", "'3010-3000': this range runs backwards; write 3000-3010");
    refuse("1-1025", "1-1025", "'1-1025': this range has 1025 ports; a range may have 1024 at most");
    refuse("", "", "'': no address is given; write a port (8080), HOST:PORT, unix:PATH or @NAME");
    refuse("  ", "", "'': no address is given; write a port (8080), HOST:PORT, unix:PATH or @NAME");
    refuse("foo://bar", "", "'foo://bar': a foo: URL does not say which port; add it: HOST:PORT");
    refuse("@", "", "'@': the name is missing; write unix:/run/app.sock, or @name for an abstract name");
    refuse(
        "unix:\\x40a",
        "\\x40a",
        "'unix:\\\\x40a': this reads as an abstract name; write ./@... for a path that starts with @",
    );
    refuse("unix:/a\\q", "\\q", "'unix:/a\\\\q': this escape is unknown; write a backslash as \\\\");
    refuse(
        "[fe80::1%]:80",
        "",
        "'[fe80::1%]:80': the interface is missing behind %; write its name or number, for instance fe80::1%eth0",
    );
    let long = format!("/{}", "x".repeat(107));
    refuse(
        &long,
        "x",
        &format!(
            "'{long}': a unix path of 108 bytes does not fit into a socket address; it may have 107 at most"
        ),
    );
}

#[test]
fn a_mistake_is_one_line_whatever_was_typed() {
    for typed in ["80\n80", "\u{1b}[2J", "[\u{202e}", "@\\", "\u{0}"] {
        let mistake = parse(typed).expect_err("should be refused");
        let line = format!("{mistake}");
        assert!(!line.chars().any(crate::address::deceives), "{line:?}");
        assert_eq!(mistake.caret().lines().count(), 2, "{:?}", mistake.caret());
    }
    assert_eq!(parse("tcp/80x80").unwrap_err().caret(), "tcp/80x80\n      ^^^");
}

#[track_caller]
fn reads(message: &str, expect: &[&str]) {
    let found = message::find(message).unwrap_or_else(|nothing| panic!("{nothing}"));
    let found: Vec<String> = found.iter().map(|written| format!("{written}")).collect();
    assert_eq!(found, expect, "{message}");
}

#[test]
fn addresses_in_what_programs_print() {
    reads("8080\n", &["tcp/8080"]);
    reads("8080\nudp/53\n8080\n", &["tcp/8080", "udp/53"]);
    // node
    reads("Error: listen EADDRINUSE: address already in use :::3000", &["tcp/[::]:3000"]);
    reads(
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:3000\n    at Server.setupListenHandle [as _listen2] (node:net:1817:16)\n    at /srv/app/server.js:10:5\n",
        &["tcp/127.0.0.1:3000"],
    );
    reads("Error: listen EADDRINUSE: address already in use /tmp/app", &["unix:/tmp/app"]);
    reads("Error: bind EADDRINUSE 0.0.0.0:5353", &["udp/0.0.0.0:5353"]);
    reads("Error: listen EACCES: permission denied 0.0.0.0:80", &["tcp/0.0.0.0:80"]);
    reads(
        "  code: 'EADDRINUSE',\n  errno: -98,\n  syscall: 'listen',\n  address: '::',\n  port: 3000\n}",
        &["tcp/[::]:3000"],
    );
    // python
    reads(
        "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
        &["tcp/127.0.0.1:8000"],
    );
    reads(
        "OSError: [Errno 98] error while attempting to bind on address ('::1', 8000, 0, 0): address already in use",
        &["tcp/[::1]:8000"],
    );
    reads(
        "[2024-01-02 12:30:00 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8000)",
        &["tcp/0.0.0.0:8000"],
    );
    let traceback = |source: &str| {
        format!(
            "Traceback (most recent call last):\n  File \"/srv/x.py\", line 2, in <module>\n    {source}\n    ^^^^^\n  File \"/usr/lib/python3.11/socketserver.py\", line 456, in __init__\n    self.server_bind()\nOSError: [Errno 98] Address already in use\n"
        )
    };
    reads(&traceback("TCPServer((\"127.0.0.1\", 8080), Handler)"), &["tcp/127.0.0.1:8080"]);
    reads(&traceback("s.bind(('', 8080))"), &["tcp/8080"]);
    reads(&traceback("server = UDPServer(('::1', 53), Handler)"), &["udp/[::1]:53"]);
    reads(&format!("worker on port 9\n{}", traceback("s.bind(('localhost', 80))")), &["tcp/localhost:80"]);
    reads("Address already in use\nPort 5000 is in use by another program.", &["tcp/5000"]);
    // go
    reads("listen tcp :8080: bind: address already in use", &["tcp/8080"]);
    reads(
        "2024/01/02 15:04:05 main.go:15: listen tcp 127.0.0.1:8080: bind: address already in use",
        &["tcp/127.0.0.1:8080"],
    );
    reads("listen tcp [::1]:8080: bind: address already in use", &["tcp/[::1]:8080"]);
    reads("listen udp :53: bind: permission denied", &["udp/53"]);
    reads("listen unix /tmp/x: bind: address already in use", &["unix:/tmp/x"]);
    // java
    reads("java.io.IOException: Failed to bind to 0.0.0.0/0.0.0.0:8080", &["tcp/0.0.0.0:8080"]);
    reads(
        "Caused by: java.net.BindException: Address already in use: /127.0.0.1:9092",
        &["tcp/127.0.0.1:9092"],
    );
    reads("Web server failed to start. Port 8080 was already in use.", &["tcp/8080"]);
    // nginx, apache, haproxy, caddy
    reads("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", &["tcp/0.0.0.0:80"]);
    reads("nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)", &["tcp/[::]:80"]);
    reads(
        "nginx: [emerg] bind() to unix:/run/n.sock failed (98: Address already in use)",
        &["unix:/run/n.sock"],
    );
    reads(
        "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80",
        &["tcp/[::]:80"],
    );
    reads(
        "[ALERT] 1/1 : Starting frontend web: cannot bind socket (Address already in use) [0.0.0.0:80]",
        &["tcp/0.0.0.0:80"],
    );
    // docker
    reads(
        "docker: Error response from daemon: driver failed programming external connectivity on endpoint web (a1b2c3): Bind for 0.0.0.0:8080 failed: port is already allocated.",
        &["tcp/0.0.0.0:8080"],
    );
    reads(
        "failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use",
        &["tcp/0.0.0.0:8080"],
    );
    reads(
        "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use.",
        &["tcp/0.0.0.0:80"],
    );
    // ruby, .NET, PHP, sshd, ssh, redis, mysql, deno
    reads(
        "Address already in use - bind(2) for \"127.0.0.1\" port 3000 (Errno::EADDRINUSE)",
        &["tcp/127.0.0.1:3000"],
    );
    reads(
        "Failed to bind to address http://127.0.0.1:5000: address already in use.",
        &["tcp/127.0.0.1:5000"],
    );
    reads("Failed to listen on localhost:8000 (reason: Address already in use)", &["tcp/localhost:8000"]);
    reads("error: Bind to port 22 on 0.0.0.0 failed: Address already in use.", &["tcp/0.0.0.0:22"]);
    reads("bind [127.0.0.1]:8080: Address already in use", &["tcp/127.0.0.1:8080"]);
    reads("Could not create server TCP listening socket *:6379: bind: Address already in use", &["tcp/6379"]);
    reads(
        "[ERROR] Can't start server: Bind on TCP/IP port: Address already in use\n[ERROR] Do you already have another mysqld server running on port: 3306 ?",
        &["tcp/3306"],
    );
    reads("Something is already running on port 23160.", &["tcp/23160"]);
    // postgres
    reads(
        "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\nHINT:  Is another postmaster already running on port 5432? If not, wait a few seconds and retry.",
        &["tcp/127.0.0.1:5432"],
    );
    reads(
        "LOG:  could not bind Unix address \"/var/run/postgresql/.s.PGSQL.5432\": Address already in use",
        &["unix:/var/run/postgresql/.s.PGSQL.5432"],
    );
}

#[test]
fn colours_and_links_are_no_part_of_a_message() {
    reads("\u{1b}[31mError: listen EADDRINUSE: address already in use :::3000\u{1b}[39m", &["tcp/[::]:3000"]);
    reads(
        "\u{1b}[1;31mlisten tcp \u{1b}[4m127.0.0.1:80\u{1b}[0m80: address \u{1b}[mal\u{1b}[0mready in use",
        &["tcp/127.0.0.1:8080"],
    );
    reads("Port \u{1b}[38;5;9m5173\u{1b}[0m is in use", &["tcp/5173"]);
    reads("\u{1b}]8;;http://x/\u{1b}\\in use: :80\u{1b}]8;;\u{7}", &["tcp/80"]);
    reads("\u{1b}[2K\u{1b}[1G\u{1b}[36m8080\u{1b}[0m", &["tcp/8080"]);
    reads("\u{1b}(Bin use: :80\u{1b}[", &["tcp/80"]);
}

#[test]
fn a_long_log_around_a_message_does_not_hide_it() {
    let log = "12:30:01 GET /index.html from 10.0.0.1:4000 on port 9\n".repeat(5000);
    reads(&format!("{log}listen tcp :8080: bind: address already in use\n{log}"), &["tcp/8080"]);
    let object = "  code: 'EADDRINUSE',\n  address: '::',\n  port: 3000\n}\n";
    reads(&format!("{log}{object}{log}"), &["tcp/[::]:3000"]);
}

#[test]
fn a_reader_says_when_it_has_read_enough() {
    let check = |lines: &[&str], expect: &[bool]| {
        let mut reader = message::Reader::default();
        let seen = lines.iter().map(|line| {
            reader.line(line);
            reader.is_recognised()
        });
        assert_eq!(seen.collect::<Vec<_>>(), expect, "{lines:?}");
    };
    check(&["starting on port 80", "bind :80: address already in use", ""], &[false, true, true]);
    check(&["8080"], &[false]);
    check(&["on port 80", "Address already in use", "x", "is port 80 taken?"], &[false, false, false, true]);
}

#[test]
fn a_message_without_an_address_says_so() {
    let silent = [
        "OSError: [Errno 98] Address already in use",
        "Error: Os { code: 98, kind: AddrInUse, message: \"Address already in use\" }",
        "java.net.BindException: Address already in use (Bind failed)",
        "  File \"/usr/lib/python3.11/socketserver.py\", line 456, in __init__\nOSError: [Errno 98] Address already in use",
        "server.js:10: EADDRINUSE",
        "s.bind(('127.0.0.1', 8080))\nOSError: [Errno 98] Address already in use",
    ];
    for message in silent {
        assert!(
            matches!(message::find(message), Err(Nothing::Unnamed(_))),
            "{message}: {:?}",
            message::find(message)
        );
    }
    assert_eq!(message::find(" \n"), Err(Nothing::Empty));
    assert_eq!(message::find("server listening on 0.0.0.0:80\nhello"), Err(Nothing::NoComplaint));
}

proptest! {
    #[test]
    fn nothing_that_is_typed_panics(text in "\\PC{0,40}|[0-9a-f:.%\\[\\]/@*\\\\x{}#-]{0,30}|(unix(-dgram)?:|@|/)[a-fnrtux@/\\\\0-9{}]{0,12}") {
        match parse(&text) {
            Ok(written) => {
                let printed = format!("{written}");
                let again = parse(&printed).map(|again| again.target);
                prop_assert_eq!(again, Ok(written.target.clone()), "{} from {}", printed, text);
                prop_assert!(!written.wanted().is_empty() && written.wanted().len() <= MAX_RANGE);
                prop_assert!(text.get(written.host_span.clone()).is_some());
            }
            Err(mistake) => {
                prop_assert!(text.get(mistake.span.clone()).is_some());
                prop_assert_eq!(format!("{mistake}").lines().count(), 1);
                mistake.caret();
            }
        }
    }

    #[test]
    fn nothing_that_is_piped_in_panics(text in "\\PC{0,80}", tail in "[a-z0-9:/. '\"()\\n-]{0,60}") {
        let _ = message::find(&format!("{text}\nport {tail} in use {text}{tail}"));
    }
}
