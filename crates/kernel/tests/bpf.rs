//! The options of sockets that nobody has open, as the BPF iterator reads them, against the real kernel.
//!
//! Each test is this binary again, alone in a network namespace of its own, and ends with it. All need
//! root in the initial user namespace; where they cannot run they are reported as ignored with the
//! reason, and with `INUSE_REQUIRE_ALL=1` that is a failure.

#[allow(unreachable_pub)]
#[path = "../../lab/src/required.rs"]
mod required;

use inuse_kernel::bpf::{TcpOptions, tcp_options};
use inuse_kernel::{Error, Netns, NetnsName, SockDiag, sockdiag::InetQuery};
use inuse_rules::{State, Transport};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketType, accept, bind, connect, getsockname, listen, socket, sockopt as opt,
};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PORT: u16 = 8080;

const TESTS: &[(&str, fn())] = &[
    ("time_wait_keeps_the_options", time_wait_keeps_the_options),
    ("an_orphan_keeps_the_options", an_orphan_keeps_the_options),
    ("v6only_of_listeners_and_children", v6only_of_listeners_and_children),
    ("a_device_is_kept", a_device_is_kept),
    ("rows_are_those_of_sock_diag", rows_are_those_of_sock_diag),
    ("another_port_is_another", another_port_is_another),
    ("another_namespace_is_another", another_namespace_is_another),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role] = words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && flag == "--role"
    {
        return play(role);
    }
    let mut trials: Vec<Trial> = TESTS
        .iter()
        .map(|(name, _)| Trial::ignorable_test(*name, || in_a_namespace(role(&["--net"], name))))
        .collect();
    trials.push(Trial::ignorable_test("an_ordinary_user_is_denied", || {
        let mut nobody = Command::new("/proc/self/exe");
        nobody.args(["--role", "nobody"]).current_dir("/").uid(65534).gid(65534);
        in_a_namespace(nobody)
    }));
    trials.push(Trial::ignorable_test("root_of_a_user_namespace_is_denied", || {
        in_a_namespace(role(&["--user", "--map-root-user", "--net"], "confined"))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// This binary as a role, in new namespaces and with a loopback device that is up.
fn role(namespaces: &[&str], name: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", "ip link set lo up && exec \"$0\" --role \"$1\""]);
    command.arg(std::env::current_exe().expect("this binary")).arg(name);
    command
}

fn in_a_namespace(mut command: Command) -> Result<Completion, Failed> {
    let cannot = |reason: &str| match required::all_required() {
        true => Err(format!("must run, but {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    };
    if !rustix::process::geteuid().is_root() {
        return cannot("it takes root to load a BPF program");
    }
    match tcp_options(&Netns::current(), PORT) {
        Err(error @ (Error::Denied { .. } | Error::Unsupported { .. })) => return cannot(&error.to_string()),
        Err(error) => return Err(format!("{error:?}").into()),
        Ok(_) => {}
    }
    let output = command.output()?;
    match output.status.success() {
        true => Ok(Completion::Completed),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

#[allow(clippy::print_stdout, reason = "the parent waits for it")]
fn play(role: &str) -> ExitCode {
    match (role, TESTS.iter().find(|(name, _)| *name == role)) {
        (_, Some((_, test))) => test(),
        ("nobody", _) => denied("CAP_BPF and CAP_PERFMON"),
        ("confined", _) => denied("CAP_BPF and CAP_PERFMON in the initial user namespace"),
        ("hold", _) => {
            Server { reuseaddr: true, ..Server::at("127.0.0.1:8080") }.leave_time_wait();
            println!("ready");
            // Until the parent closes the other end.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        (other, _) => panic!("there is no role {other}"),
    }
    ExitCode::SUCCESS
}

fn denied(expect: &str) {
    match tcp_options(&Netns::current(), PORT) {
        Err(Error::Denied { needs, .. }) => assert!(needs.starts_with(expect), "{needs}"),
        other => panic!("{other:?}"),
    }
}

/// How a server is made, and from where it is called.
#[derive(Clone, Copy)]
struct Server {
    at: &'static str,
    reuseaddr: bool,
    reuseport: bool,
    v6only: bool,
    lo: bool,
    client: &'static str,
}

impl Server {
    fn at(at: &'static str) -> Server {
        let client = if at.starts_with('[') { "[::1]:8080" } else { "127.0.0.1:8080" };
        Server { at, reuseaddr: false, reuseport: false, v6only: false, lo: false, client }
    }

    fn listen(self) -> OwnedFd {
        let at: SocketAddr = self.at.parse().expect("an address");
        let server = tcp(at);
        opt::set_socket_reuseaddr(&server, self.reuseaddr).expect("SO_REUSEADDR");
        opt::set_socket_reuseport(&server, self.reuseport).expect("SO_REUSEPORT");
        if at.is_ipv6() {
            opt::set_ipv6_v6only(&server, self.v6only).expect("IPV6_V6ONLY");
        }
        if self.lo {
            sys::bind_to_lo(&server).expect("SO_BINDTODEVICE");
        }
        bind(&server, &at).expect("bind");
        listen(&server, 8).expect("listen");
        server
    }

    /// The listener, the accepted end and the client's end.
    fn connected(self) -> (OwnedFd, OwnedFd, OwnedFd) {
        let server = self.listen();
        let to: SocketAddr = self.client.parse().expect("an address");
        let client = tcp(to);
        connect(&client, &to).expect("connect");
        let accepted = accept(&server).expect("accept");
        (server, accepted, client)
    }

    /// The server closes first, and ends.
    fn leave_time_wait(self) {
        let (server, accepted, client) = self.connected();
        drop((server, accepted));
        drop(client);
    }
}

fn tcp(like: SocketAddr) -> OwnedFd {
    let family = if like.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket(family, SocketType::STREAM, None).expect("socket")
}

/// The only row in that state, as soon as there is one.
fn only(state: State) -> TcpOptions {
    let start = Instant::now();
    loop {
        let mut rows = tcp_options(&Netns::current(), PORT).expect("the iterator");
        rows.retain(|row| row.state == state);
        if let [row] = rows[..] {
            return row;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "in {state:?} there is {rows:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Both reuse options and V6ONLY, in all ways, and what is left of a server that had them.
fn time_wait_keeps_the_options() {
    let all = [false, true].into_iter().flat_map(|a| [false, true].map(|p| (a, p)));
    for (nth, (reuseaddr, reuseport)) in all.enumerate() {
        // A loopback address each: they must not be in each other's way.
        let at = ["127.0.0.1:8080", "127.0.0.2:8080", "127.0.0.3:8080", "[::1]:8080"][nth];
        Server { reuseaddr, reuseport, client: at, ..Server::at(at) }.leave_time_wait();
        let rows = tcp_options(&Netns::current(), PORT).expect("the iterator");
        let row = rows.iter().find(|row| row.local.to_string() == at);
        let row = row.unwrap_or_else(|| panic!("{at} is not in {rows:?}"));
        assert_eq!(row.state, State::TimeWait, "{row:?}");
        assert_eq!((row.reuseaddr, row.reuseport), (reuseaddr, reuseport), "{row:?}");
        assert!(row.remote.is_some_and(|remote| remote.ip().is_loopback()), "{row:?}");
        // bind() to a real IPv6 address makes a socket speak IPv6 only.
        assert_eq!(row.v6only, row.local.is_ipv6(), "{row:?}");
        assert_eq!(row.device, 0);
    }
}

/// The server closes and the client does not: FIN_WAIT_2 that no process has, at first a full socket and
/// at once, or after a while, a small one.
fn an_orphan_keeps_the_options() {
    let (server, accepted, client) = Server { reuseaddr: true, ..Server::at("127.0.0.1:8080") }.connected();
    drop((server, accepted));
    // The small one says TIME_WAIT, and sock_diag says of it FIN_WAIT_2.
    let row = only(State::TimeWait);
    assert_eq!((row.reuseaddr, row.reuseport), (true, false), "{row:?}");
    let mut diag = SockDiag::open(&Netns::current()).expect("sock_diag");
    let rows = diag.inet_rows(&InetQuery::port(Transport::Tcp, PORT)).expect("its rows").found.sockets;
    assert_eq!(rows.iter().map(|row| (row.state, row.mini)).collect::<Vec<_>>(), [(State::FinWait2, true)]);
    drop(client);
}

fn v6only_of_listeners_and_children() {
    for (at, v6only, client, expect) in [
        ("[::]:8080", false, "[::1]:8080", false),
        ("[::]:8080", false, "127.0.0.1:8080", false),
        ("[::]:8080", true, "[::1]:8080", true),
        ("[::1]:8080", false, "[::1]:8080", true),
        ("0.0.0.0:8080", false, "127.0.0.1:8080", false),
    ] {
        let held = Server { v6only, client, ..Server::at(at) }.connected();
        for state in [State::Listen, State::Established] {
            let row = only(state);
            assert_eq!(row.v6only, expect, "{at} {client} {row:?}");
            assert_eq!(row.local.is_ipv6(), at.starts_with('['), "{at} {client} {row:?}");
        }
        // A reset leaves nothing behind.
        let (server, accepted, client) = held;
        opt::set_socket_linger(&accepted, Some(Duration::ZERO)).expect("SO_LINGER");
        drop((accepted, client, server));
    }
}

fn a_device_is_kept() {
    Server { lo: true, reuseport: true, ..Server::at("127.0.0.1:8080") }.leave_time_wait();
    let row = only(State::TimeWait);
    assert_eq!((row.device, row.reuseaddr, row.reuseport), (1, false, true), "{row:?}");
}

/// Two roads to one fact: the rows are the same, and have the same cookies.
fn rows_are_those_of_sock_diag() {
    Server { reuseaddr: true, ..Server::at("[::]:8080") }.leave_time_wait();
    let mapped = Server { reuseaddr: true, client: "127.0.0.1:8080", ..Server::at("[::]:8080") };
    let held = mapped.connected();
    let name = getsockname(&held.1).expect("a name");
    assert_eq!(SocketAddr::try_from(name).expect("inet").to_string(), "[::ffff:127.0.0.1]:8080");
    let mut diag = SockDiag::open(&Netns::current()).expect("sock_diag");
    let rows = diag.inet_rows(&InetQuery::port(Transport::Tcp, PORT)).expect("its rows").found.sockets;
    let mut listed: Vec<_> = rows
        .iter()
        .map(|row| (Some(row.cookie), row.inet().map(|inet| inet.1), row.remote, row.state))
        .collect();
    let mut read: Vec<_> = tcp_options(&Netns::current(), PORT)
        .expect("the iterator")
        .iter()
        .map(|row| (row.cookie, Some(row.local), row.remote, row.state))
        .collect();
    listed.sort();
    read.sort();
    assert_eq!(listed, read);
    assert_eq!(read.len(), 3, "{read:?}");
}

fn another_port_is_another() {
    let beside = TcpListener::bind("127.0.0.1:8081").expect("bind");
    assert_eq!(tcp_options(&Netns::current(), PORT).expect("the iterator"), []);
    assert_eq!(tcp_options(&Netns::current(), 8081).expect("the iterator").len(), 1);
    drop(beside);
}

fn another_namespace_is_another() {
    let mut command = role(&["--net"], "hold");
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a holder");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line).expect("its word");
    assert_eq!(line, "ready\n");
    let there = Netns::open(&NetnsName::Pid(holder.id())).expect("its namespace");
    let rows = tcp_options(&there, PORT).expect("the iterator");
    assert_eq!(
        rows.iter().map(|row| (row.state, row.reuseaddr)).collect::<Vec<_>>(),
        [(State::TimeWait, true)]
    );
    assert_eq!(tcp_options(&Netns::current(), PORT).expect("the iterator"), []);
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
}

mod sys {
    //! The option that rustix does not have.
    //!
    //! # Safety
    //!
    //! The kernel reads a local array of the stated length.
    #![allow(unsafe_code)]

    use rustix::fd::{AsRawFd as _, OwnedFd};

    /// `SO_BINDTODEVICE` with the loopback device.
    pub(crate) fn bind_to_lo(socket: &OwnedFd) -> std::io::Result<()> {
        let name = *b"lo\0";
        let length = name.len() as libc::socklen_t;
        // SAFETY: `name` lives through the call and `length` is its size.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BINDTODEVICE,
                name.as_ptr().cast(),
                length,
            )
        };
        if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}
