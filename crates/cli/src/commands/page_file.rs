//! The file of a page: whole when it appears. Whether it can be written is known before anything is done for it.
//!
//! It is written beside its place and renamed; a device or a pipe is written as it is. Nothing of it lies around
//! while it is not being written, so that an interrupt leaves nothing behind.

use inuse_rules::address::escape;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where a page goes.
#[derive(Debug)]
pub(super) enum PageFile {
    /// `-`.
    Stdout,
    /// Something that is no regular file, and is not to be replaced.
    Device(PathBuf, File),
    /// A file that is there, or will be.
    Regular(PathBuf),
}

impl PageFile {
    /// Finds out whether it can be written.
    ///
    /// # Errors
    /// One line that says why not.
    pub(super) fn at(path: &OsStr) -> Result<PageFile, String> {
        if path == "-" {
            return Ok(PageFile::Stdout);
        }
        let path = Path::new(path);
        let cannot = |error: io::Error| cannot(path, &error);
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                Err(format!("{} is a directory; --html takes a file", shown(path)))
            }
            Ok(there) if !there.is_file() => {
                let device = OpenOptions::new().write(true).open(path).map_err(cannot)?;
                Ok(PageFile::Device(path.to_owned(), device))
            }
            Ok(_) => {
                // What a link leads to is replaced, not the link; and nothing that is read-only.
                let path = path.canonicalize().map_err(cannot)?;
                OpenOptions::new().append(true).open(&path).map_err(cannot)?;
                beside(&path).map_err(cannot)?;
                Ok(PageFile::Regular(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                beside(path).map_err(cannot)?;
                Ok(PageFile::Regular(path.to_owned()))
            }
            Err(error) => Err(cannot(error)),
        }
    }

    /// Writes it; not for stdout.
    ///
    /// # Errors
    /// One line that says why not. Then nothing has changed.
    pub(super) fn write(&self, page: &str) -> Result<(), String> {
        match self {
            PageFile::Stdout => Ok(()),
            PageFile::Device(path, device) => {
                let mut device: &File = device;
                device.write_all(page.as_bytes()).map_err(|error| cannot(path, &error))
            }
            PageFile::Regular(path) => replace(path, page.as_bytes()).map_err(|error| cannot(path, &error)),
        }
    }
}

/// The name that it has until it is whole.
fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it ends in no name"))?;
    let mut hidden = b".".to_vec();
    // With room for what is added, in a name of at most 255 bytes.
    hidden.extend(name.as_bytes().iter().take(200));
    hidden.extend(format!(".{}.part", std::process::id()).into_bytes());
    Ok(path.with_file_name(OsStr::from_bytes(&hidden)))
}

/// Whether a file can be made beside that one: makes it, and takes it away.
fn beside(path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let unfinished = unfinished(path)?;
    OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
    fs::remove_file(unfinished)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
    let done = (|| {
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
}

fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", shown(path))
}
