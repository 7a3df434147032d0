//! The sockets of a stage as sock_diag tells them, each with the actors that have it open.
//!
//! Unlike `rows`, this is the road that the command itself takes: it sees a socket that is bound and does not
//! listen (Linux 6.8), timers, and unix sockets. Not here: what any of it means.

use inuse_kernel::sockdiag::{InetQuery, States};
use inuse_kernel::{Netns, SockDiag};
use inuse_rules::socket::State;
use inuse_rules::{Address, Socket, Transport, UnixName};
use rustix::process::Pid;
use std::collections::HashMap;
use std::io;

/// The most that is told.
const MOST: usize = 100;

/// One end of a connection, a listener, or what is left of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its local address as the command writes it: `tcp/127.0.0.1:8080`.
    pub local: String,
    /// The other end, if it is connected.
    pub remote: Option<String>,
    /// Its state.
    pub state: State,
    /// Bytes that the program has not read; for a listener, connections that it has not accepted.
    pub recv_q: u32,
    /// Bytes that the other side has not acknowledged; for a listener, its backlog.
    pub send_q: u32,
    /// Milliseconds left on its timer.
    pub timer_ms: Option<u32>,
    /// Inode of the socket, 0 when no process can have it open.
    pub inode: u64,
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// The actors that have it open, in the order of their birth.
    pub held_by: Vec<String>,
}

/// Every socket with a name in the calling process's network namespace, or only those of some ports.
pub(super) fn read(actors: &[(&str, Pid)], ports: &[u16]) -> io::Result<Vec<End>> {
    let mut diag = SockDiag::open(&Netns::current()).map_err(io::Error::other)?;
    let mut sockets: Vec<Socket> = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        let rows = diag.inet_rows(&InetQuery::everything(transport));
        sockets.extend(rows.map_err(io::Error::other)?.found.sockets);
    }
    if ports.is_empty() {
        // A kernel may lack unix_diag, and most scenes need none.
        let unix = diag.unix_rows(States::ALL).map(|seen| seen.found).unwrap_or_default();
        let named = |socket: &Socket| matches!(&socket.address, Address::Unix { name, .. } if *name != UnixName::Unnamed);
        sockets.extend(unix.into_iter().map(|row| row.socket).filter(named));
    }
    sockets.retain(|socket| {
        let of = |port: Option<u16>| port.is_some_and(|port| ports.contains(&port));
        ports.is_empty() || of(socket.address.port()) || of(socket.remote.map(|remote| remote.port()))
    });
    let holders = holders(actors);
    let mut ends: Vec<End> = sockets.into_iter().take(MOST).map(|socket| end(&socket, &holders)).collect();
    // Not in the order of the kernel's hash table, which is another one each time.
    ends.sort_by(|a, b| (&a.local, &a.remote, a.cookie).cmp(&(&b.local, &b.remote, b.cookie)));
    Ok(ends)
}

fn end(socket: &Socket, holders: &HashMap<u64, Vec<String>>) -> End {
    End {
        local: socket.address.to_string(),
        remote: socket.remote.map(|remote| remote.to_string()),
        state: socket.state,
        recv_q: socket.recv_q,
        send_q: socket.send_q,
        timer_ms: socket.timer.map(|timer| timer.left_ms),
        inode: socket.inode,
        cookie: socket.cookie,
        held_by: holders.get(&socket.inode).cloned().unwrap_or_default(),
    }
}

/// Inodes of sockets, and the actors whose tables of open files show them.
fn holders(actors: &[(&str, Pid)]) -> HashMap<u64, Vec<String>> {
    let mut holders: HashMap<u64, Vec<String>> = HashMap::new();
    for (name, pid) in actors {
        // One that has ended meanwhile has no table.
        let files = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).into_iter().flatten();
        for file in files.flatten() {
            let Ok(link) = std::fs::read_link(file.path()) else { continue };
            let link = link.to_string_lossy();
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
            let Some(inode) = inode else { continue };
            let names = holders.entry(inode).or_default();
            if !names.iter().any(|known| known == name) {
                names.push((*name).to_owned());
            }
        }
    }
    holders
}

/// An end as a word of a message. A unix socket's name, which may hold anything but line feeds once it is
/// written as an address, stands last.
pub(super) fn to_word(end: &End) -> String {
    let End { local, remote, state, recv_q, send_q, timer_ms, inode, cookie, held_by } = end;
    let timer = timer_ms.map_or("-".to_owned(), |ms| ms.to_string());
    let (remote, state, held_by) = (remote.as_deref().unwrap_or("-"), state.name(), held_by.join(","));
    format!("{remote}\n{state}\n{recv_q}\n{send_q}\n{timer}\n{inode}\n{cookie}\n{held_by}\n{local}")
}

/// The end that such a word is.
pub(super) fn from_word(word: &str) -> Option<End> {
    let mut fields = word.splitn(9, '\n');
    let mut next = || fields.next();
    let some = |field: &str| (field != "-").then(|| field.to_owned());
    let remote = some(next()?);
    let state = State::from_name(next()?)?;
    let (recv_q, send_q) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let timer_ms = some(next()?).and_then(|ms| ms.parse().ok());
    let (inode, cookie) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let held_by = next()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let local = next()?.to_owned();
    Some(End { local, remote, state, recv_q, send_q, timer_ms, inode, cookie, held_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_survive_the_pipe() {
        let end = End {
            local: "tcp/127.0.0.1:8080".into(),
            remote: Some("127.0.0.1:40000".into()),
            state: State::TimeWait,
            recv_q: 1,
            send_q: 2,
            timer_ms: Some(59_000),
            inode: 0,
            cookie: 7,
            held_by: vec!["server".into(), "child".into()],
        };
        assert_eq!(from_word(&to_word(&end)), Some(end.clone()));
        let bare = End { remote: None, timer_ms: None, held_by: vec![], local: "unix:/a b".into(), ..end };
        assert_eq!(from_word(&to_word(&bare)), Some(bare));
        for word in ["", "-\nNOTHING\n0\n0\n-\n0\n0\n\nx", "-\nLISTEN\n0"] {
            assert_eq!(from_word(word), None, "{word:?}");
        }
    }

    #[test]
    fn this_process_is_seen_to_hold_its_listener() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = read(&[("me", rustix::process::getpid())], &[port]).unwrap();
        let [end] = &ends[..] else { panic!("{ends:?}") };
        assert_eq!((end.state, &end.held_by[..]), (State::Listen, &["me".to_owned()][..]));
    }
}
