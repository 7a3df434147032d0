//! The one thing that keeps an address taken longest, how to see that it is still there, and how often to
//! ask. While it is there nothing else needs to be looked at.

use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{SockDiag, unixpath};
use inuse_rules::address::UnixName;
use inuse_rules::snapshot::PathFact;
use inuse_rules::socket::TimerKind;
use inuse_rules::{Address, Attempt, Socket, State};
use std::time::Duration;

/// What is announced is asked for only in case an announcement was lost.
const ANNOUNCED: Duration = super::SAFETY;
/// A TIME_WAIT whose timer has run out: the kernel's timer wheel fires within two seconds from then on.
const RUN_OUT: Duration = Duration::from_millis(5);
/// What can go without being announced: a TIME_WAIT that somebody destroys, an abstract name, a path that
/// cannot be watched.
const SILENT: Duration = Duration::from_millis(10);
/// Something is waited for that has no name to ask for.
const UNNAMED: Duration = Duration::from_millis(100);
/// Asking takes at most one part in so many of the processor's time …
const SHARE: u32 = 64;
/// … unless that would make it later than this.
const LATEST: Duration = Duration::from_millis(100);

/// What keeps an address taken.
#[derive(Clone, Debug, Default)]
pub(super) enum Blocker {
    /// Nothing that could be asked for: every look is a judgement.
    #[default]
    Unnamed,
    /// Nobody serves it yet.
    Nobody,
    /// A socket.
    Socket {
        /// The socket, as it was at the last look.
        socket: Box<Socket>,
        /// Whether its end is announced.
        announced: bool,
    },
    /// What stands at a path.
    Path {
        /// The path.
        path: Vec<u8>,
        /// The user who finds that.
        uid: u32,
        /// What stands there.
        fact: PathFact,
        /// Whether its end is announced.
        announced: bool,
    },
}

impl Blocker {
    /// Chooses among what is in the way. `announced`: the end of sockets, or of what stands at the path, is.
    pub(super) fn of(attempt: &Attempt, by: &[Socket], path: Option<PathFact>, announced: bool) -> Blocker {
        match (&attempt.address, path) {
            (Address::Unix { name: UnixName::Path(path), .. }, Some(fact)) => {
                Blocker::Path { path: path.clone(), uid: attempt.uid, fact, announced }
            }
            _ => match by.iter().max_by_key(|socket| lasts(socket)) {
                Some(socket) => Blocker::Socket {
                    announced: announced && !socket.mini && socket.inet().is_some(),
                    socket: Box::new(socket.clone()),
                },
                None => Blocker::Unnamed,
            },
        }
    }

    /// How long to sleep before asking again, if nothing happens; asking takes so much
    /// processor time.
    pub(super) fn pace(&self, takes: Duration) -> Duration {
        let pace = match self {
            Blocker::Unnamed => UNNAMED,
            Blocker::Nobody => SILENT,
            Blocker::Socket { announced: true, .. } | Blocker::Path { announced: true, .. } => ANNOUNCED,
            Blocker::Socket { socket, .. } if socket.mini && left_of(socket) <= SILENT => RUN_OUT,
            Blocker::Socket { .. } | Blocker::Path { .. } => SILENT,
        };
        pace.max((takes * SHARE).min(LATEST))
    }

    /// Whether asking is a judgement, for want of a shorter question.
    pub(super) fn is_judged(&self) -> bool {
        matches!(self, Blocker::Unnamed | Blocker::Nobody)
    }

    /// Whether it is there as it was. What cannot be asked is said to be gone: then it is judged.
    pub(super) fn still(&mut self, diag: &mut SockDiag) -> bool {
        match self {
            Blocker::Unnamed | Blocker::Nobody => false,
            Blocker::Path { path, uid, fact, .. } => {
                unixpath::path_fact_as(path, *uid).is_ok_and(|seen| seen.found == *fact)
            }
            Blocker::Socket { socket, .. } => match again(socket, diag) {
                Some(now) if now.state == socket.state && now.address == socket.address => {
                    // A packet may have armed its timer anew.
                    **socket = now;
                    true
                }
                _ => false,
            },
        }
    }
}

/// The socket once more: by the cheapest question there is for it.
fn again(socket: &Socket, diag: &mut SockDiag) -> Option<Socket> {
    let (State::Listen, Some((transport, local, _))) = (socket.state, socket.inet()) else {
        return diag.get(socket).ok().flatten();
    };
    let mut found = None;
    let walked = diag.inet(&InetQuery::listeners(transport, local.port()), &mut |row| {
        if row.cookie == socket.cookie {
            found = Some(row);
        }
    });
    walked.ok().and(found)
}

/// The time after which the kernel lets go of all of these by itself, if it does.
pub(super) fn left(by: &[&Socket]) -> Option<Duration> {
    let silent = |socket: &&&Socket| socket.mini && socket.timer.is_some();
    if by.is_empty() || !by.iter().all(|socket| silent(&socket)) {
        return None;
    }
    by.iter().map(|socket| left_of(socket)).max()
}

fn left_of(socket: &Socket) -> Duration {
    let timer = socket.timer.filter(|timer| timer.kind == TimerKind::TimeWait);
    Duration::from_millis(timer.map_or(0, |timer| timer.left_ms.into()))
}

/// The order of choice: what goes unannounced and lasts longest; then what is cheap to ask for.
fn lasts(socket: &Socket) -> (bool, Duration, bool, bool) {
    (socket.mini, left_of(socket), socket.state == State::Listen, socket.remote.is_some())
}
