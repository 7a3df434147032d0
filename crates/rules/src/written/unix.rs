//! Unix addresses: `unix:PATH`, `/path`, `./path`, `@name`, `unix-dgram:…`, `unix-seqpacket:…`.
//!
//! A bare path is taken byte for byte. Behind `unix:` and `@` the escapes that the command itself prints are
//! read back (`\x1b`, `\u{202e}`, `\\`), so that a printed name can be pasted. Limits: unix(7).

use super::part::{Fault, Part};
use super::{Read, Target};
use crate::address::{UnixKind, UnixName};
use alloc::format;
use alloc::vec::Vec;

/// `sizeof(sun_path) - 1`: the most bytes of a path before its NUL, and of an abstract name after it.
const MAX_NAME: usize = 107;

const RIGHT: &str = "write unix:/run/app.sock, or @name for an abstract name";

/// Reads a unix address, or `None` when it is none.
pub(super) fn parse(whole: Part<'_>) -> Option<Result<Read, Fault>> {
    let schemes = [
        ("unix:", UnixKind::Stream),
        ("unix-dgram:", UnixKind::Datagram),
        ("unix-seqpacket:", UnixKind::Seqpacket),
    ];
    for (scheme, kind) in schemes {
        if let Some(rest) = whole.strip_prefix(scheme) {
            return Some(named(kind, rest));
        }
    }
    if whole.text.starts_with('@') {
        return Some(named(UnixKind::Stream, whole));
    }
    if ["/", "./", "../"].iter().any(|start| whole.text.starts_with(start)) {
        return Some(path(UnixKind::Stream, whole, whole.text.as_bytes().to_vec()));
    }
    None
}

fn named(kind: UnixKind, part: Part<'_>) -> Result<Read, Fault> {
    match part.strip_prefix("@") {
        Some(rest) => {
            let name = unescape(rest)?;
            if name.is_empty() {
                return Err(rest.wrong("the name is missing", RIGHT));
            }
            limit(rest, &name, "an abstract name")?;
            Ok(read(kind, part, UnixName::Abstract(name)))
        }
        None => path(kind, part, unescape(part)?),
    }
}

fn path(kind: UnixKind, part: Part<'_>, mut bytes: Vec<u8>) -> Result<Read, Fault> {
    // unix:///run/x.sock, as URLs write it. To Linux, leading slashes are one.
    while bytes.starts_with(b"//") {
        bytes.remove(0);
    }
    if bytes.starts_with(b"@") {
        return Err(
            part.wrong("this reads as an abstract name", "write ./@... for a path that starts with @")
        );
    }
    if bytes.is_empty() {
        return Err(part.wrong("the path is missing", RIGHT));
    }
    if bytes.contains(&0) {
        return Err(part.wrong("a path cannot contain a NUL", RIGHT));
    }
    limit(part, &bytes, "a unix path")?;
    Ok(read(kind, part, UnixName::Path(bytes)))
}

fn read(kind: UnixKind, part: Part<'_>, name: UnixName) -> Read {
    Read { target: Target::Unix { kind, name }, host: part.span(), interface: None }
}

fn limit(part: Part<'_>, bytes: &[u8], what: &str) -> Result<(), Fault> {
    if bytes.len() <= MAX_NAME {
        return Ok(());
    }
    Err(part.after(MAX_NAME).wrong(
        format!("{what} of {} bytes does not fit into a socket address", bytes.len()),
        format!("it may have {MAX_NAME} at most"),
    ))
}

/// Reads the escapes of [`crate::address::escape`].
fn unescape(part: Part<'_>) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(part.text.len());
    let mut rest = part;
    while let Some((plain, escaped)) = rest.split_once("\\") {
        bytes.extend_from_slice(plain.text.as_bytes());
        let (skip, value) = one_escape(escaped.text).ok_or_else(|| {
            let blamed = Part { text: &rest.text[plain.text.len()..], at: rest.at + plain.text.len() };
            let end = blamed.text.char_indices().nth(2).map_or(blamed.text.len(), |(i, _)| i);
            blamed.split_at(end).0.wrong("this escape is unknown", "write a backslash as \\\\")
        })?;
        value.push_to(&mut bytes);
        rest = escaped.split_at(skip).1;
    }
    bytes.extend_from_slice(rest.text.as_bytes());
    Ok(bytes)
}

enum Value {
    Byte(u8),
    Char(char),
}

impl Value {
    fn push_to(self, bytes: &mut Vec<u8>) {
        match self {
            Value::Byte(byte) => bytes.push(byte),
            Value::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// One escape without its backslash: how many bytes it takes, and what it stands for.
fn one_escape(text: &str) -> Option<(usize, Value)> {
    match text.as_bytes().first()? {
        b'\\' => Some((1, Value::Byte(b'\\'))),
        b'n' => Some((1, Value::Byte(b'\n'))),
        b't' => Some((1, Value::Byte(b'\t'))),
        b'r' => Some((1, Value::Byte(b'\r'))),
        b'x' => {
            let digits = text.get(1..3)?;
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten().map(|byte| (3, Value::Byte(byte)))
        }
        b'u' => {
            let (digits, _) = text.get(1..)?.strip_prefix('{')?.split_once('}')?;
            let hex =
                !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let code = hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
            char::from_u32(code).map(|c| (digits.len() + 3, Value::Char(c)))
        }
        _ => None,
    }
}
