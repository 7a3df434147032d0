//! A real Docker daemon on the stage: data, runtime files and socket of its own, in the stage's network. Its one
//! image is a tar of busybox.
//!
//! A published port is held by a helper (docker-proxy), by the daemon itself (`--userland-proxy=false`), or by the
//! container's own program (`--network host`). Whoever it is, only the container is ever stopped, and only by its
//! runtime.

use crate::cases::expect;
use crate::scenes::{Neighbour, Said, free_with};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::scene::Wanted;
use libtest_mimic::Failed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where the daemon of the stage listens; not where clients look by themselves.
const HOST: &str = "DOCKER_HOST=unix:///run/docker-of-test/docker.sock";

/// Starts a daemon with the options in `$1`, and gives it the image.
const START: &str = r#"
mkdir -p /run/docker-of-test && mount -t tmpfs -o exec of-test /run/docker-of-test && cd /run/docker-of-test || exit 1
mkdir -p image/bin image/www
setsid dockerd --data-root "$PWD/data" --exec-root "$PWD/exec" --pidfile "$PWD/pid" --host "unix://$PWD/docker.sock" \
  --storage-driver vfs $1 </dev/null >log 2>&1 &
until docker version >/dev/null 2>&1; do
  test -d /proc/$! || { tail -n 1 log >&2; exit 1; }
  sleep 0.05
done
cp "$(type -P busybox)" image/bin/busybox && echo hello >image/www/index.html
tar -C image -c . | docker import - busybox >/dev/null
"#;

/// Ends it and everything that it left, whatever went before. The cgroup of all containers is outside of the stage.
const END: &str = r#"
cd /run/docker-of-test || exit 0
docker ps --quiet --all | xargs --no-run-if-empty docker rm --force >/dev/null
kill "$(cat pid)" && while test -e pid; do sleep 0.05; done
rmdir /sys/fs/cgroup/*/docker /sys/fs/cgroup/docker 2>/dev/null
cd / && umount --lazy /run/docker-of-test
"#;

/// Runs a web server with the options in `$1`, until it answers on the port.
const SHOP: &str = r#"
docker run --detach --rm --stop-signal KILL --name shop $1 busybox /bin/busybox httpd -f -p "$2" -h /www >/run/shop &&
until test "$(busybox wget -qO- http://127.0.0.1:8080/)" = hello; do sleep 0.05; done
"#;

/// The test. One trial for all of it: the cgroup is the machine's, and two daemons would take it from each other.
pub(crate) fn docker(stage: &mut Stage) -> Result<(), Failed> {
    let neighbour = Neighbour::move_in(stage)?;
    for (options, test) in [
        ("--userland-proxy=true", behind_a_proxy as fn(&mut Stage) -> Result<(), Failed>),
        ("--userland-proxy=false", held_by_the_daemon),
    ] {
        let tested =
            catch_unwind(AssertUnwindSafe(|| sh(stage, START, &[options]).and_then(|_| test(stage))));
        let ended = sh(stage, END, &[]);
        tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        ended?;
    }
    Ok(neighbour.serves(stage)?)
}

fn behind_a_proxy(stage: &mut Stage) -> Result<(), Failed> {
    sh(stage, SHOP, &["--publish 127.0.0.1:8080:80", "80"])?;
    let id = sh(stage, "cut -c1-12 /run/shop", &[])?;
    let proxy = pid_of(stage, "docker-proxy")?;

    // What is seen without asking any runtime: the cause, the container, and that the proxy is innocent.
    let said = freed(stage, &[HOST], None)?;
    expect(&said, "Refused(NeedsFlag)", "container-proxy")?;
    let summary = format!(
        "The docker container {} at 172.17.0.2 publishes its port 80 as 127.0.0.1:8080; docker-proxy (pid {proxy}) is only its helper.",
        id.trim()
    );
    assert!(said.text.contains(&summary), "{summary}\n{}", said.text);
    assert!(said.text.contains("serves the docker container shop"), "{}", said.text);

    // No runtime answers, or one that knows another container of that port, as a remote one may.
    let stranger = r#"cd /run/docker-of-test && mkdir bin && printf '#!/bin/sh\necho %064d shop\n' 0 >bin/docker && chmod +x bin/docker"#;
    sh(stage, stranger, &[])?;
    let path = format!("PATH=/run/docker-of-test/bin:{}", std::env::var("PATH")?);
    for env in [&["DOCKER_HOST=unix:///run/nobody.sock"][..], &[HOST, &path]] {
        let said = freed(stage, env, Some("--container"))?;
        expect(&said, "Refused(Never)", "container-proxy")?;
        assert!(said.text.contains(id.trim()), "{}", said.text);
        assert_eq!(said.calls, "", "{}", said.text);
    }
    assert_eq!((pid_of(stage, "docker-proxy")?, serves(stage)?), (proxy, true));

    stops(stage)?;
    assert!(sh(stage, "pgrep -x docker-proxy || true", &[])?.is_empty());

    // In the host's network the container's own program holds the port.
    sh(stage, SHOP, &["--network host", "127.0.0.1:8080"])?;
    let said = freed(stage, &[HOST], None)?;
    expect(&said, "Refused(NeedsFlag)", "listener")?;
    let id = sh(stage, "cut -c1-12 /run/shop", &[])?;
    assert!(said.text.contains(&format!("serves the docker container {}", id.trim())), "{}", said.text);
    stops(stage)
}

fn held_by_the_daemon(stage: &mut Stage) -> Result<(), Failed> {
    sh(stage, SHOP, &["--publish 127.0.0.1:8080:80", "80"])?;
    let said = freed(stage, &[HOST], None)?;
    expect(&said, "Refused(NeedsFlag)", "container-proxy")?;
    assert!(said.text.contains("serves the docker container shop"), "{}", said.text);
    assert_eq!(said.calls, "", "{}", said.text);
    stops(stage)
}

/// With `--container` it is stopped by its runtime, nobody is signalled by us, and the port is proven free.
fn stops(stage: &mut Stage) -> Result<(), Failed> {
    let daemon = pid_of(stage, "dockerd")?;
    let said = freed(stage, &[HOST], Some("--container"))?;
    expect(&said, "Free", "none")?;
    assert_eq!(said.calls, "", "{}", said.text);
    assert_eq!(stage.attempt(&Wanted::tcp(HERE))?, None);
    assert_eq!(pid_of(stage, "dockerd")?, daemon);
    Ok(())
}

fn freed(stage: &mut Stage, env: &[&str], agreed: Option<&str>) -> Result<Said, Failed> {
    let mut said = free_with(stage, 0, env, "127.0.0.1:8080", agreed)?;
    // By SIGURG the threads of a Go program, here of the runtime's command, interrupt each other.
    said.calls = said.calls.lines().filter(|line| line.contains("SIG") && !line.contains("SIGURG")).collect();
    Ok(said)
}

fn serves(stage: &mut Stage) -> Result<bool, Failed> {
    Ok(sh(stage, "busybox wget -qO- http://127.0.0.1:8080/", &[])? == "hello\n")
}

/// The one process of that name on the stage.
fn pid_of(stage: &mut Stage, name: &str) -> Result<u32, Failed> {
    Ok(sh(stage, "pgrep -x \"$1\"", &[name])?.trim().parse()?)
}

/// Runs a script as root; what it printed.
fn sh(stage: &mut Stage, script: &str, words: &[&str]) -> Result<String, Failed> {
    let mut all = vec![HOST, "bash", "-c", script, "bash"];
    all.extend(words);
    let ran = stage.run(0, Program::Path("env"), &all)?;
    match ran.code {
        0 => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        code => Err(format!("{code}: {}", String::from_utf8_lossy(&ran.stderr)).into()),
    }
}
