//! A socket that is ready to serve: [`listen`] for the ordinary case, [`Listen`] for every other.
//!
//! Not here: one try (`open`), setting options (`options`), what comes after a try that failed (`again`).

mod again;
mod kinds;
mod open;
pub(crate) mod options;

pub use kinds::{InetSocket, Listener, SeqpacketListener, Socket, UnixSocket};
pub use options::Keepalive;

use crate::error::{Error, copy};
use crate::inherit;
use again::Patience;
use inuse_rules::address::{Address, Transport, UnixKind, UnixName, escape};
use open::{BIND, Failure, Plan, listens, set_nonblocking};
use options::Options;
use rustix::fd::OwnedFd;
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

/// Listens on a TCP address: an inherited socket for it, else a new one with SO_REUSEADDR, the largest backlog
/// that the machine allows, and close-on-exec.
///
/// ```
/// let server = inuse_bind::listen("127.0.0.1:0")?;
/// println!("listening on {}", server.local_addr()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Of a name with several addresses, the first that this machine has is bound; one that is in use is an error,
/// and not a reason to go on silently to the next.
///
/// # Errors
/// An [`Error`] that says who is in the way and what helps.
pub fn listen(address: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    Listen::tcp(address).bind()
}

/// How to get a socket, in the kernel's words. Whatever is set here is set before bind(2), in whichever order it
/// is written.
///
/// ```
/// use inuse_bind::Listen;
/// use std::time::Duration;
///
/// let server = Listen::tcp("[::]:0")
///     .v6only(false)                      // IPv4 as well
///     .backlog(512)
///     .nonblocking(true)
///     .wait(Duration::from_secs(5))       // while the old server ends
///     .bind()?;
/// # Ok::<(), inuse_bind::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is bound before .bind()"]
pub struct Listen<S = TcpListener> {
    addresses: io::Result<Vec<Address>>,
    plan: Plan,
    patience: Patience,
    name: Option<String>,
    inherit: bool,
    socket: PhantomData<fn() -> S>,
}

impl Listen<TcpListener> {
    /// A TCP listener on an address, or on the first that this machine has of the addresses of a name.
    /// `SO_REUSEADDR` is on: on Linux it lets a restarted server take its port back although connections of the
    /// old one are in TIME_WAIT, and never lets two servers listen on one address.
    pub fn tcp(address: impl ToSocketAddrs) -> Listen<TcpListener> {
        let mut listen = Listen::new(resolve(Transport::Tcp, address));
        listen.plan.options.reuseaddr = true;
        listen
    }

    /// Probes for connections that are silent (`SO_KEEPALIVE`); accepted connections inherit it.
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn keepalive(mut self, probes: Keepalive) -> Self {
        self.plan.options.keepalive = Some(probes);
        self
    }

    /// close(2) of an accepted connection waits so long, in whole seconds, until what was sent has arrived; zero
    /// throws it away and resets the connection. That leaves no TIME_WAIT, and is no cure for it: with
    /// `SO_REUSEADDR` a TIME_WAIT is in nobody's way.
    #[doc(alias = "SO_LINGER")]
    pub fn linger(mut self, time: Duration) -> Self {
        self.plan.options.linger = Some(time);
        self
    }

    /// Sends small segments at once (`TCP_NODELAY`); accepted connections inherit it on Linux.
    #[doc(alias = "TCP_NODELAY")]
    pub fn nodelay(mut self, on: bool) -> Self {
        self.plan.options.nodelay = on;
        self
    }
}

impl Listen<UdpSocket> {
    /// A UDP socket. `SO_REUSEADDR` is off here: between two UDP sockets that both have it, the later one silently
    /// takes the datagrams of the earlier.
    pub fn udp(address: impl ToSocketAddrs) -> Listen<UdpSocket> {
        Listen::new(resolve(Transport::Udp, address))
    }
}

impl Listen<UnixListener> {
    /// A unix stream listener at a path. A socket file that nobody serves any more is replaced, if that is proven;
    /// anything else that stands there stays.
    pub fn unix(path: impl AsRef<Path>) -> Listen<UnixListener> {
        Listen::new(Ok(at_path(UnixKind::Stream, path.as_ref())))
    }

    /// A unix stream listener with an abstract name, given without the leading NUL (unix(7)).
    #[cfg(target_os = "linux")]
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> Listen<UnixListener> {
        let name = UnixName::Abstract(name.as_ref().to_vec());
        Listen::new(Ok(vec![Address::Unix { kind: UnixKind::Stream, name }]))
    }
}

impl Listen<UnixDatagram> {
    /// A unix datagram socket at a path; a stale file is replaced as by [`Listen::unix`].
    pub fn unix_datagram(path: impl AsRef<Path>) -> Listen<UnixDatagram> {
        Listen::new(Ok(at_path(UnixKind::Datagram, path.as_ref())))
    }
}

impl Listen<SeqpacketListener> {
    /// A unix seqpacket listener at a path; a stale file is replaced as by [`Listen::unix`].
    pub fn unix_seqpacket(path: impl AsRef<Path>) -> Listen<SeqpacketListener> {
        Listen::new(Ok(at_path(UnixKind::Seqpacket, path.as_ref())))
    }
}

impl<S: InetSocket> Listen<S> {
    /// `SO_REUSEADDR`. Off for TCP it makes a restart fail as long as connections of the old server are in
    /// TIME_WAIT, up to a minute: useful only to show that.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuseaddr(mut self, on: bool) -> Self {
        self.plan.options.reuseaddr = on;
        self
    }

    /// `SO_REUSEPORT`: other sockets of the same user that have it as well share the address, and the kernel deals
    /// the connections out among them. Off by default, since it turns a server that was started twice into one
    /// that silently gets half of the traffic.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn reuseport(mut self, on: bool) -> Self {
        self.plan.options.reuseport = on;
        self
    }

    /// `IPV6_V6ONLY`: true for IPv6 alone, false for IPv4 as well on `[::]` (dual stack). Not set, it is as the
    /// system has it, usually dual stack. Means nothing for an IPv4 address.
    #[doc(alias = "IPV6_V6ONLY")]
    #[doc(alias = "dual_stack")]
    pub fn v6only(mut self, on: bool) -> Self {
        self.plan.options.v6only = Some(on);
        self
    }

    /// Only what arrives on this interface ("eth0"; `SO_BINDTODEVICE`).
    #[cfg(target_os = "linux")]
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn device(mut self, interface: impl Into<String>) -> Self {
        self.plan.options.device = Some(interface.into());
        self
    }

    /// An address that no interface has yet is fine (`IP_FREEBIND`).
    #[cfg(target_os = "linux")]
    #[doc(alias = "IP_FREEBIND")]
    pub fn freebind(mut self, on: bool) -> Self {
        self.plan.options.freebind = on;
        self
    }

    /// When the port is in use, and still is after the time of [`Listen::wait`]: the next one that can be bound,
    /// leaving out those that outgoing connections are given and those that the administrator has reserved.
    /// [`TcpListener::local_addr`] says which it was. The error, when there is none, is that of the first.
    pub fn or_next_port(mut self) -> Self {
        self.patience.next_port = true;
        self
    }
}

impl<S: UnixSocket> Listen<S> {
    /// The permissions of the socket file (`0o660`), whatever the umask is. Who may not write to it may not
    /// connect. On Linux the file never has more than these, not even for a moment.
    #[doc(alias = "chmod")]
    pub fn mode(mut self, bits: u32) -> Self {
        self.plan.mode = Some(bits & 0o7777);
        self
    }

    /// Whether a socket file that nobody serves any more is replaced; it is by default, where that is proven: it is
    /// a socket, nobody whom the kernel lists is behind it in any network namespace that may be entered, and a
    /// connection to it is refused. Something that is no socket always stays.
    pub fn replace_stale(mut self, on: bool) -> Self {
        self.patience.replace_stale = on;
        self
    }
}

impl<S: Listener> Listen<S> {
    /// Connections that may wait to be accepted. Not set, it is as many as the machine allows
    /// (`net.core.somaxconn`, 4096 on Linux); more than that is cut to it.
    #[doc(alias = "SOMAXCONN")]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.plan.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }
}

impl<S: Socket> Listen<S> {
    fn new(addresses: io::Result<Vec<Address>>) -> Listen<S> {
        Listen {
            addresses,
            plan: Plan { options: Options::default(), backlog: i32::MAX, nonblocking: false, mode: None },
            patience: Patience { wait: None, next_port: false, replace_stale: true },
            name: None,
            inherit: true,
            socket: PhantomData,
        }
    }

    /// Whether calls on the socket return at once with `WouldBlock` (`O_NONBLOCK`), as mio and tokio need it. An
    /// inherited socket is switched as well, for everybody who shares it.
    #[doc(alias = "O_NONBLOCK")]
    pub fn nonblocking(mut self, on: bool) -> Self {
        self.plan.nonblocking = on;
        self
    }

    /// The receive buffer in bytes (`SO_RCVBUF`); Linux doubles it, and cuts it to `net.core.rmem_max`. On TCP it
    /// also ends the kernel's own tuning, so set it only for a reason.
    #[doc(alias = "SO_RCVBUF")]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.plan.options.receive_buffer = Some(bytes);
        self
    }

    /// The send buffer in bytes (`SO_SNDBUF`); as [`Listen::receive_buffer`], cut to `net.core.wmem_max`.
    #[doc(alias = "SO_SNDBUF")]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.plan.options.send_buffer = Some(bytes);
        self
    }

    /// When the address is in use, waits at most so long until it can be bound. It sleeps until the kernel
    /// announces a change, and does not try over and over. What waiting cannot help is an error at once.
    pub fn wait(mut self, at_most: Duration) -> Self {
        self.patience.wait = Some(at_most);
        self
    }

    /// The name of the inherited socket in `LISTEN_FDNAMES`. Only sockets of that name are taken then, and port 0
    /// stands for whatever port the parent has chosen. Without an inherited socket of that name it is bound.
    #[doc(alias = "LISTEN_FDNAMES")]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether a socket that the parent left open for this address is taken (`LISTEN_FDS`); it is by default. See
    /// [`inherited`](crate::inherited) about threads.
    #[doc(alias = "LISTEN_FDS")]
    pub fn inherit(mut self, on: bool) -> Self {
        self.inherit = on;
        self
    }

    /// Gives the socket: the inherited one, else a new one, bound and, where its type has it, listening.
    ///
    /// # Errors
    /// An [`Error`] that says who is in the way and what helps.
    pub fn bind(&self) -> Result<S, Error> {
        let addresses = self.addresses()?;
        if self.inherit {
            for address in addresses {
                let v6only = self.plan.options.v6only;
                let inherited =
                    inherit::take(address, v6only, self.name.as_deref()).map_err(Error::inherited)?;
                if let Some(fd) = inherited {
                    self.adapt(&fd, address).map_err(|failure| self.explained(address, failure, false))?;
                    return Ok(S::from(fd));
                }
            }
        }
        let opened = self.patience.open(addresses, &self.plan);
        opened.map(S::from).map_err(|(address, failure)| {
            let tried = failure.act == BIND;
            self.explained(&address, failure, tried)
        })
    }

    /// What is known about an error of a socket that others bound, with the options that are set here.
    pub fn explain(&self, error: &io::Error) -> Error {
        match self.addresses() {
            Ok([address, ..]) => self.explained(address, Failure::new(BIND, copy(error)), false),
            _ => Error::new("cannot bind", copy(error)),
        }
    }

    /// Everything that can be said about this bind, now: whether it would succeed, who is in the way, what helps.
    /// Nothing is bound, and no time is spared.
    ///
    /// # Errors
    /// When the address cannot be read, or the kernel has no sock_diag.
    #[cfg(target_os = "linux")]
    pub fn why(&self) -> Result<crate::Report, Error> {
        let address = self.addresses()?.first().cloned();
        let Some(address) = address else { return Err(no_address()) };
        let asker = crate::Asker::new(&crate::explain::own());
        let mut asker =
            asker.map_err(|error| Error::new(format!("cannot ask about {}", spoken(&address)), error))?;
        Ok(asker.why(&self.plan.attempt(&address)))
    }

    fn addresses(&self) -> Result<&[Address], Error> {
        match &self.addresses {
            Ok(addresses) if addresses.is_empty() => Err(no_address()),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(Error::new("cannot read the address", copy(error))
                .answered(Some("It is written IP:PORT, [IPv6]:PORT or NAME:PORT".into()))),
        }
    }

    /// What can still be asked of a socket that is bound already.
    fn adapt(&self, fd: &OwnedFd, address: &Address) -> Result<(), Failure> {
        let set = self.plan.options.set_any_time(fd);
        set.map_err(|(option, error)| Failure::new(format!("set {option} for the inherited"), error))?;
        set_nonblocking(fd, self.plan.nonblocking)
            .map_err(|errno| Failure::new("switch the blocking mode of the inherited", errno))?;
        if listens(address) {
            // Once more it only changes the backlog, which some parents keep at 1.
            rustix::net::listen(fd, self.plan.backlog)
                .map_err(|errno| Failure::new("listen on the inherited", errno))?;
        }
        Ok(())
    }

    /// `tried`: bind(2) has just refused exactly this.
    #[cfg(target_os = "linux")]
    fn explained(&self, address: &Address, failure: Failure, tried: bool) -> Error {
        let errno = failure.source.raw_os_error();
        let answer = crate::explain::answer(&self.plan.attempt(address), errno, tried);
        Error::new(format!("cannot {} {}", failure.act, spoken(address)), failure.source)
            .answered(answer.line)
            .reported(answer.report)
    }

    /// Who holds an address is asked of Linux only.
    #[cfg(not(target_os = "linux"))]
    fn explained(&self, address: &Address, failure: Failure, _: bool) -> Error {
        let in_use = failure.source.kind() == io::ErrorKind::AddrInUse;
        let answer = in_use.then(|| "Who holds it cannot be seen on this system".to_owned());
        Error::new(format!("cannot {} {}", failure.act, spoken(address)), failure.source).answered(answer)
    }
}

fn no_address() -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    Error::new("cannot read the address", source)
}

fn resolve(transport: Transport, address: impl ToSocketAddrs) -> io::Result<Vec<Address>> {
    let inet = |local: SocketAddr| Address::Inet { transport, local, device: 0 };
    Ok(address.to_socket_addrs()?.map(inet).collect())
}

fn at_path(kind: UnixKind, path: &Path) -> Vec<Address> {
    vec![Address::Unix { kind, name: UnixName::Path(path.as_os_str().as_bytes().to_vec()) }]
}

/// An address as people say it: TCP and streams go without saying.
fn spoken(address: &Address) -> String {
    match address {
        Address::Inet { transport: Transport::Tcp, local, .. } => local.to_string(),
        Address::Unix { name: UnixName::Path(path), .. } => escape(path),
        other => other.to_string(),
    }
}
