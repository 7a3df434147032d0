//! On a stage with servers that people run: whatever ss(8) and lsof(8) show as listening is listed, with the
//! same processes.

use super::{cannot, fits};
use inuse_lab::stage::{Program, Ran};
use inuse_lab::{Stage, StageError};
use libtest_mimic::{Completion, Failed};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The command under test.
const INUSE: &str = env!("CARGO_BIN_EXE_inuse");
/// How long the servers may take until they listen.
const STARTING: Duration = Duration::from_secs(20);

/// Starts the servers; all that they write is on the stage's own /run.
const SERVERS: &str = r#"
cd /run
cat >nginx.conf <<END
user root; pid /run/nginx.pid; error_log /run/error.log; worker_processes 2; events {}
http { access_log off; client_body_temp_path /run/b; proxy_temp_path /run/p; fastcgi_temp_path /run/f;
  uwsgi_temp_path /run/u; scgi_temp_path /run/s;
  server { listen 8080; listen [::]:8080; listen unix:/run/nginx.sock; }
  server { listen 127.0.0.1:8081 reuseport; } }
END
exec </dev/null >/dev/null 2>&1
nginx -c /run/nginx.conf -e /run/error.log &
python3 -c 'import http.server as h; h.HTTPServer(("127.0.0.2", 8082), h.SimpleHTTPRequestHandler).serve_forever()' &
node -e 'require("net").createServer().listen(8083); require("net").createServer().listen("/run/node.sock")' &
socat UDP4-LISTEN:8084,bind=127.0.0.1 - &
socat TCP4-LISTEN:8085,bind=0.0.0.0,so-bindtodevice=lo - &
"#;

/// Listeners of the servers above: one for each of nginx's workers on 8081.
const LISTENERS: usize = 3 + 2 + 1 + 1 + 1;

/// The processes of each listening address; of several sockets of one address together.
type Listed = BTreeMap<String, BTreeSet<u32>>;

pub(super) fn parity() -> Result<Completion, Failed> {
    for program in ["nginx", "python3", "node", "socat", "ss", "lsof"] {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|directory| directory.join(program).is_file()) {
            return cannot(format!("{program} is not installed"));
        }
    }
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(StageError::Unavailable(why)) => return cannot(why),
        Err(error) => return Err(error.into()),
    };
    run(&mut stage, "sh", &["-c", SERVERS])?;
    let deadline = Instant::now() + STARTING;
    let listening = |stage: &mut Stage| -> Result<usize, Failed> {
        let text = run(stage, "ss", &["-lnHtx"])?;
        Ok(text.lines().count())
    };
    // The tcp listeners, and nginx's and node's unix sockets.
    while listening(&mut stage)? < LISTENERS + 1 {
        if Instant::now() > deadline {
            return Err(format!("the servers do not listen: {}", run(&mut stage, "ss", &["-tlnp"])?).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }

    let ours = fits(&run(&mut stage, INUSE, &["ls", "--json"])?);
    assert_eq!(ours["blind_spots"].as_array().map(Vec::len), Some(0), "{}", ours["blind_spots"]);
    let tcp = listed(&ours, "tcp");
    assert_eq!(tcp, of_ss(&run(&mut stage, "ss", &["-tlnpH"])?), "tcp, against ss");
    assert_eq!(listed(&ours, "udp"), of_ss(&run(&mut stage, "ss", &["-ulnpH"])?), "udp, against ss");
    assert_eq!(
        pids(&tcp),
        of_lsof(&run(&mut stage, "lsof", &["-nP", "-iTCP", "-sTCP:LISTEN", "-Fp"])?),
        "lsof"
    );
    let unix = listed(&ours, "unix");
    assert_eq!(unix.keys().collect::<Vec<_>>(), ["/run/nginx.sock", "/run/node.sock"]);
    assert_eq!(unix["/run/nginx.sock"], tcp["0.0.0.0:8080"]);

    // The same for people: as many rows as addresses, and nginx is one of three processes.
    let text = run(&mut stage, INUSE, &["ls"])?;
    assert_eq!(text.lines().count(), 1 + tcp.len() + listed(&ours, "udp").len() + unix.len(), "{text}");
    assert!(text.contains("nginx (3 processes, 2 sockets)"), "{text}");
    assert!(text.contains(" node\n") && text.contains(" python3\n"), "{text}");
    stage.end()?;
    Ok(Completion::Completed)
}

/// The list of a namespace that was left, and of all.
pub(super) fn other_namespaces() -> Result<Completion, Failed> {
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(StageError::Unavailable(why)) => return cannot(why),
        Err(error) => return Err(error.into()),
    };
    let server = "exec </dev/null >/dev/null 2>&1; unshare -n python3 -c 'import socket, time
s = socket.socket(); s.bind((\"0.0.0.0\", 7000)); s.listen(); time.sleep(60)' & sleep 0.1; echo";
    run(&mut stage, "sh", &["-c", server])?;
    let deadline = Instant::now() + STARTING;
    let all = loop {
        let ran = ran(&mut stage, INUSE, &["ls", "--json", "--all-netns", "--port", "7000"])?;
        let value = fits(&String::from_utf8_lossy(&ran.stdout));
        if ran.code == 0 {
            break value;
        }
        assert_eq!(ran.code, 1, "{value}");
        if Instant::now() > deadline {
            return Err("the server does not listen".into());
        }
    };
    let socket = &all["sockets"][0];
    assert_ne!(socket["netns"], all["netns"]);
    let pid = socket["owners"][0]["pid"].to_string();
    let here = ran(&mut stage, INUSE, &["ls", "--port", "7000"])?;
    assert_eq!(here.code, 1, "it is not in this namespace");
    let there = run(&mut stage, INUSE, &["ls", "--netns", &pid, "--port", "7000", "--program", "python3*"])?;
    assert!(there.lines().nth(1).is_some_and(|row| row.contains(&pid)), "{there}");
    let text = run(&mut stage, INUSE, &["ls", "--all-netns", "--port", "7000"])?;
    assert!(text.contains("  NETNS\n") && text.contains("  of pid "), "{text}");
    stage.end()?;
    Ok(Completion::Completed)
}

fn run(stage: &mut Stage, program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let ran = ran(stage, program, arguments)?;
    match ran.code {
        0 => Ok(String::from_utf8(ran.stdout)?),
        code => {
            Err(format!("{program} {arguments:?}: {code}: {}", String::from_utf8_lossy(&ran.stderr)).into())
        }
    }
}

fn ran(stage: &mut Stage, program: &str, arguments: &[&str]) -> Result<Ran, Failed> {
    Ok(stage.run(0, Program::Path(program), arguments)?)
}

fn listed(document: &Value, protocol: &str) -> Listed {
    let mut listed = Listed::new();
    for socket in document["sockets"].as_array().into_iter().flatten() {
        if socket["protocol"] == protocol {
            let owners = socket["owners"].as_array().into_iter().flatten();
            let pids =
                owners.filter_map(|owner| owner["pid"].as_u64()).filter_map(|pid| u32::try_from(pid).ok());
            let address = socket["local"].as_str().unwrap_or_default().to_owned();
            listed.entry(address).or_default().extend(pids);
        }
    }
    listed
}

/// `LISTEN 0 511 0.0.0.0:8080 0.0.0.0:* users:(("nginx",pid=7,fd=5),…)`; ss writes `*` for a socket that takes
/// IPv4 as well, and the interface behind the address.
fn of_ss(text: &str) -> Listed {
    let mut listed = Listed::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let address = words.nth(3).unwrap_or_default().replace("%lo", "");
        let address = address.strip_prefix('*').map_or(address.clone(), |port| format!("[::]{port}"));
        let pids = line.split("pid=").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u32>().ok());
        listed.entry(address).or_default().extend(pids);
    }
    listed
}

/// A line `p7` for each process, and `f5` for each descriptor.
fn of_lsof(text: &str) -> BTreeSet<u32> {
    text.lines().filter_map(|line| line.strip_prefix('p')?.parse().ok()).collect()
}

fn pids(listed: &Listed) -> BTreeSet<u32> {
    listed.values().flatten().copied().collect()
}
