//! The lab: stages every cause of `Address already in use` on the real kernel.
//!
//! What lives here: the [`stage`] (private namespaces in a helper process), the actors (real processes
//! that do what a scene's steps say), and the binaries and teaching servers that are built on them.
//!
//! What deliberately does not: any knowledge of the kernel's bind rule. A scene's expectation is written
//! by hand in `inuse_rules::scene` and never computed.
//!
//! A binary that stages calls [`helper_main`] first in `main`: the stage and its actors are further
//! processes of the same binary.

mod actor;
pub mod bench;
pub mod conformance;
pub mod crowd;
pub mod load;
pub mod play;
mod required;
mod scratch;
pub mod stage;
mod sys;
pub mod teach;
pub mod zoo;

pub use required::all_required;
pub use scratch::scratch_root;
pub use stage::{Stage, StageError};

/// The word in the first argument by which a helper process knows that it is one.
const ROLE: &str = "__inuse-lab";

/// Becomes a helper process and never returns, if this process was started as one; else does nothing.
///
/// To be called before anything else in `main`, while the process has one thread.
pub fn helper_main() {
    let Some(words) = role() else { return };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stage"] => stage::helper::main(),
        ["here"] => stage::helper::here(),
        ["actor", name] => actor::main(name),
        ["teach", kind] => teach::helper::main(kind),
        ["why", ref words @ ..] => play::asker::main(words),
        _ => std::process::exit(2),
    }
}

/// The words of a helper process, if this process was started as one.
fn role() -> Option<Vec<String>> {
    let mut words = std::env::args_os().skip(1);
    words.next().filter(|word| word == ROLE)?;
    let words: Option<Vec<String>> = words.map(|word| word.into_string().ok()).collect();
    Some(words.unwrap_or_default())
}
