//! Unix addresses that nobody seems to hold: a stale socket file, or something that is no socket.

use super::{Case, Obstacle, ObstacleKind, Plan, StaleFile, Step};
use inuse_rules::Cause;
use inuse_rules::address::{Address, UnixName};
use inuse_rules::snapshot::{FileKind, PathFact};

/// The plan where no socket is in the way, and the bind fails all the same.
pub(super) fn nobody(case: &Case, cause: Cause, plan: &mut Plan) {
    let (Address::Unix { kind, name: UnixName::Path(path) }, Some(PathFact::Exists { kind: found, file })) =
        (&case.attempt.address, &case.snapshot.path)
    else {
        let says = "Nobody shows who could be in the way.";
        plan.obstacles.push(Obstacle::new(ObstacleKind::Unseen, says));
        return;
    };
    if *found != FileKind::Socket {
        let says = format!(
            "{} is a {}, no socket: it is somebody's, and is never removed.",
            case.attempt.address,
            found.name()
        );
        plan.obstacles.push(Obstacle::new(ObstacleKind::Never, says));
        return;
    }
    // With a namespace that stays closed it may be served from there: then the refused connection decides.
    if !matches!(cause, Cause::UnixStale | Cause::OwnerHidden) {
        let says = "Somebody seems to serve the socket file, and does not show.";
        plan.obstacles.push(Obstacle::new(ObstacleKind::Unseen, says));
        return;
    }
    plan.notes.push(
        "The file is removed only if it is still the same socket file, no network namespace that may be entered has \
         a socket behind it, and a connection to it is refused. Between the last look and the removal some \
         microseconds pass, in which another program could put its own socket there."
            .to_owned(),
    );
    plan.steps.push(Step::Unlink(StaleFile { path: path.clone(), file: *file, kind: *kind }));
}
