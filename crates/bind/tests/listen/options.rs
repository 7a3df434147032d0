//! What was asked for is what the kernel has: getsockopt of the socket, and sock_diag's row of it.

use crate::same;
use inuse_bind::{Keepalive, Listen, listen};
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{Netns, SockDiag};
use inuse_rules::{Address, State, Transport};
use libtest_mimic::{Failed, Trial};
use rustix::fd::AsFd;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::sockopt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("options::what_listen_sets", what_listen_sets),
        Trial::test("options::each_is_set", each_is_set),
        Trial::test("options::udp", udp),
        Trial::test("options::the_backlog", the_backlog),
        Trial::test("options::the_device", the_device),
        Trial::test("options::dual_stack_and_v6only", dual_stack_and_v6only),
        Trial::test("options::an_address_to_come", an_address_to_come),
        Trial::test("options::children_do_not_get_it", children_do_not_get_it),
        Trial::test("options::reuseport_shares", reuseport_shares),
    ]
}

fn close_on_exec(socket: impl AsFd) -> Result<bool, Failed> {
    Ok(fcntl_getfd(socket)?.contains(FdFlags::CLOEXEC))
}

fn nonblocking(socket: impl AsFd) -> Result<bool, Failed> {
    Ok(fcntl_getfl(socket)?.contains(OFlags::NONBLOCK))
}

fn what_listen_sets() -> Result<(), Failed> {
    let server = listen("127.0.0.1:0")?;
    same(sockopt::socket_reuseaddr(&server)?, true)?;
    same(sockopt::socket_reuseport(&server)?, false)?;
    same(sockopt::socket_keepalive(&server)?, false)?;
    same(sockopt::socket_linger(&server)?, None)?;
    same(close_on_exec(&server)?, true)?;
    same(nonblocking(&server)?, false)
}

fn each_is_set() -> Result<(), Failed> {
    let probes = Keepalive {
        idle: Some(Duration::from_secs(61)),
        interval: Some(Duration::from_secs(11)),
        count: Some(4),
    };
    let server = Listen::tcp("[::1]:0")
        .reuseaddr(false)
        .reuseport(true)
        .v6only(true)
        .keepalive(probes)
        .linger(Duration::from_secs(7))
        .nodelay(true)
        .receive_buffer(30_000)
        .send_buffer(40_000)
        .nonblocking(true)
        .bind()?;
    same(sockopt::socket_reuseaddr(&server)?, false)?;
    same(sockopt::socket_reuseport(&server)?, true)?;
    same(sockopt::ipv6_v6only(&server)?, true)?;
    same(sockopt::socket_keepalive(&server)?, true)?;
    same(sockopt::tcp_keepidle(&server)?, Duration::from_secs(61))?;
    same(sockopt::tcp_keepintvl(&server)?, Duration::from_secs(11))?;
    same(sockopt::tcp_keepcnt(&server)?, 4)?;
    same(sockopt::socket_linger(&server)?, Some(Duration::from_secs(7)))?;
    same(sockopt::tcp_nodelay(&server)?, true)?;
    // The kernel doubles them, for its own bookkeeping.
    same(sockopt::socket_recv_buffer_size(&server)?, 60_000)?;
    same(sockopt::socket_send_buffer_size(&server)?, 80_000)?;
    same(nonblocking(&server)?, true)
}

fn udp() -> Result<(), Failed> {
    let socket = Listen::udp("127.0.0.1:0").receive_buffer(20_000).bind()?;
    same(sockopt::socket_reuseaddr(&socket)?, false)?;
    same(sockopt::socket_recv_buffer_size(&socket)?, 40_000)?;
    same(close_on_exec(&socket)?, true)?;
    socket.send_to(b"x", socket.local_addr()?)?;
    same(socket.recv(&mut [0; 8])?, 1)
}

/// sock_diag's row of a listener: the backlog is where connections have their send queue.
fn row(local: SocketAddr) -> Result<inuse_rules::Socket, Failed> {
    let mut diag = SockDiag::open(&Netns::current())?;
    let mut found = None;
    diag.inet(&InetQuery::listeners(Transport::Tcp, local.port()), &mut |row| {
        if row.state == State::Listen && row.inet().is_some_and(|(_, at, _)| at == local) {
            found = Some(row);
        }
    })?;
    found.ok_or_else(|| format!("no listener at {local}").into())
}

fn the_backlog() -> Result<(), Failed> {
    let most: u32 = std::fs::read_to_string("/proc/sys/net/core/somaxconn")?.trim().parse()?;
    let check = |server: TcpListener, expect: u32| same(row(server.local_addr()?)?.send_q, expect);
    check(listen("127.0.0.1:0")?, most)?;
    check(Listen::tcp("127.0.0.1:0").backlog(7).bind()?, 7)?;
    check(Listen::tcp("127.0.0.1:0").backlog(u32::MAX).bind()?, most)
}

fn the_device() -> Result<(), Failed> {
    let server = Listen::tcp("127.0.0.1:0").device("lo").bind()?;
    let lo = inuse_kernel::locality::interface_index(&Netns::current(), "lo")?;
    let Address::Inet { device, .. } = row(server.local_addr()?)?.address else {
        return Err("a TCP listener".into());
    };
    same(Some(device), lo)?;
    let error = Listen::tcp("127.0.0.1:0").device("no-such-interface").bind().unwrap_err();
    crate::says(&error, &["cannot set SO_BINDTODEVICE for 127.0.0.1:0"])
}

fn dual_stack_and_v6only() -> Result<(), Failed> {
    let check = |v6only: bool| -> Result<(), Failed> {
        let server = Listen::tcp("[::]:0").v6only(v6only).bind()?;
        same(sockopt::ipv6_v6only(&server)?, v6only)?;
        let port = server.local_addr()?.port();
        same(TcpStream::connect(("127.0.0.1", port)).is_err(), v6only)?;
        same(TcpStream::connect(("::1", port)).is_ok(), true)
    };
    check(true)?;
    check(false)
}

fn an_address_to_come() -> Result<(), Failed> {
    let server = Listen::tcp("192.0.2.7:0").freebind(true).bind()?;
    same(server.local_addr()?.ip().to_string(), "192.0.2.7".into())
}

fn children_do_not_get_it() -> Result<(), Failed> {
    let server = listen("127.0.0.1:0")?;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", server.as_raw_fd()))?;
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output()?;
    let listed = String::from_utf8_lossy(&output.stdout);
    same(listed.contains("/dev/null") || listed.contains("pipe:"), true)?;
    same(listed.contains(&*link.to_string_lossy()), false)
}

fn reuseport_shares() -> Result<(), Failed> {
    let first = Listen::tcp("127.0.0.1:0").reuseport(true).bind()?;
    let second = Listen::tcp(first.local_addr()?).reuseport(true).bind()?;
    same(second.local_addr()?, first.local_addr()?)
}
