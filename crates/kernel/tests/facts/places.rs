//! Namespaces, settings, interfaces, and which addresses are local: each locality is held against what a
//! real bind() answers.

use crate::stage::{self, Listener, bind_to_device, eventually, ip, set_up};
use crate::{Case, Missing};
use inuse_kernel::locality::{interface_index, interface_name};
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{Error, Netns, NetnsName, SockDiag, elsewhere, locality, sysctls};
use inuse_rules::Transport;
use inuse_rules::snapshot::Locality::{self, *};
use rustix::io::Errno;
use rustix::net::{SocketType, bind};
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener};

pub(crate) const CASES: &[Case] = &[
    ("locality_where_lo_was_never_up", lo_down),
    ("locality_on_loopback", lo_up),
    ("locality_of_ipv4_routes", v4_routes),
    ("locality_of_ipv6_addresses", v6_addresses),
    ("settings_are_those_of_the_namespace", settings),
    ("another_namespace_is_asked_without_moving_there", other_namespace),
    ("what_is_no_namespace_is_said_so", no_namespace),
    ("a_namespace_that_may_not_be_entered_is_said_so", not_entered),
    ("interfaces_have_names_and_numbers", interfaces),
    ("listeners_elsewhere_are_found", listeners_elsewhere),
];

/// What bind() answers to that address, with the interface as its scope where it is link-local, else as
/// the bound device.
fn bind_answer(ip: IpAddr, interface: u32) -> Result<(), Errno> {
    let scoped = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_multicast());
    let address: SocketAddr = match ip {
        IpAddr::V6(v6) if scoped => SocketAddrV6::new(v6, 0, 0, interface).into(),
        _ => SocketAddr::new(ip, 0),
    };
    let socket = stage::socket(SocketType::DGRAM, address);
    if interface != 0 && !scoped {
        bind_to_device(&socket, &interface_name(&Netns::current(), interface).unwrap().unwrap());
    }
    bind(&socket, &address)
}

#[track_caller]
fn check(ip: &str, interface: u32, expect: Locality) {
    let address = ip.parse().unwrap();
    assert_eq!(locality(&Netns::current(), address, interface).unwrap(), expect, "{ip}%{interface}");
    let answer = match expect {
        Local => Ok(()),
        NotLocal | Tentative | DadFailed => Err(Errno::ADDRNOTAVAIL),
        NeedsScope => Err(Errno::INVAL),
        NoDevice => Err(Errno::NODEV),
    };
    assert_eq!(bind_answer(address, interface), answer, "bind {ip}%{interface}");
}

/// Addresses that are what they are whatever the interfaces.
fn check_constants() {
    check("0.0.0.0", 0, Local);
    check("::", 0, Local);
    check("::ffff:0.0.0.0", 0, Local);
    check("255.255.255.255", 0, Local);
    check("224.0.0.1", 0, Local);
    check("239.1.2.3", 0, Local);
    check("ff05::1", 0, Local);
    check("ff0e::1", 0, Local);
    check("ff01::1", 0, NeedsScope);
    check("ff02::1", 0, NeedsScope);
    check("fe80::1", 0, NeedsScope);
    check("ff02::1", 1, Local);
    check("ff02::1", 77, NoDevice);
    check("fe80::1", 77, NoDevice);
    check("fe80::1", 1, NotLocal);
    check("::10.0.0.1", 0, NotLocal);
    check("2001:db8::1", 0, NotLocal);
}

fn lo_down() -> Result<(), Missing> {
    stage::enter_fresh_netns()?;
    check_constants();
    check("::1", 0, NotLocal);
    // Without a local table every IPv4 address passes for a broadcast.
    for ip in ["127.0.0.1", "127.1.2.3", "::ffff:127.0.0.1", "10.0.0.1", "0.1.2.3"] {
        check(ip, 0, Local);
    }
    // Any other interface makes the table; 127.0.0.1 is then on none.
    veth()?;
    ip("address add 10.1.0.1/24 dev one")?;
    for ip in ["127.0.0.1", "127.1.2.3", "::ffff:127.0.0.1", "10.0.0.1", "0.1.2.3"] {
        check(ip, 0, NotLocal);
    }
    check("10.1.0.1", 0, Local);
    Ok(())
}

fn lo_up() -> Result<(), Missing> {
    check_constants();
    for ip in ["0.1.2.3", "10.0.0.1", "240.0.0.1", "::ffff:10.0.0.1"] {
        check(ip, 0, NotLocal);
    }
    check("127.0.0.1", 0, Local);
    check("127.1.2.3", 0, Local);
    check("127.255.255.255", 0, Local);
    check("::ffff:127.0.0.1", 0, Local);
    check("::1", 0, Local);
    check("::1", 1, Local);
    check("127.0.0.1", 1, Local);
    check("127.0.0.1", 0, Local);
    assert_eq!(locality(&Netns::current(), "127.0.0.1".parse().unwrap(), 77).unwrap(), NoDevice);
    ip("link set lo down")?;
    check("127.0.0.1", 0, bind_as_seen("127.0.0.1"));
    check("::1", 0, NotLocal);
    Ok(())
}

/// Where kernels differ, bind() itself says what is expected.
fn bind_as_seen(ip: &str) -> Locality {
    if bind_answer(ip.parse().unwrap(), 0).is_ok() { Local } else { NotLocal }
}

/// A pair of interfaces, and the index of the first.
fn veth() -> Result<u32, Missing> {
    ip("link add one type veth peer name two")?;
    Ok(interface_index(&Netns::current(), "one").unwrap().unwrap())
}

fn v4_routes() -> Result<(), Missing> {
    let one = veth()?;
    ip("address add 10.1.0.1/24 broadcast 10.1.0.255 dev one")?;
    check("10.1.0.1", 0, Local);
    set_up("one");
    set_up("two");
    check("10.1.0.1", 0, Local);
    check("10.1.0.1", one, Local);
    check("10.1.0.1", 1, Local);
    check("::ffff:10.1.0.1", 0, Local);
    check("10.1.0.255", 0, Local);
    check("10.1.0.2", 0, NotLocal);
    check("10.1.0.0", 0, bind_as_seen("10.1.0.0"));
    ip("route add local 10.9.0.0/16 dev lo")?;
    check("10.9.8.7", 0, Local);
    // A more specific route that is not local hides it, as long as the tables share one tree.
    ip("route add 10.9.5.0/24 dev one")?;
    check("10.9.5.1", 0, bind_as_seen("10.9.5.1"));
    ip("rule add from 10.0.0.0/8 lookup main priority 5")?;
    check("10.9.5.1", 0, bind_as_seen("10.9.5.1"));
    ip("route add unreachable 10.8.0.1 table local")?;
    check("10.8.0.1", 0, NotLocal);
    ip("link set one down")?;
    check("10.1.0.1", 0, bind_as_seen("10.1.0.1"));
    Ok(())
}

fn v6_addresses() -> Result<(), Missing> {
    let one = veth()?;
    let lo = 1;
    ip("address add 2001:db8::d/64 dev one nodad")?;
    check("2001:db8::d", 0, Local);
    fs::write("/proc/sys/net/ipv6/conf/one/optimistic_dad", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/one/use_optimistic", "1").unwrap();
    set_up("one");
    set_up("two");
    ip("address add 2001:db8::1/64 dev one nodad")?;
    ip("address add fe80::77/64 dev one nodad")?;
    ip("address add 2001:db8::3 peer 2001:db8::4 dev one nodad")?;
    check("2001:db8::1", 0, Local);
    check("2001:db8::1", one, Local);
    check("2001:db8::1", lo, Local);
    check("2001:db8::3", 0, Local);
    check("2001:db8::4", 0, NotLocal);
    check("fe80::77", one, Local);
    check("fe80::77", lo, NotLocal);
    check("fe80::77", 0, NeedsScope);
    check("::1", one, NotLocal);
    check("::1", lo, Local);

    ip("address add 2001:db8::5/64 dev one optimistic")?;
    check("2001:db8::5", 0, Local);
    ip("address add 2001:db8::2/64 dev one")?;
    check("2001:db8::2", 0, Tentative);
    ip("address add 2001:db8::6/64 dev two nodad")?;
    ip("address add 2001:db8::6/64 dev one")?;
    check("2001:db8::6", 0, Local);
    let flags = || ip("-6 address show dev one to 2001:db8::6").unwrap_or_default();
    let flags = eventually(flags, |flags| flags.contains("dadfailed"));
    assert!(flags.contains("dadfailed"), "{flags}");
    ip("address delete 2001:db8::6/64 dev two")?;
    check("2001:db8::6", 0, DadFailed);
    let settled = || locality(&Netns::current(), "2001:db8::2".parse().unwrap(), 0).unwrap();
    assert_eq!(eventually(settled, |locality| *locality == Local), Local);
    check("2001:db8::2", 0, Local);
    Ok(())
}

fn settings() -> Result<(), Missing> {
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
    set("ipv4/ip_unprivileged_port_start", "80");
    set("ipv4/ip_local_port_range", "40000 40010");
    set("ipv4/ip_local_reserved_ports", "8080,9148-9150");
    set("ipv4/tcp_fin_timeout", "7");
    set("ipv4/ip_nonlocal_bind", "1");
    let check = |netns: &Netns| {
        let seen = sysctls(netns).unwrap();
        assert_eq!(seen.blind, []);
        let found = seen.found;
        assert_eq!(found.unprivileged_port_start, Some(80));
        assert_eq!(found.local_port_range, Some((40000, 40010)));
        assert_eq!(found.reserved_ports, Some(vec![(8080, 8080), (9148, 9150)]));
        assert_eq!(found.tcp_fin_timeout, Some(7));
        assert_eq!((found.nonlocal_bind_v4, found.nonlocal_bind_v6), (Some(true), Some(false)));
        assert_eq!((found.tcp_rfc1337, found.bindv6only), (Some(false), Some(false)));
        assert!(found.autobind_reuse.is_some() && found.tcp_tw_reuse.is_some());
    };
    check(&Netns::current());
    let other = fs::File::open("/proc/thread-self/ns/net").unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&other));
    stage::enter_fresh_netns()?;
    check(&Netns::open(&NetnsName::Path(path.into())).unwrap());
    assert_ne!(sysctls(&Netns::current()).unwrap().found.unprivileged_port_start, Some(80));
    Ok(())
}

fn other_namespace() -> Result<(), Missing> {
    let listener = Listener::start(8080);
    let there = Netns::current().inode();
    stage::enter_fresh_netns()?;
    let here = Netns::current().inode();
    assert_ne!(here, there);
    let query = InetQuery::listeners(Transport::Tcp, 8080);
    let count = |netns: &Netns| SockDiag::open(netns).unwrap().inet_rows(&query).unwrap().found.sockets.len();
    assert_eq!(count(&Netns::current()), 0);
    let pid = NetnsName::new(OsStr::new(&listener.pid().to_string()));
    assert_eq!(pid, NetnsName::Pid(listener.pid()));
    let path = NetnsName::new(OsStr::new(&format!("/proc/{}/ns/net", listener.pid())));
    for name in [pid, path] {
        let netns = Netns::open(&name).unwrap();
        assert_eq!((netns.inode(), netns.is_current()), (there, false));
        assert_eq!(count(&netns), 1);
        assert_eq!(locality(&netns, "::1".parse().unwrap(), 0).unwrap(), Local);
        assert_eq!(locality(&Netns::current(), "::1".parse().unwrap(), 0).unwrap(), NotLocal);
    }
    assert_eq!(Netns::current().inode(), here, "the asking thread stays where it was");
    let own = Netns::open(&NetnsName::Path("/proc/thread-self/ns/net".into())).unwrap();
    assert!(own.is_current());
    Ok(())
}

fn no_namespace() -> Result<(), Missing> {
    let check = |name: &str, expect: &str| {
        let error = Netns::open(&NetnsName::new(OsStr::new(name))).unwrap_err();
        assert!(error.to_string().contains(expect), "{name}: {error}");
    };
    check("no-such-namespace", "cannot open the network namespace no-such-namespace: there is none");
    check("/dev/null", "this is no namespace file");
    check("/proc/self/ns/uts", "this is a namespace of another kind");
    check("/proc/self/stat", "this is no namespace file");
    check("4294967295", "there is none");
    check("a\u{1b}b", "a\\u{1b}b");
    let error = Netns::open(&NetnsName::Pid(u32::MAX)).unwrap_err();
    assert!(matches!(error, Error::NotThere { .. }), "{error:?}");
    Ok(())
}

fn not_entered() -> Result<(), Missing> {
    let listener = Listener::start(8080);
    stage::enter_fresh_netns()?;
    // Opened with all rights, used without any.
    let file = fs::File::open(format!("/proc/{}/ns/net", listener.pid())).unwrap();
    let path = format!("/proc/thread-self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    stage::give_up_capabilities();
    let error = Netns::open(&NetnsName::Path(path.into())).unwrap_err();
    assert!(matches!(&error, Error::Denied { needs, .. } if needs == "CAP_SYS_ADMIN"), "{error:?}");
    assert!(error.blind_spot().remedy.contains("root"), "{error:?}");

    let seen = elsewhere(&Netns::current(), Transport::Tcp, 8080, 1024);
    assert!(seen.found.is_empty() && !seen.blind.is_empty(), "{seen:?}");

    // What is asked of the caller's own namespace needs no right at all.
    let own = Netns::current();
    SockDiag::open(&own).unwrap().inet_rows(&InetQuery::port(Transport::Tcp, 8080)).unwrap();
    assert_eq!(locality(&own, "::1".parse().unwrap(), 0).unwrap(), NotLocal);
    assert_eq!(sysctls(&own).unwrap().blind, []);
    Ok(())
}

fn interfaces() -> Result<(), Missing> {
    let netns = Netns::current();
    assert_eq!(interface_index(&netns, "lo").unwrap(), Some(1));
    assert_eq!(interface_name(&netns, 1).unwrap().as_deref(), Some("lo"));
    assert_eq!(interface_name(&netns, 77).unwrap(), None);
    for name in ["eth77", "", "a-name-longer-than-any-interface", "a\0b"] {
        assert_eq!(interface_index(&netns, name).unwrap(), None, "{name:?}");
    }
    Ok(())
}

fn listeners_elsewhere() -> Result<(), Missing> {
    let listener = Listener::start(8080);
    let there = Netns::current().inode().unwrap();
    stage::enter_fresh_netns()?;
    set_up("lo");
    let _own = TcpListener::bind("127.0.0.1:8080").unwrap();
    let found = elsewhere(&Netns::current(), Transport::Tcp, 8080, 1024).found;
    let found: Vec<_> = found.iter().filter(|each| each.netns == there).collect();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.socket.address.port(), Some(8080));
    assert_eq!(one.pid, listener.pid());
    let own = Netns::current().inode().unwrap();
    assert!(elsewhere(&Netns::current(), Transport::Tcp, 8080, 1024).found.iter().all(|e| e.netns != own));

    let none = elsewhere(&Netns::current(), Transport::Tcp, 8080, 0);
    assert!(none.found.is_empty() && !none.blind.is_empty(), "{none:?}");
    Ok(())
}
