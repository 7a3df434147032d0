//! How people write an address, and how they paste one: `8080`, `[::1]:8080`, `udp/53`, `unix:/run/x.sock`,
//! `:::3000`, `192.168.1.103.8000`, `http://localhost:3000/`, or a whole error message.
//!
//! [`parse`] reads one address and keeps the spans, so that a later error (a name that does not resolve, an
//! interface that does not exist) can still point at the offending part. [`message::find`] looks for
//! addresses in what a failing program printed.
//!
//! Not here: turning names into addresses and interface names into numbers. Both need the machine.

mod inet;
pub mod message;
mod mistake;
mod part;
mod unix;

pub use mistake::Mistake;

use crate::address::{Transport, UnixKind, UnixName, escape};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::{Range, RangeInclusive};
use part::{Fault, Part};

/// The most ports that one range may name.
pub const MAX_RANGE: usize = 1024;

/// The longest text that is read as one address, in bytes.
pub const MAX_TEXT: usize = 4096;

/// An address as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text, as it was typed.
    pub text: String,
    /// What it asks for.
    pub target: Target,
    /// Where its host stands in the text; empty when there is none.
    pub host_span: Range<usize>,
    /// Where its scope or device stands in the text.
    pub interface_span: Option<Range<usize>>,
}

/// What a written address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One or several ports of a host.
    Inet {
        /// TCP, unless UDP is asked for.
        transport: Transport,
        /// Where.
        host: Host,
        /// The interface of `SO_BINDTODEVICE`, by name or number (`127.0.0.1%eth0:80`, `[::]%eth0:80`).
        device: Option<String>,
        /// The ports; never empty, at most [`MAX_RANGE`].
        ports: RangeInclusive<u16>,
    },
    /// A unix socket.
    Unix {
        /// The type; a stream unless another is asked for.
        kind: UnixKind,
        /// Its name, never [`UnixName::Unnamed`].
        name: UnixName,
    },
}

/// The host part of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// None (`8080`, `:8080`) or `*`: every address of the machine, both families.
    Every,
    /// Exactly this one.
    Ip {
        /// The address.
        ip: IpAddr,
        /// For IPv6, the link it is meant for, by name or number (`fe80::1%eth0`).
        scope: Option<String>,
    },
    /// Each address of this name.
    Name(String),
}

/// One thing to ask the kernel about: a target with a single port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A port of a host.
    Inet {
        /// TCP or UDP.
        transport: Transport,
        /// Where.
        host: Host,
        /// The interface of `SO_BINDTODEVICE`.
        device: Option<String>,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// Its type.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
}

impl Written {
    /// What it asks for, one port at a time.
    pub fn wanted(&self) -> Vec<Wanted> {
        match &self.target {
            Target::Inet { transport, host, device, ports } => ports
                .clone()
                .map(|port| Wanted::Inet {
                    transport: *transport,
                    host: host.clone(),
                    device: device.clone(),
                    port,
                })
                .collect(),
            Target::Unix { kind, name } => alloc::vec![Wanted::Unix { kind: *kind, name: name.clone() }],
        }
    }

    /// A complaint about its host, found when the host was looked up.
    pub fn blame_host(&self, wrong: impl Into<String>, right: impl Into<String>) -> Mistake {
        Mistake::new(&self.text, self.host_span.clone(), wrong, right)
    }

    /// A complaint about its scope or device, found when the interface was looked up.
    pub fn blame_interface(&self, wrong: impl Into<String>, right: impl Into<String>) -> Mistake {
        let span = self.interface_span.clone().unwrap_or_else(|| self.host_span.clone());
        Mistake::new(&self.text, span, wrong, right)
    }
}

/// Reads one address.
///
/// # Errors
///
/// A [`Mistake`] that points at the part that is wrong and says what would be right.
pub fn parse(text: &str) -> Result<Written, Mistake> {
    let whole = Part::trimmed(text);
    let parsed = if text.len() > MAX_TEXT {
        Err(whole
            .after(MAX_TEXT)
            .wrong("this is too long for an address", "an address is a port, HOST:PORT or unix:PATH"))
    } else if whole.is_empty() {
        Err(whole.wrong("no address is given", "write a port (8080), HOST:PORT, unix:PATH or @NAME"))
    } else if let Some(read) = unix::parse(whole) {
        read
    } else {
        inet::parse(whole)
    };
    match parsed {
        Ok(read) => Ok(Written {
            text: text.to_string(),
            target: read.target,
            host_span: read.host,
            interface_span: read.interface,
        }),
        Err(fault) => {
            let fault = several(whole).unwrap_or(fault);
            Err(Mistake::new(text, fault.span, fault.wrong, fault.right))
        }
    }
}

/// Several addresses with commas between them, where a shell has a word for each.
fn several(whole: Part<'_>) -> Option<Fault> {
    let (first, _) = whole.split_once(",")?;
    let comma = Part { text: ",", at: first.span().end };
    let words: Vec<&str> = whole.text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let all = words.iter().all(|word| inet::parse(Part { text: word, at: 0 }).is_ok());
    if whole.text.len() > MAX_TEXT || words.is_empty() || !all {
        return None;
    }
    let right = "give each address as a word of its own";
    // Behind a host a bare port is that host's, and as a word of its own it would be everybody's.
    let bare = |word: &&str| word.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    Some(if words.iter().all(bare) && words.len() <= 8 {
        comma.wrong("a comma joins no addresses", format!("{right}: {}", words.join(" ")))
    } else {
        comma.wrong("a comma joins no addresses", right)
    })
}

/// What the readers of the two kinds of address give back.
struct Read {
    target: Target,
    host: Range<usize>,
    interface: Option<Range<usize>>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl fmt::Display for Target {
    /// The form that [`parse`] reads back as the same target.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Inet { transport, host, device, ports } => {
                write!(f, "{}/", transport.name())?;
                match (host, device) {
                    (Host::Every, None) => {}
                    (Host::Every, Some(device)) => write!(f, "*%{device}:")?,
                    (host, None) => write!(f, "{host}:")?,
                    (host, Some(device)) => write!(f, "{host}%{device}:")?,
                }
                write!(f, "{}", ports.start())?;
                if ports.start() != ports.end() {
                    write!(f, "-{}", ports.end())?;
                }
                Ok(())
            }
            Target::Unix { kind, name } => {
                match kind {
                    UnixKind::Stream => {}
                    UnixKind::Datagram => f.write_str("unix-dgram:")?,
                    UnixKind::Seqpacket => f.write_str("unix-seqpacket:")?,
                }
                match (kind, name) {
                    (UnixKind::Stream, _) | (_, UnixName::Abstract(_)) => name.fmt(f),
                    (_, UnixName::Path(path)) => f.write_str(&escape(path)),
                    (_, UnixName::Unnamed) => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Every => f.write_str("*"),
            Host::Ip { ip: IpAddr::V4(ip), .. } => ip.fmt(f),
            Host::Ip { ip: IpAddr::V6(ip), scope: None } => write!(f, "[{ip}]"),
            Host::Ip { ip: IpAddr::V6(ip), scope: Some(scope) } => write!(f, "[{ip}%{scope}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;
