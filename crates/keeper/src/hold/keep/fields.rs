//! The fields of a message: numbers, texts, addresses, with bounds on both sides.
//!
//! Not here: which message has which (`wire`).

use inuse_rules::address::UnixName;
use inuse_rules::{Address, Transport, UnixKind};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The version of every message.
pub(super) const VERSION: u8 = 1;
/// The longest text in one; longer ones are cut.
pub(super) const LONGEST_TEXT: usize = 512;

/// Writes one message.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new() -> Writer {
        Writer(vec![VERSION])
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        let kept = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
        self.0.extend((kept.len() as u16).to_be_bytes());
        self.0.extend(kept);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Writer {
        let end = (0..=text.len().min(LONGEST_TEXT)).rev().find(|&end| text.is_char_boundary(end));
        self.bytes(&text.as_bytes()[..end.unwrap_or(0)])
    }

    pub(super) fn maybe_text(&mut self, text: Option<&str>) -> &mut Writer {
        match text {
            None => self.u8(0),
            Some(text) => self.u8(1).text(text),
        }
    }

    pub(super) fn maybe_u32(&mut self, value: Option<u32>) -> &mut Writer {
        match value {
            None => self.u8(0),
            Some(value) => self.u8(1).u32(value),
        }
    }

    pub(super) fn address(&mut self, address: &Address) -> &mut Writer {
        match address {
            Address::Inet { transport, local, device } => {
                self.u8(match transport {
                    Transport::Tcp => 1,
                    Transport::Udp => 2,
                });
                match local.ip() {
                    IpAddr::V4(ip) => self.bytes(&ip.octets()),
                    IpAddr::V6(ip) => self.bytes(&ip.octets()),
                };
                let scope = match local {
                    SocketAddr::V4(_) => 0,
                    SocketAddr::V6(six) => six.scope_id(),
                };
                self.u32(local.port().into()).u32(scope).u32(*device)
            }
            Address::Unix { kind, name } => {
                self.u8(match kind {
                    UnixKind::Stream => 3,
                    UnixKind::Datagram => 4,
                    UnixKind::Seqpacket => 5,
                });
                match name {
                    UnixName::Unnamed => self.u8(0),
                    UnixName::Path(path) => self.u8(1).bytes(path),
                    UnixName::Abstract(name) => self.u8(2).bytes(name),
                }
            }
        }
    }
}

/// Reads one message; what is not there is `None`.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Reader<'a>> {
        let mut from = Reader(bytes);
        (from.u8()? == VERSION).then_some(from)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?.try_into().ok().map(u16::from_be_bytes)?;
        self.take(length.into())
    }

    pub(super) fn text(&mut self) -> Option<String> {
        str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    /// The outer `None` is a broken message.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.bool()? {
            false => Some(None),
            true => read(self).map(Some),
        }
    }

    pub(super) fn address(&mut self) -> Option<Address> {
        let kind = match self.u8()? {
            1 => return self.inet(Transport::Tcp),
            2 => return self.inet(Transport::Udp),
            3 => UnixKind::Stream,
            4 => UnixKind::Datagram,
            5 => UnixKind::Seqpacket,
            _ => return None,
        };
        let name = match self.u8()? {
            0 => UnixName::Unnamed,
            1 => UnixName::Path(self.bytes()?.to_vec()),
            2 => UnixName::Abstract(self.bytes()?.to_vec()),
            _ => return None,
        };
        Some(Address::Unix { kind, name })
    }

    fn inet(&mut self, transport: Transport) -> Option<Address> {
        let ip = self.bytes()?;
        let port = u16::try_from(self.u32()?).ok()?;
        let scope = self.u32()?;
        let device = self.u32()?;
        let local = match ip.len() {
            4 => SocketAddrV4::new(<[u8; 4]>::try_from(ip).ok()?.into(), port).into(),
            16 => SocketAddrV6::new(<[u8; 16]>::try_from(ip).ok()?.into(), port, 0, scope).into(),
            _ => return None,
        };
        Some(Address::Inet { transport, local, device })
    }

    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
