//! Real servers: a master with workers, and a watcher that starts its server anew.

use crate::cases::Case;
use crate::scenes::{Neighbour, free};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::scene::Wanted;
use libtest_mimic::Failed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The program that a test needs, and the test.
pub(crate) const ALL: &[(&str, Case)] =
    &[("nginx", nginx), ("node", node_watch), ("python3", python_with_a_client)];

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

const NGINX: &str = "\
cat >/run/nginx.conf <<'END'
pid /run/nginx.pid; error_log /run/nginx.log; worker_processes 3; user root;
events { worker_connections 64; }
http { access_log off; client_body_temp_path /run/b; proxy_temp_path /run/p; fastcgi_temp_path /run/f;
       uwsgi_temp_path /run/u; scgi_temp_path /run/s; server { listen 127.0.0.1:8080; } }
END
nginx -c /run/nginx.conf";

const NODE: &str = "\
cat >/run/server.js <<'END'
require('http').createServer((q, a) => a.end('hello')).listen(8080, '127.0.0.1');
END
setsid node --watch /run/server.js </dev/null >/run/node.log 2>&1 & echo $! >/run/watcher";

const PYTHON: &str = "\
setsid python3 -m http.server 8080 --bind 127.0.0.1 </dev/null >/run/python.log 2>&1 &
until exec 3<>/dev/tcp/127.0.0.1/8080; do sleep 0.05; done 2>/dev/null
setsid sleep 1000 >/dev/null 2>&1 & echo $! >/run/client";

/// Whether a program is in PATH.
pub(crate) fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
}

fn start(stage: &mut Stage, script: &str) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Path("bash"), &["-c", script])?;
    if ran.code != 0 {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned().into());
    }
    for _ in 0..1000 {
        if stage.rows()?.iter().any(|row| row.local.port() == 8080) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err("the server does not listen".into())
}

/// Frees the port, and holds the answer against the kernel's and the neighbour's.
fn freed(stage: &mut Stage, holders: usize) -> Result<(), Failed> {
    let neighbour = Neighbour::move_in(stage)?;
    let said = free(stage, 0, "127.0.0.1:8080", None)?;
    if (said.ending.as_str(), said.stopped.len()) != ("Free", holders) {
        return Err(
            format!("{} holders stopped\n{}\ncalls:\n{}", said.stopped.len(), said.text, said.calls).into()
        );
    }
    assert_eq!(stage.attempt(&Wanted::tcp(HERE))?, None);
    Ok(neighbour.serves(stage)?)
}

/// Whether the process whose pid is in a file lives.
fn lives(stage: &mut Stage, file: &str) -> Result<bool, Failed> {
    Ok(stage.run(0, Program::Path("bash"), &["-c", &format!("test -d /proc/$(cat {file})")])?.code == 0)
}

fn nginx(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, NGINX)?;
    // The workers come a moment after the socket.
    std::thread::sleep(std::time::Duration::from_millis(300));
    freed(stage, 4)
}

/// The watcher holds nothing, and is nobody's victim; it starts its server again only when a file changes.
fn node_watch(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, NODE)?;
    freed(stage, 1)?;
    assert!(lives(stage, "/run/watcher")?);
    Ok(())
}

/// The client is connected all the while, and has the server's port as its remote one.
fn python_with_a_client(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, PYTHON)?;
    freed(stage, 1)?;
    assert!(lives(stage, "/run/client")?);
    Ok(())
}
