//! The programs, and how each is started.
//!
//! Each answer names its generation: the supervisor puts that into the environment (`INUSE_GENERATION`), from where
//! a program's own configuration, or a line of shell before it, puts it into what it serves. Where a program has no
//! place for it, its process id stands for it.

use super::supervisor::Scratch;
use super::{PORT, SERVER};
use crate::load::Dialect;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// How a program comes to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `inuse run -l ADDR`: it takes the socket by LISTEN_FDS.
    Pass,
    /// `inuse run`: it binds for itself.
    Keep,
}

/// A program, and a way.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// How it comes to its socket.
    pub way: Way,
    /// What it speaks.
    pub speaks: Dialect,
    /// Told to end, it answers all that it has accepted.
    pub ends_well: bool,
    /// The signal after which it does, if it is another one than SIGTERM (`--stop-signal`).
    pub stop_signal: Option<&'static str>,
    /// It can answer `GET /slow` after two seconds, while it answers others.
    pub slow: bool,
    /// The programs that it takes.
    needs: &'static [&'static str],
    command: fn(SocketAddr, &Scratch) -> io::Result<Vec<String>>,
}

impl Program {
    /// What stands in its way here: a program that is not there.
    pub fn missing(&self) -> Option<&'static str> {
        self.needs.iter().copied().find(|program| find(program).is_none())
    }

    /// Its command line for this address. What it needs is put into the directory.
    ///
    /// # Errors
    /// When a file cannot be written, or a compiler says no.
    pub fn command(&self, at: SocketAddr, scratch: &Scratch) -> io::Result<Vec<String>> {
        (self.command)(at, scratch)
    }
}

/// Python, the system's own if there is one.
pub fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

const REDIS: Dialect = Dialect::Words { question: "INFO server\r\n", mark: "process_id:", end: "\r\n\r\n" };
const MEMCACHED: Dialect = Dialect::Words { question: "stats\r\n", mark: "STAT pid ", end: "END\r\n" };
const ECHO: Dialect = Dialect::Words { question: "", mark: "generation=", end: "" };

/// All of them.
pub const ALL: &[Program] = &[
    Program {
        name: "python",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["python3"],
        command: |_, scratch| Ok(words(&[python(), &scratch.write("server.py", SERVER)?])),
    },
    Program {
        name: "python-http-server",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: false,
        stop_signal: None,
        slow: false,
        needs: &["python3"],
        command: |at, scratch| {
            let server = format!("{} -m http.server {PORT} --bind {} --directory", python(), at.ip());
            Ok(shell(&format!("{}; exec {server} \"$d\"", page(scratch))))
        },
    },
    Program {
        name: "node",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["node"],
        command: |_, scratch| node(scratch, &[]),
    },
    Program {
        name: "node",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["node"],
        command: |at, scratch| node(scratch, &[format!("HOST={}", at.ip()), format!("PORT={}", at.port())]),
    },
    Program {
        name: "go",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["go"],
        command: |_, scratch| Ok(vec![go(scratch, include_str!("../../../../examples/go/server.go"))?]),
    },
    Program {
        name: "go",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: false,
        stop_signal: None,
        slow: true,
        needs: &["go"],
        command: |at, scratch| Ok(vec![go(scratch, PLAIN_GO)?, at.to_string()]),
    },
    Program {
        name: "nginx",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("QUIT"),
        slow: false,
        needs: &["nginx"],
        // The variable is nginx's own, for its upgrade on the fly: numbers of descriptors that listen already.
        command: |at, scratch| nginx(at, scratch, "export NGINX='3;'; "),
    },
    Program {
        name: "nginx",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("QUIT"),
        slow: false,
        needs: &["nginx"],
        command: |at, scratch| nginx(at, scratch, ""),
    },
    Program {
        name: "lighttpd",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("INT"),
        slow: false,
        needs: &["lighttpd"],
        command: |at, scratch| lighttpd(at, scratch, "server.systemd-socket-activation = \"enable\"\n"),
    },
    Program {
        name: "lighttpd",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("INT"),
        slow: false,
        needs: &["lighttpd"],
        command: |at, scratch| lighttpd(at, scratch, ""),
    },
    Program {
        name: "apache",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("WINCH"),
        slow: false,
        needs: &["apache2"],
        command: apache,
    },
    Program {
        name: "redis",
        way: Way::Keep,
        speaks: REDIS,
        ends_well: false,
        stop_signal: None,
        slow: false,
        needs: &["redis-server"],
        command: |at, scratch| {
            let (port, ip) = (at.port().to_string(), at.ip().to_string());
            let dir = scratch.0.to_string_lossy();
            Ok(words(&["redis-server", "--port", &port, "--bind", &ip, "--save", "", "--dir", &dir]))
        },
    },
    Program {
        name: "memcached",
        way: Way::Keep,
        speaks: MEMCACHED,
        ends_well: false,
        stop_signal: None,
        slow: false,
        needs: &["memcached"],
        command: |at, _| {
            let (port, ip) = (at.port().to_string(), at.ip().to_string());
            Ok(words(&["memcached", "-u", "nobody", "-U", "0", "-p", &port, "-l", &ip]))
        },
    },
    Program {
        name: "gunicorn",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["gunicorn"],
        command: |_, scratch| gunicorn(scratch, None),
    },
    Program {
        name: "gunicorn",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: None,
        slow: true,
        needs: &["gunicorn"],
        command: |at, scratch| gunicorn(scratch, Some(at)),
    },
    Program {
        name: "haproxy",
        way: Way::Pass,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("USR1"),
        slow: false,
        needs: &["haproxy"],
        command: |_, scratch| haproxy(scratch, "fd@3"),
    },
    Program {
        name: "haproxy",
        way: Way::Keep,
        speaks: Dialect::Http,
        ends_well: true,
        stop_signal: Some("USR1"),
        slow: false,
        needs: &["haproxy"],
        command: |at, scratch| haproxy(scratch, &at.to_string()),
    },
    Program {
        name: "socat",
        way: Way::Keep,
        speaks: ECHO,
        ends_well: false,
        stop_signal: None,
        slow: false,
        needs: &["socat"],
        command: |at, _| {
            let listens = format!("TCP-LISTEN:{},bind={},reuseaddr,fork", at.port(), at.ip());
            Ok(words(&["socat", &listens, "SYSTEM:echo generation=$INUSE_GENERATION"]))
        },
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A line of shell that becomes the program.
fn shell(line: &str) -> Vec<String> {
    words(&["sh", "-c", line])
}

/// A line of shell that makes a directory for this generation, `$d`, with a page that names it.
fn page(scratch: &Scratch) -> String {
    let line = "mkdir -p \"$d\"; echo generation=$INUSE_GENERATION >\"$d/index.html\"";
    format!("d='{}'/$INUSE_GENERATION; {line}", scratch.0.display())
}

fn node(scratch: &Scratch, before: &[String]) -> io::Result<Vec<String>> {
    let text = include_str!("../../../../examples/node/server.js");
    let mut command = words(&["env"]);
    command.extend_from_slice(before);
    command.extend(words(&["node", &scratch.write("server.js", text)?]));
    Ok(command)
}

/// As most people write it: it knows nothing of LISTEN_FDS, and SIGTERM ends it at once.
const PLAIN_GO: &str = r#"package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	body := "generation=" + os.Getenv("INUSE_GENERATION") + "\n"
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Second)
		fmt.Fprint(w, body)
	})
	panic(http.ListenAndServe(os.Args[1], nil))
}
"#;

/// A server in Go, linked statically, so that nothing can be preloaded into it.
fn go(scratch: &Scratch, source: &str) -> io::Result<String> {
    let source = scratch.write("server.go", source)?;
    let path = scratch.0.join("server").to_string_lossy().into_owned();
    let mut compiler = Command::new("go");
    compiler.args(["build", "-o", &path, &source]).env("CGO_ENABLED", "0").env("GO111MODULE", "off");
    let output = compiler.current_dir(&scratch.0).output()?;
    match output.status.success() {
        true => Ok(path),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

fn nginx(at: SocketAddr, scratch: &Scratch, before: &str) -> io::Result<Vec<String>> {
    let dir = scratch.0.display();
    let text = format!(
        "daemon off; pid $d/pid; error_log stderr warn; worker_processes 2;
events {{ }}
http {{
  access_log off;
  client_body_temp_path $d/a; proxy_temp_path $d/b; fastcgi_temp_path $d/c; uwsgi_temp_path $d/e; scgi_temp_path $d/f;
  server {{ listen {at}; location / {{ return 200 \"generation=$INUSE_GENERATION\\n\"; }} }}
}}
"
    );
    let template = scratch.write("nginx.conf", &text)?;
    let fill = format!(
        "sed \"s|[$]d|$d|g; s|[$]INUSE_GENERATION|$INUSE_GENERATION|\" '{template}' >\"$d/nginx.conf\""
    );
    let start = format!("{before}exec nginx -p \"$d\" -c \"$d/nginx.conf\" -e stderr");
    Ok(shell(&format!("d='{dir}'/$INUSE_GENERATION; mkdir -p \"$d\"; {fill}; {start}")))
}

fn lighttpd(at: SocketAddr, scratch: &Scratch, more: &str) -> io::Result<Vec<String>> {
    let (ip, port) = (at.ip(), at.port());
    let text = format!(
        "server.document-root = env.d\nserver.bind = \"{ip}\"\nserver.port = {port}\n{more}\
         index-file.names = ( \"index.html\" )\n"
    );
    let file = scratch.write("lighttpd.conf", &text)?;
    Ok(shell(&format!("{}; export d; exec lighttpd -D -f '{file}'", page(scratch))))
}

/// Processes that share the listener, and sleep in accept(2) on it (`prefork`).
fn apache(at: SocketAddr, scratch: &Scratch) -> io::Result<Vec<String>> {
    let text = format!(
        "ServerName localhost
Listen {at}
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
PidFile ${{d}}/pid
DefaultRuntimeDir ${{d}}
ErrorLog /dev/stderr
User nobody
Group nogroup
DocumentRoot ${{d}}
StartServers 4
MinSpareServers 4
MaxSpareServers 8
<Directory />
Require all granted
</Directory>
"
    );
    let file = scratch.write("httpd.conf", &text)?;
    // Its workers are of another user if root starts it.
    let open = format!("chmod 755 '{}' \"$d\"", scratch.0.display());
    Ok(shell(&format!(
        "{}; {open}; export d; exec apache2 -d \"$d\" -f '{file}' -D FOREGROUND",
        page(scratch)
    )))
}

fn haproxy(scratch: &Scratch, bind: &str) -> io::Result<Vec<String>> {
    let text = format!(
        "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n\
         frontend f\n bind {bind}\n\
         http-request return status 200 content-type text/plain string \"generation=${{INUSE_GENERATION}}\"\n"
    );
    let file = scratch.write("haproxy.cfg", &text)?;
    Ok(words(&["haproxy", "-db", "-f", &file]))
}

fn gunicorn(scratch: &Scratch, bind: Option<SocketAddr>) -> io::Result<Vec<String>> {
    let text = "import os, time
body = ('generation=' + os.environ['INUSE_GENERATION'] + '\\n').encode()
def app(request, start):
    if request['PATH_INFO'] == '/slow': time.sleep(2)
    start('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";
    scratch.write("app.py", text)?;
    let dir = scratch.0.to_string_lossy().into_owned();
    let mut command = words(&[
        "gunicorn",
        "--threads",
        "8",
        "--worker-tmp-dir",
        &dir,
        "--chdir",
        &dir,
        "--log-level",
        "error",
    ]);
    if let Some(at) = bind {
        command.extend(["--bind".into(), at.to_string()]);
    }
    command.push("app:app".into());
    Ok(command)
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}
