//! bind() of a unix socket: to a path (`unix_bind_bsd`), or to an abstract name
//! (`unix_bind_abstract`). No option shares a unix name; SO_REUSEADDR is accepted and ignored.

use super::{ok, refused, unknown};
use crate::address::{Address, UnixKind, UnixName};
use crate::attempt::Attempt;
use crate::snapshot::{PathFact, Snapshot};
use crate::socket::State;
use crate::verdict::{Call, Errno, Fact, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;

pub(super) fn judge(snapshot: &Snapshot, attempt: &Attempt, kind: UnixKind, name: &UnixName) -> Verdict {
    if attempt.reuseport {
        let mut verdict = refused(Errno::EOPNOTSUPP, Call::Setsockopt, Rule::UnixOption, vec![]);
        if snapshot.kernel.as_ref().is_some_and(|k| (k.major, k.minor) < (6, 13)) {
            verdict.version_note = Some(
                "Before Linux 6.13 a unix socket first took SO_REUSEPORT and did nothing with it; updates of older versions refuse it too, and this verdict assumes such an update.",
            );
        }
        return verdict;
    }
    match name {
        UnixName::Path(_) => path(snapshot),
        UnixName::Abstract(_) => r#abstract(snapshot, kind, name),
        // autobind: the kernel finds a free five-digit abstract name.
        UnixName::Unnamed => ok(),
    }
}

/// Whatever exists at the path refuses; the socket behind it, if one is seen, is named.
fn path(snapshot: &Snapshot) -> Verdict {
    match &snapshot.path {
        None => unknown(Errno::EADDRINUSE, vec![Fact::Path], vec![]),
        Some(PathFact::Absent) => ok(),
        Some(PathFact::AbsentUnwritable) => refused(Errno::EACCES, Call::Bind, Rule::UnixUnwritable, vec![]),
        Some(PathFact::ReadOnly) => refused(Errno::EROFS, Call::Bind, Rule::UnixReadOnly, vec![]),
        Some(PathFact::NotSearchable) => refused(Errno::EACCES, Call::Bind, Rule::UnixUnwritable, vec![]),
        Some(PathFact::NoDirectory) => refused(Errno::ENOENT, Call::Bind, Rule::UnixNoDirectory, vec![]),
        Some(PathFact::NotADirectory) => refused(Errno::ENOTDIR, Call::Bind, Rule::UnixNoDirectory, vec![]),
        Some(PathFact::TooManyLinks) => refused(Errno::ELOOP, Call::Bind, Rule::UnixNoDirectory, vec![]),
        Some(PathFact::Exists { file, .. }) => {
            let by = snapshot.sockets.iter().enumerate();
            let by = by.filter(|(_, old)| old.file == Some(*file) && !accepted(old.state));
            refused(Errno::EADDRINUSE, Call::Bind, Rule::UnixNameExists, by.map(|(i, _)| i).collect())
        }
    }
}

/// An abstract name blocks exactly its own bytes and type, for as long as the *bound* socket lives. An
/// accepted connection shows its listener's name and does not block.
fn r#abstract(snapshot: &Snapshot, kind: UnixKind, name: &UnixName) -> Verdict {
    if !snapshot.coverage.unix {
        return unknown(Errno::EADDRINUSE, vec![Fact::UnixSockets], vec![]);
    }
    let same =
        |address: &Address| matches!(address, Address::Unix { kind: k, name: n } if *k == kind && n == name);
    let (open, sure): (Vec<usize>, Vec<usize>) = snapshot
        .sockets
        .iter()
        .enumerate()
        .filter(|(_, old)| same(&old.address))
        .map(|(index, _)| index)
        .partition(|&index| accepted(snapshot.sockets[index].state) && kind != UnixKind::Datagram);
    if !sure.is_empty() {
        refused(Errno::EADDRINUSE, Call::Bind, Rule::UnixAbstractTaken, sure)
    } else if open.is_empty() {
        ok()
    } else {
        unknown(Errno::EADDRINUSE, open.iter().map(|&i| Fact::UnixAccepted(i)).collect(), open)
    }
}

/// A connected stream or seqpacket socket with a name was either accepted or bound before connect().
fn accepted(state: State) -> bool {
    state == State::Established
}
