//! Questions about unix sockets as bytes, and rows as bytes (net/unix/diag.c,
//! include/uapi/linux/unix_diag.h).

use super::inet::{cookie_at, cookie_bytes};
use super::query::{States, state};
use crate::netlink::wire::{Attributes, Request, u8_at, u32_at};
use inuse_rules::socket::FileId;
use inuse_rules::{Address, Socket, UnixKind, UnixName};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `AF_UNIX`.
const AF_UNIX: u8 = 1;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID`; a kernel
/// that does not know the last one (before 5.3) ignores it.
const SHOW: u32 = 0x1 | 0x2 | 0x4 | 0x10 | 0x40;
/// `UNIX_DIAG_NAME`: `sun_path` as far as the address goes.
const NAME: u16 = 0;
/// `UNIX_DIAG_VFS`: inode and device of the socket file.
const VFS: u16 = 1;
/// `UNIX_DIAG_PEER`: inode of the other end.
const PEER: u16 = 2;
/// `UNIX_DIAG_RQLEN`: the two queues.
const RQLEN: u16 = 4;
/// `UNIX_DIAG_UID`.
const UID: u16 = 7;
/// Bytes in `struct unix_diag_msg`.
const ROW: usize = 16;

/// A unix socket, with what only unix sockets have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixRow {
    /// The socket.
    pub socket: Socket,
    /// Inode of the other end, 0 for none.
    pub peer: u64,
}

/// Every unix socket in these states; the kernel filters by nothing else. Connections that wait to be
/// accepted have no inode yet, and the kernel leaves them out.
pub(super) fn ask(states: States) -> Request {
    Request::dump(BY_FAMILY, &body(states, 0, u64::MAX))
}

/// One unix socket by its inode and cookie; `None` where it has no inode.
pub(super) fn ask_exact(inode: u64, cookie: u64) -> Option<Request> {
    let inode = u32::try_from(inode).ok().filter(|&inode| inode != 0)?;
    Some(Request::one(BY_FAMILY, &body(States::ALL, inode, cookie)))
}

/// `struct unix_diag_req`.
fn body(states: States, inode: u32, cookie: u64) -> Vec<u8> {
    let mut body = vec![AF_UNIX, 0, 0, 0];
    body.extend_from_slice(&states.bits().to_ne_bytes());
    body.extend_from_slice(&inode.to_ne_bytes());
    body.extend_from_slice(&SHOW.to_ne_bytes());
    body.extend_from_slice(&cookie_bytes(cookie));
    body
}

/// Reads `struct unix_diag_msg` and its attributes; `None` where it is too short, or of another family,
/// type or state.
pub(super) fn row(row: &[u8]) -> Option<UnixRow> {
    if u8_at(row, 0)? != AF_UNIX {
        return None;
    }
    let kind = match u8_at(row, 1)? {
        1 => UnixKind::Stream,
        2 => UnixKind::Datagram,
        5 => UnixKind::Seqpacket,
        _ => return None,
    };
    let state = state(u8_at(row, 2)?, false)?;
    let attributes = row.get(ROW..)?;
    let mut socket = Socket::new(Address::Unix { kind, name: UnixName::Unnamed }, state);
    socket.inode = u32_at(row, 4)?.into();
    socket.cookie = cookie_at(row, 8)?;
    let mut peer = 0;
    for (attribute, value) in Attributes::new(attributes) {
        match attribute {
            NAME => socket.address = Address::Unix { kind, name: name(value) },
            VFS => socket.file = file(value),
            PEER => peer = u32_at(value, 0).unwrap_or(0).into(),
            RQLEN => {
                socket.recv_q = u32_at(value, 0).unwrap_or(0);
                socket.send_q = u32_at(value, 4).unwrap_or(0);
            }
            UID => socket.uid = u32_at(value, 0),
            _ => {}
        }
    }
    Some(UnixRow { socket, peer })
}

/// A path ends in one NUL that is not part of it; an abstract name starts with one.
fn name(sun_path: &[u8]) -> UnixName {
    match sun_path {
        [] => UnixName::Unnamed,
        [0, name @ ..] => UnixName::Abstract(name.to_vec()),
        [path @ .., 0] | path => UnixName::Path(path.to_vec()),
    }
}

/// The device is the kernel's own `dev_t` (12 bits major, 20 bits minor), stat's is another packing.
fn file(value: &[u8]) -> Option<FileId> {
    let ino = u32_at(value, 0)?.into();
    let dev = u32_at(value, 4)?;
    Some(FileId { dev: rustix::fs::makedev(dev >> 20, dev & 0xf_ffff), ino })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |bytes: &[u8], expect: UnixName| assert_eq!(name(bytes), expect, "{bytes:?}");
        check(b"", UnixName::Unnamed);
        check(b"/run/x\0", UnixName::Path(b"/run/x".to_vec()));
        check(b"/run/x", UnixName::Path(b"/run/x".to_vec()));
        check(b"\0name", UnixName::Abstract(b"name".to_vec()));
        check(b"\0na\0me\0", UnixName::Abstract(b"na\0me\0".to_vec()));
        check(b"\0", UnixName::Abstract(Vec::new()));
    }

    #[test]
    fn a_device_is_packed_as_stat_packs_it() {
        let check = |dev: u32, expect: (u32, u32)| {
            let mut bytes = [0; 8];
            bytes[4..].copy_from_slice(&dev.to_ne_bytes());
            let dev = file(&bytes).unwrap().dev;
            assert_eq!((rustix::fs::major(dev), rustix::fs::minor(dev)), expect);
        };
        check(8 << 20 | 1, (8, 1));
        check(0x103 << 20 | 0x12345, (0x103, 0x12345));
        check(27, (0, 27));
        assert_eq!(file(&[1, 2, 3]), None);
    }
}
