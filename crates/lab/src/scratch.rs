//! Where tests put what they make.
//!
//! The tests of `inuse-kernel`, on which this crate rests, include this file by its path.

use std::path::PathBuf;

/// The longest directory: a unix socket's path has 107 bytes (unix(7)), and what tests make in it has long names.
const LONGEST: usize = 24;

/// `TMPDIR`, unless its path is too long for that of a socket, or has to be quoted in a line of shell and in a program's
/// configuration: then `/tmp`.
pub fn scratch_root() -> PathBuf {
    let usual = std::env::temp_dir();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let fits = usual.to_str().is_some_and(|path| path.len() <= LONGEST && path.chars().all(is_plain));
    if fits { usual } else { "/tmp".into() }
}
