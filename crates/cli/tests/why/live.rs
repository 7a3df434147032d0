//! Against real sockets of this very process, on a loopback port that the kernel chose.

use crate::json::fits;
use crate::ran::Ran;
use crate::run::{command, inuse, inuse_reading};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody had a moment ago, and another for each caller. It is below the range from which the kernel
/// gives ports to those who bind port 0 at the same time.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(1);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("a Linux /proc");
    let low: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).expect("two numbers");
    loop {
        let port =
            low.checked_sub(TRIED.fetch_add(1, Ordering::Relaxed)).expect("a free port below the range");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn names_this_process(ran: &Ran) {
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let pid = format!("(pid {})", std::process::id());
    assert!(ran.stdout.contains(&pid), "{}", ran.stdout);
}

#[test]
fn a_listener_is_found_with_its_owner() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    names_this_process(&inuse(&[&address.to_string()]));
    names_this_process(&inuse(&["why", &format!("http://{address}/")]));
    let message = format!("Error: listen EADDRINUSE: address already in use {address}\n    at x.js:1\n");
    names_this_process(&inuse_reading(&["-"], message.as_bytes()));
    let json = inuse(&["why", "--json", &address.to_string()]);
    let value = fits("inuse.why-1.json", &json.stdout);
    assert_eq!(value["results"][0]["cause"], "listener");
    assert_eq!(value["results"][0]["holders"][0]["owners"][0]["pid"], std::process::id());
    assert_eq!(value["results"][0]["holders"][0]["state"], "LISTEN");
}

#[test]
fn a_port_alone_asks_for_both_families() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let ran = inuse(&["--json", &port.to_string()]);
    let value = fits("inuse.why-1.json", &ran.stdout);
    let addresses: Vec<&str> =
        value["results"].as_array().unwrap().iter().filter_map(|result| result["address"].as_str()).collect();
    assert!(addresses.contains(&format!("tcp/0.0.0.0:{port}").as_str()), "{addresses:?}");
    assert!(addresses.contains(&format!("tcp/[::]:{port}").as_str()), "{addresses:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn tcp_and_udp_ports_do_not_meet() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    names_this_process(&inuse(&[&format!("udp/127.0.0.1:{port}")]));
}

#[test]
fn the_other_protocol_of_a_port_is_told() {
    let port = free_port();
    let check = |transport: &str, other: &str| {
        let word = format!("{transport}/127.0.0.1:{port}");
        let ran = inuse(&[&word]);
        assert_eq!(ran.code, Some(0), "{}", ran.stdout);
        let note = format!("{other}/127.0.0.1:{port} is held too: another protocol, so that is no conflict.");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&ran.stdout).contains(&note), "{}", ran.stdout);
        assert!(
            words(&ran.stdout).contains(&format!("`inuse {other}/{port}` says by whom")),
            "{}",
            ran.stdout
        );
        let value = fits("inuse.why-1.json", &inuse(&["--json", &word]).stdout);
        let expect = serde_json::json!([format!("{other}/127.0.0.1:{port}")]);
        assert_eq!(value["results"][0]["other_protocol"], expect);
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    check("tcp", "udp");
    // A port has several addresses, and their stories need it once.
    let ran = inuse(&[&format!("{port}"), &format!("127.0.0.1:{port}")]);
    assert_eq!(ran.stdout.matches(" is held too").count(), 1, "{}", ran.stdout);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let ran = inuse(&[&format!("{port}"), &format!("127.0.0.2:{port}")]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches(" is held too").count(), 1, "{}", ran.stdout);
    drop(socket);
    check("udp", "tcp");
    drop(listener);
}

#[test]
fn an_abstract_name_is_found() {
    let name = format!("inuse-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    names_this_process(&inuse(&[&format!("@{name}")]));
    assert_eq!(inuse(&[&format!("@{name}-not")]).code, Some(0));
}

#[test]
fn what_was_closed_is_free_again() {
    let port = free_port();
    let ran = inuse(&[&format!("127.0.0.1:{port}")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert!(ran.stdout.contains("is free"), "{}", ran.stdout);
}

/// A reader that goes away is no error, however much is still to be written.
#[test]
fn a_broken_pipe_is_a_success() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for flag in ["--json", "--verbose"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = command(&["why", flag, &address]).stdout(writer).output().unwrap();
        assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]), "{flag}");
    }
}

#[test]
fn colour_is_for_terminals_and_forbidden_by_no_color() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = command(&["why", &address]);
        change(&mut command);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(!text(&|_| {}).contains('\u{1b}'), "a pipe");
    assert!(
        text(&|c| {
            c.env("CLICOLOR_FORCE", "1");
        })
        .contains('\u{1b}'),
        "forced"
    );
    assert!(
        !text(&|c| {
            c.env("CLICOLOR_FORCE", "1").arg("--no-color");
        })
        .contains('\u{1b}'),
        "--no-color"
    );
    assert!(
        !text(&|c| {
            c.env("NO_COLOR", "1");
        })
        .contains('\u{1b}'),
        "NO_COLOR"
    );
}
