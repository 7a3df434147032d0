//! Real servers, each with options that are not the default: what their configuration says is what is read.

use crate::seen;
use inuse_keeper::act::options::{Look, Subject};
use inuse_kernel::options::fresh::Changed;
use inuse_kernel::options::value::show;
use inuse_rules::{Address, State, Transport};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NGINX: &str = "\
cat >/run/nginx.conf <<'END'
pid /run/nginx.pid; error_log /run/nginx.log; worker_processes 2; user root;
events { worker_connections 64; }
http { access_log off; client_body_temp_path /run/b; proxy_temp_path /run/p; fastcgi_temp_path /run/f;
       uwsgi_temp_path /run/u; scgi_temp_path /run/s;
       server { listen 127.0.0.1:8080 so_keepalive=1m:10s:5 fastopen=7 rcvbuf=64k sndbuf=32k deferred backlog=33; }
       server { listen [::]:8081 ipv6only=on; } }
END
nginx -c /run/nginx.conf";

const NODE: &str = "\
const net = require('net'), dgram = require('dgram');
net.createServer(s => {}).listen(8080, '127.0.0.1', 44, () => {
  const client = net.connect(8080, '127.0.0.1', () => {
    client.setNoDelay(true); client.setKeepAlive(true, 45000);
    const u = dgram.createSocket({ type: 'udp4', reuseAddr: true, recvBufferSize: 40000 });
    u.bind(8082, '127.0.0.1', () => { u.setBroadcast(true); u.setTTL(33); u.setMulticastTTL(9);
      require('fs').writeFileSync('/run/ready', ''); });
  });
});
setTimeout(() => {}, 1000000);";

fn on(transport: Transport, address: &str) -> Look {
    let local: SocketAddr = address.parse().expect("an address");
    let address = Address::Inet { transport, local, device: 0 };
    seen(&Subject::Addresses(vec![address]), &[]).expect("a socket")
}

/// What is said of an option of the socket with that index, and that the program changed it.
#[track_caller]
fn check(look: &Look, socket: usize, option: &str, expect: &str) {
    let found = &look.found[socket];
    let reading = found.readings.iter().find(|reading| reading.spec.name == option).expect(option);
    let value = reading.value.as_ref().expect(option);
    assert_eq!(show(reading.spec.form, value), expect, "{option}");
    assert!(matches!(reading.changed, Changed::From(_) | Changed::Fact), "{option}: {:?}", reading.changed);
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn nginx() {
    assert!(Command::new("bash").args(["-c", NGINX]).status().expect("bash").success());
    until("nginx has its workers", || {
        on(Transport::Tcp, "127.0.0.1:8080").found.first().is_some_and(|found| found.holders.len() == 3)
    });
    let four = on(Transport::Tcp, "127.0.0.1:8080");
    assert_eq!(four.found.len(), 1);
    check(&four, 0, "SO_REUSEADDR", "on");
    check(&four, 0, "SO_KEEPALIVE", "on");
    check(&four, 0, "TCP_KEEPIDLE", "60 s");
    check(&four, 0, "TCP_KEEPINTVL", "10 s");
    check(&four, 0, "TCP_KEEPCNT", "5");
    check(&four, 0, "TCP_FASTOPEN", "7");
    check(&four, 0, "SO_RCVBUF", "131072 bytes");
    check(&four, 0, "SO_SNDBUF", "65536 bytes");
    check(&four, 0, "SO_BUF_LOCK", "send,receive");
    check(&four, 0, "TCP_DEFER_ACCEPT", "1 s");
    check(&four, 0, "TCP_INFO", "LISTEN, 0 connections wait to be accepted, and 33 may");
    let six = on(Transport::Tcp, "[::]:8081");
    check(&six, 0, "IPV6_V6ONLY", "on");
}

pub(crate) fn node() {
    let mut node = Command::new("node").args(["-e", NODE]).stdin(Stdio::null()).spawn().expect("node");
    until("node is ready", || std::path::Path::new("/run/ready").exists());
    let server = on(Transport::Tcp, "127.0.0.1:8080");
    assert_eq!(server.found[0].traits.state, Some(State::Listen));
    check(&server, 0, "SO_REUSEADDR", "on");
    check(&server, 0, "TCP_INFO", "LISTEN, 0 connections wait to be accepted, and 44 may");
    let datagrams = on(Transport::Udp, "127.0.0.1:8082");
    check(&datagrams, 0, "SO_REUSEADDR", "on");
    check(&datagrams, 0, "SO_BROADCAST", "on");
    check(&datagrams, 0, "SO_RCVBUF", "80000 bytes");
    check(&datagrams, 0, "IP_TTL", "33");
    check(&datagrams, 0, "IP_MULTICAST_TTL", "9");
    let all = seen(&Subject::Process(node.id()), &[]).expect("its sockets");
    let to_server =
        |found: &inuse_keeper::act::options::Found| found.traits.remote == "127.0.0.1:8080".parse().ok();
    let client = all.found.iter().position(to_server).expect("the client");
    check(&all, client, "TCP_NODELAY", "on");
    check(&all, client, "SO_KEEPALIVE", "on");
    check(&all, client, "TCP_KEEPIDLE", "45 s");
    node.kill().expect("our child");
    node.wait().expect("its end");
}
