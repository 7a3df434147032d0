//! The plan as a table: what is there, what was agreed to, and what is then planned.

use super::*;
use crate::act::surroundings::Published;
use inuse_rules::address::{UnixKind, UnixName};
use inuse_rules::owner::{
    Ancestor, Container, Holding, NoOwner, Ownership, Process, Publishes, Runtime, Unit,
};
use inuse_rules::snapshot::{Depth, FileKind, KernelVersion, PathFact};
use inuse_rules::socket::{FileId, Timer, TimerKind};
use inuse_rules::{Transport, diagnose};

const PORT: u16 = 8080;

fn holding(pid: u32) -> Holding {
    Holding { pid, tid: None, fds: vec![3], cloexec: Some(true) }
}

/// A socket of the port.
fn socket(state: State, owners: Ownership) -> Socket {
    let mut socket = Socket::new(Address::tcp(([127, 0, 0, 1], PORT).into()), state);
    let connected = !matches!(state, State::Listen | State::Bound);
    socket.remote = connected.then(|| ([127, 0, 0, 1], 40112).into());
    socket.inode = if matches!(owners, Ownership::Nobody(_)) { 0 } else { 8613 };
    (socket.cookie, socket.uid, socket.owners) = (7, Some(1000), owners);
    socket.timer = socket.mini.then_some(Timer { kind: TimerKind::TimeWait, left_ms: 43_120 });
    socket
}

fn listener(owners: Ownership) -> Socket {
    socket(State::Listen, owners)
}

/// A program of tom, started from his shell.
fn node(pid: u32) -> Process {
    let ancestor = |pid, comm: &str| Ancestor { pid, comm: comm.into(), start_ticks: 5 };
    Process {
        pid,
        comm: b"node".to_vec(),
        exe: Some(b"/usr/bin/node".to_vec()),
        cmdline: vec![b"node".to_vec(), b"server.js".to_vec()],
        uid: Some(1000),
        state: b'S',
        start_ticks: u64::from(pid),
        ancestry: vec![ancestor(30, "bash"), ancestor(1, "systemd")],
        ..Process::default()
    }
}

/// Tom's own view of his machine.
fn tom() -> Surroundings {
    Surroundings { pid: 50, ancestors: vec![45, 30, 1], session: 30, uid: 1000, ..Surroundings::default() }
}

fn root() -> Surroundings {
    Surroundings { uid: 0, kill: true, net_admin: true, net_bind_service: true, ..tom() }
}

fn plan_for(sockets: Vec<Socket>, processes: Vec<Process>, around: &Surroundings, may: Permissions) -> Plan {
    let mut snapshot = Snapshot {
        kernel: Some(KernelVersion { major: 6, minor: 18, release: "6.18.0".into() }),
        sockets,
        processes: processes.into_iter().map(|process| (process.pid, process)).collect(),
        ..Snapshot::default()
    };
    snapshot.coverage.ports.insert((Transport::Tcp, PORT), Depth::Every);
    snapshot.coverage.bound_inactive = true;
    snapshot.sysctls.local_port_range = Some((32768, 60999));
    snapshot.sysctls.unprivileged_port_start = Some(1024);
    snapshot.sysctls.tcp_rfc1337 = Some(false);
    let attempt = Attempt::plain(Address::tcp(([127, 0, 0, 1], PORT).into()));
    let attempt = Attempt { uid: around.uid, ..attempt };
    snapshot.locality.insert((([127, 0, 0, 1]).into(), 0), inuse_rules::snapshot::Locality::Local);
    let diagnosis = diagnose(&snapshot, &attempt);
    plan(&snapshot, &diagnosis, around, may)
}

/// The plan's steps by their words, or its obstacles by kind and flag.
fn gist(plan: &Plan) -> String {
    if plan.obstacles.is_empty() {
        return plan.steps.iter().map(Step::action).collect::<Vec<_>>().join(" ");
    }
    let one = |obstacle: &Obstacle| match obstacle.flag {
        Some(flag) => format!("{} {flag}", obstacle.kind.code()),
        None => obstacle.kind.code().to_owned(),
    };
    plan.obstacles.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(
    sockets: Vec<Socket>,
    processes: Vec<Process>,
    around: &Surroundings,
    may: Permissions,
    expect: &str,
) {
    let plan = plan_for(sockets, processes, around, may);
    assert_eq!(gist(&plan), expect, "{plan:#?}");
}

const NO: Permissions = Permissions { kill: false, destroy: false, unit: false, container: false };
const KILL: Permissions = Permissions { kill: true, ..NO };
const DESTROY: Permissions = Permissions { destroy: true, ..NO };
const UNIT: Permissions = Permissions { unit: true, ..NO };
const CONTAINER: Permissions = Permissions { container: true, ..NO };
const ALL: Permissions = Permissions { kill: true, destroy: true, unit: true, container: true };

fn held(pids: &[u32]) -> Ownership {
    Ownership::Held(pids.iter().map(|&pid| holding(pid)).collect())
}

#[test]
fn nothing_is_planned_for_a_free_address() {
    check(vec![], vec![], &tom(), ALL, "");
}

#[test]
fn every_holder_is_stopped_eldest_first() {
    let plan = plan_for(vec![listener(held(&[72, 70, 71]))], vec![node(70), node(71), node(72)], &tom(), NO);
    assert_eq!(gist(&plan), "stop-processes sweep");
    assert_eq!(plan.suspects().map(|suspect| suspect.process.pid).collect::<Vec<_>>(), [70, 71, 72]);
}

#[test]
fn who_is_never_signalled_stops_the_whole_plan() {
    for pid in [1, 30, 45, 50] {
        check(vec![listener(held(&[70, pid]))], vec![node(70), node(pid)], &root(), ALL, "never");
    }
    let named = |name: &str| Process {
        comm: name.into(),
        exe: Some(format!("/usr/bin/{name}").into()),
        cmdline: vec![],
        ..node(70)
    };
    for name in ["dockerd", "conmon", "xinetd", "ssh", "sshd", "code", "runsv", "supervisord", "systemd"] {
        check(vec![listener(held(&[70]))], vec![named(name)], &root(), ALL, "never");
    }
    let plan = plan_for(vec![listener(held(&[70]))], vec![named("ssh")], &tom(), ALL);
    assert!(plan.obstacles[0].says.contains("-KL8080"), "{plan:#?}");
    check(vec![listener(Ownership::Nobody(NoOwner::Kernel))], vec![], &root(), ALL, "never");
}

#[test]
fn who_does_not_show_or_is_somebody_elses_is_left_alone() {
    check(vec![listener(Ownership::Hidden)], vec![], &tom(), ALL, "unseen");
    check(vec![listener(held(&[70]))], vec![], &root(), ALL, "unseen");
    check(
        vec![listener(held(&[70]))],
        vec![Process { uid: Some(0), ..node(70) }],
        &tom(),
        ALL,
        "needs-privilege",
    );
}

#[test]
fn of_a_socket_that_another_user_made_nobody_is_stopped_unseen() {
    let handed_down = || vec![Socket { uid: Some(0), ..listener(held(&[70])) }];
    check(handed_down(), vec![node(70)], &tom(), ALL, "unseen");
    check(handed_down(), vec![node(70)], &root(), NO, "stop-processes sweep");
}

#[test]
fn a_unit_counts_only_with_its_main_process_and_no_shell_in_between() {
    let shop = Unit { name: "shop.service".into(), user_manager: None };
    let main = |pid| Surroundings { main_pids: [(("shop.service".to_owned(), None), pid)].into(), ..root() };
    let of_unit = |comm: &str| Process {
        unit: Some(shop.clone()),
        session: 60,
        ancestry: vec![
            Ancestor { pid: 65, comm: comm.into(), start_ticks: 5 },
            Ancestor { pid: 60, comm: b"node".to_vec(), start_ticks: 5 },
            Ancestor { pid: 1, comm: b"systemd".to_vec(), start_ticks: 1 },
        ],
        ..node(70)
    };
    let there = || vec![listener(held(&[70]))];
    check(there(), vec![of_unit("worker")], &main(60), NO, "needs-flag --unit");
    check(there(), vec![of_unit("worker")], &main(60), UNIT, "stop-unit sweep");
    check(there(), vec![of_unit("worker")], &main(70), NO, "needs-flag --unit");
    // From here on it is a process like any other.
    check(there(), vec![of_unit("bash")], &main(60), NO, "stop-processes sweep");
    check(there(), vec![of_unit("worker")], &main(99), NO, "stop-processes sweep");
    check(there(), vec![of_unit("worker")], &root(), NO, "stop-processes sweep");
    check(there(), vec![Process { session: 65, ..of_unit("worker") }], &main(60), NO, "stop-processes sweep");
    check(
        there(),
        vec![Process { tty: Some("pts/3".into()), ..of_unit("worker") }],
        &main(60),
        NO,
        "stop-processes sweep",
    );
    for name in ["session-3.scope", "user@1000.service", "run-1.scope"] {
        let unit = Some(Unit { name: name.into(), user_manager: None });
        let around = Surroundings { main_pids: [((name.to_owned(), None), 60)].into(), ..root() };
        check(there(), vec![Process { unit, ..of_unit("worker") }], &around, NO, "stop-processes sweep");
    }
}

#[test]
fn systemd_lets_go_by_its_socket_unit_alone() {
    let pid1 =
        Process { comm: b"systemd".to_vec(), exe: Some(b"/usr/lib/systemd/systemd".to_vec()), ..node(1) };
    let list = |units: &str| [(None, units.to_owned())].into();
    let knows =
        Surroundings { socket_units: list("127.0.0.1:8080 Stream shop.socket shop.service\n"), ..root() };
    check(vec![listener(held(&[1]))], vec![pid1.clone()], &knows, NO, "needs-flag --unit");
    let plan = plan_for(vec![listener(held(&[1]))], vec![pid1.clone()], &knows, UNIT);
    let Some(Step::StopUnits(managed)) = plan.steps.first() else { panic!("{plan:#?}") };
    assert_eq!(managed.command.to_string(), "systemctl stop -- shop.socket");
    check(vec![listener(held(&[1]))], vec![pid1.clone()], &root(), ALL, "never");
    let other =
        Surroundings { socket_units: list("127.0.0.1:8080 Datagram dns.socket dns.service\n"), ..root() };
    check(vec![listener(held(&[1]))], vec![pid1.clone()], &other, ALL, "never");
    // A user's manager, by that user's own words.
    let unit = Some(Unit { name: "user@1000.service".into(), user_manager: None });
    let users = Process { pid: 900, unit, ..pid1 };
    check(vec![listener(held(&[900]))], vec![users.clone()], &knows, ALL, "never");
    let units = [(Some(1000), "127.0.0.1:8080 Stream shop.socket shop.service\n".to_owned())].into();
    let knows = Surroundings { socket_units: units, ..tom() };
    let plan = plan_for(vec![listener(held(&[900]))], vec![users], &knows, UNIT);
    let Some(Step::StopUnits(managed)) = plan.steps.first() else { panic!("{plan:#?}") };
    assert_eq!(managed.command.to_string(), "systemctl --user stop -- shop.socket");
}

#[test]
fn a_container_is_stopped_by_its_runtime_and_its_proxy_never() {
    let container = Some(Container { runtime: Runtime::Podman, id: "a1b2c3d4e5f6".into() });
    let inside = Process { container: container.clone(), ..node(70) };
    let there = || vec![listener(held(&[70]))];
    let confirmed = Surroundings { contained: [70].into(), ..root() };
    check(there(), vec![inside.clone()], &confirmed, NO, "needs-flag --container");
    check(there(), vec![inside.clone()], &confirmed, CONTAINER, "stop-container sweep");
    // A cgroup's name alone is a claim, which may be about somebody else's container.
    check(there(), vec![inside.clone()], &root(), ALL, "never");
    check(there(), vec![inside.clone()], &tom(), ALL, "needs-privilege");
    // Inside of that very container it is a neighbour.
    check(there(), vec![inside], &Surroundings { container, ..root() }, NO, "stop-processes sweep");
    let publishes = Some(Publishes {
        helper: "docker-proxy".into(),
        container_ip: None,
        container_port: Some(80),
        container: None,
    });
    let proxy = Process { publishes, comm: b"docker-proxy".to_vec(), ..node(70) };
    let published = Some(Published { tool: "docker", id: "3f2a9c0d11ee".into(), name: "shop".into() });
    let knows = Surroundings { published, ..root() };
    check(there(), vec![proxy.clone()], &knows, NO, "needs-flag --container");
    check(there(), vec![proxy.clone()], &knows, CONTAINER, "stop-container sweep");
    // Where its container does not show, there is a list to find it in.
    let plan = plan_for(there(), vec![proxy], &root(), ALL);
    assert_eq!(gist(&plan), "never");
    let command = plan.obstacles[0].command.as_ref().map(ToString::to_string);
    assert_eq!(command.as_deref(), Some("docker ps --filter publish=8080"));
}

#[test]
fn what_no_table_shows_is_stopped_only_by_agreement() {
    let flight = |proven| Ownership::InFlight { carriers: vec![holding(70)], proven };
    check(vec![listener(flight(true))], vec![node(70)], &tom(), NO, "needs-flag --kill");
    check(vec![listener(flight(true))], vec![node(70)], &tom(), KILL, "stop-processes sweep");
    check(vec![listener(flight(false))], vec![node(70)], &tom(), KILL, "unseen");
    let ring = || Ownership::IoUring(vec![holding(70)]);
    check(vec![listener(ring())], vec![node(70)], &tom(), NO, "needs-flag --kill");
    check(vec![listener(ring())], vec![node(70)], &tom(), KILL, "stop-processes sweep");
}

#[test]
fn what_nobody_owns_is_dropped_by_root_or_displaced() {
    let remains = |state, why| vec![socket(state, Ownership::Nobody(why))];
    let time_wait = || remains(State::TimeWait, NoOwner::TimeWait);
    check(time_wait(), vec![], &root(), NO, "destroy");
    check(time_wait(), vec![], &tom(), NO, "displace");
    // Many are told and taken away together, whether they are rows of their own or counted.
    let many = || {
        let row = |port| Socket { remote: Some(([127, 0, 0, 1], port).into()), ..time_wait().remove(0) };
        let mut rows: Vec<Socket> = (40_000..40_005).map(row).collect();
        rows[4].alike = 99_995;
        rows
    };
    check(many(), vec![], &root(), NO, "destroy");
    check(many(), vec![], &tom(), NO, "displace");
    check(many().into_iter().take(3).collect(), vec![], &root(), NO, "destroy destroy destroy");
    let plan = plan_for(many(), vec![], &root(), NO);
    let to = "to 127.0.0.1:40000, 127.0.0.1:40001, 127.0.0.1:40002 and others";
    let says =
        format!("Have the kernel drop the 100000 TIME_WAITs of 127.0.0.1:8080 ({to}); no process owns them.");
    assert_eq!(plan.steps[0].says(), says);
    let fewer = plan_for(many().into_iter().take(4).collect(), vec![], &root(), NO);
    assert!(plan.resembles(&fewer) && !plan.resembles(&plan_for(many(), vec![], &tom(), NO)));
    // Its other end is on another machine.
    let far = |socket: Socket| Socket { remote: Some(([203, 0, 113, 9], 40112).into()), ..socket };
    let from_afar = time_wait().into_iter().map(far).collect();
    check(from_afar, vec![], &tom(), NO, "needs-privilege");
    check(many().into_iter().map(far).collect(), vec![], &tom(), NO, "needs-privilege");
    // Somebody listens, whom the connection attempt would reach.
    let listened = [time_wait(), vec![listener(held(&[70]))]].concat();
    check(listened, vec![node(70)], &tom(), NO, "needs-privilege");
    check(remains(State::FinWait2, NoOwner::Orphan), vec![], &root(), NO, "destroy");
    check(remains(State::FinWait2, NoOwner::Orphan), vec![], &tom(), NO, "needs-privilege");
    for state in [State::FinWait1, State::LastAck, State::Closing] {
        check(remains(state, NoOwner::Orphan), vec![], &root(), NO, "needs-flag --destroy");
        check(remains(state, NoOwner::Orphan), vec![], &root(), DESTROY, "destroy");
        check(remains(state, NoOwner::Orphan), vec![], &tom(), DESTROY, "needs-privilege");
    }
}

#[test]
fn a_connection_alone_never_costs_its_process() {
    for state in [State::Established, State::CloseWait, State::SynSent, State::FinWait2] {
        let there = || vec![socket(state, held(&[70]))];
        check(there(), vec![node(70)], &root(), KILL, "needs-flag --destroy");
        check(there(), vec![node(70)], &root(), ALL, "destroy");
        check(there(), vec![node(70)], &tom(), ALL, "needs-privilege");
    }
    let bound = Socket { bound_explicitly: Some(true), ..socket(State::Established, held(&[70])) };
    let plan = plan_for(vec![bound.clone()], vec![node(70)], &root(), NO);
    assert!(plan.obstacles[0].says.contains("most likely keeps the port"), "{plan:#?}");
    let plan = plan_for(vec![bound], vec![node(70)], &root(), DESTROY);
    assert!(plan.notes.iter().any(|note| note.contains("stays taken")), "{plan:#?}");
    // With the listener of the same process it goes along.
    let served = vec![listener(held(&[70])), socket(State::Established, held(&[70]))];
    check(served, vec![node(70)], &tom(), NO, "stop-processes sweep");
    // A connection that another process took over does not.
    let taken = vec![listener(held(&[70])), socket(State::Established, held(&[71]))];
    check(taken, vec![node(70), node(71)], &root(), NO, "needs-flag --destroy");
}

#[test]
fn a_root_who_lacks_the_capability_is_not_sent_to_sudo() {
    let bare = Surroundings { uid: 0, ..tom() };
    let far = Socket {
        remote: Some(([203, 0, 113, 9], 40112).into()),
        ..socket(State::TimeWait, Ownership::Nobody(NoOwner::TimeWait))
    };
    for (sockets, lacks) in [
        (vec![far], "CAP_NET_ADMIN"),
        (vec![socket(State::Established, held(&[70]))], "CAP_NET_ADMIN"),
        (vec![listener(held(&[70]))], "CAP_KILL"),
    ] {
        for (around, sudo) in [(&bare, false), (&tom(), true)] {
            let roots = Process { uid: Some(if sudo { 0 } else { 1000 }), ..node(70) };
            let plan = plan_for(sockets.clone(), vec![roots], around, ALL);
            let [obstacle] = &plan.obstacles[..] else { panic!("{plan:#?}") };
            assert_eq!(obstacle.kind, ObstacleKind::NeedsPrivilege, "{plan:#?}");
            assert_eq!(obstacle.command.is_some(), sudo, "{plan:#?}");
            assert_eq!(obstacle.says.contains(lacks), !sudo, "{plan:#?}");
        }
    }
}

#[test]
fn only_the_connections_that_a_plan_names_are_destroyed() {
    let orphan = |cookie| Socket { cookie, ..socket(State::FinWait1, Ownership::Nobody(NoOwner::Orphan)) };
    let plan = plan_for(vec![orphan(7)], vec![], &root(), DESTROY);
    assert!(plan.destroys(&orphan(7)));
    assert!(!plan.destroys(&orphan(8)));
    // The listener's own connections are not named: what they leave behind still delivers its bytes.
    let served = vec![listener(held(&[70])), socket(State::Established, held(&[70]))];
    let plan = plan_for(served, vec![node(70)], &root(), ALL);
    assert!(plan.is_ready() && !plan.destroys(&orphan(7)), "{plan:#?}");
}

#[test]
fn a_socket_file_is_removed_where_nobody_shows_behind_it() {
    let path = b"/run/app.sock".to_vec();
    let address = Address::Unix { kind: UnixKind::Stream, name: UnixName::Path(path) };
    let check = |kind: FileKind, everywhere: bool, expect: &str| {
        let file = FileId { dev: 1, ino: 2 };
        let mut snapshot = Snapshot { path: Some(PathFact::Exists { kind, file }), ..Snapshot::default() };
        snapshot.coverage.unix = true;
        // Whether a namespace stayed closed: the connection that is tried before the removal decides then.
        snapshot.coverage.unix_everywhere = everywhere;
        let diagnosis = diagnose(&snapshot, &Attempt::plain(address.clone()));
        assert_eq!(gist(&plan(&snapshot, &diagnosis, &tom(), NO)), expect, "{everywhere} {diagnosis:#?}");
    };
    check(FileKind::Socket, true, "unlink");
    check(FileKind::Socket, false, "unlink");
    check(FileKind::Regular, true, "never");
}

#[test]
fn plans_for_two_addresses_of_one_hidden_holder_come_to_the_same() {
    let hidden = || vec![listener(Ownership::Hidden)];
    let one = plan_for(hidden(), vec![], &tom(), KILL);
    let mut other = one.clone();
    other.attempt.address = Address::tcp(([0, 0, 0, 0], PORT).into());
    for obstacle in &mut other.obstacles {
        obstacle.command = Some(Command::new(["sudo", "inuse", "free", "--kill", "tcp/0.0.0.0:8080"]));
    }
    assert_ne!(one.obstacles, other.obstacles);
    assert!(one.resembles(&other) && other.resembles(&one), "{one:#?}");
    other.obstacles[0].command = Some(Command::new(["sudo", "inuse", "free", "tcp/0.0.0.0:8080"]));
    assert!(!one.resembles(&other));
}

#[test]
fn the_command_with_the_missing_flag_keeps_the_others() {
    let carried = Ownership::InFlight { carriers: vec![holding(70)], proven: true };
    let plan = plan_for(vec![listener(carried)], vec![node(70)], &tom(), DESTROY);
    let again = plan.obstacles[0].again.as_ref().map(ToString::to_string);
    assert_eq!(again.as_deref(), Some("inuse free --destroy --kill tcp/127.0.0.1:8080"));
}
