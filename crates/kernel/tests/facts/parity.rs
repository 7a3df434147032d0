//! Two roads to a fact must agree: sock_diag, and the files in /proc/net.

use crate::stage::{bound, eventually, listening};
use crate::{Case, Missing};
use inuse_kernel::sockdiag::{InetQuery, States};
use inuse_kernel::{Netns, SockDiag};
use inuse_rules::{Address, State, Transport, UnixName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

pub(crate) const CASES: &[Case] = &[
    ("tcp_rows_equal_proc_net_tcp", tcp),
    ("udp_rows_equal_proc_net_udp", udp),
    ("unix_rows_equal_proc_net_unix", unix),
];

/// Local end, remote end, state number, inode.
type Row = (SocketAddr, SocketAddr, u8, u64);

fn tcp() -> Result<(), Missing> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let v4 = listening(address("127.0.0.1:8080"), false, 8);
    let v6 = listening(address("[::]:8080"), true, 8);
    let _mapped = listening(address("[::ffff:127.0.0.1]:8081"), false, 8);
    let _bound = bound(address("127.0.0.1:8082"), false);
    let _waiting = TcpStream::connect("127.0.0.1:8080").unwrap();
    let _waiting6 = TcpStream::connect("[::1]:8080").unwrap();
    let client = TcpStream::connect("127.0.0.1:8080").unwrap();
    v4.accept().unwrap();
    let time_wait = v6.accept().unwrap();
    drop(time_wait);
    drop(client);
    agree(Transport::Tcp, &["tcp", "tcp6"]);
    Ok(())
}

fn udp() -> Result<(), Missing> {
    let _v4 = UdpSocket::bind("0.0.0.0:53").unwrap();
    let _v6 = UdpSocket::bind("[::1]:53").unwrap();
    let connected = UdpSocket::bind("127.0.0.1:54").unwrap();
    connected.connect("127.0.0.1:53").unwrap();
    agree(Transport::Udp, &["udp", "udp6"]);
    Ok(())
}

#[track_caller]
fn agree(transport: Transport, files: &[&str]) {
    // A connection may move on between the two looks.
    let both = || {
        let proc: Vec<Row> =
            sorted(files.iter().flat_map(|file| proc_net(file).into_iter().map(|line| inet_line(&line))));
        (sorted(diag(transport)), proc)
    };
    let (diag, proc) = eventually(both, |(diag, proc)| diag == proc);
    assert_eq!(diag, proc);
    assert!(diag.len() >= 3, "{diag:?}");
}

fn diag(transport: Transport) -> Vec<Row> {
    let seen =
        SockDiag::open(&Netns::current()).unwrap().inet_rows(&InetQuery::everything(transport)).unwrap();
    let rows = seen.found.sockets.into_iter().filter(|row| row.state != State::Bound);
    rows.map(|row| {
        let (_, local, _) = row.inet().unwrap();
        let nowhere: IpAddr =
            if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        (local, row.remote.unwrap_or(SocketAddr::new(nowhere, 0)), state_number(row.state), row.inode)
    })
    .collect()
}

fn state_number(state: State) -> u8 {
    let place = State::ALL.iter().position(|each| *each == state).unwrap();
    u8::try_from(place + 1).unwrap()
}

/// The lines of a file in /proc/net without the first; of this thread's namespace.
fn proc_net(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn inet_line(line: &str) -> Row {
    let words: Vec<_> = line.split_whitespace().collect();
    let state = u8::from_str_radix(words[3], 16).unwrap();
    (address(words[1]), address(words[2]), state, words[9].parse().unwrap())
}

/// `0100007F:1F90`: each 32 bits of the address as a number of the host, the port as a number.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let bytes: Vec<u8> = (0..ip.len())
        .step_by(8)
        .flat_map(|at| u32::from_str_radix(&ip[at..at + 8], 16).unwrap().to_ne_bytes())
        .collect();
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).unwrap().into(),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

fn unix() -> Result<(), Missing> {
    let directory = crate::scratch::scratch_root().join(format!("inuse-parity-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("stream");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let _accepted = listener.accept().unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let _unnamed = UnixDatagram::unbound().unwrap();
    let seen = SockDiag::open(&Netns::current()).unwrap().unix_rows(States::ALL).unwrap();
    let diag = seen.found.into_iter().map(|row| {
        let Address::Unix { name, .. } = row.socket.address else { panic!() };
        let name = match name {
            UnixName::Path(path) => String::from_utf8(path).unwrap(),
            UnixName::Abstract(name) => format!("@{}", String::from_utf8(name).unwrap()),
            UnixName::Unnamed => String::new(),
        };
        (row.socket.inode, name)
    });
    let proc = proc_net("unix").into_iter().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[6].parse::<u64>().unwrap(), words.get(7).copied().unwrap_or_default().to_owned())
    });
    // sock_diag leaves out what has no inode: connections that wait to be accepted.
    let proc = proc.filter(|(inode, _)| *inode != 0);
    let (diag, proc) = (sorted(diag), sorted(proc));
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(diag, proc);
    assert_eq!(diag.len(), 5, "{diag:?}");
    Ok(())
}

fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort();
    rows
}
