//! Cures that ask somebody to let go: a unit, a container, a process, a session.
//!
//! A service manager or runtime is asked before a process is signalled, since it would bring the
//! process back.

use super::{Case, address, as_root, clients_of, in_source, look_as_root, once_gone, root, typist, who};
use crate::address::{Address, Transport, UnixName};
use crate::attempt::Attempt;
use crate::cure::{Action, Command, Cure, Promise, SourceFix};
use crate::known;
use crate::owner::{NoOwner, Ownership, Process, Publishes, Runtime};
use crate::snapshot::Snapshot;
use crate::socket::{Socket, State};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

fn cure(action: Action, says: String, commands: Vec<Command>, harms: String, needs: Option<String>) -> Cure {
    Cure { action, says, commands, harms, needs, source: None, wait_ms: None, promise: Promise::Perhaps }
}

/// What becomes of the attempt when these processes have ended. Their listeners, and what waits to be
/// accepted from them, are then gone at once; their connections are not, unless the peer has closed:
/// they go through the closing states, for a minute or more, and keep the port meanwhile.
fn once_ended(case: &Case, attempt: &Attempt, processes: &[&Process]) -> Promise {
    once_gone(case, attempt, |_, socket| {
        let holdings = socket.owners.holdings();
        let theirs = !holdings.is_empty()
            && holdings.iter().all(|holding| processes.iter().any(|process| process.pid == holding.pid));
        let datagram = matches!(socket.inet(), Some((Transport::Udp, ..)) | None);
        let at_once = matches!(
            socket.state,
            State::Listen | State::Bound | State::Unconn | State::CloseWait | State::SynSent
        );
        (theirs && (datagram || at_once)) || socket.owners == Ownership::Nobody(NoOwner::AcceptQueue)
    })
}

/// Everybody who has one of the sockets open: their unit or container first, then SIGTERM.
pub(super) fn processes(case: &Case) -> Vec<Cure> {
    let all = who::processes(case.snapshot, case.blockers());
    let Some(named) = who::several(&all) else { return vec![] };
    if case.blockers().any(|s| matches!(s.owners, Ownership::InFlight { proven: false, .. })) {
        // Somebody's message is no evidence against its carrier.
        return vec![look_as_root(
            case,
            "Look again as root: then it shows whether one of these carries the socket.",
        )];
    }
    if let Some(keeper) = all.iter().find(|process| who::holds_for_a_program(process)) {
        return vec![kept(case, &all, keeper)];
    }
    let mut cures = known_holders(case, &all);
    cures.extend(managers(case, &all));
    let carried = case.blockers().any(|s| matches!(s.owners, Ownership::InFlight { .. }));
    let registered = case.blockers().any(|s| matches!(s.owners, Ownership::IoUring(_)));
    let managed = !cures.is_empty();
    let says = if carried {
        format!("Stop {named}: the undelivered message, and the socket in it, go with it.")
    } else if registered {
        format!("Stop {named}: the io_uring, and the socket in it, go with it.")
    } else if managed {
        format!("Ask {named} to end; its manager may start it again.")
    } else if let Some((master, children)) = who::master(&all) {
        format!("Ask {master} to end, and with it {children}: each of them keeps the address.")
    } else if all.len() > 1 {
        format!("Ask {named} to end: all of them, since each keeps the address.")
    } else {
        format!("Ask {named} to end.")
    };
    let last = terminate(case, &all, says);
    // What a manager holds is not freed behind its back: there only the bare signal is left.
    cures.push(if managed { last } else { freed(case, &all, last) });
    cures
}

/// `inuse run` and its program end together. Most who ask want a restart, for which the address need not be free.
fn kept(case: &Case, processes: &[&Process], keeper: &Process) -> Cure {
    let pid = keeper.pid.to_string();
    let mut cure = cure(
        Action::StopProcess,
        format!(
            "`inuse run` (pid {pid}) holds the address for its program, across restarts: `inuse ctl restart --pid \
             {pid}` restarts the program. This ends both:"
        ),
        vec![Command::new(["inuse", "ctl", "stop", "--pid", &pid])],
        clients_of(case),
        keeper
            .uid
            .filter(|&uid| uid != typist(case))
            .map(|_| "to be the user who started it: each user has an `inuse ctl` of their own".into()),
    );
    cure.promise = once_ended(case, case.attempt, processes);
    cure
}

/// The same, by our own hand: it looks at each process once more before it signals, takes the leftovers of their
/// connections away, and proves the result.
fn freed(case: &Case, processes: &[&Process], cure: Cure) -> Cure {
    let unlisted =
        |socket: &Socket| matches!(socket.owners, Ownership::InFlight { .. } | Ownership::IoUring(_));
    // Whom no table of open files shows is stopped only by an agreement of its own.
    let flag = case.blockers().any(unlisted).then_some("--kill");
    let address = case.attempt.address.to_string();
    let words: Vec<&str> = ["inuse", "free"].into_iter().chain(flag).chain([address.as_str()]).collect();
    let command = if needs(case, processes).is_some() { as_root(case, &words) } else { Command::new(words) };
    let killed =
        if flag.is_some() { " It is asked to end first, and killed if it ignores that." } else { "" };
    Cure { says: format!("{}{killed}", cure.says), commands: vec![command], ..cure }
}

/// Who listens has to end, and then another that is bound already may be the quicker one.
pub(super) fn second_listen(case: &Case) -> Vec<Cure> {
    let mut cures = processes(case);
    if let Some(last) = cures.last_mut() {
        last.says.push_str(
            " Another socket is bound to the address as well: the first of you to call listen() then has it.",
        );
    }
    cures.extend(address::reuseport(case));
    cures
}

/// A server that is to be restarted, and lacks SO_REUSEADDR: the live one can be given it. That alone lets nobody in
/// while it listens; it decides what its connections refuse once it has ended.
pub(super) fn mend(case: &Case) -> Option<Cure> {
    let lacks = |socket: &Socket| {
        matches!(socket.inet(), Some((Transport::Tcp, ..)))
            && socket.state == State::Listen
            && socket.options.reuseaddr == Some(false)
            && matches!(socket.owners, Ownership::Held(_))
    };
    if case.blockers().next().is_none() || !case.blockers().all(lacks) {
        return None;
    }
    let all = who::processes(case.snapshot, case.blockers());
    let needs = needs(case, &all);
    // Its own address, which need not be the one that was asked about: that may be a wildcard.
    let addresses: BTreeSet<String> = case.blockers().map(|socket| socket.address.to_string()).collect();
    let command = |address: &String| {
        let words = ["inuse", "opts", address, "SO_REUSEADDR=1"];
        if needs.is_some() { as_root(case, &words) } else { Command::new(words) }
    };
    let commands = addresses.iter().map(command).collect();
    let says = "If this server is to be restarted: it was made without SO_REUSEADDR, and its connections would refuse \
                the next start for a minute or more. Give the live server and its connections the option now; then \
                a next start that sets SO_REUSEADDR before bind() succeeds at once. The same program unchanged, \
                without the option, would still be refused.";
    let mut cure = cure(Action::SetOption, says.into(), commands, "nobody".into(), needs);
    cure.promise = Promise::FromNowOn;
    Some(cure)
}

/// The processes that inherited the socket, and the mend in the program that let them.
pub(super) fn heirs(case: &Case) -> Vec<Cure> {
    let all = who::processes(case.snapshot, case.blockers());
    let Some(named) = who::several(&all) else { return vec![] };
    let fds: Vec<String> = case
        .blockers()
        .flat_map(|socket| socket.owners.holdings())
        .flat_map(|holding| holding.fds.iter().map(u32::to_string))
        .collect();
    let stop = terminate(
        case,
        &all,
        format!(
            "Stop {named}: it only inherited the socket (descriptor {}) and serves nobody with it.",
            fds.join(", ")
        ),
    );
    vec![
        freed(case, &all, stop),
        in_source(
            "Make the server's sockets close-on-exec, so that no child inherits them again.".into(),
            SourceFix::Cloexec,
            Promise::FromNowOn,
        ),
    ]
}

/// SIGTERM stays pending in a stopped process until it is continued.
pub(super) fn suspended(case: &Case) -> Vec<Cure> {
    let all = who::processes(case.snapshot, case.blockers());
    let Some(named) = who::several(&all) else { return vec![] };
    let terminal = all.iter().find_map(|process| process.tty.as_deref());
    let back = match terminal {
        Some(tty) => format!(" To get it back instead, type `fg` in its terminal ({tty})."),
        None => String::new(),
    };
    let mut cure = cure(
        Action::ResumeAndStop,
        format!(
            "Ask {named} to end, and continue it, so that it can: a stopped process does not see SIGTERM.{back}"
        ),
        vec![],
        clients_of(case),
        needs(case, &all),
    );
    cure.promise = once_ended(case, case.attempt, &all);
    vec![freed(case, &all, cure)]
}

/// systemd listens for a unit; stopping the service behind it would not free the address.
pub(super) fn socket_unit(case: &Case) -> Cure {
    cure(
        Action::StopUnit,
        "Find the .socket unit that has this address in the list, and stop it with `systemctl stop NAME.socket`; stopping only its service leaves the address taken.".into(),
        vec![Command::new(["systemctl", "list-sockets"])],
        "whoever needs that service".into(),
        root(case),
    )
}

/// A container that publishes the port; never its helper.
pub(super) fn container(case: &Case) -> Vec<Cure> {
    let port = case.attempt.address.port().unwrap_or_default();
    let publishes =
        who::processes(case.snapshot, case.blockers()).into_iter().find_map(|p| p.publishes.as_ref());
    let tool = publishes.map_or("podman", Publishes::tool);
    if let Some(container) = publishes.and_then(|publishes| publishes.container.as_ref()) {
        return vec![cure(
            Action::StopContainer,
            "Stop the container, through its runtime. Its helper process is not to be signalled: the runtime would still believe the port published.".into(),
            vec![as_root(case, &[tool, "stop", &container.id])],
            "whoever needs that container".into(),
            root(case),
        )];
    }
    let filter = format!("publish={port}");
    vec![cure(
        Action::StopContainer,
        format!(
            "Find the container that publishes port {port} in the list, and stop it with `{tool} stop NAME`. Its helper process is not to be signalled: the runtime would still believe the port published."
        ),
        vec![Command::new([tool, "ps", "--filter", &filter])],
        "whoever needs that container".into(),
        root(case),
    )]
}

/// An ssh or editor session.
pub(super) fn session(case: &Case) -> Vec<Cure> {
    let all = who::processes(case.snapshot, case.blockers());
    let Some(named) = who::several(&all) else { return vec![] };
    let mut cure = terminate(
        case,
        &all,
        format!(
            "End the forwarding where it was started: leave that session, or remove the port from its list of forwarded ports. Ending {named} ends the whole session."
        ),
    );
    cure.action = Action::EndSession;
    cure.harms = "everything else that the session does".into();
    vec![cure]
}

/// NFS, WireGuard, VXLAN and their like.
pub(super) fn kernel(case: &Case) -> Cure {
    let service = match case.attempt.address.port() {
        Some(2049) => " On this port it is usually the NFS server (`systemctl stop nfs-server`).",
        Some(51820) => " On this port it is usually WireGuard (`wg show` lists its interfaces).",
        Some(4789 | 8472) => {
            " On this port it is usually VXLAN (`ip -d link show type vxlan` lists its interfaces)."
        }
        _ => "",
    };
    cure(
        Action::StopUnit,
        format!("Stop the kernel service that made the socket; no process can be asked.{service}"),
        vec![],
        "whoever uses that service".into(),
        root(case),
    )
}

/// The asker is the holder.
pub(super) fn own_process(case: &Case) -> Cure {
    let mut cure = cure(
        Action::Configure,
        format!(
            "Bind {} once: the program binds it twice, or a child of it (a reloader, a debugger) does.",
            case.attempt.address
        ),
        vec![],
        "nobody".into(),
        None,
    );
    cure.promise = Promise::FromNowOn;
    cure
}

/// One SIGTERM for each process. The command names pids; they are those of this moment.
pub(super) fn terminate(case: &Case, processes: &[&Process], says: String) -> Cure {
    let promise = once_ended(case, case.attempt, processes);
    let after = match &case.attempt.address {
        _ if promise == Promise::Now => "",
        Address::Unix { name: UnixName::Path(_), .. } => " If it leaves its file behind, ask again.",
        _ if once_ended(case, &Attempt { reuseaddr: true, ..case.attempt.clone() }, processes)
            == Promise::Now =>
        {
            " What is left of its connections then refuses a server that does not set SO_REUSEADDR, for a minute or more."
        }
        _ => " What is left of its connections may keep the address for a minute or more: ask again then.",
    };
    let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    let words: Vec<&str> = ["kill", "-TERM"].into_iter().chain(pids.iter().map(String::as_str)).collect();
    Cure {
        promise,
        ..cure(
            Action::StopProcess,
            format!("{says}{after}"),
            vec![if needs(case, processes).is_some() { as_root(case, &words) } else { Command::new(words) }],
            clients_of(case),
            needs(case, processes),
        )
    }
}

/// Signalling another user's process takes root.
fn needs(case: &Case, processes: &[&Process]) -> Option<String> {
    let other = |process: &&Process| process.uid.is_some_and(|uid| uid != typist(case));
    if processes.iter().any(other) { root(case) } else { None }
}

/// The cure of a program that is known to hold this very port on many machines.
fn known_holders(case: &Case, processes: &[&Process]) -> Vec<Cure> {
    let Some((transport, wanted, _)) = case.attempt.address.inet() else { return vec![] };
    let known = processes.iter().find_map(|p| known::holder(who::program(p), transport, wanted.port()));
    known.map_or(vec![], |known| {
        vec![cure(
            known.action,
            format!("This is {}. {}", known.what, known.says),
            known.commands.iter().map(|words| Command::new(words.iter().copied())).collect(),
            known.harms.into(),
            known.needs.map(String::from),
        )]
    })
}

/// The units and containers that the processes belong to, each once.
fn managers(case: &Case, processes: &[&Process]) -> Vec<Cure> {
    let mut cures: Vec<Cure> = Vec::new();
    for process in processes {
        let made = if let Some(container) = &process.container {
            let tool = match container.runtime {
                Runtime::Docker => "docker",
                Runtime::Podman => "podman",
                Runtime::Containerd | Runtime::CriO => "crictl",
                Runtime::Lxc => "lxc-stop",
                Runtime::Machine => "machinectl",
            };
            let words: Vec<&str> = match container.runtime {
                Runtime::Lxc => vec![tool, "-n", &container.id],
                Runtime::Machine => vec![tool, "poweroff", &container.id],
                _ => vec![tool, "stop", &container.id],
            };
            cure(
                Action::StopContainer,
                format!("Stop the {} container that it runs in.", container.runtime.name()),
                vec![as_root(case, &words)],
                "whoever needs that container".into(),
                root(case),
            )
        } else if let Some(unit) = who::stoppable_unit(process) {
            let user = unit.user_manager.is_some();
            let words: &[&str] = if user {
                &["systemctl", "--user", "stop", &unit.name]
            } else {
                &["systemctl", "stop", &unit.name]
            };
            cure(
                Action::StopUnit,
                "Stop the service that it belongs to; systemd might start a killed process again.".into(),
                vec![if user { Command::new(words.iter().copied()) } else { as_root(case, words) }],
                "whoever needs that service".into(),
                if user { None } else { root(case) },
            )
        } else {
            continue;
        };
        let made = Cure { promise: once_ended(case, case.attempt, processes), ..made };
        if !cures.contains(&made) {
            cures.push(made);
        }
    }
    cures
}

/// The process at the other end of a connection, when it is on this machine.
pub(super) fn peer_processes<'a>(snapshot: &'a Snapshot, case: &Case<'a>) -> Vec<&'a Process> {
    let ends: Vec<&Socket> = case.blockers().collect();
    let peers = snapshot.peers.iter().filter(|peer| ends.iter().any(|end| peer.is_other_end_of(end)));
    who::processes(snapshot, peers)
}
