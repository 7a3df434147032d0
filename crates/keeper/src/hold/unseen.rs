//! TCP listeners that a program has although its filter was never asked: made through an io_uring, or by a program
//! of 32 bits, whose calls the filter lets pass. They are not kept.
//!
//! Only looks: at the kernel's list of listeners, and at which of them the generation's processes have open.

use super::tree::Tree;
use inuse_kernel::Netns;
use inuse_kernel::sockdiag::{InetQuery, Ports, SockDiag, States};
use inuse_rules::Transport;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

/// The most descriptors of one process, and the most processes, that are looked at.
const MOST: usize = 4096;

/// Where a generation listens beside what is kept of it; nothing where that cannot be seen.
pub(super) fn unseen(tree: &mut Tree, is_kept: impl Fn(&str) -> bool) -> Option<String> {
    let query = InetQuery { transport: Transport::Tcp, ports: Ports::All, states: States::LISTEN };
    let rows = SockDiag::open(&Netns::current()).ok()?.inet_rows(&query).ok()?.found.sockets;
    let mut others = rows
        .into_iter()
        .map(|socket| (socket.inode, socket.address.to_string()))
        .filter(|(_, address)| !is_kept(address))
        .peekable();
    others.peek()?;
    // What we have ourselves was there before the program, and will be there after it.
    let own = sockets(std::process::id());
    let theirs: BTreeSet<u64> =
        tree.members().iter().take(MOST).flat_map(|member| sockets(member.pid)).collect();
    others.find(|(inode, _)| theirs.contains(inode) && !own.contains(inode)).map(|(_, address)| address)
}

/// The inodes of a process's sockets.
fn sockets(pid: u32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(MOST);
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: &[u8]| {
        let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        str::from_utf8(digits).ok()?.parse().ok()
    };
    links.filter_map(|link| inode(link.as_os_str().as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_listener_of_a_process_is_found_and_ours_is_not() {
        let ours = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let script = "import socket, sys
s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()";
        let mut python = Command::new("python3");
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // The lab's tests need it; without it there is nothing to look at.
        let Ok(mut child) = python.spawn() else { return };
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a port");
        let expect = format!("tcp/127.0.0.1:{}", line.trim());
        let mut tree = Tree::new(1, child.id());
        assert_eq!(unseen(&mut tree, |_| false), Some(expect.clone()));
        assert_eq!(unseen(&mut tree, |address| address == expect), None);
        assert_eq!(unseen(&mut Tree::new(1, std::process::id()), |_| false), None);
        drop((child.stdin.take(), ours));
        child.wait().expect("our child");
    }
}
