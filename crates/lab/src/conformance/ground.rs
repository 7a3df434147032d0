//! The ground that cases are staged on: a private network namespace with two devices, small buffers, a
//! listener that takes connections and one that does not answer.
//!
//! The caller must be single-threaded and root (or root in a user namespace of its own). A ground is used
//! for some hundred cases, each on its own port, and then left for a fresh one: what the cases left behind
//! in TIME_WAIT goes with it.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::UnshareFlags;

use super::case::{LINK4, LINK6};
use super::route::Route;
use crate::sys::thread::unshare;

/// `lo` in every namespace.
pub const LOOPBACK: u32 = 1;
/// The name of the second device.
pub const LINK_NAME: &str = "link0";
const OTHER_END: &str = "link1";
/// The ports of cases; everything above is for the other ends.
pub const PORTS: std::ops::Range<u16> = 2000..32000;
/// Where the other ends get their ports.
const RANGE: (u16, u16) = (40000, 60999);
const SINK_PORT: u16 = 33000;
const TARPIT_PORT: u16 = 33001;

/// A private network namespace, ready for cases.
#[derive(Debug)]
pub struct Ground {
    /// Interface index of the second device.
    pub link: u32,
    /// A listener on `[::]` and `0.0.0.0` whose connections the stage accepts.
    pub sink: OwnedFd,
    next: u16,
    range: File,
    _tarpit: [OwnedFd; 2],
}

impl Ground {
    /// Moves the process into a new namespace and prepares it.
    ///
    /// # Errors
    /// Where the namespace, a device or a setting is refused: the act is named.
    pub fn new() -> io::Result<Ground> {
        unshare(UnshareFlags::NEWNET).map_err(named("unshare(CLONE_NEWNET)"))?;
        if set("ipv4/tcp_child_ehash_entries", "512").is_ok() {
            // A second step, so that this namespace has a connection table of its own: a small one is read
            // fast. Before Linux 6.1 there is no such thing.
            unshare(UnshareFlags::NEWNET).map_err(named("unshare(CLONE_NEWNET)"))?;
        }
        let route = Route::open()?;
        route.up(LOOPBACK).map_err(named("lo up"))?;
        route.make_pair(LINK_NAME, OTHER_END).map_err(named("a veth pair"))?;
        let link = route.index(LINK_NAME)?;
        route.up(route.index(OTHER_END)?)?;
        route.up(link)?;
        route.address(link, LINK4.into(), 24, false).map_err(named("an IPv4 address"))?;
        route.address(link, LINK6.into(), 64, false).map_err(named("an IPv6 address"))?;
        set("ipv4/tcp_rmem", "4096 8192 8192")?;
        set("ipv4/tcp_wmem", "4096 16384 16384")?;
        set("ipv4/tcp_max_tw_buckets", "1000000")?;
        let range = File::options()
            .write(true)
            .open("/proc/sys/net/ipv4/ip_local_port_range")
            .map_err(named("ip_local_port_range"))?;
        write_range(&range, RANGE)?;

        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), SINK_PORT);
        let sink = listener(any, 1024).map_err(named("the sink"))?;
        let tarpit = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), TARPIT_PORT);
        let tarpit = listener(tarpit, 0).map_err(named("the tarpit"))?;
        // One connection fills a backlog of 0; from then on a SYN is dropped without a word.
        let full = plain_socket(AddressFamily::INET)?;
        rustix::net::connect(&full, &SocketAddr::new(Ipv4Addr::LOCALHOST.into(), TARPIT_PORT))?;
        Ok(Ground { link, sink, next: PORTS.start, range, _tarpit: [tarpit, full] })
    }

    /// A port that no case of this ground has had, or `None` when they are used up.
    pub fn fresh_port(&mut self) -> Option<u16> {
        let port = self.next;
        self.next = self.next.checked_add(1)?;
        PORTS.contains(&port).then_some(port)
    }

    /// Whether so many ports are left.
    pub fn has_ports(&self, count: u16) -> bool {
        self.next.checked_add(count).is_some_and(|end| end <= PORTS.end)
    }

    /// Where a client of that address finds the sink.
    pub fn sink_at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, SINK_PORT)
    }

    /// Where a client of that address gets no answer.
    pub fn tarpit_at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, TARPIT_PORT)
    }

    /// Runs `act` while connect() and bind(0) may choose only from `low..=high`.
    ///
    /// # Errors
    /// Where the setting is refused.
    pub fn with_range<T>(&self, low: u16, high: u16, act: impl FnOnce() -> T) -> io::Result<T> {
        write_range(&self.range, (low, high))?;
        let result = act();
        write_range(&self.range, RANGE)?;
        Ok(result)
    }
}

fn write_range(file: &File, (low, high): (u16, u16)) -> io::Result<()> {
    file.write_all_at(format!("{low} {high}\n").as_bytes(), 0)
}

/// Writes a setting of the current namespace, by its place under /proc/sys/net.
///
/// # Errors
/// As for the file.
pub fn set(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value)
        .map_err(|e| io::Error::new(e.kind(), format!("/proc/sys/net/{name}: {e}")))
}

fn named<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> io::Error {
    move |error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{act}: {error}"))
    }
}

fn plain_socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

fn listener(at: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET6,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket)
}
