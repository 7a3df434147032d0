//! What stands at a unix path, as the kernel's bind(2) would find it (`unix_bind_bsd`).
//!
//! Asked for the effective ids of the caller. Who serves the file is not here: `sockdiag` lists the
//! sockets with the file that each was bound to.

use crate::error::Error;
use inuse_rules::snapshot::{FileKind, PathFact};
use inuse_rules::socket::FileId;
use inuse_rules::{Address, Socket, UnixName};
use rustix::fs::{Access, AtFlags, CWD, FileType, Stat, accessat, lstat, stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// What stands at that path. A path that is too long counts as one whose directory is missing: bind() fails on the way there.
pub fn path_fact(path: &[u8]) -> PathFact {
    match lstat(OsStr::from_bytes(path)) {
        Ok(found) => PathFact::Exists { kind: kind(path, &found), file: file_id(&found) },
        Err(Errno::ACCESS) => PathFact::NotSearchable,
        Err(Errno::NOENT) => absent(path),
        Err(Errno::NOTDIR) => PathFact::NotADirectory,
        Err(Errno::LOOP) => PathFact::TooManyLinks,
        Err(_) => PathFact::NoDirectory,
    }
}

/// The path from the root: a relative one starts at the caller's working directory.
pub fn absolute(path: &[u8]) -> Result<Vec<u8>, Error> {
    if path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    let directory = rustix::process::getcwd(Vec::new());
    let directory = directory.map_err(|errno| Error::new("find", "the working directory", errno))?;
    let joined = Path::new(OsStr::from_bytes(directory.as_bytes())).join(OsStr::from_bytes(path));
    Ok(joined.into_os_string().into_vec())
}

/// Gives the sockets bound to this very path the file that stat(2) found there, where only the device
/// differs. On btrfs, and on some overlays, stat(2) reports another device than the one that the kernel
/// knows the file by, and that unix_diag reports; a live server must not look like a stale file for that.
pub fn settle_device(path: &[u8], file: FileId, sockets: &mut [Socket]) {
    for socket in sockets {
        let Address::Unix { name: UnixName::Path(bound), .. } = &socket.address else { continue };
        if bound == path && socket.file.is_some_and(|own| own.ino == file.ino) {
            socket.file = Some(file);
        }
    }
}

/// unix_diag reports 32 bits of an inode number, so that is what both sides are compared by.
fn file_id(found: &Stat) -> FileId {
    FileId { dev: found.st_dev, ino: found.st_ino & u64::from(u32::MAX) }
}

fn kind(path: &[u8], found: &Stat) -> FileKind {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Socket => FileKind::Socket,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Fifo,
        FileType::CharacterDevice | FileType::BlockDevice => FileKind::Device,
        FileType::Symlink => match stat(OsStr::from_bytes(path)) {
            Err(Errno::NOENT | Errno::LOOP) => FileKind::DanglingSymlink,
            _ => FileKind::Symlink,
        },
        _ => FileKind::Regular,
    }
}

/// Nothing stands there: whether the directory does, and takes a new file.
fn absent(path: &[u8]) -> PathFact {
    // `x/` names the inside of a directory that is not there.
    if path.ends_with(b"/") {
        return PathFact::NoDirectory;
    }
    let directory = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/".as_slice(),
        Some(end) => path.get(..end).unwrap_or_default(),
        None => b".".as_slice(),
    };
    let directory = OsStr::from_bytes(directory);
    match stat(directory) {
        Err(Errno::ACCESS) => return PathFact::NotSearchable,
        Ok(found) if FileType::from_raw_mode(found.st_mode).is_dir() => {}
        _ => return PathFact::NoDirectory,
    }
    match accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => PathFact::AbsentUnwritable,
        _ => PathFact::Absent,
    }
}
