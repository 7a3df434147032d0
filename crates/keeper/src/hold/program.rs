//! The file that a generation runs: found once, and kept open, so that it can be run again after another file
//! has taken its name.
//!
//! A script is kept as far as its own file goes; what it reads besides is not.

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat, stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The status for a command that is not there, as shells have it.
pub const NOT_FOUND: u8 = 127;
/// The status for a command that may not be run.
pub const NOT_RUNNABLE: u8 = 126;

/// Where execvp(3) looks without PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program's file.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    file: OwnedFd,
}

/// Why a program cannot be run: the status to end with, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unrunnable {
    pub(super) status: u8,
    pub(super) reason: String,
}

impl Unrunnable {
    pub(super) fn of(name: &OsStr, errno: Errno) -> Unrunnable {
        let name = inuse_rules::address::escape(name.as_bytes());
        match errno {
            Errno::NOENT => Unrunnable { status: NOT_FOUND, reason: format!("{name}: command not found") },
            errno => {
                let text = std::io::Error::from(errno).to_string();
                let text = text.split(" (os error").next().unwrap_or_default().to_owned();
                Unrunnable { status: NOT_RUNNABLE, reason: format!("{name} cannot be run: {text}") }
            }
        }
    }
}

impl Program {
    /// What this name means now, as execvp(3) would find it.
    pub(super) fn find(name: &OsStr, path: Option<OsString>) -> Result<Program, Unrunnable> {
        let mut errno = Errno::NOENT;
        for candidate in candidates(name, path) {
            match open(&candidate) {
                Ok(file) => return Ok(Program { path: candidate, file }),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(other) => errno = other,
            }
        }
        Err(Unrunnable::of(name, errno))
    }

    /// The name to run it by, while that still names this very file.
    pub(super) fn path(&self) -> Option<&Path> {
        let now = stat(&self.path).ok()?;
        let own = fstat(&self.file).ok()?;
        ((now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)).then_some(&*self.path)
    }

    /// The file itself.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn candidates(name: &OsStr, path: Option<OsString>) -> Vec<PathBuf> {
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return vec![name.into()];
    }
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path).map(|folder| folder.join(name)).collect()
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_the_shell_finds_them() {
        let find = |name: &str, path: &str| Program::find(OsStr::new(name), Some(path.into()));
        let found = find("sh", "/nowhere:/bin:/usr/bin").expect("a shell");
        assert_eq!(found.path(), Some(Path::new("/bin/sh")));
        assert!(find("/bin/sh", "").is_ok());
        let status = |name: &str, path: &str| find(name, path).unwrap_err().status;
        assert_eq!(status("no-such-program", "/bin:/usr/bin"), NOT_FOUND);
        assert_eq!(status("/no/such/program", ""), NOT_FOUND);
        assert_eq!(status("", "/bin"), NOT_FOUND);
        assert_eq!(status("/bin", ""), NOT_RUNNABLE);
        assert_eq!(status("/etc/passwd", ""), NOT_RUNNABLE);
    }
}
