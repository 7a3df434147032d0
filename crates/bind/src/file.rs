//! The file form of a snapshot: what `--save` writes and `--snapshot` judges elsewhere.
//!
//! A file is JSON, schema `inuse.snapshot/1`: a list of attempts, each with the facts it was judged on. The
//! facts keep the words of the rules crate; the types that serde sees are mirrors of them (`shape`), so that
//! the domain knows nothing of JSON and a renamed field there cannot silently change the file.
//!
//! A file comes from somebody else's machine: it is bounded in size, and every fault in it is an error with
//! its place, never a panic.

mod shape;

use inuse_rules::{Attempt, Snapshot};
use serde::{Deserialize, Serialize};
use shape::{AttemptShape, Mirror, SnapshotShape};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The schema that this version writes and reads.
pub const SCHEMA: &str = "inuse.snapshot/1";

/// The most bytes that are read: room for some 100,000 sockets.
pub const MAX_BYTES: u64 = 128 << 20;

/// Attempts, and the facts on which each was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The program and version that wrote it.
    pub made_by: String,
    /// Each attempt with its facts.
    pub entries: Vec<Entry>,
}

/// An attempt and its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was asked.
    pub attempt: Attempt,
    /// What was known.
    pub snapshot: Snapshot,
}

/// What can be wrong with a snapshot file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It could not be opened, read or written.
    Io(PathBuf, io::Error),
    /// It exists, and is not overwritten.
    Exists(PathBuf),
    /// It is larger than [`MAX_BYTES`].
    TooLarge(PathBuf),
    /// It is JSON of another schema, or of none.
    Schema(PathBuf, Option<String>),
    /// It is not JSON, or not what the schema says; the error knows line and column.
    Malformed(PathBuf, serde_json::Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| inuse_rules::address::escape(path.as_os_str().as_encoded_bytes());
        match self {
            FileError::Io(path, error) => write!(f, "{}: {error}", shown(path)),
            FileError::Exists(path) => {
                write!(f, "{} exists and is not overwritten; choose another name or remove it", shown(path))
            }
            FileError::TooLarge(path) => {
                write!(f, "{} is larger than {} MiB, the most that is read", shown(path), MAX_BYTES >> 20)
            }
            FileError::Schema(path, None) => {
                write!(f, "{} is no snapshot: it names no schema (expected {SCHEMA})", shown(path))
            }
            FileError::Schema(path, Some(other)) => {
                let other: String = inuse_rules::address::escape(other.as_bytes()).chars().take(60).collect();
                write!(f, "{} has the schema '{other}'; this version reads {SCHEMA}", shown(path))
            }
            FileError::Malformed(path, error) => {
                let error: String =
                    inuse_rules::address::escape(error.to_string().as_bytes()).chars().take(200).collect();
                write!(f, "{} is no snapshot: {error}", shown(path))
            }
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Io(_, error) => Some(error),
            FileError::Malformed(_, error) => Some(error),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FileShape {
    schema: String,
    made_by: String,
    entries: Vec<EntryShape>,
}

#[derive(Serialize, Deserialize)]
struct EntryShape {
    attempt: AttemptShape,
    snapshot: SnapshotShape,
}

/// Only the name of the schema: asked first, so that a file of another version is called that.
#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
}

/// Writes a new file, readable by its owner only: it tells of the processes of a machine.
///
/// # Errors
///
/// [`FileError::Exists`] when something is there, else [`FileError::Io`].
pub fn save(path: &Path, saved: &Saved) -> Result<(), FileError> {
    let io_error = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Io(path.to_owned(), error),
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io_error)?;
    let mut out = BufWriter::new(file);
    out.write_all(&to_json(saved).map_err(|error| io_error(error.into()))?)
        .and_then(|()| out.flush())
        .map_err(io_error)
}

/// Reads a file that [`save`] wrote, or that somebody says it wrote.
///
/// # Errors
///
/// [`FileError`], with the place where there is one.
pub fn load(path: &Path) -> Result<Saved, FileError> {
    let io_error = |error| FileError::Io(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(io_error)?;
    let mut bytes = Vec::new();
    BufReader::new(file).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io_error)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    from_bytes(&bytes, path)
}

/// The bytes that [`save`] writes, for who passes them on in another way.
///
/// # Errors
///
/// What the writer of JSON says; writing to memory does not fail.
pub fn to_bytes(saved: &Saved) -> io::Result<Vec<u8>> {
    Ok(to_json(saved)?)
}

/// Reads what [`to_bytes`] made; `from` says in an error where it came from.
///
/// # Errors
///
/// [`FileError`], as of [`load`].
pub fn from_bytes(bytes: &[u8], from: &Path) -> Result<Saved, FileError> {
    from_json(bytes).map_err(|fault| match fault {
        Fault::Schema(other) => FileError::Schema(from.to_owned(), other),
        Fault::Json(error) => FileError::Malformed(from.to_owned(), error),
    })
}

enum Fault {
    Schema(Option<String>),
    Json(serde_json::Error),
}

fn to_json(saved: &Saved) -> serde_json::Result<Vec<u8>> {
    let entries = saved.entries.iter();
    let shape = FileShape {
        schema: SCHEMA.to_owned(),
        made_by: saved.made_by.clone(),
        entries: entries
            .map(|e| EntryShape { attempt: e.attempt.mirror(), snapshot: e.snapshot.mirror() })
            .collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&shape)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn from_json(bytes: &[u8]) -> Result<Saved, Fault> {
    let head: Head = serde_json::from_slice(bytes).map_err(Fault::Json)?;
    if head.schema.as_deref() != Some(SCHEMA) {
        return Err(Fault::Schema(head.schema));
    }
    let shape: FileShape = serde_json::from_slice(bytes).map_err(Fault::Json)?;
    let entries = shape.entries.into_iter();
    let entries = entries
        .map(|e| Entry { attempt: Mirror::unmirror(e.attempt), snapshot: Mirror::unmirror(e.snapshot) });
    Ok(Saved { made_by: shape.made_by, entries: entries.collect() })
}

#[cfg(test)]
mod tests;
