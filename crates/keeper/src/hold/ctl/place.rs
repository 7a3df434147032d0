//! Where the sockets of supervisors stand: `inuse/NAME.PID` in the user's runtime directory.
//!
//! That is `$XDG_RUNTIME_DIR`, else `/run/user/UID`, each where it is the user's own (after su(1) the variable often names
//! that of somebody else) and not too long for a socket's path; else a directory in `/tmp` that must be proven to be the
//! user's own and closed to everybody else.

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, mkdirat, open, stat, statat,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest name of a supervisor, and the longest directory: with a pid behind the name, a unix path has 107 bytes.
const LONGEST_NAME: usize = 40;
const LONGEST_FOLDER: usize = 107 - "/inuse/".len() - LONGEST_NAME - ".4194304".len() - SUFFIX.len();

/// What stands behind each name.
const SUFFIX: &str = ".ctl";

/// A directory of supervisors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

/// A supervisor that may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reachable {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) path: PathBuf,
}

impl Place {
    /// The caller's.
    ///
    /// # Errors
    /// When what stands there is not the caller's own and private.
    pub fn of_user(runtime_dir: Option<OsString>) -> io::Result<Place> {
        let folder = folder(runtime_dir);
        private(&folder)?;
        Ok(Place(folder))
    }

    /// The path for a supervisor.
    pub(in crate::hold) fn path(&self, name: &str, pid: u32) -> PathBuf {
        self.0.join(format!("{name}.{pid}{SUFFIX}"))
    }

    /// While this is open nobody else takes a name. Whoever has it for longer than it takes to take one is stopped, and
    /// not waited for.
    pub(super) fn lock(&self) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&self.0, flags, Mode::empty()).ok()?;
        for _ in 0..100 {
            if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Some(folder);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// The name, or the first of `name-2`, `name-3`, … that nobody has.
    pub(super) fn free_name(&self, name: &str) -> io::Result<String> {
        let taken: BTreeSet<String> = self.all()?.into_iter().map(|one| one.name).collect();
        let numbered = |number: usize| {
            let number = format!("-{number}");
            let kept: String = name.chars().take(LONGEST_NAME.saturating_sub(number.len())).collect();
            kept + &number
        };
        let mut names = std::iter::once(name.to_owned()).chain((2..).map(numbered));
        Ok(names.find(|name| !taken.contains(name)).unwrap_or_default())
    }

    /// Every socket that stands there.
    pub(super) fn all(&self) -> io::Result<Vec<Reachable>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.0)?.flatten() {
            if let Some((name, pid)) = entry.file_name().to_str().and_then(parse) {
                all.push(Reachable { name: name.to_owned(), pid, path: entry.path() });
            }
        }
        all.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
        Ok(all)
    }
}

impl Reachable {
    /// Whether a supervisor left it that was killed, for it was listening before it had this name: a socket file of this
    /// user at which nobody answers. Such a one is removed.
    pub(super) fn clear(&self) -> bool {
        let look = || statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).ok();
        let Some(found) = look() else { return false };
        let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
        let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
        let refuses = || {
            UnixStream::connect(&self.path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        let is_it = |now: Stat| (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino);
        is_socket
            && is_ours
            && refuses()
            && look().is_some_and(is_it)
            && std::fs::remove_file(&self.path).is_ok()
    }
}

/// The name of a supervisor, made from a word: what a file name does not take becomes `-`.
pub fn name(word: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = word.chars().map(plain).take(LONGEST_NAME).collect();
    if name.is_empty() { "run".into() } else { name }
}

fn parse(file: &str) -> Option<(&str, u32)> {
    let (name, pid) = file.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    Some((name, pid.parse().ok()?))
}

/// Where it is; it need not be there.
fn folder(runtime_dir: Option<OsString>) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let is_fit = |path: &PathBuf| {
        stat(path).is_ok_and(|found| {
            let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            is_folder && found.st_uid == uid && path.as_os_str().len() <= LONGEST_FOLDER
        })
    };
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let named = runtime_dir.map(PathBuf::from).filter(|path| path.is_absolute());
    match named.into_iter().chain([usual]).find(is_fit) {
        Some(path) => path.join("inuse"),
        None => PathBuf::from(format!("/tmp/inuse-{uid}")),
    }
}

/// Makes the directory, or proves that it is ours and nobody else's.
fn private(folder: &Path) -> io::Result<()> {
    match mkdirat(CWD, folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let found = statat(CWD, folder, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
    let is_closed = Mode::from_raw_mode(found.st_mode).intersection(Mode::RWXG | Mode::RWXO).is_empty();
    if is_folder && is_ours && is_closed {
        return Ok(());
    }
    let text = format!("{} is not a directory that only its owner can enter", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        for (word, expect) in
            [("server.py", "server-py"), ("a/b", "a-b"), ("", "run"), ("web_1", "web_1"), ("ä", "-")]
        {
            assert_eq!(name(word), expect);
        }
        assert_eq!(name(&"x".repeat(99)).len(), LONGEST_NAME);
        assert_eq!(parse("web.12.ctl"), Some(("web", 12)));
        for wrong in ["web.12", "web.ctl", "web.x.ctl", ".ctl", "web.12.ctl.old"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_of_one_only() {
        let place = Place(std::env::temp_dir().join(format!("inuse-names-{}", std::process::id())));
        private(&place.0).expect("a place");
        let check = |name: &str, expect: &str| {
            let free = place.free_name(name).expect("a place");
            assert_eq!(free, expect);
            std::fs::write(place.path(&free, 70), "").expect("a file");
        };
        check("web", "web");
        check("web", "web-2");
        check("web-2", "web-2-2");
        check("web", "web-3");
        std::fs::remove_file(place.path("web-2", 70)).expect("it was ours");
        check("web", "web-2");
        let long = "x".repeat(LONGEST_NAME);
        check(&long, &long);
        check(&long, &(long[2..].to_owned() + "-2"));
        std::fs::remove_dir_all(&place.0).expect("it was ours");
    }

    #[test]
    fn a_directory_of_somebody_else_or_too_long_is_not_used() {
        let root = Path::new("/tmp").join(format!("inuse-runtime-{}", std::process::id()));
        let here = |path: &Path| folder(Some(path.into())).starts_with(path);
        assert!(!here(&root));
        std::fs::create_dir(&root).expect("a place");
        assert!(here(&root));
        // Only root gives a directory away; for anybody else /proc is a foreign one.
        let foreign = match std::os::unix::fs::chown(&root, Some(65534), None) {
            Ok(()) if rustix::process::geteuid().is_root() => root.as_path(),
            _ => Path::new("/proc"),
        };
        assert!(!here(foreign));
        let long = Path::new("/tmp").join(format!("inuse-{}-{}", std::process::id(), "x".repeat(50)));
        std::fs::create_dir(&long).expect("a place");
        assert!(!here(&long));
        std::fs::remove_dir(&long).expect("it was ours");
        std::fs::remove_dir(&root).expect("it was ours");
        assert!(!folder(Some("relative".into())).starts_with("relative"));
    }

    #[test]
    fn an_open_directory_is_refused() {
        let root = std::env::temp_dir().join(format!("inuse-place-{}", std::process::id()));
        std::fs::create_dir(&root).expect("a place");
        let with_mode = |name: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            let folder = root.join(name);
            std::fs::create_dir(&folder).expect("a folder");
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("its mode");
            folder
        };
        assert!(private(&with_mode("closed", 0o700)).is_ok());
        assert!(private(&root.join("new")).is_ok());
        assert!(private(&with_mode("open", 0o755)).is_err());
        assert!(private(&with_mode("sticky", 0o1777)).is_err());
        std::os::unix::fs::symlink(root.join("closed"), root.join("link")).expect("a link");
        assert!(private(&root.join("link")).is_err());
        std::fs::write(root.join("file"), "").expect("a file");
        assert!(private(&root.join("file")).is_err());
        std::fs::remove_dir_all(&root).expect("it was ours");
    }
}
