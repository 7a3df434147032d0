//! Unix sockets: everything that can stand at a path, and abstract names with their types.
//!
//! An enumeration that is always played whole. Paths are in a directory of our own, which is removed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::{SockDiag, States};
use inuse_kernel::unixpath::{path_fact, settle_device};
use inuse_rules::snapshot::PathFact;
use inuse_rules::{Address, Attempt, Call, Snapshot, UnixKind, UnixName, judge};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::compare::compare;
use super::look::Kernel;
use super::play::Player;
use super::situation::{Answer, as_user};
use super::tally::Tally;

const KINDS: [UnixKind; 3] = [UnixKind::Stream, UnixKind::Datagram, UnixKind::Seqpacket];

/// Plays all of it.
///
/// # Errors
/// Where something cannot be staged.
pub fn run(player: &mut Player) -> io::Result<Tally> {
    let mut stage = Stage {
        kernel: player.kernel().clone(),
        diag: SockDiag::open(&Netns::current()).map_err(io::Error::other)?,
        directory: Directory::new()?,
        tally: Tally::default(),
    };
    stage.paths()?;
    stage.abstract_names()?;
    Ok(stage.tally)
}

struct Stage {
    kernel: Kernel,
    diag: SockDiag,
    directory: Directory,
    tally: Tally,
}

/// What a path is when somebody binds it.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Nothing,
    LiveSocket,
    StaleSocket,
    RenamedSocket,
    File,
    Directory,
    Fifo,
    Link,
    DanglingLink,
    Device,
    NoDirectory,
    FileOnTheWay,
    TrailingSlash,
    NothingInReadOnly,
    FileInReadOnly,
    NothingInSecret,
    FileInSecret,
    LoopOnTheWay,
}

impl Standing {
    const ALL: [Standing; 18] = [
        Standing::Nothing,
        Standing::LiveSocket,
        Standing::StaleSocket,
        Standing::RenamedSocket,
        Standing::File,
        Standing::Directory,
        Standing::Fifo,
        Standing::Link,
        Standing::DanglingLink,
        Standing::Device,
        Standing::NoDirectory,
        Standing::FileOnTheWay,
        Standing::TrailingSlash,
        Standing::NothingInReadOnly,
        Standing::FileInReadOnly,
        Standing::NothingInSecret,
        Standing::FileInSecret,
        Standing::LoopOnTheWay,
    ];
}

impl Stage {
    fn paths(&mut self) -> io::Result<()> {
        for standing in Standing::ALL {
            for old in KINDS {
                for new in KINDS {
                    for bits in 0..8_u8 {
                        let uid = if bits & 4 == 0 { 0 } else { 1000 };
                        self.path(standing, old, new, bits & 1 != 0, bits & 2 != 0, uid)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn path(
        &mut self,
        standing: Standing,
        old: UnixKind,
        new: UnixKind,
        reuseaddr: bool,
        reuseport: bool,
        uid: u32,
    ) -> io::Result<()> {
        let (path, live) = self.directory.stage(standing, old)?;
        let name = UnixName::Path(path.as_os_str().as_bytes().to_vec());
        let attempt = attempt(new, name, reuseaddr, reuseport, uid);
        let fact = as_user(uid, || path_fact(path.as_os_str().as_bytes()))?;
        // A file may stand there without a socket; then nobody is to blame.
        self.ask(
            &attempt,
            Some(fact),
            live.is_some() && !matches!(standing, Standing::RenamedSocket),
            || format!("{standing:?} of {old:?}, uid {uid}: {}", path.display()),
        )?;
        drop(live);
        self.directory.clear()
    }

    fn abstract_names(&mut self) -> io::Result<()> {
        let names: [&[u8]; 5] = [b"inuse", b"inuse\0", b"inus", b"\xff\0\xfe", &[b'x'; 107]];
        for old in KINDS {
            for new in KINDS {
                for old_name in names {
                    for new_name in names {
                        let bound = bound(old, old_name)?;
                        for listens in [false, true] {
                            if listens
                                && (old == UnixKind::Datagram || rustix::net::listen(&bound, 4).is_err())
                            {
                                continue;
                            }
                            let name = UnixName::Abstract(new_name.to_vec());
                            let attempt = attempt(new, name, listens, false, 0);
                            self.ask(&attempt, None, true, || {
                                format!("{old:?} @{old_name:?} listens={listens}")
                            })?;
                        }
                        self.after_the_listener(old, new, &bound, old_name, new_name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection keeps its listener's name on display, and blocks nothing.
    fn after_the_listener(
        &mut self,
        old: UnixKind,
        new: UnixKind,
        bound: &OwnedFd,
        old_name: &[u8],
        new_name: &[u8],
    ) -> io::Result<()> {
        let client = socket(old)?;
        let to = SocketAddrUnix::new_abstract_name(old_name)?;
        rustix::net::connect(&client, &to)?;
        let accepted = match old {
            UnixKind::Datagram => None,
            _ => Some(rustix::net::accept_with(bound, SocketFlags::CLOEXEC)?),
        };
        let attempt = attempt(new, UnixName::Abstract(new_name.to_vec()), false, false, 0);
        self.ask(&attempt, None, true, || format!("{old:?} @{old_name:?} with a connection"))?;
        drop((accepted, client));
        Ok(())
    }

    fn ask(
        &mut self,
        attempt: &Attempt,
        path: Option<PathFact>,
        blame: bool,
        story: impl Fn() -> String,
    ) -> io::Result<()> {
        let mut snapshot: Snapshot = self.kernel.snapshot();
        let rows = self.diag.unix_rows(States::ALL).map_err(io::Error::other)?.found;
        snapshot.sockets = rows.into_iter().map(|row| row.socket).collect();
        snapshot.coverage.unix = true;
        if let (Some(PathFact::Exists { file, .. }), Address::Unix { name: UnixName::Path(name), .. }) =
            (&path, &attempt.address)
        {
            settle_device(name, *file, &mut snapshot.sockets);
        }
        snapshot.path = path;
        let answer = as_user(attempt.uid, || real(attempt))?;
        let verdict = judge(&snapshot, attempt);
        let comparison = compare(&snapshot, &verdict, &answer, blame);
        let refused = answer.errno.is_some();
        let story = || format!("  {}\n  attempt: {attempt:?}\n  the kernel says {answer}", story());
        self.tally.count(comparison, story, refused);
        Ok(())
    }
}

fn attempt(kind: UnixKind, name: UnixName, reuseaddr: bool, reuseport: bool, uid: u32) -> Attempt {
    let address = Address::Unix { kind, name };
    Attempt { reuseaddr, reuseport, uid, net_bind_service: uid == 0, ..Attempt::plain(address) }
}

/// socket, options, bind and, where the type has it, listen.
fn real(attempt: &Attempt) -> Answer {
    let Address::Unix { kind, name } = &attempt.address else { return Answer::success(Call::Bind) };
    let made = socket(*kind).and_then(|socket| {
        if attempt.reuseaddr {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        if attempt.reuseport {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        Ok(socket)
    });
    let socket = match made {
        Ok(socket) => socket,
        Err(errno) => return Answer::failure(errno, Call::Setsockopt),
    };
    if let Err(errno) = address(name).and_then(|address| rustix::net::bind(&socket, &address)) {
        return Answer::failure(errno, Call::Bind);
    }
    match kind {
        UnixKind::Datagram => Answer::success(Call::Bind),
        _ => match rustix::net::listen(&socket, 4) {
            Ok(()) => Answer::success(Call::Listen),
            Err(errno) => Answer::failure(errno, Call::Listen),
        },
    }
}

fn address(name: &UnixName) -> Result<SocketAddrUnix, Errno> {
    match name {
        UnixName::Path(path) => SocketAddrUnix::new(path.as_slice()),
        UnixName::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        UnixName::Unnamed => Ok(SocketAddrUnix::new_unnamed()),
    }
}

fn socket(kind: UnixKind) -> Result<OwnedFd, Errno> {
    let kind = match kind {
        UnixKind::Stream => SocketType::STREAM,
        UnixKind::Datagram => SocketType::DGRAM,
        UnixKind::Seqpacket => SocketType::SEQPACKET,
    };
    rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
}

fn bound(kind: UnixKind, name: &[u8]) -> io::Result<OwnedFd> {
    let socket = socket(kind)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    Ok(socket)
}

/// A directory of our own that goes when it is dropped.
struct Directory {
    root: PathBuf,
}

impl Directory {
    fn new() -> io::Result<Directory> {
        let root = std::env::temp_dir().join(format!("inuse-conformance-{}", std::process::id()));
        fs::create_dir(&root)?;
        let directory = Directory { root };
        directory.clear()?;
        Ok(directory)
    }

    /// Puts something at a path, and says at which; a live socket comes with its descriptor.
    fn stage(&self, standing: Standing, kind: UnixKind) -> io::Result<(PathBuf, Option<OwnedFd>)> {
        let at = self.root.join("open/at");
        let bound = |path: &Path| -> io::Result<OwnedFd> {
            let socket = socket(kind)?;
            rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        };
        match standing {
            Standing::Nothing => {}
            Standing::LiveSocket => return Ok((at.clone(), Some(bound(&at)?))),
            Standing::StaleSocket => drop(bound(&at)?),
            Standing::RenamedSocket => {
                let socket = bound(&at)?;
                fs::rename(&at, self.root.join("open/renamed"))?;
                return Ok((at, Some(socket)));
            }
            Standing::File => fs::write(&at, "")?,
            Standing::Directory => fs::create_dir(&at)?,
            Standing::Fifo => rustix::fs::mkfifoat(rustix::fs::CWD, &at, rustix::fs::Mode::RUSR)?,
            Standing::Link => symlink("/dev/null", &at)?,
            Standing::DanglingLink => symlink("nowhere", &at)?,
            Standing::Device => return Ok((PathBuf::from("/dev/null"), None)),
            Standing::NoDirectory => return Ok((self.root.join("open/none/at"), None)),
            Standing::FileOnTheWay => {
                fs::write(&at, "")?;
                return Ok((at.join("at"), None));
            }
            Standing::TrailingSlash => {
                return Ok((
                    PathBuf::from(OsStr::from_bytes(&[at.as_os_str().as_bytes(), b"/"].concat())),
                    None,
                ));
            }
            Standing::NothingInReadOnly => return Ok((self.root.join("readonly/at"), None)),
            Standing::FileInReadOnly => {
                let at = self.root.join("readonly/at");
                fs::write(&at, "")?;
                return Ok((at, None));
            }
            Standing::NothingInSecret => return Ok((self.root.join("secret/at"), None)),
            Standing::FileInSecret => {
                let at = self.root.join("secret/at");
                fs::write(&at, "")?;
                return Ok((at, None));
            }
            Standing::LoopOnTheWay => {
                symlink("at", &at)?;
                return Ok((at.join("at"), None));
            }
        }
        Ok((at, None))
    }

    /// Empties it again: one place that all may write, one that only root may, one that only root may enter.
    fn clear(&self) -> io::Result<()> {
        for (name, mode) in [("open", 0o777), ("readonly", 0o755), ("secret", 0o700)] {
            let place = self.root.join(name);
            if place.exists() {
                fs::remove_dir_all(&place)?;
            }
            fs::create_dir(&place)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
