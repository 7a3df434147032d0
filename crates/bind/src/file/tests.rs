//! Round trips, and files that somebody broke on purpose.

use super::*;
use inuse_rules::address::{Address, Transport, UnixKind, UnixName};
use inuse_rules::owner::{
    Ancestor, Container, Holding, NoOwner, Ownership, Process, Publishes, Runtime, Unit,
};
use inuse_rules::snapshot::{
    BlindSpot, Coverage, Depth, Elsewhere, FileKind, KernelVersion, Locality, PathFact, Probed,
};
use inuse_rules::socket::{FileId, Learned, Options, Socket, State, Timer, TimerKind};
use proptest::prelude::*;
use std::net::SocketAddr;

fn address() -> impl Strategy<Value = Address> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        (any::<bool>(), any::<[u8; 4]>(), any::<u16>()).prop_map(|(tcp, ip, port)| {
            let local = SocketAddr::from((ip, port));
            if tcp { Address::tcp(local) } else { Address::udp(local) }
        }),
        (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
            |(ip, port, scope, device)| {
                let local = std::net::SocketAddrV6::new(ip.into(), port, 0, scope).into();
                Address::Inet { transport: Transport::Tcp, local, device }
            }
        ),
        bytes().prop_map(|name| Address::Unix { kind: UnixKind::Stream, name: UnixName::Path(name) }),
        bytes().prop_map(|name| Address::Unix { kind: UnixKind::Seqpacket, name: UnixName::Abstract(name) }),
        Just(Address::Unix { kind: UnixKind::Datagram, name: UnixName::Unnamed }),
    ]
}

fn ownership() -> impl Strategy<Value = Ownership> {
    let holding = || {
        (any::<u32>(), any::<Option<u32>>(), any::<Vec<u32>>(), any::<Option<bool>>())
            .prop_map(|(pid, tid, fds, cloexec)| Holding { pid, tid, fds, cloexec })
    };
    prop_oneof![
        Just(Ownership::NotAsked),
        Just(Ownership::Hidden),
        Just(Ownership::Gone),
        Just(Ownership::Nobody(NoOwner::OtherPidNamespace)),
        proptest::collection::vec(holding(), 0..3).prop_map(Ownership::Held),
        proptest::collection::vec(holding(), 0..3).prop_map(Ownership::IoUring),
        (proptest::collection::vec(holding(), 0..3), any::<bool>())
            .prop_map(|(carriers, proven)| Ownership::InFlight { carriers, proven }),
    ]
}

fn socket() -> impl Strategy<Value = Socket> {
    let state = proptest::sample::select(State::ALL.to_vec());
    (address(), state, any::<[u64; 3]>(), any::<Option<bool>>(), any::<[u32; 3]>(), ownership()).prop_map(
        |(address, state, [inode, cookie, cgroup], flag, [recv_q, send_q, left_ms], owners)| Socket {
            remote: flag.map(|_| "127.0.0.1:9".parse().unwrap()),
            mini: flag == Some(true),
            inode,
            cookie,
            uid: Some(recv_q),
            options: Options { reuseaddr: flag, reuseport: None, v6only: flag, learned: Learned::Bpf },
            bound_explicitly: flag,
            recv_q,
            send_q,
            timer: flag.map(|_| Timer { kind: TimerKind::TimeWait, left_ms }),
            cgroup,
            file: flag.map(|_| FileId { dev: inode, ino: cookie }),
            owners,
            alike: send_q,
            ..Socket::new(address, state)
        },
    )
}

fn process(pid: u32, bytes: Vec<u8>, text: String) -> Process {
    Process {
        pid,
        comm: bytes.clone(),
        exe: Some(bytes.clone()),
        cmdline: vec![bytes.clone(), Vec::new()],
        cwd: None,
        uid: Some(pid),
        user: Some(text.clone()),
        state: b'S',
        tty: Some(text.clone()),
        started_ms: Some(u64::from(pid)),
        ancestry: vec![Ancestor { pid, comm: bytes.clone(), start_ticks: 7 }],
        cgroup: Some(bytes),
        unit: Some(Unit { name: text.clone(), user_manager: Some(1000) }),
        container: Some(Container { runtime: Runtime::CriO, id: text.clone() }),
        publishes: Some(Publishes {
            helper: text.clone(),
            container_ip: None,
            container_port: Some(80),
            container: Some(Container { runtime: Runtime::Docker, id: text }),
        }),
        ..Process::default()
    }
}

prop_compose! {
    fn saved()(
        sockets in proptest::collection::vec(socket(), 0..4),
        peers in proptest::collection::vec(socket(), 0..2),
        other in socket(),
        asked in address(),
        bytes in proptest::collection::vec(any::<u8>(), 0..16),
        text in "\\PC{0,12}",
        pid in any::<u32>(),
    ) -> Saved {
        let snapshot = Snapshot {
            taken_ms: u64::MAX,
            kernel: Some(KernelVersion { major: 6, minor: 18, release: text.clone() }),
            netns: Some(1),
            asker: Some(pid),
            asker_uid: Some(1000),
            coverage: Coverage {
                ports: [((Transport::Udp, 53), Depth::Listening), ((Transport::Tcp, 80), Depth::Every)].into(),
                whole: vec![Transport::Udp],
                bound_inactive: true,
                one_chain: false,
                unix: false,
                unix_everywhere: true,
            },
            sockets,
            peers,
            elsewhere: vec![Elsewhere { netns: 2, pid, socket: other }],
            processes: [(pid, process(pid, bytes, text.clone()))].into(),
            sysctls: inuse_rules::snapshot::Sysctls {
                local_port_range: Some((32768, 60999)),
                reserved_ports: Some(vec![(1, 2)]),
                tcp_tw_reuse: Some(2),
                ..Default::default()
            },
            locality: [(("::1".parse().unwrap(), 3), Locality::DadFailed)].into(),
            path: Some(PathFact::Exists { kind: FileKind::DanglingSymlink, file: FileId { dev: 1, ino: 2 } }),
            probed: vec![Probed { attempt: Attempt::plain(asked.clone()), refused: true }],
            blind: vec![BlindSpot { what: text.clone(), remedy: text.clone() }],
        };
        Saved { made_by: text, entries: vec![Entry { attempt: Attempt::plain(asked), snapshot }] }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(saved in saved()) {
        let bytes = to_json(&saved).unwrap();
        let read = from_json(&bytes).ok();
        prop_assert_eq!(read, Some(saved));
    }

    #[test]
    fn a_broken_file_is_an_error_and_no_panic(saved in saved(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = to_json(&saved).unwrap();
        let cut = bytes[..at.index(bytes.len())].to_vec();
        prop_assert!(cut.is_empty() || from_json(&cut).is_err() || cut.len() + 1 == bytes.len());
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = from_json(&bytes);
    }
}

#[track_caller]
fn refuse(text: &str, expect: &str) {
    let path = Path::new("x.json");
    let error = match from_json(text.as_bytes()) {
        Ok(_) => panic!("should be refused"),
        Err(Fault::Schema(other)) => FileError::Schema(path.into(), other),
        Err(Fault::Json(error)) => FileError::Malformed(path.into(), error),
    };
    assert_eq!(error.to_string(), expect);
}

#[test]
fn each_fault_is_said_clearly() {
    refuse("", "x.json is no snapshot: EOF while parsing a value at line 1 column 0");
    refuse("{}", "x.json is no snapshot: it names no schema (expected inuse.snapshot/1)");
    refuse(
        r#"{"schema":"inuse.why/1"}"#,
        "x.json has the schema 'inuse.why/1'; this version reads inuse.snapshot/1",
    );
    refuse(
        "{\"schema\":\"\\u001b[2J\"}",
        "x.json has the schema '\\u{1b}[2J'; this version reads inuse.snapshot/1",
    );
    refuse(
        r#"{"schema":"inuse.snapshot/1"}"#,
        "x.json is no snapshot: missing field `made_by` at line 1 column 29",
    );
    refuse(
        r#"{"schema":"inuse.snapshot/1","made_by":"x","entries":[7]}"#,
        "x.json is no snapshot: invalid type: integer `7`, expected struct EntryShape at line 1 column 55",
    );
    let deep = format!("{{\"schema\":{}", "[".repeat(100_000));
    assert!(from_json(deep.as_bytes()).is_err());
}

#[test]
fn a_file_is_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("inuse-file-test-{}.json", std::process::id()));
    let saved = Saved { made_by: "test".into(), entries: Vec::new() };
    save(&path, &saved).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load(&path).unwrap(), saved);
    assert!(matches!(save(&path, &saved), Err(FileError::Exists(_))));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(load(&path), Err(FileError::Io(..))));
}
