//! Real servers, unmodified: killed with a connection in the queue, which the next run of them answers.

use crate::driver::{Directory, PATIENCE, Supervisor};
use inuse_keeper::hold::keep::Event;
use libtest_mimic::Failed;
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

/// A server, and how to talk to it.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The programs that it takes.
    needs: &'static [&'static str],
    /// Its command, for an address; it listens on port 8080. The directory is its own.
    command: fn(&str, &Path) -> Result<Vec<String>, Failed>,
    question: &'static str,
    answer: &'static str,
}

const HTTP: (&str, &str) = ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.");

pub(crate) const ALL: &[Server] = &[
    Server {
        name: "python-http-server",
        needs: &["python3"],
        command: |at, _| Ok(words(&["python3", "-m", "http.server", "8080", "--bind", at])),
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "node",
        needs: &["node"],
        command: |at, _| {
            let script = format!("require('http').createServer((q, a) => a.end('yes')).listen(8080, '{at}')");
            Ok(words(&["node", "-e", &script]))
        },
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "nginx",
        needs: &["nginx"],
        command: |at, dir| nginx(dir, &format!("{at}:8080")),
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "nginx-reuseport",
        needs: &["nginx"],
        command: |at, dir| nginx(dir, &format!("{at}:8080 reuseport")),
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "lighttpd",
        needs: &["lighttpd"],
        command: |at, dir| {
            let text = format!(
                "server.document-root = \"{}\"\nserver.bind = \"{at}\"\nserver.port = 8080\n",
                dir.display()
            );
            let file = write(dir, "lighttpd.conf", &text)?;
            Ok(words(&["lighttpd", "-D", "-f", &file]))
        },
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "haproxy",
        needs: &["haproxy"],
        command: |at, dir| {
            let text = format!(
                "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n\
                 frontend f\n bind {at}:8080\n http-request return status 200\n"
            );
            let file = write(dir, "haproxy.cfg", &text)?;
            Ok(words(&["haproxy", "-db", "-f", &file]))
        },
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "gunicorn",
        needs: &["gunicorn"],
        command: |at, dir| {
            let text = "def app(e, start):\n    start('200 OK', [])\n    return [b'yes']\n";
            write(dir, "keepapp.py", text)?;
            let (bind, dir) = (format!("{at}:8080"), dir.display().to_string());
            Ok(words(&["gunicorn", "--chdir", &dir, "-w", "2", "-b", &bind, "keepapp:app"]))
        },
        question: HTTP.0,
        answer: HTTP.1,
    },
    Server {
        name: "redis",
        needs: &["redis-server"],
        command: |at, dir| {
            let dir = dir.display().to_string();
            Ok(words(&["redis-server", "--bind", at, "--port", "8080", "--save", "", "--dir", &dir]))
        },
        question: "PING\r\nQUIT\r\n",
        answer: "+PONG",
    },
    Server {
        name: "memcached",
        needs: &["memcached"],
        command: |at, _| Ok(words(&["memcached", "-u", "root", "-l", at, "-p", "8080", "-U", "0"])),
        question: "version\r\nquit\r\n",
        answer: "VERSION",
    },
    Server {
        name: "socat",
        needs: &["socat"],
        command: |at, _| {
            let listen = format!("TCP4-LISTEN:8080,bind={at},fork");
            Ok(words(&["socat", &listen, "EXEC:cat"]))
        },
        question: "echo",
        answer: "echo",
    },
    Server {
        name: "go-static",
        needs: &["go"],
        command: |at, dir| {
            let source = write(dir, "main.go", &GO.replace("ADDRESS", &format!("{at}:8080")))?;
            let program = dir.join("go-server").display().to_string();
            if !dir.join("go-server").exists() {
                let cache = std::env::temp_dir().join("inuse-keep-go-cache");
                let built = std::process::Command::new("go")
                    .args(["build", "-o", &program, &source])
                    .env("CGO_ENABLED", "0")
                    .env("GOCACHE", &cache)
                    .env("GO111MODULE", "off")
                    .status()?;
                if !built.success() {
                    return Err("go build fails".into());
                }
            }
            Ok(vec![program])
        },
        question: HTTP.0,
        answer: HTTP.1,
    },
];

const GO: &str = r#"package main

import "net/http"

func main() {
	http.ListenAndServe("ADDRESS", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("yes"))
	}))
}
"#;

impl Server {
    /// The first program that is not there.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let there = |program: &str| {
            std::env::var_os("PATH")
                .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
        };
        self.needs.iter().copied().find(|program| !there(program))
    }

    /// It is killed; what waits then is answered by its successor; which is asked to end, and followed again.
    pub(crate) fn restarts(&self, at: &str) -> Result<(), Failed> {
        let mut supervisor = Supervisor::new();
        let directory = Directory::new(self.name);
        let command = (self.command)(at, &directory.0)?;
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut waiting = None;
        for (generation, signal) in [(1, Signal::KILL), (2, Signal::TERM), (3, Signal::KILL)] {
            let program = supervisor.start(generation, &command);
            let (_, adopted) = supervisor.listening(generation);
            if adopted != (generation > 1) {
                return Err(format!("generation {generation}: {:?}", supervisor.events).into());
            }
            if let Some(waiting) = waiting.take() {
                self.hear(waiting)?;
            }
            self.hear(self.say(at)?)?;
            supervisor.keeper.ready(generation)?;
            let _ = program.end(signal);
            supervisor.keeper.ended(generation)?;
            waiting = Some(self.say(at)?);
        }
        let dropped = |event: &Event| matches!(event, Event::Unclaimed { .. } | Event::Impossible { .. });
        match supervisor.hear_all().iter().find(|event| dropped(event)) {
            Some(event) => Err(format!("{event:?}").into()),
            None => Ok(()),
        }
    }

    fn say(&self, at: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect((at, 8080))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(self.question.as_bytes())?;
        Ok(stream)
    }

    fn hear(&self, mut stream: TcpStream) -> Result<(), Failed> {
        let mut answer = Vec::new();
        let mut bytes = [0; 512];
        while !String::from_utf8_lossy(&answer).contains(self.answer) {
            match stream.read(&mut bytes)? {
                0 => return Err(format!("the answer {:?}", String::from_utf8_lossy(&answer)).into()),
                got => answer.extend(&bytes[..got]),
            }
        }
        Ok(())
    }
}

fn nginx(dir: &Path, listen: &str) -> Result<Vec<String>, Failed> {
    let place = dir.display();
    let text = format!(
        "daemon off; worker_processes 2; user root; pid {place}/pid; error_log {place}/error;\n\
         events {{ }}\nhttp {{ access_log off; client_body_temp_path {place}; proxy_temp_path {place};\n\
         fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};\n\
         server {{ listen {listen}; return 200 yes; }} }}\n"
    );
    let file = write(dir, "nginx.conf", &text)?;
    Ok(words(&["nginx", "-c", &file]))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<String, Failed> {
    let file = dir.join(name);
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
