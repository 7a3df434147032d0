//! The JSON view, schema `inuse.why/1`: docs/schema/inuse.why-1.json says what each field means.
//!
//! The contract: fields are added, never renamed or removed. Text that somebody chose is given as it is when
//! it is UTF-8; else the field holds it escaped, and a second field `…_bytes` beside it holds the exact
//! bytes in hexadecimal. Characters that could deceive a reader of raw JSON (control and bidirectional ones)
//! are written as `\u` escapes, which JSON readers undo.

use super::Answer;
use inuse_rules::address::{Address, UnixName, deceives, escape};
use inuse_rules::cure::Cure;
use inuse_rules::diagnose::other_protocol;
use inuse_rules::owner::{Holding, Ownership, Process};
use inuse_rules::verdict::{Outcome, Verdict};
use inuse_rules::{Attempt, Snapshot, Socket};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;

/// The schema of the view.
pub const SCHEMA: &str = "inuse.why/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<SavedView<'a>>,
    results: Vec<Result<'a>>,
}

#[derive(Serialize)]
struct SavedView<'a> {
    by: &'a str,
    at_ms: u64,
}

#[derive(Serialize)]
struct Result<'a> {
    address: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_bytes: Option<String>,
    attempt: AttemptView,
    cause: &'static str,
    also: Vec<&'static str>,
    summary: &'a str,
    verdicts: Verdicts,
    holders: Vec<Holder>,
    warnings: &'a [String],
    other_protocol: Vec<String>,
    blind_spots: Vec<Blind<'a>>,
    cures: Vec<CureView<'a>>,
}

type Text = String;

#[derive(Serialize)]
struct AttemptView {
    uid: u32,
    reuseaddr: bool,
    reuseport: bool,
    v6only: bool,
    net_bind_service: bool,
}

#[derive(Serialize)]
struct Verdicts {
    plain: VerdictView,
    reuseaddr: VerdictView,
    reuseport: VerdictView,
    /// Only where the attempt is none of the three: both options at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<VerdictView>,
}

#[derive(Serialize)]
struct VerdictView {
    outcome: &'static str,
    errno: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    possible: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_note: Option<&'static str>,
}

#[derive(Serialize)]
struct Holder {
    state: &'static str,
    local: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_bytes: Option<String>,
    remote: Option<String>,
    inode: u64,
    uid: Option<u32>,
    timer_ms: Option<u32>,
    recv_q: u32,
    send_q: u32,
    options: OptionsView,
    #[serde(skip_serializing_if = "Option::is_none")]
    alike: Option<u32>,
    owners: Vec<Owner>,
    no_owner: Option<&'static str>,
    peer: Option<Peer>,
}

#[derive(Serialize)]
struct OptionsView {
    reuseaddr: Option<bool>,
    reuseport: Option<bool>,
    v6only: Option<bool>,
}

#[derive(Serialize)]
struct Peer {
    state: &'static str,
    recv_q: u32,
    send_q: u32,
    owners: Vec<Owner>,
}

#[derive(Serialize)]
struct Owner {
    pid: u32,
    tid: Option<u32>,
    fds: Vec<u32>,
    comm: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm_bytes: Option<String>,
    exe: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe_bytes: Option<String>,
    cmdline: Option<Vec<Text>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmdline_bytes: Option<Vec<String>>,
    cwd: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd_bytes: Option<String>,
    uid: Option<u32>,
    user: Option<String>,
    state: Option<String>,
    started: Option<String>,
    unit: Option<String>,
    container: Option<String>,
    heir: bool,
    ancestry: Vec<Ancestor>,
}

#[derive(Serialize)]
struct Ancestor {
    pid: u32,
    comm: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm_bytes: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Blind<'a> {
    pub(super) what: &'a str,
    pub(super) remedy: &'a str,
}

#[derive(Serialize)]
struct CureView<'a> {
    action: &'static str,
    says: &'a str,
    command: Option<String>,
    harms: &'a str,
    needs: Option<&'a str>,
    promise: &'static str,
    wait_ms: Option<u64>,
}

/// The whole document, one line, with a line feed at the end.
pub fn document(answers: &[Answer], saved_by: Option<&str>) -> String {
    let saved = saved_by
        .map(|by| SavedView { by, at_ms: answers.first().map_or(0, |answer| answer.snapshot.taken_ms) });
    to_text(&Document { schema: SCHEMA, saved, results: answers.iter().map(result).collect() })
}

/// Any value as one line of JSON in which no character deceives.
pub fn to_text(value: &impl Serialize) -> String {
    // Our own structures with string keys: serialising them does not fail.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + 1);
    push(&text, &mut out);
    out.push('\n');
    out
}

/// The same, a piece at a time.
pub fn write(value: &impl Serialize, each: &mut dyn FnMut(&str)) {
    let mut pieces = Pieces { waiting: String::new(), each };
    let _ = serde_json::to_writer(&mut pieces, value);
    pieces.waiting.push('\n');
    let Pieces { waiting, each } = pieces;
    each(&waiting);
}

/// Text that is handed on in pieces of some size, with characters that deceive as escapes.
struct Pieces<'a> {
    waiting: String,
    each: &'a mut dyn FnMut(&str),
}

impl io::Write for Pieces<'_> {
    /// JSON is written in parts of whole characters, since it is made of text.
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        const ENOUGH: usize = 8192;
        let text = str::from_utf8(part).map_err(|_| io::ErrorKind::InvalidData)?;
        push(text, &mut self.waiting);
        if self.waiting.len() >= ENOUGH {
            (self.each)(&self.waiting);
            self.waiting.clear();
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds JSON in which characters that deceive become escapes. Keys, numbers and addresses have none, and so nearly
/// everything.
fn push(json: &str, out: &mut String) {
    if json.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return out.push_str(json);
    }
    for c in json.chars() {
        if deceives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
}

fn result(answer: &Answer) -> Result<'_> {
    let Answer { snapshot, diagnosis } = answer;
    let shown = answer.shown();
    let view = |verdict: &Verdict| verdict_view(verdict, &shown);
    let attempt = &diagnosis.attempt;
    let address_bytes = match &attempt.address {
        Address::Unix { name: UnixName::Path(name) | UnixName::Abstract(name), .. } => bytes(name).1,
        _ => None,
    };
    Result {
        address: attempt.address.to_string(),
        address_bytes,
        attempt: attempt_view(attempt),
        cause: diagnosis.cause.code(),
        also: diagnosis.also.iter().map(|cause| cause.code()).collect(),
        summary: &diagnosis.summary,
        verdicts: Verdicts {
            plain: view(&diagnosis.plain),
            reuseaddr: view(&diagnosis.reuseaddr),
            reuseport: view(&diagnosis.reuseport),
            asked: (attempt.reuseaddr && attempt.reuseport).then(|| view(&diagnosis.verdict)),
        },
        holders: shown.iter().filter_map(|&i| snapshot.sockets.get(i)).map(|s| holder(answer, s)).collect(),
        warnings: &diagnosis.warnings,
        other_protocol: other_protocol(snapshot, attempt).iter().map(ToString::to_string).collect(),
        blind_spots: snapshot.blind.iter().map(|b| Blind { what: &b.what, remedy: &b.remedy }).collect(),
        cures: diagnosis.cures.iter().map(cure_view).collect(),
    }
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    AttemptView {
        uid: attempt.uid,
        reuseaddr: attempt.reuseaddr,
        reuseport: attempt.reuseport,
        v6only: attempt.v6only,
        net_bind_service: attempt.net_bind_service,
    }
}

fn verdict_view(verdict: &Verdict, shown: &[usize]) -> VerdictView {
    let positions: BTreeMap<usize, usize> =
        shown.iter().enumerate().map(|(at, &index)| (index, at)).collect();
    let position = |index: usize| positions.get(&index).copied();
    let by = |list: &[usize]| Some(list.iter().filter_map(|&index| position(index)).collect());
    let empty = VerdictView {
        outcome: "ok",
        errno: None,
        at: None,
        rule: None,
        by: None,
        possible: None,
        missing: None,
        version_note: verdict.version_note,
    };
    match &verdict.outcome {
        Outcome::Ok => empty,
        Outcome::Refused(refusal) => VerdictView {
            outcome: "refused",
            errno: Some(refusal.errno.name()),
            at: Some(refusal.at.name()),
            rule: Some(refusal.rule.code()),
            by: by(&refusal.by),
            ..empty
        },
        Outcome::Unknown { possible, missing, by: list } => VerdictView {
            outcome: "unknown",
            possible: Some(possible.iter().map(|errno| errno.map_or("ok", |errno| errno.name())).collect()),
            missing: Some(
                missing
                    .iter()
                    .map(|fact| {
                        fact.describe(|index| match position(index) {
                            Some(position) => format!("holder {position}"),
                            None => "a socket".to_owned(),
                        })
                    })
                    .collect(),
            ),
            by: by(list),
            ..empty
        },
    }
}

fn holder(answer: &Answer, socket: &Socket) -> Holder {
    let snapshot = &answer.snapshot;
    let (local, local_bytes) = local(&socket.address);
    let options = &socket.options;
    Holder {
        state: socket.state.name(),
        local,
        local_bytes,
        remote: socket.remote.map(|remote| remote.to_string()),
        inode: socket.inode,
        uid: socket.uid,
        timer_ms: socket.timer.map(|timer| timer.left_ms),
        recv_q: socket.recv_q,
        send_q: socket.send_q,
        options: OptionsView {
            reuseaddr: options.reuseaddr,
            reuseport: options.reuseport,
            v6only: options.v6only,
        },
        alike: (socket.alike > 0).then_some(socket.alike),
        owners: owners(snapshot, socket),
        no_owner: no_owner(&socket.owners),
        peer: answer.peer(socket).map(|peer| Peer {
            state: peer.state.name(),
            recv_q: peer.recv_q,
            send_q: peer.send_q,
            owners: owners(snapshot, peer),
        }),
    }
}

/// `127.0.0.1:8080`, `/run/x.sock`, `@name`, without the protocol.
pub(super) fn local(address: &Address) -> (Text, Option<String>) {
    match address {
        Address::Inet { local, .. } => (local.to_string(), None),
        Address::Unix { name: UnixName::Path(path), .. } => bytes(path),
        Address::Unix { name: UnixName::Abstract(name), .. } => {
            let (text, hex) = bytes(name);
            (format!("@{text}"), hex)
        }
        Address::Unix { name: UnixName::Unnamed, .. } => (String::new(), None),
    }
}

pub(super) fn no_owner(owners: &Ownership) -> Option<&'static str> {
    match owners {
        Ownership::NotAsked => Some("not-asked"),
        Ownership::Held(_) => None,
        Ownership::InFlight { .. } => Some("in-flight"),
        Ownership::IoUring(_) => Some("io-uring"),
        Ownership::Nobody(why) => Some(why.code()),
        Ownership::Hidden => Some("hidden"),
        Ownership::Gone => Some("gone"),
    }
}

fn owners(snapshot: &Snapshot, socket: &Socket) -> Vec<Owner> {
    let holdings = socket.owners.holdings().iter();
    holdings.map(|holding| owner(holding, snapshot.processes.get(&holding.pid), snapshot, socket)).collect()
}

fn owner(holding: &Holding, process: Option<&Process>, snapshot: &Snapshot, socket: &Socket) -> Owner {
    let split = |given: Option<(Text, Option<String>)>| match given {
        Some((text, hex)) => (Some(text), hex),
        None => (None, None),
    };
    let (comm, comm_bytes) = split(process.map(|p| bytes(&p.comm)));
    let (exe, exe_bytes) = split(process.and_then(|p| p.exe.as_deref()).map(bytes));
    let (cwd, cwd_bytes) = split(process.and_then(|p| p.cwd.as_deref()).map(bytes));
    let arguments: Option<Vec<_>> = process.map(|p| p.cmdline.iter().map(|word| bytes(word)).collect());
    let odd = arguments.iter().flatten().any(|(_, hex)| hex.is_some());
    let raw = |p: &Process| p.cmdline.iter().map(|word| hex(word)).collect();
    Owner {
        pid: holding.pid,
        tid: holding.tid,
        fds: holding.fds.clone(),
        comm,
        comm_bytes,
        exe,
        exe_bytes,
        cmdline: arguments.map(|words| words.into_iter().map(|(text, _)| text).collect()),
        cmdline_bytes: process.filter(|_| odd).map(raw),
        cwd,
        cwd_bytes,
        uid: process.and_then(|p| p.uid),
        user: process.and_then(|p| p.user.clone()),
        state: process.map(|p| char::from(p.state)).filter(char::is_ascii_alphabetic).map(String::from),
        started: process.and_then(|p| p.started_ms).and_then(timestamp),
        unit: process.and_then(|p| p.unit.as_ref()).map(|unit| unit.name.clone()),
        container: process.and_then(|p| p.container.as_ref()).map(|container| container.id.clone()),
        heir: inuse_rules::diagnose::heir(snapshot, socket, holding),
        ancestry: process.map(|p| p.ancestry.as_slice()).unwrap_or_default().iter().map(ancestor).collect(),
    }
}

fn ancestor(ancestor: &inuse_rules::owner::Ancestor) -> Ancestor {
    let (comm, comm_bytes) = bytes(&ancestor.comm);
    Ancestor { pid: ancestor.pid, comm, comm_bytes }
}

fn cure_view(cure: &Cure) -> CureView<'_> {
    let commands: Vec<String> = cure.commands.iter().map(|command| command.to_string()).collect();
    CureView {
        action: cure.action.code(),
        says: &cure.says,
        command: if commands.is_empty() { None } else { Some(commands.join(" && ")) },
        harms: &cure.harms,
        needs: cure.needs.as_deref(),
        promise: cure.promise.code(),
        wait_ms: cure.wait_ms,
    }
}

/// Text as it is, or escaped with its bytes in hexadecimal beside it.
pub(super) fn bytes(given: &[u8]) -> (Text, Option<String>) {
    match str::from_utf8(given) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (escape(given), Some(hex(given))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Milliseconds since the epoch as `2026-11-20T09:00:00Z`.
pub(super) fn timestamp(ms: u64) -> Option<String> {
    let second = jiff::Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok()?;
    Some(second.to_string())
}
