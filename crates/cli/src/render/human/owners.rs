//! Who has the sockets open: the processes with their family, or why there is none.

use super::super::Answer;
use super::super::wording::{duration, foreign, unowned};
use super::super::wrap::hanging;
use super::{FEW, Look, heading};
use inuse_rules::owner::{Holding, Process};
use inuse_rules::{Socket, diagnose};
use std::fmt::Write as _;

/// The most arguments, ancestors and descriptors of a process that are shown.
const MAX_COMMAND: usize = 160;
const MAX_ANCESTORS: usize = 6;

/// A process and everything of ours that it has open.
struct Owner<'a> {
    pid: u32,
    process: Option<&'a Process>,
    held: Vec<(&'a Socket, &'a Holding)>,
}

pub(super) fn section(out: &mut String, answer: &Answer, look: &Look) {
    let sockets: Vec<&Socket> =
        answer.in_the_way().into_iter().filter_map(|index| answer.snapshot.sockets.get(index)).collect();
    if sockets.is_empty() {
        return;
    }
    heading(out, "Who has it");
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for (reason, times) in sockets.iter().filter_map(|socket| Some((unowned(socket)?, socket.count()))) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += times,
            None => reasons.push((reason, times)),
        }
    }
    for (reason, count) in reasons {
        let times = if count > 1 { format!(" ({count} sockets)") } else { String::new() };
        out.push_str(&hanging(&format!("{reason}{times}"), "  ", "  ", look.width));
    }
    let owners = owners(answer, &sockets);
    let limit = if look.verbose { usize::MAX } else { FEW };
    for owner in owners.iter().take(limit) {
        tell(out, owner, answer, look);
    }
    if owners.len() > limit {
        let _ = writeln!(out, "  and {} more processes; -v shows them all", owners.len() - limit);
    }
}

fn owners<'a>(answer: &'a Answer, sockets: &[&'a Socket]) -> Vec<Owner<'a>> {
    let mut owners: Vec<Owner<'a>> = Vec::new();
    for &socket in sockets {
        for holding in socket.owners.holdings() {
            match owners.iter_mut().find(|owner| owner.pid == holding.pid) {
                Some(owner) => owner.held.push((socket, holding)),
                None => owners.push(Owner {
                    pid: holding.pid,
                    process: answer.snapshot.processes.get(&holding.pid),
                    held: vec![(socket, holding)],
                }),
            }
        }
    }
    owners
}

fn tell(out: &mut String, owner: &Owner<'_>, answer: &Answer, look: &Look) {
    let Some(process) = owner.process else {
        let _ = writeln!(out, "  pid {}", owner.pid);
        return;
    };
    let mut lines = vec![user_and_age(process, answer.snapshot.taken_ms, look)];
    if let Some(cwd) = &process.cwd {
        lines.push(format!("in {}", foreign(cwd, MAX_COMMAND)));
    }
    lines.push(descriptors(owner, process));
    if let Some(state) = unusual_state(process.state) {
        lines.push(state.into());
    }
    if owner.held.iter().any(|(socket, holding)| diagnose::heir(&answer.snapshot, socket, holding)) {
        lines.push("most likely inherited the socket: it did not make it".into());
    }
    lines.extend(managed(process));
    lines.extend(family(process));
    let _ = writeln!(out, "  {}  (pid {})", command(process), process.pid);
    for line in lines.iter().filter(|line| !line.is_empty()) {
        out.push_str(&hanging(line, "      ", "        ", look.width));
    }
}

/// The arguments as they were typed, or the program's name where there are none.
fn command(process: &Process) -> String {
    if process.cmdline.iter().all(Vec::is_empty) {
        return foreign(&process.comm, MAX_COMMAND);
    }
    let words: Vec<String> = process
        .cmdline
        .iter()
        .map(|word| if word.is_empty() { "''".into() } else { foreign(word, MAX_COMMAND) })
        .collect();
    foreign_text(&words.join(" "))
}

/// Text that is escaped already, cut.
fn foreign_text(text: &str) -> String {
    if text.chars().count() <= MAX_COMMAND {
        return text.into();
    }
    let mut cut: String = text.chars().take(MAX_COMMAND - 1).collect();
    cut.push('…');
    cut
}

/// "user tom, running for 3 h 12 min (since 2026-11-20 09:00:00)".
fn user_and_age(process: &Process, now_ms: u64, look: &Look) -> String {
    let user = match (&process.user, process.uid) {
        (Some(name), _) => format!("user {}", foreign(name.as_bytes(), 40)),
        (None, Some(uid)) => format!("uid {uid}"),
        (None, None) => String::new(),
    };
    let age = process.started_ms.and_then(|started| {
        let running = duration(now_ms.saturating_sub(started));
        let second = jiff::Timestamp::from_second(i64::try_from(started / 1000).ok()?).ok()?;
        let since = second.to_zoned(look.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        Some(format!("running for {running} (since {since})"))
    });
    [Some(user).filter(|user| !user.is_empty()), age].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// "fd 21, terminal pts/3".
fn descriptors(owner: &Owner<'_>, process: &Process) -> String {
    let mut fds: Vec<String> =
        owner.held.iter().flat_map(|(_, holding)| &holding.fds).map(|fd| fd.to_string()).collect();
    fds.dedup();
    // Each socket that is only counted has one as well.
    let counted: u64 = owner.held.iter().map(|(socket, _)| u64::from(socket.alike)).sum();
    let more = fds.len().saturating_sub(FEW) as u64 + counted;
    fds.truncate(FEW);
    let mut parts = Vec::new();
    match fds.len() {
        0 => {}
        1 => parts.push(format!("fd {}", fds[0])),
        _ if more > 0 => parts.push(format!("fds {} and {more} more", fds.join(", "))),
        _ => parts.push(format!("fds {}", fds.join(", "))),
    }
    if let Some(tid) = owner.held.iter().find_map(|(_, holding)| holding.tid) {
        parts.push(format!("only in thread {tid}"));
    }
    match &process.tty {
        Some(tty) => parts.push(format!("terminal {}", foreign(tty.as_bytes(), 40))),
        None => parts.push("no terminal".into()),
    }
    parts.join(", ")
}

fn unusual_state(state: u8) -> Option<&'static str> {
    match state {
        b'T' => Some("stopped (Ctrl-Z or SIGSTOP)"),
        b't' => Some("stopped by a debugger"),
        b'Z' => Some("a zombie: its main thread has ended"),
        b'X' => Some("ending this very moment"),
        b'D' => Some("in an uninterruptible wait (disk or network file system)"),
        _ => None,
    }
}

/// The service, the container, and what a port helper publishes.
fn managed(process: &Process) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(unit) = &process.unit {
        let name = foreign(unit.name.as_bytes(), 80);
        lines.push(match unit.user_manager {
            Some(uid) => format!("unit {name} of the service manager of uid {uid}"),
            None => format!("unit {name}"),
        });
    }
    if let Some(container) = &process.container {
        let id = foreign(container.id.as_bytes(), 80);
        lines.push(format!("container {id} ({})", container.runtime.name()));
    }
    if let Some(publishes) = &process.publishes {
        let helper = foreign(publishes.helper.as_bytes(), 40);
        lines.push(match (publishes.container_ip, publishes.container_port) {
            (Some(ip), Some(port)) => format!("{helper} for port {port} of the container at {ip}"),
            (None, Some(port)) => format!("{helper} for port {port} of a container"),
            _ => format!("{helper} for a container"),
        });
    }
    lines
}

/// "started by npm (4400) < bash (4100)".
fn family(process: &Process) -> Option<String> {
    let named: Vec<String> = process
        .ancestry
        .iter()
        .take(MAX_ANCESTORS)
        .map(|ancestor| format!("{} ({})", foreign(&ancestor.comm, 40), ancestor.pid))
        .collect();
    let more = if process.ancestry.len() > MAX_ANCESTORS { " < …" } else { "" };
    (!named.is_empty()).then(|| format!("child of {}{more}", named.join(" < ")))
}
