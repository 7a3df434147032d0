//! What helps, for each cause, gentlest first.
//!
//! SO_REUSEADDR is advised only where the verdict says that it works: the model was asked, not the
//! folklore. Nothing here runs anything.

mod address;
mod leftovers;
mod stop;

use super::{Case, who};
use crate::attempt::Attempt;
use crate::cause::Cause;
use crate::cure::{Action, Command, Cure, Promise, SourceFix};
use crate::judge::judge;
use crate::snapshot::Snapshot;
use crate::socket::Socket;
use crate::verdict::{Outcome, Rule};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// The cures that fit the case, gentlest first.
pub(super) fn cures(case: &Case) -> Vec<Cure> {
    let mut cures = match case.naming.cause {
        Cause::Free | Cause::OtherNetns | Cause::SplitBrain | Cause::NoSocket => vec![],
        Cause::Privileged => address::privileged(case),
        Cause::NotLocal => {
            let mut cures = address::not_local(case);
            if address::then_privileged(case) {
                cures.extend(address::privileged(case));
            }
            cures
        }
        Cause::Denied => vec![],
        Cause::EphemeralExhausted => address::exhausted(case),
        Cause::SocketUnit => vec![stop::socket_unit(case)],
        Cause::ContainerProxy | Cause::ContainerProxyStale => stop::container(case),
        Cause::Forwarded => stop::session(case),
        Cause::Suspended => stop::suspended(case),
        Cause::KernelSocket => vec![stop::kernel(case)],
        Cause::TearingDown => {
            vec![look_again("Ask again in a moment: a close takes milliseconds.".into(), address::why(case))]
        }
        Cause::OwnerHidden if case.blockers().next().is_none() => address::unlink_if_refused(case),
        Cause::OwnerHidden => vec![look_as_root(
            case,
            "Look again as root: then the process shows, and with it the way to stop it.",
        )],
        Cause::Unknown => vec![look_as_root(case, "Look again as root.")],
        Cause::OwnProcess => vec![stop::own_process(case)],
        Cause::V6BlocksV4 => {
            let mut cures = vec![address::specific(case)];
            cures.extend(leftovers::by_state(case));
            cures
        }
        Cause::DualStack => {
            let mut cures: Vec<Cure> = address::v6only(case).into_iter().collect();
            cures.extend(stop::processes(case));
            cures.extend(stop::mend(case));
            cures
        }
        Cause::WildcardVsSpecific => {
            let mut cures = vec![address::specific(case)];
            cures.extend(stop::processes(case));
            cures.extend(stop::mend(case));
            cures
        }
        Cause::ReuseportMismatch => {
            address::reuseport(case).into_iter().chain(stop::processes(case)).collect()
        }
        Cause::ListenerInherited => stop::heirs(case),
        Cause::SelfConnect => leftovers::self_connect(case),
        Cause::EphemeralCollision => leftovers::collision(case),
        Cause::CloseWait => leftovers::close_wait(case),
        Cause::EstablishedLeftover => leftovers::established(case),
        Cause::ClosingOrphan | Cause::FinWait2 | Cause::TimeWait => leftovers::by_state(case),
        Cause::SecondListen => stop::second_listen(case),
        Cause::UnixStale => address::unlink(case),
        Cause::UnixNotASocket => address::not_a_socket(case),
        Cause::Listener => stop::processes(case).into_iter().chain(stop::mend(case)).collect(),
        Cause::Udp
        | Cause::BoundNotListening
        | Cause::WorkersOutlivedMaster
        | Cause::InFlight
        | Cause::IoUringFile
        | Cause::ThreadFdTable
        | Cause::Respawned
        | Cause::UnixLive => stop::processes(case),
    };
    if cures.is_empty() && !matches!(case.verdict.outcome, Outcome::Ok) && case.blockers().next().is_some() {
        cures.push(look_as_root(case, "Look again as root: then the process shows."));
    }
    cures
}

/// Why SO_REUSEADDR, the usual advice, is none here: the old socket lacks it, which people do not expect.
/// `None` where it helps, where nobody would think of it, and for a listener (the verdict says that).
pub(super) fn useless_option(case: &Case) -> Option<String> {
    case.attempt.address.inet()?;
    let (Outcome::Refused(_), Outcome::Refused(refusal)) = (&case.verdict.outcome, &case.reuseaddr.outcome)
    else {
        return None;
    };
    if refusal.by.is_empty() || !matches!(refusal.rule, Rule::OldLacksReuseaddr | Rule::UdpTaken) {
        return None;
    }
    let from_now_on = match case.naming.cause {
        _ if case.self_connected() => "",
        Cause::TimeWait
        | Cause::FinWait2
        | Cause::ClosingOrphan
        | Cause::CloseWait
        | Cause::EstablishedLeftover => " Set in the server from now on, it helps at the next restart.",
        _ => "",
    };
    Some(format!(
        "SO_REUSEADDR on your side {} not help this time: the kernel asks for it on the old socket too, and that one was made without it.{from_now_on}",
        if case.attempt.reuseaddr { "does" } else { "would" }
    ))
}

fn look_again(says: String, command: Command) -> Cure {
    Cure {
        action: Action::LookAgain,
        says,
        needs: command.0.first().filter(|word| *word == b"sudo").map(|_| "root".into()),
        commands: vec![command],
        harms: "nobody".into(),
        source: None,
        wait_ms: None,
        promise: Promise::Perhaps,
    }
}

/// To look again as root; root is not sent to itself, but out of what it may be shut in.
fn look_as_root(case: &Case, says: &str) -> Cure {
    let words = ["inuse", "why", &case.attempt.address.to_string()];
    let again = look_again(says.into(), as_root(case, &words));
    if !asker_is_root(case) {
        return again;
    }
    let says =
        "Not even root sees more from here; the host's root may, outside of this container or namespace.";
    Cure { says: says.into(), commands: vec![], needs: None, ..again }
}

/// What becomes of that attempt: the model is asked.
fn promise(snapshot: &Snapshot, attempt: &Attempt) -> Promise {
    match judge(snapshot, attempt).outcome {
        Outcome::Ok => Promise::Now,
        Outcome::Refused(_) | Outcome::Unknown { .. } => Promise::Perhaps,
    }
}

/// What becomes of an attempt when some sockets are gone and all others are as they were.
fn once_gone(case: &Case, attempt: &Attempt, gone: impl Fn(usize, &Socket) -> bool) -> Promise {
    let Snapshot { kernel, coverage, sockets, sysctls, locality, path, .. } = case.snapshot;
    let left = Snapshot {
        kernel: kernel.clone(),
        coverage: coverage.clone(),
        sockets: sockets
            .iter()
            .enumerate()
            .filter(|(index, socket)| !gone(*index, socket))
            .map(|(_, socket)| socket.clone())
            .collect(),
        sysctls: sysctls.clone(),
        locality: locality.clone(),
        path: path.clone(),
        ..Snapshot::default()
    };
    promise(&left, attempt)
}

/// A cure in the source of a program.
fn in_source(says: String, fix: SourceFix, promise: Promise) -> Cure {
    Cure {
        action: Action::SetOption,
        says,
        commands: vec![],
        harms: "nobody".into(),
        needs: None,
        source: Some(fix),
        wait_ms: None,
        promise,
    }
}

/// The words of a command, behind `sudo` where the asker is not root already.
fn as_root(case: &Case, words: &[&str]) -> Command {
    let sudo = (!typist_is_root(case)).then_some("sudo");
    Command::new(sudo.into_iter().chain(words.iter().copied()))
}

/// "root", unless that is who types the command.
fn root(case: &Case) -> Option<String> {
    (!typist_is_root(case)).then(|| "root".into())
}

/// Whether the commands will be typed by root.
fn typist_is_root(case: &Case) -> bool {
    typist(case) == 0
}

/// Who will type the commands: who looked; but after a look under sudo the calling user again, for whom the
/// attempt is judged.
fn typist(case: &Case) -> u32 {
    case.snapshot.asker_uid.filter(|&uid| uid != 0).unwrap_or(case.attempt.uid)
}

/// Whether who looked is root, whomever the attempt is judged for; where nobody says who looked, that one.
fn asker_is_root(case: &Case) -> bool {
    case.snapshot.asker_uid.unwrap_or(case.attempt.uid) == 0
}

/// The SO_REUSEADDR cure, where the model says that it works.
fn reuseaddr(case: &Case) -> Option<Cure> {
    if case.attempt.reuseaddr {
        return None;
    }
    match &case.reuseaddr.outcome {
        Outcome::Ok => Some(in_source(
            "Set SO_REUSEADDR before bind() in the server that is to start: the old socket had it too, so the bind then succeeds at once.".into(),
            SourceFix::Reuseaddr,
            Promise::Now,
        )),
        Outcome::Unknown { .. } => Some(in_source(
            "Set SO_REUSEADDR before bind() in your server. It helps now only if the old server had it too, which could not be seen from here; from its next restart on it helps in any case.".into(),
            SourceFix::Reuseaddr,
            Promise::Perhaps,
        )),
        Outcome::Refused(_) => None,
    }
}

/// "nobody", or the clients that a process serves on the port.
fn clients_of(case: &Case) -> String {
    let port = case.attempt.address.port();
    let served = case
        .snapshot
        .sockets
        .iter()
        .filter(|s| {
            s.state == crate::socket::State::Established && port.is_some() && s.address.port() == port
        })
        .count();
    let who =
        who::several(&who::processes(case.snapshot, case.blockers())).unwrap_or_else(|| "the holder".into());
    match served {
        0 => format!("whoever needs {who}"),
        1 => format!("whoever needs {who}, and 1 client connected to it now"),
        n => format!("whoever needs {who}, and {n} clients connected to it now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Transport, UnixName};
    use crate::owner::{Holding, Ownership};
    use crate::snapshot::Depth;
    use crate::socket::State;
    use core::net::{IpAddr, Ipv4Addr, SocketAddr};

    const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

    /// A socket of the port, with that owner.
    fn socket(state: State, owners: Ownership) -> Socket {
        Socket { owners, ..Socket::new(Address::tcp(HERE), state) }
    }

    fn holding(pid: u32) -> Holding {
        Holding { pid, tid: None, fds: vec![3], cloexec: Some(true) }
    }

    /// The answer of a machine with these sockets, and with children of pid 70.
    fn answer(sockets: Vec<Socket>, reuseaddr: bool) -> crate::Diagnosis {
        let process = |pid| crate::owner::Process {
            pid,
            ppid: if pid == 70 { 30 } else { 70 },
            comm: format!("p{pid}").into_bytes(),
            state: b'S',
            ..Default::default()
        };
        let mut snapshot = Snapshot { sockets, asker_uid: Some(0), ..Snapshot::default() };
        snapshot.processes = (70..74).map(|pid| (pid, process(pid))).collect();
        snapshot.coverage.ports.insert((Transport::Tcp, 8080), Depth::Every);
        snapshot.coverage.bound_inactive = true;
        snapshot.locality.insert((HERE.ip(), 0), crate::snapshot::Locality::Local);
        snapshot.sysctls.local_port_range = Some((32768, 60999));
        snapshot.sysctls.unprivileged_port_start = Some(1024);
        crate::diagnose(&snapshot, &Attempt { reuseaddr, ..Attempt::plain(Address::tcp(HERE)) })
    }

    #[track_caller]
    fn check_cures(sockets: Vec<Socket>, reuseaddr: bool, cause: Cause, expect: &[&str]) {
        let answer = answer(sockets, reuseaddr);
        assert_eq!(answer.cause, cause, "{answer:#?}");
        let says: Vec<&str> = answer.cures.iter().map(|cure| cure.says.as_str()).collect();
        assert_eq!(says, expect);
    }

    #[test]
    fn a_master_is_asked_with_its_children() {
        let listener = |pids: &[u32]| {
            let holdings = pids.iter().map(|&pid| holding(pid)).collect();
            vec![socket(State::Listen, Ownership::Held(holdings))]
        };
        let check = |pids: &[u32], says| check_cures(listener(pids), false, Cause::Listener, &[says]);
        check(&[70], "Ask p70 (pid 70) to end.");
        check(
            &[71, 70, 72],
            "Ask p70 (pid 70) to end, and with it its children p71 (pid 71), p72 (pid 72): each of them keeps the address.",
        );
        check(
            &[70, 73],
            "Ask p70 (pid 70) to end, and with it its child p73 (pid 73): each of them keeps the address.",
        );
        check(&[71, 72], "Ask p71 (pid 71), p72 (pid 72) to end: all of them, since each keeps the address.");
    }

    #[test]
    fn what_is_typed_with_kill_says_so() {
        check_cures(
            vec![socket(State::Listen, Ownership::IoUring(vec![holding(70)]))],
            false,
            Cause::IoUringFile,
            &[
                "Stop p70 (pid 70): the io_uring, and the socket in it, go with it. It is asked to end first, and killed if it ignores that.",
            ],
        );
        check_cures(
            vec![socket(State::Listen, Ownership::InFlight { carriers: vec![holding(70)], proven: true })],
            false,
            Cause::InFlight,
            &[
                "Stop p70 (pid 70): the undelivered message, and the socket in it, go with it. It is asked to end first, and killed if it ignores that.",
            ],
        );
    }

    #[test]
    fn of_two_that_have_bound_the_one_that_listens_is_asked() {
        let with_option = |state, pid| {
            let mut socket = socket(state, Ownership::Held(vec![holding(pid)]));
            socket.options.reuseaddr = Some(true);
            socket.options.reuseport = Some(false);
            socket
        };
        check_cures(
            vec![with_option(State::Listen, 70), with_option(State::Bound, 71)],
            true,
            Cause::SecondListen,
            &[
                "Ask p70 (pid 70) to end. Another socket is bound to the address as well: the first of you to call listen() then has it.",
                "To share the port between two servers, set SO_REUSEPORT before bind() in both, and run both as the same user.",
            ],
        );
    }

    #[test]
    fn what_a_self_connected_client_left_is_not_a_servers() {
        let mut left = socket(State::TimeWait, Ownership::Nobody(crate::owner::NoOwner::TimeWait));
        (left.remote, left.mini) = (Some(HERE), true);
        left.options.reuseaddr = Some(false);
        left.options.reuseport = Some(false);
        let answer = answer(vec![left], false);
        assert_eq!(answer.cause, Cause::TimeWait, "{answer:#?}");
        assert_eq!(
            answer.summary,
            "No process holds 127.0.0.1:8080: 1 connection is in TIME_WAIT, left by a client that had connected to itself."
        );
        assert!(
            answer.cures.iter().any(|cure| cure.says.starts_with("Keep outgoing connections off this port"))
        );
        assert!(
            !answer.warnings.iter().any(|text| text.contains("Set in the server from now on")),
            "{answer:#?}"
        );
    }

    #[test]
    fn a_file_that_may_be_stale_is_freed_if_a_connection_is_refused() {
        let path = UnixName::Path(b"/run/x.sock".to_vec());
        let address = Address::Unix { kind: crate::address::UnixKind::Stream, name: path };
        let file = crate::socket::FileId { dev: 1, ino: 2 };
        let kind = crate::snapshot::FileKind::Socket;
        let check = |uid, expect: &[&str]| {
            let mut snapshot = Snapshot { asker_uid: Some(uid), ..Snapshot::default() };
            snapshot.path = Some(crate::snapshot::PathFact::Exists { kind, file });
            snapshot.coverage.unix = true;
            let answer = crate::diagnose(&snapshot, &Attempt { uid, ..Attempt::plain(address.clone()) });
            assert_eq!(answer.cause, Cause::OwnerHidden, "{answer:#?}");
            let commands = answer.cures.iter().flat_map(|cure| &cure.commands).map(ToString::to_string);
            assert_eq!(commands.collect::<Vec<_>>(), expect);
        };
        check(0, &["inuse free unix:/run/x.sock"]);
        check(1000, &["sudo inuse why unix:/run/x.sock", "inuse free unix:/run/x.sock"]);
    }

    #[test]
    fn root_is_not_sent_to_root_whomever_the_attempt_is_judged_for() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let address = Address::Inet { transport: Transport::Tcp, local, device: 0 };
        let mut socket = Socket::new(address.clone(), State::Listen);
        socket.owners = Ownership::Hidden;
        let mut snapshot = Snapshot { sockets: vec![socket], ..Snapshot::default() };
        snapshot.coverage.ports.insert((Transport::Tcp, 8080), Depth::Every);
        snapshot.locality.insert((local.ip(), 0), crate::snapshot::Locality::Local);
        let mut check = |asker_uid, uid, sent: bool| {
            snapshot.asker_uid = asker_uid;
            let attempt = Attempt { uid, ..Attempt::plain(address.clone()) };
            let diagnosis = crate::diagnose(&snapshot, &attempt);
            let cure = diagnosis.cures.iter().find(|cure| cure.action == Action::LookAgain).unwrap();
            assert_eq!((cure.needs.is_some(), !cure.commands.is_empty()), (sent, sent), "{cure:?}");
            assert_eq!(cure.says.starts_with("Look again as root"), sent, "{cure:?}");
        };
        check(Some(0), 1000, false);
        check(Some(0), 0, false);
        check(Some(1000), 0, true);
        check(None, 1000, true);
        check(None, 0, false);
    }
}
