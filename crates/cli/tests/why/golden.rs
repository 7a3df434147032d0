//! The whole human output for situations that people meet.

use crate::fixtures;
use inuse_cli::render::Answer;
use inuse_cli::render::human::{Look, text};
use jiff::tz::TimeZone;

/// The text as a pipe gets it: without colour.
pub(crate) fn plain(answers: &[Answer], verbose: bool) -> String {
    anstream::adapter::strip_str(&coloured(answers, verbose)).to_string()
}

pub(crate) fn coloured(answers: &[Answer], verbose: bool) -> String {
    text(answers, &Look { width: 100, verbose, zone: TimeZone::UTC, saved_by: None })
}

/// Nothing is said by colour alone, and no sequence but colour is ever written.
#[test]
fn the_text_is_the_same_without_colour() {
    for (name, answers) in fixtures::all() {
        let mut without = String::new();
        let coloured = coloured(&answers, true);
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            without.push_str(before);
            let (sequence, after) = after.split_once('m').expect("a colour ends");
            assert!(sequence.starts_with('['), "{name}");
            assert!(sequence[1..].bytes().all(|b| b.is_ascii_digit() || b == b';'), "{name}: {sequence:?}");
            rest = after;
        }
        without.push_str(rest);
        assert_eq!(without, plain(&answers, true), "{name}");
    }
}

#[test]
fn prose_keeps_to_the_width_and_nothing_trails() {
    for (name, answers) in fixtures::all() {
        for line in plain(&answers, true).lines() {
            assert!(line.trim_end() == line, "{name}: {line:?}");
        }
    }
}

#[test]
fn listener() {
    insta::assert_snapshot!(plain(&fixtures::listener(), false), @r#"
    node (pid 4412) listens on 0.0.0.0:8080.

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: listener
      tcp/[::]:8080     refused: EADDRINUSE from bind()  cause: dual-stack (also: listener)
          node (pid 4412) listens on 0.0.0.0:8080, and a socket on [::]:8080 would take IPv4 too.

    Who has it
      node server.js  (pid 4412)
          user tom, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /home/tom/shop
          fd 21, terminal pts/3
          child of npm (4400) < bash (4100) < systemd (1)

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         0     511  0.0.0.0:8080   0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Ask node (pid 4412) to end.
           inuse free tcp/0.0.0.0:8080
         Could hurt: whoever needs node (pid 4412).
    "#);
}

#[test]
fn time_wait_with_the_option() {
    insta::assert_snapshot!(plain(&fixtures::time_wait_with_the_option(), false), @r#"
    No process holds 127.0.0.1:8080: 1 connection is in TIME_WAIT, left by a server that closed first
    (44 s left).

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: time-wait

    Who has it
      no process: the connection is closed, the kernel keeps its addresses for a while

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address   Foreign Address  State
      tcp         0       0  127.0.0.1:8080  127.0.0.1:40112  TIME_WAIT  44 s left

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  would succeed
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Set SO_REUSEADDR before bind() in the server that is to start: the old socket had it too, so
         the bind then succeeds at once.
           C
             int on = 1;
             setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  /* before bind() */
           Python
             s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # before s.bind()
           Node
             // net and http set SO_REUSEADDR by themselves; for a datagram socket:
             dgram.createSocket({ type: 'udp4', reuseAddr: true })
      2. Wait: the kernel lets go by itself in 44 s, at most 5 s later.
           sleep 49
      3. Have the kernel drop what is left; no process is touched.
           sudo inuse free tcp/0.0.0.0:8080
         Needs: root (CAP_NET_ADMIN).
    "#);
}

#[test]
fn time_wait_without_the_option() {
    insta::assert_snapshot!(plain(&fixtures::time_wait_without_the_option(), false), @r#"
    No process holds 127.0.0.1:8080: 1 connection is in TIME_WAIT, left by a server that closed first
    (44 s left).

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: time-wait

    Who has it
      no process: the connection is closed, the kernel keeps its addresses for a while

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address   Foreign Address  State
      tcp         0       0  127.0.0.1:8080  127.0.0.1:40112  TIME_WAIT  44 s left

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR counts only if the old socket has it too; this one was made without it.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Wait: the kernel lets go by itself in 44 s, at most 5 s later.
           sleep 49
      2. Have the kernel drop what is left; no process is touched.
           sudo inuse free tcp/0.0.0.0:8080
         Needs: root (CAP_NET_ADMIN).

    Good to know
      - SO_REUSEADDR on your side would not help this time: the kernel asks for it on the old socket
        too, and that one was made without it. Set in the server from now on, it helps at the next
        restart.
    "#);
}

#[test]
fn time_wait_unseen() {
    insta::assert_snapshot!(plain(&fixtures::time_wait_unseen(), false), @r#"
    No process holds 127.0.0.1:8080: 1 connection is in TIME_WAIT, left by a server that closed first
    (44 s left).

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: time-wait

    Who has it
      no process: the connection is closed, the kernel keeps its addresses for a while

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address   Foreign Address  State
      tcp         0       0  127.0.0.1:8080  127.0.0.1:40112  TIME_WAIT  44 s left

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  cannot be said: success or EADDRINUSE
                    Not known: the TIME_WAIT of tcp/127.0.0.1:8080: SO_REUSEADDR.
      SO_REUSEPORT  cannot be said: success or EADDRINUSE
                    Not known: the TIME_WAIT of tcp/127.0.0.1:8080: SO_REUSEPORT.

    What to do
      1. Set SO_REUSEADDR before bind() in your server. It helps now only if the old server had it too,
         which could not be seen from here; from its next restart on it helps in any case.
           C
             int on = 1;
             setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  /* before bind() */
           Python
             s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # before s.bind()
           Node
             // net and http set SO_REUSEADDR by themselves; for a datagram socket:
             dgram.createSocket({ type: 'udp4', reuseAddr: true })
      2. Wait: the kernel lets go by itself in 44 s, at most 5 s later.
           sleep 49
      3. Have the kernel drop what is left; no process is touched.
           sudo inuse free tcp/0.0.0.0:8080
         Needs: root (CAP_NET_ADMIN).

    What could not be seen
      - the options of 1 socket in TIME_WAIT; run it as root.
    "#);
}

#[test]
fn suspended() {
    insta::assert_snapshot!(plain(&fixtures::suspended(), false), @r#"
    python3 (pid 4412) holds 0.0.0.0:8080 and is stopped (Ctrl-Z or SIGSTOP): it cannot answer or end
    until it is continued.

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: suspended (also: listener)

    Who has it
      python3 -m http.server 8080  (pid 4412)
          user tom, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /home/tom/shop
          fd 3, terminal pts/3
          stopped (Ctrl-Z or SIGSTOP)
          child of npm (4400) < bash (4100) < systemd (1)

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         3       5  0.0.0.0:8080   0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Ask python3 (pid 4412) to end, and continue it, so that it can: a stopped process does not see
         SIGTERM. To get it back instead, type `fg` in its terminal (pts/3).
           inuse free tcp/0.0.0.0:8080
         Could hurt: whoever needs python3 (pid 4412).
    "#);
}

#[test]
fn container_proxy() {
    insta::assert_snapshot!(plain(&fixtures::container_proxy(), false), @r#"
    A container at 172.17.0.2 publishes its port 80 as 0.0.0.0:8080; docker-proxy (pid 812) is only its
    helper.

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: container-proxy (also: listener)

    Who has it
      /usr/bin/docker-proxy -host-port 8080 -container-ip 172.17.0.2  (pid 812)
          user root, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /
          fd 4, no terminal
          unit docker.service
          docker-proxy for port 80 of the container at 172.17.0.2
          child of dockerd (700)

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         0    4096  0.0.0.0:8080   0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Find the container that publishes port 8080 in the list, and stop it with `docker stop NAME`.
         Its helper process is not to be signalled: the runtime would still believe the port published.
           docker ps --filter publish=8080
         Could hurt: whoever needs that container. Needs: root.
    "#);
}

#[test]
fn in_a_container() {
    insta::assert_snapshot!(plain(&fixtures::in_a_container(), false), @r#"
    nginx (pid 901) listens on 0.0.0.0:8080.

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: listener

    Who has it
      nginx: master process nginx  (pid 901)
          user tom, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /home/tom/shop
          fds 6, 7, terminal pts/3
          container a1b2c3d4e5f6 (podman)
          child of npm (4400) < bash (4100) < systemd (1)

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         0       0  0.0.0.0:8080   0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Stop the podman container that it runs in.
           sudo podman stop a1b2c3d4e5f6
         Could hurt: whoever needs that container. Needs: root.
      2. Ask nginx (pid 901) to end; its manager may start it again.
           kill -TERM 901
         Could hurt: whoever needs nginx (pid 901).
    "#);
}

#[test]
fn socket_unit() {
    insta::assert_snapshot!(plain(&fixtures::socket_unit(), false), @r#"
    systemd itself holds 127.0.0.1:631 for socket activation.

      tcp/127.0.0.1:631  refused: EADDRINUSE from bind()  cause: socket-unit (also: listener)

    Who has it
      /sbin/init  (pid 1)
          user root, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /home/tom/shop
          fd 58, no terminal

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         0    4096  127.0.0.1:631  0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Find the .socket unit that has this address in the list, and stop it with `systemctl stop
         NAME.socket`; stopping only its service leaves the address taken.
           systemctl list-sockets
         Could hurt: whoever needs that service.
    "#);
}

#[test]
fn fin_wait_2() {
    insta::assert_snapshot!(plain(&fixtures::fin_wait_2(), false), @r#"
    The server is gone, but its peer has not closed the connection on 127.0.0.1:8080 with
    127.0.0.1:40112, which is curl (pid 5001) (51 s left).

      tcp/127.0.0.1:8080  refused: EADDRINUSE from bind()  cause: fin-wait-2

    Who has it
      no process: it was closed, and the kernel is still finishing with the other end

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address    Foreign Address  State
      tcp         0       0  127.0.0.1:8080   127.0.0.1:40112  FIN_WAIT2   51 s left
      tcp    290960       0  127.0.0.1:40112  127.0.0.1:8080   CLOSE_WAIT  its other end, curl (pid 5001)

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR counts only if the old socket has it too; this one was made without it.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Wait: the kernel lets go by itself in 51 s, at most 5 s later (a minute more if the other end
         closes meanwhile).
           sleep 57
      2. Have the kernel drop what is left; no process is touched.
           sudo inuse free tcp/127.0.0.1:8080
         Could hurt: the peer: its connection ends with a reset. Needs: root (CAP_NET_ADMIN).

    Good to know
      - SO_REUSEADDR on your side would not help this time: the kernel asks for it on the old socket
        too, and that one was made without it. Set in the server from now on, it helps at the next
        restart.
    "#);
}

#[test]
fn ephemeral_collision() {
    insta::assert_snapshot!(plain(&fixtures::ephemeral_collision(), false), @r#"
    firefox (pid 3001) uses 192.0.2.7:50051 as the local end of an outgoing connection with
    198.51.100.9:443.

      tcp/0.0.0.0:50051  refused: EADDRINUSE from bind()  cause: ephemeral-collision

    Who has it
      /usr/lib/firefox/firefox  (pid 3001)
          user tom, running for 3 h 12 min (since 2026-11-20 08:48:00)
          in /home/tom/shop
          fd 88, terminal pts/3
          child of npm (4400) < bash (4100) < systemd (1)

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address    Foreign Address   State
      tcp         0       0  192.0.2.7:50051  198.51.100.9:443  ESTABLISHED

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR counts only if the old socket has it too; this one was made without it.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT counts only if the old socket has it too; this one was made without it.

    What to do
      1. Keep outgoing connections off this port from now on; then it cannot happen again. The one that
         is there has to end first.
           sudo sysctl -w net.ipv4.ip_local_reserved_ports=50051
         Needs: root.
      2. Start the server on a port outside the ephemeral range.
           inuse next tcp/0.0.0.0:50051
      3. Have the kernel drop that one connection; its process lives on.
           sudo inuse free --destroy tcp/0.0.0.0:50051
         Could hurt: that connection, on both ends. Needs: root (CAP_NET_ADMIN).

    Good to know
      - SO_REUSEADDR on your side would not help this time: the kernel asks for it on the old socket
        too, and that one was made without it.
      - Port 50051 lies in the ephemeral range (32768-60999): any outgoing connection may be given it at
        any time. A server's port belongs below the range, or into net.ipv4.ip_local_reserved_ports.
    "#);
}

#[test]
fn owner_hidden() {
    insta::assert_snapshot!(plain(&fixtures::owner_hidden(), false), @r#"
    A process of root holds 0.0.0.0:8080; you may not see which.

      tcp/0.0.0.0:8080  refused: EADDRINUSE from bind()  cause: owner-hidden (also: listener)

    Who has it
      a process of root that you may not see

    The sockets, as netstat -an would show them
      Proto  Recv-Q  Send-Q  Local Address  Foreign Address  State
      tcp         0     128  0.0.0.0:8080   0.0.0.0:*        LISTEN

    Would an option on your socket help?
      no option     refused: EADDRINUSE from bind()
                    Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket
                    refuses it.
      SO_REUSEADDR  refused: EADDRINUSE from bind()
                    SO_REUSEADDR never shares an address with a socket that listens.
      SO_REUSEPORT  refused: EADDRINUSE from bind()
                    SO_REUSEPORT shares only between sockets of the same effective user; root is no
                    exception.

    What to do
      1. Look again as root: then the process shows, and with it the way to stop it.
           sudo inuse why tcp/0.0.0.0:8080
         Needs: root.

    What could not be seen
      - the open files of 61 processes of other users; run it as root.
    "#);
}

#[test]
fn privileged() {
    insta::assert_snapshot!(plain(&fixtures::privileged(), false), @r#"
    Ports below 1024 are for privileged programs, and this user may not bind 0.0.0.0:80.

      tcp/0.0.0.0:80  refused: EACCES from bind()  cause: privileged

    Would an option on your socket help?
      none of them  refused: EACCES from bind()
                    A port below ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE in the user
                    namespace that owns the network namespace.

    What to do
      1. Give the program the one right it lacks (PROGRAM is its file; a script's interpreter would get
         the right for every script).
           sudo setcap cap_net_bind_service=+ep PROGRAM
         Needs: root.
      2. Open the ports from 80 on to everybody in this network namespace.
           sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80
         Needs: root.
      3. Listen on a port that needs no right, behind a proxy, or let the service manager hand over the
         socket.
    "#);
}

#[test]
fn unix_stale() {
    insta::assert_snapshot!(plain(&fixtures::unix_stale(), false), @r#"
    A socket file was left at unix:/run/user/1000/app's.sock, and nobody serves it any more.

      unix:/run/user/1000/app's.sock  refused: EADDRINUSE from bind()  cause: unix-stale

    What to do
      1. Remove the file; no server is behind it, which is looked at again just before.
           inuse free 'unix:/run/user/1000/app'\''s.sock'
      2. From now on: unlink the path before bind(), but only after a connect() to it was refused.
    "#);
}

#[test]
fn free() {
    insta::assert_snapshot!(plain(&fixtures::free(), false), @r#"
    tcp/0.0.0.0:8080 and tcp/[::]:8080 are free: nothing stands in the way of these binds.
      If a program was refused here a moment ago, what stood in its way has gone since: the remains of a
      closed connection (they last about a minute), a process that was still ending, or another start
      that came first and failed too.
      If it is refused right now, it asks for another address, or runs in another network namespace (a
      container): ask for exactly the address in its message.
      To catch it at the moment of failure:
          YOUR-COMMAND 2>&1 | inuse -
    "#);
}
