//! Real servers: masters with workers, watchers that start their server anew, a supervisor that always does.

use crate::cases::{Case, expect};
use crate::docker::docker;
use crate::scenes::{Neighbour, free};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::scene::Wanted;
use libtest_mimic::Failed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The program that a test needs, and the test.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("nginx", nginx),
    ("node", node_watch),
    ("gunicorn", gunicorn),
    ("supervise", supervised),
    ("python3", python_with_a_client),
    ("dockerd", docker),
];

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

/// The reloader is a thread of each worker.
const GUNICORN: &str = "\
mkdir /run/app && cd /run/app && cat >app.py <<'END'
def app(environ, start):
    start('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
END
setsid gunicorn --reload --workers 2 --bind 127.0.0.1:8080 app:app </dev/null >/run/gunicorn.log 2>&1 &
until test \"$(grep -c 'Booting worker' /run/gunicorn.log)\" = 2; do sleep 0.05; done";

/// daemontools waits a second before it starts its service again. Its `run` must be executable.
const SUPERVISED: &str = "\
mkdir /run/service && mount -t tmpfs -o exec service /run/service && cat >/run/service/run <<'END'
#!/bin/sh
exec python3 -m http.server 8080 --bind 127.0.0.1
END
chmod +x /run/service/run
setsid supervise /run/service </dev/null >/run/service.log 2>&1 & echo $! >/run/supervisor";

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

/// A change of its program has the workers replaced, which is not what freeing it does: all three end, and nobody
/// is left or comes back.
fn gunicorn(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, GUNICORN)?;
    // Just now its workers may be new ones.
    stage.run(0, Program::Path("touch"), &["/run/app/app.py"])?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    freed(stage, 3)?;
    assert_ne!(stage.run(0, Program::Path("pgrep"), &["gunicorn"])?.code, 0, "somebody is left");
    assert_eq!(stage.attempt(&Wanted::tcp(HERE))?, None);
    Ok(())
}

/// The server comes back after a second, and the answer names who brings it.
fn supervised(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, SUPERVISED)?;
    let supervisor = stage.run(0, Program::Path("cat"), &["/run/supervisor"])?.stdout;
    let supervisor = String::from_utf8_lossy(&supervisor).trim().to_owned();
    let said = free(stage, 0, "127.0.0.1:8080", None)?;
    expect(&said, "NotFree", "respawned")?;
    for words in [
        format!("supervise (pid {supervisor}) supervises python3 "),
        format!("supervise (pid {supervisor}) started python3"),
    ] {
        assert!(said.text.contains(&words), "{words}\n{}", said.text);
    }
    assert!(lives(stage, "/run/supervisor")?);
    Ok(())
}

/// The client is connected all the while, and has the server's port as its remote one.
fn python_with_a_client(stage: &mut Stage) -> Result<(), Failed> {
    start(stage, PYTHON)?;
    freed(stage, 1)?;
    assert!(lives(stage, "/run/client")?);
    Ok(())
}
