//! kernel: see ARCHITECTURE.md.

pub mod error;
pub mod seen;

pub use error::Error;
pub use seen::Seen;
