//! Facts made up by hand, with fixed pids and times: what the views are tested on.

use inuse_cli::render::Answer;
use inuse_rules::address::{Address, Transport, UnixKind, UnixName};
use inuse_rules::owner::{
    Ancestor, Container, Holding, NoOwner, Ownership, Process, Publishes, Runtime, Unit,
};
use inuse_rules::snapshot::{
    BlindSpot, Depth, FileKind, KernelVersion, Locality, PathFact, Snapshot, Sysctls,
};
use inuse_rules::socket::{FileId, Learned, Socket, State, Timer, TimerKind};
use inuse_rules::{Attempt, diagnose};
use std::sync::Arc;

/// 2026-11-20T12:00:00Z.
const NOW_MS: u64 = 1_795_176_000_000;

/// One fact after the other.
pub(crate) struct Machine {
    pub(crate) snapshot: Snapshot,
    port: u16,
}

pub(crate) fn tcp(local: &str) -> Address {
    Address::tcp(local.parse().expect("an address"))
}

pub(crate) fn held(pid: u32, fds: &[u32]) -> Ownership {
    Ownership::Held(vec![Holding { pid, tid: None, fds: fds.to_vec(), cloexec: Some(true) }])
}

pub(crate) fn process(pid: u32, comm: &str, arguments: &[&str]) -> Process {
    Process {
        pid,
        comm: comm.into(),
        exe: Some(format!("/usr/bin/{comm}").into()),
        cmdline: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        cwd: Some("/home/tom/shop".into()),
        uid: Some(1000),
        user: Some("tom".into()),
        state: b'S',
        ppid: 4400,
        tty: Some("pts/3".into()),
        start_ticks: 100,
        started_ms: Some(NOW_MS - 11_520_000),
        threads: 1,
        ancestry: vec![
            Ancestor { pid: 4400, comm: "npm".into(), start_ticks: 90 },
            Ancestor { pid: 4100, comm: "bash".into(), start_ticks: 80 },
            Ancestor { pid: 1, comm: "systemd".into(), start_ticks: 1 },
        ],
        ..Process::default()
    }
}

impl Machine {
    /// A machine on which everything about that port was asked.
    pub(crate) fn new(port: u16) -> Machine {
        let mut snapshot = Snapshot {
            taken_ms: NOW_MS,
            kernel: Some(KernelVersion { major: 6, minor: 18, release: "6.18.44".into() }),
            netns: Some(4_026_531_840),
            sysctls: Sysctls {
                unprivileged_port_start: Some(1024),
                local_port_range: Some((32768, 60999)),
                reserved_ports: Some(Vec::new()),
                tcp_fin_timeout: Some(60),
                tcp_rfc1337: Some(false),
                nonlocal_bind_v4: Some(false),
                nonlocal_bind_v6: Some(false),
                bindv6only: Some(false),
                autobind_reuse: Some(false),
                tcp_tw_reuse: Some(2),
            },
            ..Snapshot::default()
        };
        snapshot.coverage.bound_inactive = true;
        snapshot.coverage.ports.insert((Transport::Tcp, port), Depth::Every);
        snapshot.coverage.ports.insert((Transport::Udp, port), Depth::Every);
        for ip in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
            snapshot.locality.insert((ip.parse().expect("an address"), 0), Locality::Local);
        }
        Machine { snapshot, port }
    }

    pub(crate) fn socket(mut self, local: &str, state: State, change: impl FnOnce(&mut Socket)) -> Machine {
        let mut socket = Socket::new(tcp(&format!("{local}:{}", self.port)), state);
        socket.inode = 77_001;
        socket.cookie = 0x1f;
        socket.uid = Some(1000);
        change(&mut socket);
        self.snapshot.sockets.push(socket);
        self
    }

    pub(crate) fn process(mut self, process: Process) -> Machine {
        self.snapshot.processes.insert(process.pid, process);
        self
    }

    /// The answer to a plain bind of that address by uid 1000.
    pub(crate) fn asks(&self, address: Address) -> Answer {
        let attempt = Attempt { uid: 1000, net_bind_service: false, ..Attempt::plain(address) };
        Answer { diagnosis: diagnose(&self.snapshot, &attempt), snapshot: self.snapshot.clone().into() }
    }
}

fn options(socket: &mut Socket, reuseaddr: bool, learned: Learned) {
    socket.options.reuseaddr = Some(reuseaddr);
    socket.options.reuseport = Some(false);
    socket.options.learned = learned;
}

/// A node server on every IPv4 address, and both questions that a port alone asks.
pub(crate) fn listener() -> Vec<Answer> {
    let machine = Machine::new(8080)
        .socket("0.0.0.0", State::Listen, |socket| {
            options(socket, true, Learned::Getsockopt);
            socket.send_q = 511;
            socket.owners = held(4412, &[21]);
        })
        .process(process(4412, "node", &["node", "server.js"]));
    vec![machine.asks(tcp("0.0.0.0:8080")), machine.asks(tcp("[::]:8080"))]
}

fn time_wait(reuseaddr: Option<bool>) -> Vec<Answer> {
    let machine = Machine::new(8080).socket("127.0.0.1", State::TimeWait, |socket| {
        socket.remote = "127.0.0.1:40112".parse().ok();
        socket.inode = 0;
        socket.uid = None;
        socket.timer = Some(Timer { kind: TimerKind::TimeWait, left_ms: 43_120 });
        socket.owners = Ownership::Nobody(NoOwner::TimeWait);
        if let Some(reuseaddr) = reuseaddr {
            options(socket, reuseaddr, Learned::Bpf);
        }
    });
    vec![machine.asks(tcp("0.0.0.0:8080"))]
}

pub(crate) fn time_wait_with_the_option() -> Vec<Answer> {
    time_wait(Some(true))
}

pub(crate) fn time_wait_without_the_option() -> Vec<Answer> {
    time_wait(Some(false))
}

pub(crate) fn time_wait_unseen() -> Vec<Answer> {
    let mut answers = time_wait(None);
    for answer in &mut answers {
        Arc::make_mut(&mut answer.snapshot).blind.push(BlindSpot {
            what: "the options of 1 socket in TIME_WAIT".into(),
            remedy: "run it as root".into(),
        });
    }
    answers
}

pub(crate) fn suspended() -> Vec<Answer> {
    let mut vim = process(4412, "python3", &["python3", "-m", "http.server", "8080"]);
    vim.state = b'T';
    let machine = Machine::new(8080)
        .socket("0.0.0.0", State::Listen, |socket| {
            options(socket, true, Learned::Getsockopt);
            socket.recv_q = 3;
            socket.send_q = 5;
            socket.owners = held(4412, &[3]);
        })
        .process(vim);
    vec![machine.asks(tcp("0.0.0.0:8080"))]
}

pub(crate) fn container_proxy() -> Vec<Answer> {
    let mut proxy = process(
        812,
        "docker-proxy",
        &["/usr/bin/docker-proxy", "-host-port", "8080", "-container-ip", "172.17.0.2"],
    );
    proxy.uid = Some(0);
    proxy.user = Some("root".into());
    proxy.cwd = Some("/".into());
    proxy.tty = None;
    proxy.unit = Some(Unit { name: "docker.service".into(), user_manager: None });
    proxy.publishes = Some(Publishes {
        helper: "docker-proxy".into(),
        container_ip: "172.17.0.2".parse().ok(),
        container_port: Some(80),
        container: None,
    });
    proxy.ancestry = vec![Ancestor { pid: 700, comm: "dockerd".into(), start_ticks: 50 }];
    let machine = Machine::new(8080)
        .socket("0.0.0.0", State::Listen, |socket| {
            options(socket, true, Learned::Getsockopt);
            socket.uid = Some(0);
            socket.send_q = 4096;
            socket.owners = held(812, &[4]);
        })
        .process(proxy);
    vec![machine.asks(tcp("0.0.0.0:8080"))]
}

pub(crate) fn in_a_container() -> Vec<Answer> {
    let mut nginx = process(901, "nginx", &["nginx: master process nginx"]);
    nginx.container = Some(Container { runtime: Runtime::Podman, id: "a1b2c3d4e5f6".into() });
    let machine = Machine::new(8080)
        .socket("0.0.0.0", State::Listen, |socket| {
            options(socket, true, Learned::Getsockopt);
            socket.owners = held(901, &[6, 7]);
        })
        .process(nginx);
    vec![machine.asks(tcp("0.0.0.0:8080"))]
}

pub(crate) fn socket_unit() -> Vec<Answer> {
    let mut systemd = process(1, "systemd", &["/sbin/init"]);
    systemd.exe = Some("/usr/lib/systemd/systemd".into());
    systemd.uid = Some(0);
    systemd.user = Some("root".into());
    systemd.tty = None;
    systemd.ancestry.clear();
    let machine = Machine::new(631)
        .socket("127.0.0.1", State::Listen, |socket| {
            options(socket, true, Learned::Getsockopt);
            socket.uid = Some(0);
            socket.send_q = 4096;
            socket.owners = held(1, &[58]);
        })
        .process(systemd);
    let attempt = Attempt { uid: 0, ..Attempt::plain(tcp("127.0.0.1:631")) };
    vec![Answer { diagnosis: diagnose(&machine.snapshot, &attempt), snapshot: machine.snapshot.into() }]
}

/// A leaky client program on this machine keeps the other end open.
pub(crate) fn fin_wait_2() -> Vec<Answer> {
    let mut machine = Machine::new(8080).socket("127.0.0.1", State::FinWait2, |socket| {
        socket.remote = "127.0.0.1:40112".parse().ok();
        socket.inode = 0;
        socket.uid = None;
        socket.mini = true;
        socket.timer = Some(Timer { kind: TimerKind::TimeWait, left_ms: 51_000 });
        socket.owners = Ownership::Nobody(NoOwner::Orphan);
        options(socket, false, Learned::Bpf);
    });
    let mut peer = Socket::new(tcp("127.0.0.1:40112"), State::CloseWait);
    peer.remote = "127.0.0.1:8080".parse().ok();
    peer.inode = 77_002;
    peer.recv_q = 290_960;
    peer.owners = held(5001, &[12]);
    machine.snapshot.peers.push(peer);
    let machine = machine.process(process(5001, "curl", &["curl", "--no-buffer", "http://localhost:8080/"]));
    vec![machine.asks(tcp("127.0.0.1:8080"))]
}

pub(crate) fn ephemeral_collision() -> Vec<Answer> {
    let machine = Machine::new(50051)
        .socket("192.0.2.7", State::Established, |socket| {
            socket.remote = "198.51.100.9:443".parse().ok();
            socket.bound_explicitly = Some(false);
            options(socket, false, Learned::Getsockopt);
            socket.owners = held(3001, &[88]);
        })
        .process(process(3001, "firefox", &["/usr/lib/firefox/firefox"]));
    vec![machine.asks(tcp("0.0.0.0:50051"))]
}

pub(crate) fn owner_hidden() -> Vec<Answer> {
    let mut machine = Machine::new(8080).socket("0.0.0.0", State::Listen, |socket| {
        socket.uid = Some(0);
        socket.send_q = 128;
        socket.owners = Ownership::Hidden;
    });
    machine.snapshot.blind.push(BlindSpot {
        what: "the open files of 61 processes of other users".into(),
        remedy: "run it as root".into(),
    });
    vec![machine.asks(tcp("0.0.0.0:8080"))]
}

pub(crate) fn privileged() -> Vec<Answer> {
    vec![Machine::new(80).asks(tcp("0.0.0.0:80"))]
}

pub(crate) fn unix_stale() -> Vec<Answer> {
    let mut machine = Machine::new(1);
    machine.snapshot.coverage.unix = true;
    machine.snapshot.coverage.unix_everywhere = true;
    machine.snapshot.path =
        Some(PathFact::Exists { kind: FileKind::Socket, file: FileId { dev: 27, ino: 4711 } });
    let name = UnixName::Path(b"/run/user/1000/app's.sock".to_vec());
    vec![machine.asks(Address::Unix { kind: UnixKind::Stream, name })]
}

pub(crate) fn free() -> Vec<Answer> {
    let machine = Machine::new(8080);
    vec![machine.asks(tcp("0.0.0.0:8080")), machine.asks(tcp("[::]:8080"))]
}

/// Names that want to act on the terminal or to deceive its reader.
pub(crate) fn hostile() -> Vec<Answer> {
    let mut evil = process(4412, "x", &[]);
    evil.comm = b"a\x1b[2J\n\xff".to_vec();
    evil.exe = Some(b"/tmp/\x1b]0;x\x07/\xff".to_vec());
    evil.cmdline = vec![
        b"a\x1b[2J".to_vec(),
        "--user=\u{202e}nimda".into(),
        b"\xff\xfe".to_vec(),
        b"line\nInjected: yes".to_vec(),
        Vec::new(),
    ];
    evil.cwd = Some("/tmp/\u{200b}zero\r".into());
    evil.user = Some("to\u{1b}m".into());
    evil.unit = Some(Unit { name: "a\u{202e}b\n.service".into(), user_manager: None });
    evil.container = Some(Container { runtime: Runtime::Docker, id: "id\u{1b}".into() });
    evil.ancestry = vec![Ancestor { pid: 7, comm: b"p\x9b\n".to_vec(), start_ticks: 1 }];
    let machine = Machine::new(8080)
        .socket("0.0.0.0", State::Listen, |socket| {
            options(socket, false, Learned::Getsockopt);
            socket.owners = held(4412, &[3]);
        })
        .process(evil.clone());
    let mut unix = Machine::new(1).process(evil);
    unix.snapshot.coverage.unix = true;
    let name = UnixName::Abstract("evil\u{1b}[31m\u{202e}\n".into());
    let address = Address::Unix { kind: UnixKind::Stream, name };
    let mut socket = Socket::new(address.clone(), State::Listen);
    socket.inode = 9;
    socket.owners = held(4412, &[4]);
    unix.snapshot.sockets.push(socket);
    vec![machine.asks(tcp("0.0.0.0:8080")), unix.asks(address)]
}

/// Every fixture with its name.
pub(crate) fn all() -> Vec<(&'static str, Vec<Answer>)> {
    vec![
        ("listener", listener()),
        ("time_wait_with_the_option", time_wait_with_the_option()),
        ("time_wait_without_the_option", time_wait_without_the_option()),
        ("time_wait_unseen", time_wait_unseen()),
        ("suspended", suspended()),
        ("container_proxy", container_proxy()),
        ("in_a_container", in_a_container()),
        ("socket_unit", socket_unit()),
        ("fin_wait_2", fin_wait_2()),
        ("ephemeral_collision", ephemeral_collision()),
        ("owner_hidden", owner_hidden()),
        ("privileged", privileged()),
        ("unix_stale", unix_stale()),
        ("free", free()),
        ("hostile", hostile()),
    ]
}
