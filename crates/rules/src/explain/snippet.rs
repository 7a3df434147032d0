//! The change in a program's source, in three lines or fewer of C, Python and Node.

use crate::cure::SourceFix;

/// A few lines of one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// `C`, `Python` or `Node`.
    pub language: &'static str,
    /// The lines, at most three.
    pub lines: &'static [&'static str],
}

/// What to write, in each language. Node has no call for some options; its lines say what to do instead.
pub const fn snippets(fix: SourceFix) -> [Snippet; 3] {
    let (c, python, node): (&[&str], &[&str], &[&str]) = match fix {
        SourceFix::Reuseaddr => (
            &[
                "int on = 1;",
                "setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  /* before bind() */",
            ],
            &["s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # before s.bind()"],
            &[
                "// net and http set SO_REUSEADDR by themselves; for a datagram socket:",
                "dgram.createSocket({ type: 'udp4', reuseAddr: true })",
            ],
        ),
        SourceFix::Reuseport => (
            &[
                "int on = 1;",
                "setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);  /* before bind(), in every sharer */",
            ],
            &["s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # before s.bind(), in every sharer"],
            &["server.listen({ port, host, reusePort: true })  // Node 22.12 or later, in every sharer"],
        ),
        SourceFix::V6only => (
            &[
                "int on = 1;",
                "setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);  /* before bind() */",
            ],
            &["s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # before s.bind()"],
            &["server.listen({ port, host: '::', ipv6Only: true })"],
        ),
        SourceFix::Cloexec => (
            &[
                "int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);",
                "int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);",
            ],
            &["s.set_inheritable(False)  # the default; look for set_inheritable(True) or close_fds=False"],
            &[
                "// Node sets close-on-exec by itself; do not hand the server to a child",
                "child_process.spawn(cmd, args, { stdio: ['ignore', 'inherit', 'inherit'] })",
            ],
        ),
        SourceFix::CloseConnections => (
            &[
                "ssize_t n = read(conn, buf, sizeof buf);",
                "if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))",
                "    close(conn);  /* the peer has closed */",
            ],
            &[
                "with conn:  # closes it on every way out",
                "    while data := conn.recv(65536):",
                "        handle(data)",
            ],
            &[
                "socket.on('end', () => socket.end());",
                "socket.on('error', () => socket.destroy());",
                "socket.setTimeout(60_000, () => socket.destroy());",
            ],
        ),
        SourceFix::BindAddressNoPort => (
            &[
                "int on = 1;",
                "setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);  /* then bind() to port 0, then connect() */",
            ],
            &[
                "s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT, before s.bind((source, 0))",
            ],
            &["net.connect({ host, port, localAddress: source })  // without localPort"],
        ),
    };
    [
        Snippet { language: "C", lines: c },
        Snippet { language: "Python", lines: python },
        Snippet { language: "Node", lines: node },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_has_one_to_three_lines() {
        use SourceFix::*;
        for fix in [Reuseaddr, Reuseport, V6only, Cloexec, CloseConnections, BindAddressNoPort] {
            for snippet in snippets(fix) {
                assert!((1..=3).contains(&snippet.lines.len()), "{fix:?} in {}", snippet.language);
            }
        }
    }
}
