//! What stands at a unix path, as the kernel's bind(2) would find it (`unix_bind_bsd`).
//!
//! Asked for the effective ids of the caller, or for another user (`user`). Who serves the file is not here: `sockdiag` lists the
//! sockets with the file that each was bound to.

mod user;

pub use user::path_fact_as;

use crate::error::Error;
use inuse_rules::snapshot::{FileKind, PathFact};
use inuse_rules::socket::FileId;
use inuse_rules::{Address, Socket, UnixName};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Stat, StatVfsMountFlags, StatxFlags, accessat, lstat, makedev, stat,
    statvfs, statx,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// More than mountinfo holds on any machine: some 10,000 mounts.
const LARGEST_TABLE: u64 = 4 * 1024 * 1024;

/// What stands at that path. A path that is too long counts as one whose directory is missing: bind()
/// fails on the way there.
pub fn path_fact(path: &[u8]) -> PathFact {
    match lstat(OsStr::from_bytes(path)) {
        Ok(found) => PathFact::Exists { kind: kind(path, &found), file: file_id(path, &found) },
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
/// differs: without /proc the device that the kernel itself knows cannot be told from the one that stat(2)
/// reports, and a live server must not look like a stale file for that.
pub fn settle_device(path: &[u8], file: FileId, sockets: &mut [Socket]) {
    for socket in sockets {
        let Address::Unix { name: UnixName::Path(bound), .. } = &socket.address else { continue };
        if bound == path && socket.file.is_some_and(|own| own.ino == file.ino) {
            socket.file = Some(file);
        }
    }
}

/// The file as unix_diag names it: 32 bits of its inode number, and the device of its file system. On
/// btrfs, and on overlays of several file systems, stat(2) reports another device than that.
fn file_id(path: &[u8], found: &Stat) -> FileId {
    let dev = mounted_device(path).unwrap_or(found.st_dev);
    FileId { dev, ino: found.st_ino & u64::from(u32::MAX) }
}

/// The device of the file system that the path lies on (statx(2) names the mount since Linux 5.8).
fn mounted_device(path: &[u8]) -> Option<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let about = statx(CWD, OsStr::from_bytes(path), flags, StatxFlags::MNT_ID).ok()?;
    if about.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return None;
    }
    let mut mounts = Vec::new();
    let table = std::fs::File::open("/proc/thread-self/mountinfo").ok()?;
    table.take(LARGEST_TABLE).read_to_end(&mut mounts).ok()?;
    device_of_mount(&mounts, about.stx_mnt_id)
}

/// Third field of the line of mountinfo that starts with that number (proc_pid_mountinfo(5)).
fn device_of_mount(mountinfo: &[u8], mount: u64) -> Option<u64> {
    mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ').map(std::str::from_utf8);
        if words.next()?.ok()?.parse() != Ok(mount) {
            return None;
        }
        let (major, minor) = words.nth(1)?.ok()?.split_once(':')?;
        Some(makedev(major.parse().ok()?, minor.parse().ok()?))
    })
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
        // One that was removed while somebody had it open, or was in it, takes nothing more (`IS_DEADDIR`).
        Ok(found) if FileType::from_raw_mode(found.st_mode).is_dir() && found.st_nlink > 0 => {}
        _ => return PathFact::NoDirectory,
    }
    if read_only(directory) {
        return PathFact::ReadOnly;
    }
    match accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::ACCESS | Errno::PERM) => PathFact::AbsentUnwritable,
        _ => PathFact::Absent,
    }
}

/// Whether the file system, or its mount there, is read-only: the kernel says so before it looks at the
/// permissions of the directory (`filename_create`).
fn read_only(directory: &OsStr) -> bool {
    statvfs(directory).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_a_device() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n335 297 0:71 / /m rw - overlay o rw\n\xff\n40 x\n";
        let check = |mount, expect: Option<(u32, u32)>| {
            assert_eq!(device_of_mount(table, mount), expect.map(|(major, minor)| makedev(major, minor)));
        };
        check(22, Some((8, 1)));
        check(335, Some((0, 71)));
        check(297, None);
        check(40, None);
        assert_eq!(device_of_mount(b"", 22), None);
    }

    #[test]
    fn a_directory_that_was_removed_takes_nothing() {
        let directory = std::env::temp_dir().join(format!("inuse-removed-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a place");
        let open = std::fs::File::open(&directory).expect("it is there");
        let path = format!("/proc/self/fd/{}/socket", std::os::fd::AsRawFd::as_raw_fd(&open));
        assert_eq!(path_fact(path.as_bytes()), PathFact::Absent);
        std::fs::remove_dir(&directory).expect("it was ours");
        assert_eq!(path_fact(path.as_bytes()), PathFact::NoDirectory);
        let refused = std::os::unix::net::UnixListener::bind(&path).expect_err("nothing can be made there");
        assert_eq!(refused.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
    }
}
