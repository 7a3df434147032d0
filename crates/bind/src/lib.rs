//! bind: see ARCHITECTURE.md.
#[cfg(feature = "snapshot-file")]
pub mod file;
pub mod resolve;
