//! kernel: see ARCHITECTURE.md.

mod duplicate;
pub mod error;
pub mod options;
pub mod owners;
pub mod process;
mod procfs;
pub mod seen;
mod sys;

pub use error::Error;
pub use seen::Seen;
