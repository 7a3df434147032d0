//! The views of made-up facts.

use super::fits;
use inuse_bind::table::{Filter, Row, Table};
use inuse_cli::render::{ls, ls_json};
use inuse_kernel::Seen;
use inuse_kernel::elsewhere::Place;
use inuse_kernel::netns::NetnsName;
use inuse_rules::cure::Command;
use inuse_rules::owner::{Container, NoOwner, Publishes, Runtime, Unit};
use inuse_rules::{Address, BlindSpot, Holding, Ownership, Process, Socket, State, UnixKind, UnixName};

/// Made-up facts, a socket at a time.
struct Facts {
    table: Table,
}

impl Facts {
    fn new() -> Facts {
        let place = Place { inode: 4_026_531_840, name: NetnsName::Path("/proc/self/ns/net".into()) };
        let table = Table { own_netns: Some(place.inode), places: vec![Some(place)], ..Table::default() };
        Facts { table }
    }

    fn process(mut self, pid: u32, comm: &str, change: impl FnOnce(&mut Process)) -> Facts {
        let user = Some("tom".into());
        let mut process = Process { pid, comm: comm.into(), uid: Some(1000), user, ..Process::default() };
        change(&mut process);
        self.table.processes.insert(pid, process);
        self
    }

    fn socket(mut self, address: Address, state: State, owner: Ownership) -> Facts {
        let inode = 1 + self.table.rows.len() as u64;
        let mut socket = Socket::new(address, state);
        socket.inode = inode;
        socket.uid = Some(0);
        if state == State::Established {
            socket.remote = Some("192.0.2.7:40112".parse().expect("an address"));
        }
        self.table.rows.push(Row::new(socket, 0));
        self.table.owners.insert(inode, owner);
        self
    }

    fn tcp(self, address: &str, pids: &[u32]) -> Facts {
        self.socket(Address::tcp(address.parse().expect("an address")), State::Listen, held(pids))
    }

    fn unix(self, name: UnixName, pids: &[u32]) -> Facts {
        self.socket(Address::Unix { kind: UnixKind::Stream, name }, State::Listen, held(pids))
    }

    fn text(&self, columns: Option<usize>) -> String {
        self.told(false, columns)
    }

    fn told(&self, verbose: bool, columns: Option<usize>) -> String {
        let mut text = String::new();
        ls::write(&self.table, verbose, columns, &mut |chunk| text.push_str(chunk));
        text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "")
    }

    fn json(&self) -> String {
        let mut text = String::new();
        let seen = Seen::whole(self.table.clone());
        ls_json::write(&seen, &mut |chunk| text.push_str(chunk));
        text
    }
}

fn held(pids: &[u32]) -> Ownership {
    Ownership::Held(holdings(pids))
}

fn holdings(pids: &[u32]) -> Vec<Holding> {
    pids.iter().map(|&pid| Holding { pid, tid: None, fds: vec![3], cloexec: None }).collect()
}

fn servers() -> Facts {
    let nginx = |p: &mut Process| p.unit = Some(Unit { name: "nginx.service".into(), user_manager: None });
    let worker = |p: &mut Process| {
        nginx(p);
        (p.uid, p.user) = (Some(33), Some("www-data".into()));
    };
    let proxy = |p: &mut Process| {
        p.publishes = Some(Publishes {
            helper: "docker-proxy".into(),
            container_ip: Some([172, 17, 0, 2].into()),
            container_port: Some(80),
            container: None,
        });
    };
    let inside = |p: &mut Process| {
        p.container = Some(Container { runtime: Runtime::Docker, id: "4f6a1c0de4f6".repeat(6)[..64].into() });
        (p.uid, p.user) = (Some(1234), None);
    };
    Facts::new()
        .process(7, "nginx", nginx)
        .process(8, "nginx", worker)
        .process(9, "nginx", worker)
        .process(20, "docker-proxy", proxy)
        .process(30, "MainThread", |p| p.exe = Some(b"/usr/bin/node".to_vec()))
        .process(40, "postgres", inside)
        .tcp("0.0.0.0:80", &[7, 8, 9])
        .tcp("127.0.0.1:443", &[7, 8, 9])
        .tcp("127.0.0.1:443", &[7, 8, 9])
        .tcp("[::1]:3000", &[30])
        .tcp("172.17.0.2:5432", &[40])
        .tcp("0.0.0.0:8080", &[20])
        .unix(UnixName::Path(b"/run/app.sock".to_vec()), &[30])
        .unix(UnixName::Abstract(b"x".iter().copied().chain([0; 106]).collect()), &[30])
}

pub(super) fn one_line_a_service() {
    assert_eq!(
        servers().text(None),
        "\
PROTO  ADDRESS          PID    USER          PROGRAM                         UNIT           CONTAINER
tcp    0.0.0.0:80       7,8,9  tom,www-data  nginx (3 processes)             nginx.service
tcp    127.0.0.1:443    7,8,9  tom,www-data  nginx (3 processes, 2 sockets)  nginx.service
tcp    [::1]:3000       30     tom           node
tcp    172.17.0.2:5432  40     1234          postgres                                       docker:4f6a1c0de4f6
tcp    0.0.0.0:8080     20     tom           docker-proxy for 172.17.0.2:80
unix   /run/app.sock    30     tom           node
unix   @x (+106 NUL)    30     tom           node
"
    );
    assert_eq!(Facts::new().text(None), "");
}

pub(super) fn connections_have_their_columns() {
    let connection = Address::tcp("192.0.2.1:22".parse().expect("an address"));
    let mut closed = Socket::new(connection.clone(), State::TimeWait);
    closed.owners = Ownership::Nobody(NoOwner::TimeWait);
    let mut facts = Facts::new().process(7, "sshd", |_| ()).tcp("0.0.0.0:22", &[7]).socket(
        connection,
        State::Established,
        held(&[7]),
    );
    facts.table.rows.push(Row::new(closed, 0));
    assert_eq!(
        facts.text(None),
        "\
PROTO  ADDRESS       REMOTE           STATE        PID  USER  PROGRAM
tcp    0.0.0.0:22                     LISTEN       7    tom   sshd
tcp    192.0.2.1:22  192.0.2.7:40112  ESTABLISHED  7    tom   sshd
tcp    192.0.2.1:22                   TIME_WAIT    -    -     (no process)
"
    );
}

/// A row for each socket, with what tells it from the others; none where the kernel has no such number.
pub(super) fn every_socket_has_its_own_row() {
    let mut closed = Socket::new(Address::tcp("192.0.2.1:22".parse().expect("an address")), State::TimeWait);
    closed.owners = Ownership::Nobody(NoOwner::TimeWait);
    let mut facts = Facts::new().process(7, "sshd", |_| ()).tcp("0.0.0.0:22", &[7]).tcp("0.0.0.0:22", &[7]);
    facts.table.rows.push(Row::new(closed, 0));
    assert_eq!(
        facts.told(true, None),
        "\
PROTO  ADDRESS       STATE      RECV-Q  SEND-Q  UID  INODE  PID  USER  PROGRAM
tcp    0.0.0.0:22    LISTEN     0       0       0    1      7    tom   sshd
tcp    0.0.0.0:22    LISTEN     0       0       0    2      7    tom   sshd
tcp    192.0.2.1:22  TIME_WAIT  0       0       -    -      -    -     (no process)
"
    );
}

pub(super) fn names_give_way_and_addresses_do_not() {
    let long = format!("/run/{}", "long/".repeat(20));
    let unit = |p: &mut Process| {
        p.unit =
            Some(Unit { name: "a-unit-with-quite-a-long-name@instance.service".into(), user_manager: None });
    };
    let pids: Vec<u32> = (1_000_001..1_000_009).collect();
    let facts = Facts::new()
        .process(1_000_001, "server-of-names", unit)
        .tcp("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", &pids)
        .tcp("127.0.0.1:80", &[1_000_001])
        .unix(UnixName::Path(long.clone().into()), &[1_000_001]);
    for columns in [40, 60, 80, 100, 120, 200] {
        for (verbose, text) in [(false, facts.text(Some(columns))), (true, facts.told(true, Some(columns)))] {
            assert!(text.contains("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"), "{text}");
            assert!(text.contains(&long), "{text}");
            let address = |line: &&str| line.contains(&long) || columns < 60 && line.contains("]:65535");
            for line in text.lines().filter(|line| !address(line)) {
                assert!(line.chars().count() <= columns, "{columns}\n{text}");
            }
            assert!(text.contains('…') || columns == 200, "{text}");
            let numbers: Vec<String> = pids.iter().map(u32::to_string).collect();
            let list = text.split_whitespace().filter(|word| word.starts_with("1000001"));
            for number in list.flat_map(|list| list.split(',')) {
                assert!(number == "…" || numbers.iter().any(|n| n == number), "{number} {verbose}\n{text}");
            }
        }
    }
    assert!(!facts.text(None).contains('…'));
}

/// Nothing is left out where the columns do not fit: the rest of a row stands below it.
pub(super) fn what_does_not_fit_stands_below() {
    let unit = |name: &str| Some(Unit { name: name.into(), user_manager: None });
    let facts = Facts::new()
        .process(1_234_567, "postgres", |p| p.unit = unit("postgresql@15-main.service"))
        .process(1_234_568, "nginx", |_| ())
        .tcp("192.168.100.200:5432", &[1_234_567])
        .tcp("192.168.100.200:8080", &[1_234_567, 1_234_568]);
    assert_eq!(
        facts.told(true, Some(60)),
        "\
PROTO  ADDRESS               RECV-Q  SEND-Q  UID  INODE
    PID              USER  PROGRAM           UNIT
tcp    192.168.100.200:5432  0       0       0    1
    1234567          tom   postgres          postgresql@15-…
tcp    192.168.100.200:8080  0       0       0    2
    1234567,1234568  tom   postgres,nginx …  postgresql@15-…
"
    );
    let wide = facts.told(true, None);
    assert_eq!(wide.lines().count(), 3, "{wide}");
    assert!(wide.contains("1234567,1234568") && wide.contains("postgresql@15-main.service"), "{wide}");
}

pub(super) fn wide_characters_take_two_columns() {
    let facts = Facts::new()
        .process(1, "東京サーバ", |_| ())
        .process(2, "plain", |_| ())
        .process(3, "e\u{301}tude", |p| p.unit = Some(Unit { name: "x.service".into(), user_manager: None }))
        .tcp("127.0.0.1:1", &[1])
        .tcp("127.0.0.1:2", &[2])
        .tcp("127.0.0.1:3", &[3]);
    assert_eq!(
        facts.text(None),
        "\
PROTO  ADDRESS      PID  USER  PROGRAM     UNIT
tcp    127.0.0.1:1  1    tom   東京サーバ
tcp    127.0.0.1:2  2    tom   plain
tcp    127.0.0.1:3  3    tom   e\u{301}tude       x.service
"
    );
    assert!(facts.text(Some(49)).contains("東京サ…\n"), "{}", facts.text(Some(49)));
}

pub(super) fn what_others_chose_is_escaped() {
    let evil = "a\u{1b}[2J\u{202e}\n\u{200b}";
    let facts = Facts::new()
        .process(1, evil, |p| {
            p.user = Some(evil.into());
            p.unit = Some(Unit { name: evil.into(), user_manager: None });
            p.container = Some(Container { runtime: Runtime::Lxc, id: evil.into() });
            p.exe = Some(b"/bin/\xff".to_vec());
        })
        .tcp("127.0.0.1:1", &[1])
        .unix(UnixName::Path(evil.into()), &[1])
        .unix(UnixName::Abstract(b"\x1b\xff".to_vec()), &[1]);
    for text in [facts.text(None), facts.text(Some(70)), facts.json()] {
        let deceives = |c: char| inuse_rules::address::deceives(c) && c != '\n';
        assert!(!text.contains(deceives), "{text:?}");
        assert_eq!(text.lines().count(), if text.starts_with('{') { 5 } else { 4 }, "{text}");
    }
    let value = fits(&facts.json());
    assert_eq!(value["sockets"][0]["owners"][0]["comm"], evil);
    assert_eq!(value["sockets"][0]["owners"][0]["exe_bytes"], "2f62696e2fff");
    assert_eq!(value["sockets"][2]["local_bytes"], "1bff");
}

pub(super) fn every_owner_has_a_word() {
    let check = |owner: Ownership, pid: &str, user: &str, program: &str, code: Option<&str>| {
        let facts = Facts::new().process(1, "app", |_| ());
        let facts =
            facts.socket(Address::tcp("127.0.0.1:1".parse().expect("an address")), State::Listen, owner);
        let text = facts.text(None);
        let row = text.lines().nth(1).expect("a row");
        let words: Vec<&str> = row.split_whitespace().skip(2).collect();
        assert_eq!(words.join(" "), [pid, user, program].join(" "), "{text}");
        let value = fits(&facts.json());
        assert_eq!(value["sockets"][0]["no_owner"].as_str(), code);
    };
    let carriers = || holdings(&[1]);
    check(held(&[1]), "1", "tom", "app", None);
    check(held(&[2]), "2", "root", "(ended)", None);
    check(Ownership::Hidden, "?", "root", "(hidden)", Some("hidden"));
    check(
        Ownership::InFlight { carriers: carriers(), proven: true },
        "1",
        "tom",
        "(in flight: app)",
        Some("in-flight"),
    );
    check(Ownership::IoUring(carriers()), "1", "tom", "(io_uring: app)", Some("io-uring"));
    check(Ownership::Nobody(NoOwner::Kernel), "-", "root", "(kernel)", Some("kernel"));
    check(
        Ownership::Nobody(NoOwner::OtherPidNamespace),
        "-",
        "root",
        "(other pid namespace)",
        Some("other-pid-namespace"),
    );
    check(Ownership::NotAsked, "-", "root", "(not known)", Some("not-asked"));
}

pub(super) fn documents_fit_the_schema() {
    let value = fits(&servers().json());
    assert_eq!(value["schema"], "inuse.ls/1");
    assert_eq!(value["sockets"].as_array().map(Vec::len), Some(8), "sockets are not merged");
    let proxy = &value["sockets"][5];
    assert_eq!((&proxy["address"], &proxy["port"]), (&"tcp/0.0.0.0:8080".into(), &8080.into()));
    assert_eq!(proxy["owners"][0]["publishes"], "172.17.0.2:80");
    assert_eq!(value["sockets"][4]["owners"][0]["runtime"], "docker");
    assert_eq!(fits(&Facts::new().json())["sockets"], serde_json::json!([]));
    for state in State::ALL {
        fits(
            &Facts::new()
                .socket(Address::tcp("127.0.0.1:1".parse().expect("an address")), state, held(&[1]))
                .json(),
        );
    }
}

pub(super) fn what_could_not_be_seen_is_said() {
    let mut facts = Facts::new().process(1, "app", |_| ()).tcp("127.0.0.1:1", &[1]);
    let closing = |facts: &Facts, blind: Vec<BlindSpot>, filter: &Filter| {
        let again = Command::new(["sudo", "inuse", "ls", "--port", "1-2"]);
        ls::closing(&Seen { found: facts.table.clone(), blind }, filter, &again)
    };
    assert_eq!(closing(&facts, vec![], &Filter::default()), [""; 0]);
    let spot = BlindSpot { what: "some".into(), remedy: "ask again".into() };
    assert_eq!(closing(&facts, vec![spot], &Filter::default()), ["not seen: some; ask again"]);
    facts = facts.socket(
        Address::tcp("127.0.0.1:2".parse().expect("an address")),
        State::Listen,
        Ownership::Hidden,
    );
    facts.table.hidden_elsewhere = 3;
    let lines = closing(&facts, vec![], &Filter::default());
    assert!(lines[0].starts_with("1 socket") && lines[0].contains(": owner hidden"), "{lines:?}");
    assert!(lines[1].starts_with("3 sockets") && lines[1].ends_with(" may fit: owner hidden"), "{lines:?}");
    if !rustix::process::geteuid().is_root() {
        assert!(lines[0].ends_with("; to see them: sudo inuse ls --port 1-2"), "{lines:?}");
    }
    assert_eq!(
        closing(&Facts::new(), vec![], &Filter::default()),
        ["nothing listens; --all looks at every socket"]
    );
    let all = Filter { all: true, pids: vec![7], ..Filter::default() };
    assert_eq!(closing(&Facts::new(), vec![], &all), ["nothing fits the filter"]);
}
