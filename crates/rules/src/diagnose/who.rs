//! Who a process is, in words and in kind. Names are escaped here, once.

use super::programs;
use crate::address::escape;
use crate::owner::{Process, Unit};
use crate::snapshot::Snapshot;
use crate::socket::Socket;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The program's file name: of the executable where it could be read, else `comm`.
pub fn program(process: &Process) -> &[u8] {
    let name = process.exe.as_deref().and_then(|exe| {
        let exe = exe.strip_suffix(b" (deleted)").unwrap_or(exe);
        exe.rsplit(|&b| b == b'/').next().filter(|name| !name.is_empty())
    });
    name.unwrap_or(&process.comm)
}

/// PID 1 or a user's manager, where that is systemd: it holds sockets for units.
pub(super) fn is_service_manager(process: &Process) -> bool {
    program(process) == b"systemd"
}

/// ssh, sshd, or an editor that forwards ports.
pub fn is_forwarder(process: &Process) -> bool {
    programs::forwards(program(process))
}

/// `inuse run`, or the process of its own that keeps listeners for it (`inuse __keep`). Other verbs hold nothing for
/// anybody: a teaching server is a server like any other.
pub fn holds_for_a_program(process: &Process) -> bool {
    let verb = process.cmdline.get(1).map(Vec::as_slice);
    program(process) == b"inuse" && matches!(verb, Some(b"run" | b"__keep"))
}

/// "node (pid 4412)".
pub(super) fn one(process: &Process) -> String {
    format!("{} (pid {})", escape(&process.comm), process.pid)
}

/// The processes that have one of the sockets open, each once, in order of appearance.
pub(super) fn processes<'a>(
    snapshot: &'a Snapshot,
    sockets: impl Iterator<Item = &'a Socket>,
) -> Vec<&'a Process> {
    let mut found: Vec<&Process> = Vec::new();
    for holding in sockets.flat_map(|socket| socket.owners.holdings()) {
        if let Some(process) = snapshot.processes.get(&holding.pid)
            && !found.iter().any(|other| other.pid == process.pid)
        {
            found.push(process);
        }
    }
    found
}

/// "node (pid 4412)", "nginx (pids 7, 8 and 9)", "nginx (pid 7), sleep (pid 9)", or nothing.
pub(super) fn several(processes: &[&Process]) -> Option<String> {
    let first = processes.first()?;
    if processes.len() == 1 {
        return Some(one(first));
    }
    if processes.iter().all(|process| process.comm == first.comm) {
        let shown: Vec<String> = processes.iter().take(5).map(|p| format!("{}", p.pid)).collect();
        let more = processes.len() - shown.len();
        let list = match (more, shown.split_last()) {
            (0, Some((last, rest))) => format!("{} and {last}", rest.join(", ")),
            _ => format!("{} and {more} more", shown.join(", ")),
        };
        return Some(format!("{} (pids {list})", escape(&first.comm)));
    }
    let shown: Vec<String> = processes.iter().take(3).map(|p| one(p)).collect();
    let more = processes.len() - shown.len();
    Some(if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) })
}

/// Who of several processes is the parent of all others, and these: "node (pid 7)", "its child node (pid 8)".
pub(super) fn master(processes: &[&Process]) -> Option<(String, String)> {
    let master = processes
        .iter()
        .find(|master| processes.iter().all(|other| other.pid == master.pid || other.ppid == master.pid))?;
    let children: Vec<&Process> = processes.iter().copied().filter(|p| p.pid != master.pid).collect();
    let its = if children.len() == 1 { "its child" } else { "its children" };
    Some((one(master), format!("{its} {}", several(&children)?)))
}

/// Whether [`several`] names more than one program, so that a verb must be in the plural.
pub(super) fn are_many(processes: &[&Process]) -> bool {
    processes.split_first().is_some_and(|(first, rest)| rest.iter().any(|other| other.comm != first.comm))
}

/// A unit that can be stopped as a whole: a service, and not a user's whole manager.
pub(super) fn stoppable_unit(process: &Process) -> Option<&Unit> {
    process.unit.as_ref().filter(|unit| unit.name.ends_with(".service") && !unit.name.starts_with("user@"))
}
