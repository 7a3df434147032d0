//! `inuse opts` as people and programs call it: the words, what is refused, the exit code, the JSON.
//!
//! That every option is read and set as the owner itself sees it is tested on a stage, in the lab.

#[path = "../common/pty.rs"]
mod pty;
#[path = "../common/ran.rs"]
mod ran;
mod terminal;

use ran::Ran;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

fn inuse(arguments: &[&str]) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_inuse")).args(arguments))
}

/// A program that has a socket as its standard input.
struct Holder {
    child: Child,
    address: String,
}

impl Holder {
    fn of(socket: impl Into<OwnedFd>, address: String) -> Holder {
        let child = Command::new("sleep").arg("1000").stdin(socket.into()).spawn().expect("sleep");
        Holder { child, address }
    }

    fn tcp() -> Holder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        Holder::of(listener, address)
    }

    fn udp() -> Holder {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = format!("udp/{}", socket.local_addr().expect("bound"));
        Holder::of(socket, address)
    }

    fn pid(&self) -> String {
        format!("pid:{}", self.child.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A document that fits the schema.
fn document(text: &str) -> Value {
    let path = format!("{}/../../docs/schema/inuse.opts-1.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("JSON");
    let document: Value = serde_json::from_str(text).expect(text);
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    document
}

/// What one option of the holder's socket is, as JSON.
fn option(target: &str, name: &str) -> Value {
    let ran = inuse(&["opts", "--json", target, name]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    document(&ran.stdout)["sockets"][0]["options"][0].clone()
}

#[test]
fn options_are_shown_with_what_the_program_changed() {
    let holder = Holder::tcp();
    for target in [holder.address.clone(), holder.pid(), format!("{}/fd:0", holder.pid())] {
        let ran = inuse(&["opts", &target]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{target}");
        assert!(ran.stdout.contains("Changed, compared with a new socket:\n"), "{}", ran.stdout);
        let row = |ran: &Ran| -> Vec<String> {
            let line = ran.stdout.lines().find(|line| line.starts_with("  SO_REUSEADDR ")).expect("a row");
            line.split_whitespace().take(4).map(str::to_owned).collect()
        };
        assert_eq!(row(&ran), ["SO_REUSEADDR", "on", "off", "Lets"]);
        assert!(ran.stdout.lines().count() < 10, "{}", ran.stdout);
        assert!(ran.stdout.contains(" as in a new socket"), "{}", ran.stdout);
        let all = inuse(&["opts", "-v", &target]);
        assert!(
            all.stdout.contains("Changed, compared with a new socket: SO_REUSEADDR on."),
            "{}",
            all.stdout
        );
        assert_eq!(row(&all), ["SO_REUSEADDR", "on", "off", "changed"]);
        assert!(all.stdout.lines().any(|line| line.starts_with("  SO_KEEPALIVE ")), "{}", all.stdout);
    }
    let value = option(&holder.address, "SO_REUSEADDR");
    assert_eq!((&value["value"], &value["changed"]), (&"on".into(), &"yes".into()));
    let whole = document(&inuse(&["opts", "--json", &holder.pid()]).stdout);
    assert_eq!(whole["in_full"], true);
    assert_eq!(whole["sockets"][0]["holders"][0]["fds"], serde_json::json!([0]));
}

/// A listener without SO_REUSEADDR, as a plain C program makes it: `why` offers the mend, the command that it prints is
/// typed, and after that there is nothing left to offer.
#[test]
fn why_offers_what_mends_a_healthy_listener() {
    // The test itself listens: a program that only got the socket as its input would be told to end.
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    listen(&socket, 8).expect("to listen");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("bound");
    let cure = format!("inuse opts tcp/{address} SO_REUSEADDR=1");
    let asked = [address.to_string(), address.port().to_string(), format!("0.0.0.0:{}", address.port())];
    for words in &asked {
        let ran = inuse(&["why", words]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stdout.contains("it was made without SO_REUSEADDR"), "{words}: {}", ran.stdout);
        assert!(ran.stdout.lines().any(|line| line.trim() == cure), "{words}: {}", ran.stdout);
    }
    let words: Vec<&str> = cure.split(' ').skip(1).chain(["--yes"]).collect();
    let ran = inuse(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("SO_REUSEADDR: off → on on tcp/127.0.0.1:"), "{}", ran.stdout);
    for words in &asked {
        let ran = inuse(&["why", words]);
        // A command to type; a child of another test may have the listener for a moment, and is called so too.
        let is_typed = |line: &str| line.trim().starts_with("inuse opts");
        assert!(!ran.stdout.lines().any(is_typed), "{words}: {}", ran.stdout);
    }
}

#[test]
fn many_sockets_are_told_in_groups() {
    // Our own, since no other program is given so many; other tests of this process have theirs beside them.
    let _many: Vec<UdpSocket> =
        (0..300).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")).collect();
    let me = format!("pid:{}", std::process::id());
    let ran = inuse(&["opts", &me]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.lines().count() < 60, "{}", ran.stdout);
    let line = ran.stdout.lines().find(|line| line.contains("udp (IPv4) UNCONN sockets: ")).expect("a group");
    let count: usize = line.split_whitespace().next().expect("a word").parse().expect("a number");
    assert!(count >= 300 && ran.stdout.contains(&format!("and {} more", count - 3)), "{}", ran.stdout);
    // In full it is written socket by socket; that the pieces make one document shows in JSON.
    let all = inuse(&["opts", "--all", &me]).stdout;
    assert!(all.lines().filter(|line| line.starts_with("  SO_REUSEADDR ")).count() >= 300);
    let all = document(&inuse(&["opts", "--all", "--json", &me]).stdout);
    assert_eq!(all["in_full"], true);
    assert!(all["sockets"].as_array().expect("sockets").len() >= 300);
    let whole = document(&inuse(&["opts", "--json", &me]).stdout);
    assert_eq!(whole["in_full"], false);
    assert!(whole["sockets"].as_array().expect("sockets").len() >= 300);
}

#[test]
fn nothing_is_set_without_an_agreement() {
    let holder = Holder::tcp();
    let ran = inuse(&["opts", &holder.address, "SO_KEEPALIVE=1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("1. SO_KEEPALIVE: off → on on tcp/127.0.0.1:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("'--yes' agrees to this plan"), "{}", ran.stderr);
    assert_eq!(option(&holder.address, "SO_KEEPALIVE")["value"], "off");

    let ran = inuse(&["opts", "--yes", &holder.address, "SO_KEEPALIVE=1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("SO_KEEPALIVE: off → on on tcp/127.0.0.1:"), "{}", ran.stdout);
    assert_eq!(option(&holder.address, "SO_KEEPALIVE")["value"], "on");
}

#[test]
fn what_the_kernel_makes_of_a_value_is_told() {
    let holder = Holder::udp();
    let ran = inuse(&["opts", "--yes", "--json", &holder.address, "SO_RCVBUF=32KiB", "SO_SNDBUF=1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let done = document(&ran.stdout)["done"].clone();
    assert_eq!((&done[0]["asked"], &done[0]["after"]), (&"32768 bytes".into(), &"65536 bytes".into()));
    assert!(done[0]["says"].as_str().expect("a remark").contains("doubles"), "{done}");
    assert!(done[1]["says"].as_str().expect("a remark").contains("raised"), "{done}");
    let ran = inuse(&["opts", "--yes", &holder.address, "SO_RCVBUF=2000MiB"]);
    assert!(ran.stdout.contains("the kernel cut it"), "{}", ran.stdout);
}

#[test]
fn what_could_break_a_live_socket_needs_force() {
    let holder = Holder::tcp();
    let ran = inuse(&["opts", "--yes", &holder.address, "SO_KEEPALIVE=1", "SO_LINGER=0s"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("SO_LINGER=0 s could break a live socket"), "{}", ran.stderr);
    assert_eq!(option(&holder.address, "SO_KEEPALIVE")["value"], "off", "nothing was set");
    let ran = inuse(&["opts", "--yes", "--force", &holder.address, "SO_LINGER=0s"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(option(&holder.address, "SO_LINGER")["value"], "0 s");
}

#[test]
fn after_a_failure_nothing_more_is_tried() {
    let holder = Holder::tcp();
    // A congestion control of that name is not there, which only the kernel can know.
    let words = ["SO_KEEPALIVE=1", "TCP_CONGESTION=nosuch", "TCP_NODELAY=1"];
    let ran = inuse(&[&["opts", "--yes", "--json", &holder.address], &words[..]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let done = document(&ran.stdout)["done"].clone();
    let outcomes: Vec<&str> =
        done.as_array().expect("steps").iter().filter_map(|deed| deed["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["set", "failed", "not-tried"]);
    assert!(done[1]["says"].as_str().expect("why").contains("(ENOENT)"), "{done}");
    assert_eq!(option(&holder.address, "SO_KEEPALIVE")["value"], "on");
    assert_eq!(option(&holder.address, "TCP_NODELAY")["value"], "off");
    let ran = inuse(&[&["opts", "--yes", &holder.address], &words[..]].concat());
    assert!(ran.stdout.contains("In force: 1. After the failure 1 more were not tried."), "{}", ran.stdout);
}

#[test]
fn wrong_words_do_nothing_and_are_told_in_a_line() {
    let (tcp, udp) = (Holder::tcp(), Holder::udp());
    let file = Holder::of(std::fs::File::open("/dev/null").expect("it is there"), String::new());
    let (file0, file9) = (format!("{}/fd:0", file.pid()), format!("{}/fd:999", file.pid()));
    let table: &[(&[&str], &str)] = &[
        (&[], "no target is given"),
        (&["pid:0"], "this is no process id"),
        (&["pid:abc"], "this is no process id"),
        (&["pid:"], "this is no process id"),
        (&["pid:-1"], "this is no process id"),
        (&["pid:99999999999"], "this is no process id"),
        (&["pid:2147483647"], "there is no process 2147483647"),
        (&["pid:1/3"], "this is no descriptor"),
        (&["pid:1/fd:x"], "this is no descriptor"),
        (&[&file0], "is no socket (ENOTSOCK)"),
        (&[&file9], "has no descriptor 999 (EBADF)"),
        (&["99999"], "99999"),
        (&["0"], "'0': port 0 is no port, the kernel chooses a free one at bind()"),
        (&["udp/0", "SO_KEEPALIVE=1"], "port 0 is no port"),
        (&[&tcp.address, "SO_REUSEADR=1"], "did you mean SO_REUSEADDR (level SOL_SOCKET)?"),
        (&[&tcp.address, "SO_NODELAY=1"], "did you mean TCP_NODELAY (level SOL_TCP)?"),
        (&[&tcp.address, "TCP_V6ONLY"], "did you mean IPV6_V6ONLY (level SOL_IPV6)?"),
        (&[&tcp.address, "NONSENSE=1"], "'inuse opts --list' names all of them"),
        (&[&tcp.address, "SO_REUSEADDR=maybe"], "write on or off"),
        (&[&tcp.address, "SO_TYPE=stream"], "nobody can set it"),
        (&[&tcp.address, "UDP_CORK=1"], "UDP_CORK is an option of udp sockets, level SOL_UDP"),
        (&[&tcp.address, "IPV6_V6ONLY=1"], "over IPv6, level SOL_IPV6; this is a tcp (IPv4) socket"),
        (&[&udp.address, "TCP_NODELAY=1"], "this is a udp (IPv4) socket (ENOPROTOOPT)"),
        (&[&udp.address, "TCP_NODELAY"], "this is a udp (IPv4) socket (ENOPROTOOPT)"),
        (&[&tcp.address, "SO_KEEPALIVE", "SO_REUSEADDR=1"], "either show options or set them"),
        (&["--list", "SO_REUSEADR"], "did you mean SO_REUSEADDR"),
    ];
    for (words, expect) in table {
        let yes = (!words.contains(&"--list")).then_some("--yes");
        let words: Vec<&str> = ["opts"].into_iter().chain(yes).chain(words.iter().copied()).collect();
        let ran = inuse(&words);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expect), "{words:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{words:?}: {}", ran.stderr);
    }
    // Every wrong word is told at once, and none of the right ones is set.
    let ran = inuse(&["opts", "--yes", &tcp.address, "SO_KEEPALIVE=1", "SO_RCVBUF=64K", "IP_TTL=0"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 2), "{}", ran.stderr);
    assert_eq!(option(&tcp.address, "SO_KEEPALIVE")["value"], "off");
}

#[test]
fn an_address_that_nobody_has_is_not_found() {
    let holder = Holder::tcp();
    let address = holder.address.clone();
    drop(holder);
    let ran = inuse(&["opts", &address]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("no process has a socket on"), "{}", ran.stderr);
    let ran = inuse(&["opts", "--json", &address]);
    assert_eq!((ran.code, &document(&ran.stdout)["sockets"]), (Some(1), &serde_json::json!([])));
}

#[test]
fn every_option_has_its_page() {
    let all = document(&inuse(&["opts", "--list", "--json"]).stdout);
    let all = all["list"].as_array().expect("options");
    assert!(all.len() > 150, "{}", all.len());
    let table = inuse(&["opts", "--list"]).stdout;
    for spec in all {
        let name = spec["name"].as_str().expect("a name");
        assert!(table.lines().any(|line| line.trim_start().starts_with(name)), "{name}");
    }
    let page = inuse(&["opts", "--list", "so_linger"]).stdout;
    for word in ["SO_LINGER\n", "SOL_SOCKET (1), option 13", "struct linger", "with --force: with 0 seconds"]
    {
        assert!(page.contains(word), "{page}");
    }
}
