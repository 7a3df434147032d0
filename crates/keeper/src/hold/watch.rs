//! Noticing that files changed (inotify(7)): a change counts when there was quiet for a moment after it, and
//! not when git ignores what changed.
//!
//! git itself is asked (`git check-ignore`): its rules come from several files in several places, and a second
//! reading of them would be wrong somewhere. Outside of a repository, or without git, only what editors leave
//! behind for a moment is ignored.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Quiet for so long ends a burst of changes.
const QUIET: Duration = Duration::from_millis(100);
/// A burst that does not end counts after this time.
const LONGEST_BURST: Duration = Duration::from_secs(2);
/// How long git may take to answer; without an answer nothing is ignored.
const LONGEST_GIT: Duration = Duration::from_secs(2);
/// Directories that are watched at most.
const MOST_DIRECTORIES: usize = 20_000;
/// Changed paths that git is asked about; more are a change in any case.
const MOST_PATHS: usize = 1000;

/// Files that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    directories: HashMap<i32, PathBuf>,
    /// Single files that are watched, through their directory.
    files: BTreeSet<PathBuf>,
    roots: Vec<PathBuf>,
    changed: BTreeSet<PathBuf>,
    burst: Option<(Instant, Instant)>,
    overflowed: bool,
}

impl Watch {
    /// Watches these files and directories, and all below them.
    pub(super) fn new(paths: &[PathBuf]) -> io::Result<Watch> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut watch = Watch {
            inotify,
            directories: HashMap::new(),
            files: BTreeSet::new(),
            roots: Vec::new(),
            changed: BTreeSet::new(),
            burst: None,
            overflowed: false,
        };
        for path in paths {
            let named = |error: io::Error| {
                let name = inuse_rules::address::escape(path.as_os_str().as_bytes());
                io::Error::new(error.kind(), format!("{name} cannot be watched: {error}"))
            };
            let path = path.canonicalize().map_err(named)?;
            if path.is_dir() {
                watch.add_tree(&path)?;
                watch.roots.push(path);
            } else if let Some(folder) = path.parent() {
                watch.add(folder)?;
                watch.files.insert(path);
            }
        }
        Ok(watch)
    }

    fn add(&mut self, folder: &Path) -> io::Result<()> {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&self.inotify, folder, flags)?;
        self.directories.insert(number, folder.to_owned());
        Ok(())
    }

    /// A directory and all below it, but not what git ignores, nor git's own.
    fn add_tree(&mut self, root: &Path) -> io::Result<()> {
        let mut level = vec![root.to_owned()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for folder in level {
                if self.directories.len() >= MOST_DIRECTORIES {
                    let text = format!("more than {MOST_DIRECTORIES} directories below {}", root.display());
                    return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
                }
                match self.add(&folder) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                next.extend(folders.map(|entry| entry.path()).filter(|path| !is_git(path)));
            }
            let ignored = ignored(root, &next);
            next.retain(|path| !ignored.contains(path));
            level = next;
        }
        Ok(())
    }

    /// Takes what the kernel reports.
    pub(super) fn read(&mut self, now: Instant) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut born = Vec::new();
        let mut any = false;
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.overflowed = true;
                any = true;
            }
            if event.events().contains(ReadFlags::IGNORED) {
                self.directories.remove(&event.wd());
                continue;
            }
            let Some(folder) = self.directories.get(&event.wd()) else { continue };
            let Some(name) = event.file_name() else { continue };
            let name = OsStr::from_bytes(name.to_bytes());
            let path = folder.join(name);
            let wanted = self.roots.iter().any(|root| path.starts_with(root)) || self.files.contains(&path);
            if !wanted || is_passing(name) || is_git(&path) {
                continue;
            }
            let appeared = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if event.events().contains(ReadFlags::ISDIR) && appeared {
                born.push(path.clone());
            }
            any = true;
            if self.changed.len() <= MOST_PATHS {
                self.changed.insert(path);
            }
        }
        for folder in born {
            let ignored =
                folder.parent().is_some_and(|at| !ignored(at, std::slice::from_ref(&folder)).is_empty());
            if !ignored {
                // What cannot be watched any more is at least one change.
                self.overflowed |= self.add_tree(&folder).is_err();
            }
        }
        if any {
            let began = self.burst.map_or(now, |(began, _)| began);
            self.burst = Some((began, now));
        }
    }

    /// When the burst is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.burst.map(|(began, last)| (last + QUIET).min(began + LONGEST_BURST))
    }

    /// What changed, if the burst is over and anything of it counts.
    pub(super) fn take(&mut self, now: Instant) -> Option<PathBuf> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        self.burst = None;
        let changed: Vec<PathBuf> = std::mem::take(&mut self.changed).into_iter().collect();
        if std::mem::take(&mut self.overflowed) || changed.len() > MOST_PATHS {
            return Some(changed.into_iter().next().unwrap_or_default());
        }
        let mut by_root: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
        for path in changed {
            let root = self.roots.iter().find(|root| path.starts_with(root));
            let root = root.cloned().or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
            by_root.entry(root).or_default().push(path);
        }
        by_root.into_iter().find_map(|(root, paths)| {
            let ignored = ignored(&root, &paths);
            paths.into_iter().find(|path| !ignored.contains(path) || self.files.contains(path))
        })
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// What editors and compilers leave behind for a moment.
fn is_passing(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let ends = [&b"~"[..], b".swp", b".swx", b".swo", b".tmp"];
    name == b"4913" || name.starts_with(b".#") || ends.iter().any(|end| name.ends_with(end))
}

fn is_git(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == ".git")
}

/// Those of the paths that git ignores; none where git does not answer.
fn ignored(at: &Path, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    if paths.is_empty() || !at.ancestors().any(|folder| folder.join(".git").exists()) {
        return BTreeSet::new();
    }
    let ask = || -> io::Result<Vec<u8>> {
        // The question is a file, so that neither side waits for the other.
        let mut question =
            std::fs::File::from(rustix::fs::memfd_create("paths", rustix::fs::MemfdFlags::CLOEXEC)?);
        for path in paths {
            question.write_all(path.as_os_str().as_bytes())?;
            question.write_all(b"\0")?;
        }
        io::Seek::rewind(&mut question)?;
        let mut git = Command::new("git");
        git.arg("-C").arg(at).args(["check-ignore", "-z", "--stdin"]);
        let answer = rustix::fs::memfd_create("ignored", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut answer = std::fs::File::from(answer);
        let child = git.stdin(question).stdout(answer.try_clone()?).stderr(Stdio::null()).spawn()?;
        if !ends_in_time(child)? {
            return Ok(Vec::new());
        }
        io::Seek::rewind(&mut answer)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut answer, &mut bytes)?;
        Ok(bytes)
    };
    let answer = ask().unwrap_or_default();
    let names = answer.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect()
}

/// Waits for a child that has little to do; one that takes too long is killed.
fn ends_in_time(mut child: Child) -> io::Result<bool> {
    let until = Instant::now() + LONGEST_GIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(what: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("inuse-watch-{what}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Folder(path.canonicalize().expect("its name"))
        }

        fn write(&self, name: &str) {
            std::fs::write(self.0.join(name), "x").expect("a file");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// What changed, once the burst is over.
    fn settled(watch: &mut Watch) -> Option<PathBuf> {
        let now = Instant::now();
        watch.read(now);
        assert_eq!(watch.take(now), None, "a burst is not over at once");
        watch.take(now + QUIET)
    }

    #[test]
    fn changes_count_once_quiet() {
        let folder = Folder::new("plain");
        std::fs::create_dir(folder.0.join("a")).expect("a folder");
        let mut watch = Watch::new(std::slice::from_ref(&folder.0)).expect("inotify");
        assert_eq!(settled(&mut watch), None);
        for number in 0..50 {
            folder.write(&format!("a/{number}"));
        }
        assert!(settled(&mut watch).is_some_and(|path| path.starts_with(folder.0.join("a"))));
        assert_eq!(settled(&mut watch), None);
        for passing in ["x~", ".x.swp", "4913", ".#x"] {
            folder.write(passing);
        }
        assert_eq!(settled(&mut watch), None);
        std::fs::create_dir(folder.0.join("b")).expect("a folder");
        assert!(settled(&mut watch).is_some());
        folder.write("b/new");
        assert_eq!(settled(&mut watch), Some(folder.0.join("b/new")));
    }

    #[test]
    fn a_single_file_is_watched_through_its_directory() {
        let folder = Folder::new("file");
        folder.write("server.py");
        let mut watch = Watch::new(&[folder.0.join("server.py")]).expect("inotify");
        folder.write("other.py");
        assert_eq!(settled(&mut watch), None);
        folder.write("new");
        std::fs::rename(folder.0.join("new"), folder.0.join("server.py")).expect("a swap");
        assert_eq!(settled(&mut watch), Some(folder.0.join("server.py")));
    }

    #[test]
    fn a_burst_without_end_counts_all_the_same() {
        let folder = Folder::new("burst");
        let mut watch = Watch::new(std::slice::from_ref(&folder.0)).expect("inotify");
        let began = Instant::now();
        folder.write("a");
        watch.read(began);
        folder.write("a");
        watch.read(began + LONGEST_BURST);
        assert!(watch.take(began + LONGEST_BURST).is_some());
    }
}
