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
pub mod stage;
mod sys;
pub mod teach;
pub mod zoo;

pub use required::all_required;
pub use stage::{Stage, StageError};

/// The word in the first argument by which a helper process knows that it is one.
const ROLE: &str = "__inuse-lab";

/// Becomes a helper process and never returns, if this process was started as one; else does nothing.
///
/// To be called before anything else in `main`, while the process has one thread.
pub fn helper_main() {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != ROLE) {
        return;
    }
    let words: Option<Vec<String>> = words.map(|word| word.into_string().ok()).collect();
    let words = words.unwrap_or_default();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stage"] => stage::helper::main(),
        ["here"] => stage::helper::here(),
        ["actor", name] => actor::main(name),
        ["teach", kind] => teach::helper::main(kind),
        ["bench", ..] => std::process::exit(bench::main(std::env::args_os().skip(2)).into()),
        ["crowd", ref share @ ..] => crowd::member::main(share),
        ["peak", ref command @ ..] => bench::sample::peak_main(command),
        ["why", ref words @ ..] => play::asker::main(words),
        _ => std::process::exit(2),
    }
}
