//! What the kernel refuses, by its names; sockets that are closed and processes that end between look and set; and
//! that looking takes nothing away.

use crate::agent::{Agent, Language};
use crate::seen;
use inuse_keeper::act::options::{Ending, NotFound, Outcome, Subject, plan, sentence, set};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::{table, words};
use rustix::io::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

const TCP: (i32, i32, i32) = (libc::AF_INET, libc::SOCK_STREAM, 0);

fn tcp(agent: &mut Agent) -> u32 {
    agent.socket(TCP.0, TCP.1, TCP.2)
}

/// Sets an option of one descriptor, as the command does.
fn try_set(agent: &Agent, fd: u32, word: &str) -> Outcome {
    let asked = words::parse(word).expect(word);
    let look = seen(&Subject::Descriptor(agent.pid(), fd), &[asked.spec]).expect("a socket");
    set(&Netns::current(), &look, &plan(&look, &[asked], true))
}

/// The kernel refuses with that error, and the sentence names error, option and socket.
fn refused(outcome: &Outcome, expect: Errno, name: &str, option: &str) {
    match &outcome.deeds[..] {
        [deed] => match &deed.ending {
            Ending::Failed(errno, says) => {
                assert_eq!(*errno, expect, "{says}");
                assert!(says.contains(name) && says.contains(option), "{says}");
                assert!(says.contains(&deed.place), "{says}");
            }
            other => panic!("{option}: {other:?}"),
        },
        other => panic!("{option}: {other:?}"),
    }
}

/// Errors that only wrong bytes and other options bring about, which are never sent from here: the foreign program
/// sends them, and each has its sentence. EISCONN and ENOSR no option of these families gives on Linux.
pub(crate) fn raw() {
    let mut agent = Agent::start(Language::StaticC);
    let (fd, datagrams) = (tcp(&mut agent), agent.socket(libc::AF_INET, libc::SOCK_DGRAM, 0));
    let look = seen(&Subject::Descriptor(agent.pid(), fd), &[]).expect("a socket");
    let traits = look.found[0].traits.clone();
    let known = |result: Result<(), i32>, expect: Errno, name: &str| {
        assert_eq!(result, Err(expect.raw_os_error()), "{name}");
        let says = sentence(expect, table::named("SO_KEEPALIVE").expect("an option"), &traits);
        assert!(says.ends_with(&format!("({name})")) && says.contains("SO_KEEPALIVE"), "{says}");
    };
    let time = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
    let one = 1i32.to_ne_bytes();
    let socket = libc::SOL_SOCKET;
    known(agent.set(fd, socket, libc::SO_RCVTIMEO, &time(1, 5_000_000)), Errno::DOM, "EDOM");
    known(
        agent.tell(&format!("badset {fd} {socket} {}", libc::SO_KEEPALIVE)).map(drop),
        Errno::FAULT,
        "EFAULT",
    );
    known(agent.set(fd, socket, libc::SO_KEEPALIVE, &[1]), Errno::INVAL, "EINVAL");
    known(agent.set(fd, socket, 9999, &one), Errno::NOPROTOOPT, "ENOPROTOOPT");
    known(agent.set(datagrams, libc::SOL_TCP, libc::TCP_NODELAY, &one), Errno::NOPROTOOPT, "ENOPROTOOPT");
    known(agent.set(0, socket, libc::SO_KEEPALIVE, &one), Errno::NOTSOCK, "ENOTSOCK");
    known(agent.set(999, socket, libc::SO_KEEPALIVE, &one), Errno::BADF, "EBADF");
    // More groups than net.ipv4.igmp_max_memberships.
    let mut last = Ok(());
    for group in 1..=64u8 {
        let request = [[224, 1, 1, group], [127, 0, 0, 1]].concat();
        last = agent.set(datagrams, libc::SOL_IP, libc::IP_ADD_MEMBERSHIP, &request);
        if last.is_err() {
            break;
        }
    }
    known(last, Errno::NOBUFS, "ENOBUFS");
    // The memory for options of this namespace (Linux 6.8; before that it is the whole machine's, and hidden here).
    if std::fs::write("/proc/sys/net/core/optmem_max", "1").is_ok() {
        let six = agent.socket(libc::AF_INET6, libc::SOCK_DGRAM, 0);
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 5).octets();
        let request = [&group[..], &1u32.to_ne_bytes()].concat();
        known(agent.set(six, libc::SOL_IPV6, libc::IPV6_ADD_MEMBERSHIP, &request), Errno::NOMEM, "ENOMEM");
    }
    agent.end();
}

/// What takes a capability, asked by an ordinary user of his own program.
pub(crate) fn unprivileged() {
    let mut agent = Agent::start(Language::Python);
    let fd = tcp(&mut agent);
    refused(&try_set(&agent, fd, "SO_MARK=1"), Errno::PERM, "EPERM", "SO_MARK");
    refused(&try_set(&agent, fd, "SO_PRIORITY=7"), Errno::PERM, "EPERM", "SO_PRIORITY");
    refused(&try_set(&agent, fd, "SO_RCVBUFFORCE=1MiB"), Errno::PERM, "EPERM", "SO_RCVBUFFORCE");
    refused(&try_set(&agent, fd, "IP_TRANSPARENT=1"), Errno::PERM, "EPERM", "IP_TRANSPARENT");
    refused(&try_set(&agent, fd, "SO_DEBUG=1"), Errno::ACCESS, "EACCES", "SO_DEBUG");
    assert!(!try_set(&agent, fd, "SO_KEEPALIVE=1").failed(), "what takes no capability is set");
    // Process 1 is root's: its sockets are not for an ordinary user, and it is said what is missing.
    match seen(&Subject::Process(1), &[]) {
        Err(NotFound::Refused { needs, by_root: true }) => {
            assert!(needs.contains("CAP_SYS_PTRACE"), "{needs}")
        }
        other => panic!("{other:?}"),
    }
    agent.end();
}

/// What the state of the socket, or of the machine, does not allow.
pub(crate) fn by_state() {
    let mut agent = Agent::start(Language::Python);
    let six = agent.socket(libc::AF_INET6, libc::SOCK_DGRAM, 0);
    agent.tell(&format!("bind {six} {}", libc::AF_INET6)).expect("a port");
    refused(&try_set(&agent, six, "IPV6_V6ONLY=1"), Errno::INVAL, "EINVAL", "IPV6_V6ONLY");
    let fd = tcp(&mut agent);
    refused(&try_set(&agent, fd, "TCP_CONGESTION=nosuch"), Errno::NOENT, "ENOENT", "TCP_CONGESTION");
    refused(&try_set(&agent, fd, "SO_BINDTODEVICE=nosuch"), Errno::NODEV, "ENODEV", "SO_BINDTODEVICE");
    let unix = agent.socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
    refused(&try_set(&agent, unix, "SO_ZEROCOPY=1"), Errno::OPNOTSUPP, "EOPNOTSUPP", "SO_ZEROCOPY");
    // In order: what came before the failure is in force, what comes after was not tried.
    let asked =
        ["SO_KEEPALIVE=1", "TCP_CONGESTION=nosuch", "TCP_NODELAY=1"].map(|w| words::parse(w).expect(w));
    let look = seen(&Subject::Descriptor(agent.pid(), fd), &[]).expect("a socket");
    let outcome = set(&Netns::current(), &look, &plan(&look, &asked, true));
    assert!(matches!(outcome.deeds[0].ending, Ending::Set { .. }), "{outcome:?}");
    assert_eq!(outcome.deeds[2].ending, Ending::NotTried);
    let int = |bytes: Vec<u8>| i32::from_ne_bytes(bytes[..4].try_into().expect("an int"));
    assert_eq!(agent.get(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE).map(int), Ok(1));
    assert_eq!(agent.get(fd, libc::SOL_TCP, libc::TCP_NODELAY).map(int), Ok(0));
    agent.end();
}

/// The socket is closed after the look, and its number given to another one, which stays as it is.
pub(crate) fn closed_in_between() {
    let mut agent = Agent::start(Language::Python);
    let fd = tcp(&mut agent);
    let asked = [words::parse("SO_KEEPALIVE=1").expect("an option")];
    let look = seen(&Subject::Descriptor(agent.pid(), fd), &[]).expect("a socket");
    agent.tell(&format!("close {fd}")).expect("its own socket");
    let outcome = set(&Netns::current(), &look, &plan(&look, &asked, false));
    assert_eq!(outcome.deeds[0].ending, Ending::Gone);
    assert_eq!(tcp(&mut agent), fd, "the same number");
    let outcome = set(&Netns::current(), &look, &plan(&look, &asked, false));
    assert_eq!(outcome.deeds[0].ending, Ending::Gone);
    let bytes = agent.get(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE).expect("its own socket");
    assert!(bytes.iter().all(|&byte| byte == 0), "the other socket was set");
    agent.end();
}

/// Between every look and its setting the descriptor is given to another socket, a hundred times: none of those that
/// came later is ever set, by descriptor or by address.
pub(crate) fn replaced_in_between() {
    let mut agent = Agent::start(Language::Python);
    let asked = [words::parse("SO_KEEPALIVE=1").expect("an option")];
    let is_set = |agent: &mut Agent, fd: u32| {
        let bytes = agent.get(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE).expect("its own socket");
        bytes.iter().any(|&byte| byte != 0)
    };
    let mut fd = tcp(&mut agent);
    for _ in 0..100 {
        let subject = Subject::Descriptor(agent.pid(), fd);
        let look = seen(&subject, &[asked[0].spec]).expect("a socket");
        agent.tell(&format!("close {fd}")).expect("its own socket");
        let other = tcp(&mut agent);
        assert_eq!(other, fd, "the same number");
        let outcome = set(&Netns::current(), &look, &plan(&look, &asked, false));
        assert!(outcome.deeds.iter().all(|deed| deed.ending == Ending::Gone), "{outcome:?}");
        assert!(!is_set(&mut agent, other), "the other socket was set");
        fd = other;
    }
    // The same where the socket was found by its address.
    let bound = agent.socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
    agent.tell(&format!("bind {bound} {}", libc::AF_INET)).expect("a port");
    let all = seen(&Subject::Descriptor(agent.pid(), bound), &[]).expect("a socket");
    let address = all.found[0].traits.address.clone().expect("an address");
    let by_address = seen(&Subject::Addresses(vec![address]), &[]).expect("a socket");
    agent.tell(&format!("close {bound}")).expect("its own socket");
    let other = agent.socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
    assert_eq!(other, bound, "the same number");
    let outcome = set(&Netns::current(), &by_address, &plan(&by_address, &asked, false));
    assert!(outcome.deeds.iter().all(|deed| deed.ending == Ending::Gone), "{outcome:?}");
    assert!(!is_set(&mut agent, other), "the other socket was set");
    agent.end();
}

pub(crate) fn ended_in_between() {
    let mut agent = Agent::start(Language::Python);
    let fd = tcp(&mut agent);
    let (pid, asked) = (agent.pid(), [words::parse("SO_KEEPALIVE=1").expect("an option")]);
    let look = seen(&Subject::Descriptor(pid, fd), &[]).expect("a socket");
    agent.end();
    let outcome = set(&Netns::current(), &look, &plan(&look, &asked, false));
    assert_eq!(outcome.deeds[0].ending, Ending::Gone);
    assert!(matches!(seen(&Subject::Process(pid), &[]), Err(NotFound::NoProcess(_))));
}

/// An error that waits for a program still waits for it after everything was looked at.
pub(crate) fn nothing_is_taken_away() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(nobody.local_addr().expect("bound")).expect("an address");
    drop(nobody);
    socket.send(b"x").expect("the first is sent");
    seen(&Subject::Process(std::process::id()), &[]).expect("our own sockets");
    let pending = rustix::net::sockopt::socket_error(&socket).expect("our own socket");
    assert_eq!(pending, Err(Errno::CONNREFUSED));
}
