//! `--redact`: arguments and paths out of an answer, before any view sees it.
//!
//! The facts are redacted, and then every sentence and command that was made from them: what was hidden
//! is looked for in each. So text, JSON and a saved file hide the same things, and no view knows of it.
//! What stays: program names, pids, users, units, containers, addresses and ports.

use crate::render::Answer;
use inuse_rules::address::{Address, UnixName, escape};
use inuse_rules::{Process, Socket};

const HIDDEN: &[u8] = b"<hidden>";

/// The shortest argument that is looked for in sentences: `-p` is no secret, and is in many words.
const MIN_ARGUMENT: usize = 4;

/// Hides arguments and paths in an answer.
pub fn redact(answer: &mut Answer) {
    let secrets = secrets(answer);
    let text = |text: &mut String| {
        if let Some(hidden) = without(text.as_bytes(), &secrets) {
            *text = String::from_utf8_lossy(&hidden).into_owned();
        }
    };
    let Answer { snapshot, diagnosis } = answer;
    let snapshot = std::sync::Arc::make_mut(snapshot);
    text(&mut diagnosis.summary);
    diagnosis.warnings.iter_mut().for_each(text);
    for cure in &mut diagnosis.cures {
        text(&mut cure.says);
        text(&mut cure.harms);
        for word in cure.commands.iter_mut().flat_map(|command| &mut command.0) {
            if let Some(hidden) = without(word, &secrets) {
                *word = hidden;
            }
        }
    }
    for spot in &mut snapshot.blind {
        text(&mut spot.what);
        text(&mut spot.remedy);
    }
    hide_path(&mut diagnosis.attempt.address);
    let elsewhere = snapshot.elsewhere.iter_mut().map(|elsewhere| &mut elsewhere.socket);
    for socket in snapshot.sockets.iter_mut().chain(&mut snapshot.peers).chain(elsewhere) {
        hide_path(&mut socket.address);
    }
    snapshot.processes.values_mut().for_each(hide_process);
}

fn hide_process(process: &mut Process) {
    if let Some(exe) = &mut process.exe {
        *exe = [HIDDEN, b"/", file_name(exe)].concat();
    }
    let mut arguments = process.cmdline.iter_mut();
    if let Some(first) = arguments.next() {
        *first = file_name(first).to_vec();
    }
    arguments.for_each(|argument| *argument = HIDDEN.to_vec());
    for path in [&mut process.cwd, &mut process.cgroup].into_iter().flatten() {
        *path = HIDDEN.to_vec();
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

fn hide_path(address: &mut Address) {
    if let Address::Unix { name: UnixName::Path(path), .. } = address {
        *path = HIDDEN.to_vec();
    }
}

/// Everything that must not appear, longest first, as it is and as a view escapes it.
fn secrets(answer: &Answer) -> Vec<Vec<u8>> {
    let Answer { snapshot, diagnosis } = answer;
    let mut found: Vec<&[u8]> = Vec::new();
    for process in snapshot.processes.values() {
        let arguments = process.cmdline.iter().skip(1).map(Vec::as_slice);
        found.extend(
            arguments.filter(|argument| {
                argument.len() >= MIN_ARGUMENT && !argument.iter().all(u8::is_ascii_digit)
            }),
        );
        let first = process.cmdline.first();
        found.extend(
            [&process.exe, &process.cwd, &process.cgroup]
                .into_iter()
                .flatten()
                .chain(first)
                .map(Vec::as_slice)
                .filter(is_path),
        );
    }
    let elsewhere = snapshot.elsewhere.iter().map(|elsewhere| &elsewhere.socket);
    let sockets = snapshot.sockets.iter().chain(&snapshot.peers).chain(elsewhere);
    let addresses = sockets.map(|socket: &Socket| &socket.address).chain([&diagnosis.attempt.address]);
    found.extend(addresses.filter_map(|address| match address {
        Address::Unix { name: UnixName::Path(path), .. } => Some(path.as_slice()),
        _ => None,
    }));
    let escaped = found.iter().map(|secret| escape(secret).into_bytes());
    let mut secrets: Vec<Vec<u8>> = found.iter().map(|secret| secret.to_vec()).chain(escaped).collect();
    secrets.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    secrets.dedup();
    secrets
}

fn is_path(bytes: &&[u8]) -> bool {
    bytes.len() > 1 && bytes.contains(&b'/')
}

/// The bytes with every secret replaced, if one is in them.
fn without(bytes: &[u8], secrets: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut hidden: Option<Vec<u8>> = None;
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let current = hidden.as_deref().unwrap_or(bytes);
        if current.windows(secret.len()).any(|window| window == secret.as_slice()) {
            hidden = Some(replace(current, secret));
        }
    }
    hidden
}

fn replace(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        match rest.strip_prefix(secret) {
            Some(tail) => {
                out.extend_from_slice(HIDDEN);
                rest = tail;
            }
            None => {
                out.push(first);
                rest = &rest[1..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let secrets = vec![b"/home/tom/shop".to_vec(), b"server.js".to_vec()];
        let check = |text: &str, expect: Option<&str>| {
            let hidden = without(text.as_bytes(), &secrets).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(hidden.as_deref(), expect);
        };
        check("node server.js in /home/tom/shop/x", Some("node <hidden> in <hidden>/x"));
        check("node (pid 7) listens", None);
    }
}
