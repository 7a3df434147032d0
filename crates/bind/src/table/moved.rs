//! Where the file of a unix socket is now, if it was renamed since the bind.
//!
//! The kernel tells the name that was bound (`unix_diag`), and which file came of it. A server that puts its socket
//! in place in one step binds another name and renames that, so that nobody meets a socket that does not listen yet;
//! people know only the second name. It is looked for where renaming is atomic most often: in the same folder.

use inuse_kernel::unixpath::path_fact;
use inuse_rules::snapshot::PathFact;
use inuse_rules::socket::FileId;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The most folders that are looked through, and the most names in each.
const MOST_FOLDERS: usize = 64;
const MOST_NAMES: usize = 10_000;

/// Socket files that are not where they were bound.
#[derive(Default)]
pub(super) struct Moved {
    /// Which rows, and their files, by folder.
    by_folder: BTreeMap<PathBuf, Vec<(usize, FileId)>>,
}

impl Moved {
    /// Notes a row whose file is no longer at the path that was bound.
    pub(super) fn note(&mut self, row: usize, bound: &[u8], file: FileId) {
        let path = Path::new(OsStr::from_bytes(bound));
        let there = || path.symlink_metadata().is_ok_and(|found| low(found.ino()) == file.ino);
        let Some(folder) = path.parent().filter(|_| path.is_absolute() && !there()) else { return };
        if self.by_folder.len() < MOST_FOLDERS || self.by_folder.contains_key(folder) {
            self.by_folder.entry(folder.to_owned()).or_default().push((row, file));
        }
    }

    /// The rows whose file was found, each with the path that it has.
    pub(super) fn found(self) -> Vec<(usize, Vec<u8>)> {
        let mut found = Vec::new();
        for (folder, rows) in self.by_folder {
            let names = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_NAMES);
            for name in names {
                for (row, file) in rows.iter().filter(|(_, file)| low(name.ino()) == file.ino) {
                    let path = name.path().into_os_string().into_vec();
                    if matches!(path_fact(&path), PathFact::Exists { file: its, .. } if its == *file) {
                        found.push((*row, path));
                    }
                }
            }
        }
        found
    }
}

/// As many bits of an inode number as `unix_diag` tells.
fn low(ino: u64) -> u64 {
    ino & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_file_is_found_in_its_folder_and_another_is_not_taken_for_it() {
        let folder = std::env::temp_dir().join(format!("inuse-moved-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = |name: &str| folder.join(name).into_os_string().into_vec();
        let identity = |name: &str| match path_fact(&path(name)) {
            PathFact::Exists { file, .. } => file,
            other => panic!("{other:?}"),
        };
        for name in ["moved.1.new", "stays", "other"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let (moves, stays) = (identity("moved.1.new"), identity("stays"));
        std::fs::rename(folder.join("moved.1.new"), folder.join("moved")).unwrap();
        let mut moved = Moved::default();
        moved.note(1, &path("moved.1.new"), moves);
        moved.note(2, &path("stays"), stays);
        moved.note(3, &path("gone"), FileId { ino: stays.ino, dev: stays.dev + 1 });
        moved.note(4, b"relative", moves);
        moved.note(5, b"/nonexistent/folder/x", moves);
        assert_eq!(moved.found(), [(1, path("moved"))]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
