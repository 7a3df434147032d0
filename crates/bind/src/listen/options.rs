//! The options of a socket, and setting them: all before bind(), which is the only time at which they count.
//!
//! Follows socket(7), ip(7), ipv6(7), tcp(7) and `sk_setsockopt`. Not here: which are set (`Listen`).

use rustix::fd::AsFd;
use rustix::net::{AddressFamily, sockopt};
use std::io;
use std::time::Duration;

/// Probes on connections that are silent (`SO_KEEPALIVE`); what is `None` stays as the system has it.
///
/// ```
/// use inuse_bind::{Keepalive, Listen};
/// use std::time::Duration;
///
/// let probes = Keepalive { idle: Some(Duration::from_secs(60)), ..Keepalive::default() };
/// let server = Listen::tcp("127.0.0.1:0").keepalive(probes).bind()?;
/// # Ok::<(), inuse_bind::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe, in whole seconds (`TCP_KEEPIDLE`; Linux has 2 hours).
    pub idle: Option<Duration>,
    /// Time between probes, in whole seconds (`TCP_KEEPINTVL`; Linux has 75 s).
    pub interval: Option<Duration>,
    /// Probes without an answer before the connection is given up (`TCP_KEEPCNT`; Linux has 9).
    pub count: Option<u32>,
}

/// Every option that a [`crate::Listen`] can set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) reuseaddr: bool,
    pub(crate) reuseport: bool,
    pub(crate) v6only: Option<bool>,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) linger: Option<Duration>,
    pub(crate) nodelay: bool,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    #[cfg(target_os = "linux")]
    pub(crate) device: Option<String>,
    #[cfg(target_os = "linux")]
    pub(crate) freebind: bool,
}

impl Options {
    /// Sets those that decide about the bind, and then the others. An error has the option's name.
    pub(crate) fn set(
        &self,
        socket: impl AsFd,
        family: AddressFamily,
    ) -> Result<(), (&'static str, io::Error)> {
        let fd = socket.as_fd();
        if self.reuseaddr {
            sockopt::set_socket_reuseaddr(fd, true).map_err(named("SO_REUSEADDR"))?;
        }
        if self.reuseport {
            sockopt::set_socket_reuseport(fd, true).map_err(named("SO_REUSEPORT"))?;
        }
        if let (Some(only), AddressFamily::INET6) = (self.v6only, family) {
            sockopt::set_ipv6_v6only(fd, only).map_err(named("IPV6_V6ONLY"))?;
        }
        #[cfg(target_os = "linux")]
        {
            if self.freebind && family == AddressFamily::INET6 {
                sockopt::set_ipv6_freebind(fd, true).map_err(named("IPV6_FREEBIND"))?;
            } else if self.freebind {
                sockopt::set_ip_freebind(fd, true).map_err(named("IP_FREEBIND"))?;
            }
            if let Some(device) = &self.device {
                crate::sys::device::bind_to_device(fd, device).map_err(|error| ("SO_BINDTODEVICE", error))?;
            }
        }
        self.set_any_time(fd)
    }

    /// Sets those that count at any time: also on a socket that somebody else bound.
    pub(crate) fn set_any_time(&self, socket: impl AsFd) -> Result<(), (&'static str, io::Error)> {
        let fd = socket.as_fd();
        if let Some(bytes) = self.receive_buffer {
            sockopt::set_socket_recv_buffer_size(fd, bytes).map_err(named("SO_RCVBUF"))?;
        }
        if let Some(bytes) = self.send_buffer {
            sockopt::set_socket_send_buffer_size(fd, bytes).map_err(named("SO_SNDBUF"))?;
        }
        if let Some(time) = self.linger {
            sockopt::set_socket_linger(fd, Some(time)).map_err(named("SO_LINGER"))?;
        }
        if self.nodelay {
            sockopt::set_tcp_nodelay(fd, true).map_err(named("TCP_NODELAY"))?;
        }
        let Some(probes) = self.keepalive else { return Ok(()) };
        sockopt::set_socket_keepalive(fd, true).map_err(named("SO_KEEPALIVE"))?;
        if let Some(idle) = probes.idle {
            sockopt::set_tcp_keepidle(fd, idle).map_err(named("TCP_KEEPIDLE"))?;
        }
        if let Some(interval) = probes.interval {
            sockopt::set_tcp_keepintvl(fd, interval).map_err(named("TCP_KEEPINTVL"))?;
        }
        if let Some(count) = probes.count {
            sockopt::set_tcp_keepcnt(fd, count).map_err(named("TCP_KEEPCNT"))?;
        }
        Ok(())
    }
}

fn named(option: &'static str) -> impl Fn(rustix::io::Errno) -> (&'static str, io::Error) {
    move |errno| (option, errno.into())
}
