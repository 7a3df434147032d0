//! What stands against a plan, and the kinds of it, which decide the exit code.

use inuse_rules::cure::Command;

/// Something that stands against the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Its kind: decides the exit code.
    pub kind: ObstacleKind,
    /// What and why, in a sentence.
    pub says: String,
    /// The flag that would take it away.
    pub flag: Option<&'static str>,
    /// The command once more, with that flag.
    pub again: Option<Command>,
    /// What can be done instead.
    pub command: Option<Command>,
}

/// The kinds of obstacles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// It takes an agreement that was not given.
    NeedsFlag,
    /// Nothing can be done but wait.
    Cannot,
    /// It takes a privilege that the asker lacks.
    NeedsPrivilege,
    /// It is never done.
    Never,
    /// The owner cannot be seen.
    Unseen,
}

impl ObstacleKind {
    /// The stable word for it in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            ObstacleKind::NeedsFlag => "needs-flag",
            ObstacleKind::Cannot => "cannot",
            ObstacleKind::NeedsPrivilege => "needs-privilege",
            ObstacleKind::Never => "never",
            ObstacleKind::Unseen => "unseen",
        }
    }
}

impl Obstacle {
    pub(super) fn new(kind: ObstacleKind, says: impl Into<String>) -> Obstacle {
        Obstacle { kind, says: says.into(), flag: None, again: None, command: None }
    }

    pub(super) fn flag(flag: &'static str, says: impl Into<String>) -> Obstacle {
        Obstacle { flag: Some(flag), ..Obstacle::new(ObstacleKind::NeedsFlag, says) }
    }

    pub(super) fn with(self, command: Command) -> Obstacle {
        Obstacle { command: Some(command), ..self }
    }
}
