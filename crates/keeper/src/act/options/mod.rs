//! The options of live sockets: read, and set without a restart.
//!
//! Look ([`look`]), plan ([`plan()`], a pure function of what was seen), set ([`set`]), each socket through a
//! duplicate that is proven, just now, to be the one that was seen. No duplicate outlives a look or a step, so that
//! none is held while somebody reads a plan or thinks about an answer.
//!
//! Not here: the table of options and their values (`inuse_kernel::options`), and terminal output.

mod again;
mod evidence;
mod holders;
mod look;
mod plan;
mod read;
mod seen;
mod sentence;
mod set;

pub use again::Again;
pub use evidence::Unproven;
pub use look::{look, sockets};
pub use plan::{Objection, Plan, Step, not_here, plan};
pub use seen::{Beyond, Found, Holder, Look, NotFound, Question, Reading, Subject};
pub use sentence::{ERRNOS, place, sentence};
pub use set::{Deed, Ending, Outcome, set};
