//! A partial view as a result: what was found, and what could not be seen.
//!
//! Not here: failures that leave nothing to report (`error`).

use inuse_rules::BlindSpot;

/// What was found, together with what could not be seen. An empty `blind` means that the view is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen<T> {
    /// The facts.
    pub found: T,
    /// What is missing from them, and what would show it.
    pub blind: Vec<BlindSpot>,
}

impl<T> Seen<T> {
    /// A view without blind spots.
    pub const fn whole(found: T) -> Seen<T> {
        Seen { found, blind: Vec::new() }
    }

    /// Moves the blind spots to `blind` and gives what was found.
    pub fn into_found(self, blind: &mut Vec<BlindSpot>) -> T {
        blind.extend(self.blind);
        self.found
    }
}
