//! Keeping an address across restarts and crashes of the program that serves it.
//!
//! Not here: freeing an address (`act`, which this never imports), and terminal output.

pub mod keep;
