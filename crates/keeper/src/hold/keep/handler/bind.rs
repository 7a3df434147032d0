//! bind(2): a generation that binds what is kept gets the kept socket in the place of its own. Another TCP bind of a
//! certain port is carried out with SO_REUSEADDR, as if the program had set it.
//!
//! Not here: which one is whose (`sockets`), and sockets that are not kept yet (`listen`, `later`).

use super::super::event::{Bind, Event};
use super::super::key::{self, Key, Kind, Name};
use super::super::sockets::{Offer, Socket};
use super::{Answer, Asked, Keeping};
use inuse_rules::UnixKind;
use inuse_rules::socket::FileId;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

impl Keeping {
    pub(super) fn bind(&mut self, asked: &Asked<'_>) -> Option<Answer> {
        let name = name(asked)?;
        let own = self.duplicate(asked)?;
        let key = Key::bound_to(&own, absolute(asked, name)?).ok()??;
        let cookie = sockopt::socket_cookie(&own).ok()?;
        // A call that was interrupted between the exchange and the answer is made again, with what it got.
        if self.sockets.by_cookie(cookie).is_some_and(|kept| kept.key == key || key.any_port()) {
            return Some(Answer::Done);
        }
        let offer = match (key.any_port(), key.kind) {
            (true, Kind::Tcp) => self.sockets.offer_any_port(&key, asked.generation, cookie),
            // A datagram socket on any port is a client's.
            (true, _) => return None,
            (false, _) => self.sockets.offer(&key, asked.generation),
        };
        let offered = match offer {
            Offer::Take(cookie) => vec![cookie],
            Offer::IfAbandoned(cookies) => {
                cookies.into_iter().filter(|&c| self.is_abandoned(asked, c)).collect()
            }
            Offer::None => Vec::new(),
        };
        if self.has_to_wait {
            return None;
        }
        for cookie in offered {
            if self.is_out_of_reach(asked, &key, cookie) {
                let why = "its file was removed or replaced, so that nobody can connect to it any more";
                if let Some(gone) = self.sockets.remove(cookie) {
                    self.unclaimed(asked.generation, &gone, true, why);
                }
                continue;
            }
            return match self.exchange(asked, &own, cookie) {
                Ok(()) => Some(Answer::Done),
                Err(errno) => {
                    self.said.no_exchange(errno);
                    None
                }
            };
        }
        if key.kind == Kind::Tcp && !key.any_port() {
            // What a generation before left in TIME_WAIT must not keep this one from its address.
            let _ = sockopt::set_socket_reuseaddr(&own, true);
        }
        if let Ok(flags) = fcntl_getfl(&own) {
            self.sockets.bound(cookie, flags.contains(OFlags::NONBLOCK));
        }
        self.left_to_kernel(asked, &own, &key);
        if matches!(key.kind, Kind::Udp | Kind::Unix(UnixKind::Datagram)) {
            self.later.bound(asked, cookie, key);
        }
        None
    }

    /// Should the kernel refuse it, the supervisor finds out why. It looks in its own network namespace only.
    fn left_to_kernel(&mut self, asked: &Asked<'_>, own: &OwnedFd, key: &Key) {
        if key.any_port() || key.netns != self.home {
            return;
        }
        let bind = Bind {
            address: key.address(),
            reuseaddr: sockopt::socket_reuseaddr(own).unwrap_or(false),
            reuseport: sockopt::socket_reuseport(own).unwrap_or(false),
            v6only: key.v6only,
        };
        self.said.minor(Event::LeftToKernel { generation: asked.generation, bind });
    }

    /// Puts a kept socket in the place of the program's own, with that one's wish for O_NONBLOCK: the flag is one for
    /// all who have it. Many programs set it only after bind(). One that binds as the generation before did will set it
    /// as that did, and until then the older one's accept() must not wait: a worker with requests in hand would sleep.
    fn exchange(&mut self, asked: &Asked<'_>, own: &OwnedFd, cookie: u64) -> Result<(), Errno> {
        let generation = asked.generation;
        let cloexec = asked.target.close_on_exec(asked.fd());
        let kept = self.sockets.by_cookie(cookie).ok_or(Errno::NOENT)?;
        let shared = kept.claims.iter().any(|&claim| claim != generation);
        let (wish, has) = (fcntl_getfl(own)?, fcntl_getfl(&kept.fd)?);
        let nonblock = wish.contains(OFlags::NONBLOCK);
        let as_before = kept.nonblock_at_bind.replace(nonblock) == Some(nonblock);
        asked.questions.put(asked.id, kept.fd.as_fd(), asked.fd(), cloexec)?;
        kept.claim(generation);
        let (address, datagrams) = (
            kept.key.address(),
            !matches!(kept.key.kind, Kind::Tcp | Kind::Unix(UnixKind::Stream | UnixKind::Seqpacket)),
        );
        if !as_before && (wish ^ has).contains(OFlags::NONBLOCK) {
            fcntl_setfl(&kept.fd, has ^ OFlags::NONBLOCK)?;
            if shared {
                let what = if nonblock {
                    "O_NONBLOCK: the older one's accept() no longer waits"
                } else {
                    "O_NONBLOCK: the older one's accept() waits from now on, where it did not before"
                };
                self.said.event(Event::Shared { generation, address: address.clone(), what: what.into() });
            }
        }
        if datagrams {
            if shared {
                let what =
                    "its datagrams: each goes to either of them; --no-overlap restarts one after the other";
                self.said.event(Event::Shared { generation, address: address.clone(), what: what.into() });
            }
            self.said.event(Event::Listening { generation, address, adopted: true });
        } else {
            self.later.adopted(generation, cookie);
        }
        Ok(())
    }

    /// Whether no process has it open any more.
    fn is_abandoned(&mut self, asked: &Asked<'_>, cookie: u64) -> bool {
        let Some(inode) = self.sockets.by_cookie(cookie).map(|kept| kept.inode) else { return false };
        // Most often the caller itself has it (SO_REUSEPORT), and that spares the walk through all processes.
        if asked.target.numbers_of(inode).is_ok_and(|numbers| !numbers.is_empty()) {
            return false;
        }
        self.holders(inode).is_some_and(|holders| holders.is_empty())
    }

    /// Whether it is a unix socket whose path leads elsewhere by now: the program has unlinked it.
    fn is_out_of_reach(&mut self, asked: &Asked<'_>, key: &Key, cookie: u64) -> bool {
        let now = match &key.name {
            Name::Path(_) => asked.target.place(false).ok().and_then(|root| file_of(root, &key.name)),
            _ => return false,
        };
        self.sockets.by_cookie(cookie).is_none_or(|kept: &mut Socket| now.is_none() || kept.file != now)
    }
}

/// What the caller's memory says, as long as it is the caller's.
fn name(asked: &Asked<'_>) -> Option<Name> {
    let mut bytes = [0; key::LONGEST];
    // An int; the kernel refuses what is negative or too long.
    let length = usize::try_from(asked.arguments[2] as i32).ok()?;
    let wanted = bytes.get_mut(..length)?;
    let read = asked.target.memory(asked.arguments[1], wanted).ok()?;
    (read == length && asked.is_valid()).then(|| Name::parse(wanted))?
}

/// A path as it is found from the root.
pub(super) fn absolute(asked: &Asked<'_>, name: Name) -> Option<Name> {
    match name {
        Name::Path(path) if !path.starts_with(b"/") => {
            let mut whole = asked.target.cwd().ok()?;
            whole.push(b'/');
            whole.extend(path);
            Some(Name::Path(whole))
        }
        name => Some(name),
    }
}

/// The file at a path, looked up from that root.
pub(super) fn file_of(root: impl AsFd, name: &Name) -> Option<FileId> {
    let Name::Path(path) = name else { return None };
    let relative = path.iter().position(|&b| b != b'/').and_then(|at| path.get(at..))?;
    let stat = rustix::fs::statat(root, OsStr::from_bytes(relative), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileId { dev: stat.st_dev, ino: stat.st_ino })
}

/// The same, looked up from our own root.
pub(super) fn file_from_root(name: &Name) -> Option<FileId> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    file_of(rustix::fs::open("/", flags, Mode::empty()).ok()?, name)
}
