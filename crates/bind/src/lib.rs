//! bind: see ARCHITECTURE.md.
