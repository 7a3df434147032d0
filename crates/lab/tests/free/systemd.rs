//! A real systemd, as process 1 of a pid namespace on the stage: in a cgroup of its own, with an /etc and units of
//! its own, and in the stage's network.
//!
//! A unit is stopped by its manager, and only where that was agreed to; what is only below a manager's cgroup is a
//! process like any other. systemd's own socket goes with its `.socket` unit, and with no other.

use crate::cannot;
use crate::cases::expect;
use crate::scenes::{Said, free_with};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::Wanted;
use libtest_mimic::{Completion, Failed};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Starts it. `$1` is this binary, `$2` the systemd.
const START: &str = r#"
set -e
mkdir /run/tree /run/etc /run/units /run/user-units /run/user /run/user/1000 /run/few
chown 1000:1000 /run/user/1000
ln -s "$(type -P strace)" /run/few/
cp /etc/ld.so.cache /run/etc/
printf 'root:x:0:0::/:/bin/sh\ntom:x:1000:1000::/:/bin/sh\n' >/run/etc/passwd
printf 'root:x:0:\ntom:x:1000:\n' >/run/etc/group
echo 0123456789abcdef0123456789abcdef >/run/etc/machine-id

unit() { printf '[Unit]\nDefaultDependencies=no\n%b\n' "$2" >"$1"; }
serves() { echo "[Service]\nExecStart=$1 __server 127.0.0.1:$2"; }
cd /run/units
unit default.target
unit shop.service "$(serves "$1" 8080)\nRestart=always\nRestartSec=100ms"
unit tree.service "[Service]\nExecStart=$1 __supervisor 127.0.0.1:8080"
unit next-door.service "$(serves "$1" 9090)"
unit web.socket '[Socket]\nListenStream=127.0.0.1:8080'
unit web.service '[Service]\nExecStart=sleep 1000'
unit dns.socket '[Socket]\nListenDatagram=127.0.0.1:8080'
unit dns.service '[Service]\nExecStart=sleep 1000'
unit user@1000.service "[Service]\nUser=tom\nType=notify\nDelegate=yes\nExecStart=$2 --user
Environment=XDG_RUNTIME_DIR=/run/user/1000 SYSTEMD_UNIT_PATH=/run/user-units"
cp default.target shop.service web.socket web.service /run/user-units/

mount -t cgroup2 tree /run/tree
group=$(mktemp -d /run/tree/inuse-test-XXXXXX)
chmod 755 "$group"
echo "$group" >/run/group
echo 0 >"$group/cgroup.procs"
setsid unshare --pid --fork --kill-child --mount --mount-proc --uts --cgroup bash -ec '
  mount --bind /run/etc /etc
  # The limits of open files belong to the whole machine, and systemd would raise them.
  mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
  umount --recursive /sys/fs/cgroup || true
  mount -t cgroup2 tree /sys/fs/cgroup
  exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH=/run/units \
    "$1" --system --unit=default.target --log-target=console --show-status=0
' bash "$2" </dev/null >/run/systemd.log 2>&1 &
until first=$(cat /proc/$!/task/$!/children) && first=${first% } && nsenter -t "$first" -m -p systemctl is-system-running; do
  test -d /proc/$! || { cat /run/systemd.log >&2; exit 1; }
  sleep 0.05
done >/dev/null 2>&1
echo "$first"
"#;

/// Ends it and everything that it left, whatever went before.
const END: &str = r#"
kill -KILL "$1"
group=$(cat /run/group)
for _ in {1..50}; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
  test -d "$group" || exit 0
  sleep 0.1
done
exit 1
"#;

/// The test.
pub(crate) fn systemd() -> Result<Completion, Failed> {
    if !std::path::Path::new(SYSTEMD).exists() {
        return cannot("it needs systemd");
    }
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    if !stage.offers(inuse_rules::scene::Need::Uids) {
        return cannot("it needs several users");
    }
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().ok_or("a path that is no text")?;
    let started =
        stage.run(0, Program::Path("timeout"), &["20", "bash", "-c", START, "bash", exe, SYSTEMD])?;
    let first = String::from_utf8_lossy(&started.stdout).trim().to_owned();
    if started.code != 0 || first.is_empty() {
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        let log =
            stage.run(0, Program::Path("sh"), &["-c", "cat /run/systemd.log; rmdir $(cat /run/group)"])?;
        return cannot(format!(
            "systemd does not start here: {said}{}",
            String::from_utf8_lossy(&log.stdout)
        ));
    }
    let mut booted = Booted { stage: &mut stage, first };
    let tested = catch_unwind(AssertUnwindSafe(|| played(&mut booted)));
    let first = booted.first;
    let ended = stage.run(0, Program::Path("bash"), &["-c", END, "bash", &first]);
    tested.unwrap_or_else(|panic| resume_unwind(panic))?;
    let ended = ended?;
    assert_eq!(ended.code, 0, "{}", String::from_utf8_lossy(&ended.stderr));
    stage.end()?;
    Ok(Completion::Completed)
}

fn played(booted: &mut Booted<'_>) -> Result<(), Failed> {
    booted.systemctl("start next-door.service")?;
    let neighbour = booted.systemctl("show --property=MainPID next-door.service")?;
    for (what, part) in [
        ("a service", a_service as fn(&mut Booted<'_>) -> Result<(), Failed>),
        ("a service that nobody can be asked about", unasked),
        ("a worker of a service", a_worker),
        ("a socket unit", a_socket_unit),
        ("a scope", a_scope),
        ("a user's units", of_a_user),
    ] {
        part(booted).map_err(|why| format!("{what}: {}", why.message().unwrap_or_default()))?;
        assert!(booted.is_free()?, "{what}");
    }
    assert_eq!(booted.systemctl("show --property=MainPID next-door.service")?, neighbour);
    booted.sh(ROOT, ": </dev/tcp/127.0.0.1/9090")?;
    Ok(())
}

fn a_service(booted: &mut Booted<'_>) -> Result<(), Failed> {
    booted.serve("start shop.service")?;
    let said = booted.free(ROOT, None)?;
    expect(&said, "Refused(NeedsFlag)", "listener")?;
    assert!(said.text.contains("belongs to the systemd unit shop.service"), "{}", said.text);
    booted.systemctl("is-active shop.service")?;
    let said = booted.free(ROOT, Some("--unit"))?;
    expect(&said, "Free", "none")?;
    assert!(booted.systemctl("is-active shop.service").is_err());
    Ok(())
}

/// Without systemctl it is a process like any other; whoever starts it again is named all the same.
fn unasked(booted: &mut Booted<'_>) -> Result<(), Failed> {
    booted.serve("start shop.service")?;
    let few = [ROOT, &["env", "PATH=/run/few"]].concat();
    let said = booted.freed(&few, None)?;
    expect(&said, "NotFree", "respawned")?;
    assert!(said.text.contains("systemd (unit shop.service) started"), "{}", said.text);
    booted.systemctl("stop shop.service")?;
    Ok(())
}

fn a_worker(booted: &mut Booted<'_>) -> Result<(), Failed> {
    booted.serve("start tree.service")?;
    let said = booted.free(ROOT, None)?;
    expect(&said, "Refused(NeedsFlag)", "listener")?;
    expect(&booted.free(ROOT, Some("--unit"))?, "Free", "none")
}

/// Held by systemd alone, and then by the service as well; the other protocol's unit has the same address.
fn a_socket_unit(booted: &mut Booted<'_>) -> Result<(), Failed> {
    for units in ["web.socket", "web.socket web.service"] {
        booted.serve(&format!("start dns.socket {units}"))?;
        let said = booted.free(ROOT, None)?;
        expect(&said, "Refused(NeedsFlag)", "socket-unit")?;
        assert!(said.text.contains("belongs to the systemd unit web.socket"), "{}", said.text);
        let said = booted.free(ROOT, Some("--unit"))?;
        expect(&said, "Free", "none")?;
        for unit in units.split(' ') {
            assert!(booted.systemctl(&format!("is-active {unit}")).is_err(), "{unit}");
        }
        booted.systemctl("is-active dns.socket")?;
    }
    booted.systemctl("stop dns.socket")?;
    Ok(())
}

/// A scope is a group of somebody's processes, not a service.
fn a_scope(booted: &mut Booted<'_>) -> Result<(), Failed> {
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().ok_or("a path that is no text")?;
    let script = format!(
        "setsid systemd-run --scope --unit=job {exe} __server 127.0.0.1:8080 </dev/null >/dev/null 2>&1 &"
    );
    booted.sh(ROOT, &script)?;
    booted.until_served()?;
    let said = booted.freed(ROOT, Some("--unit"))?;
    expect(&said, "Free", "none")?;
    assert_eq!(said.stopped.len(), 1, "{}", said.text);
    Ok(())
}

/// By that user, whose manager is asked.
fn of_a_user(booted: &mut Booted<'_>) -> Result<(), Failed> {
    booted.systemctl("start user@1000.service")?;
    for unit in ["shop.service", "web.socket"] {
        booted.sh(TOM, &format!("systemctl --user start {unit}"))?;
        booted.until_served()?;
        let said = booted.free(TOM, None)?;
        assert_eq!(said.ending, "Refused(NeedsFlag)", "{}", said.text);
        assert!(said.text.contains(&format!("belongs to the systemd unit {unit}")), "{}", said.text);
        expect(&booted.free(TOM, Some("--unit"))?, "Free", "none")?;
        assert!(booted.sh(TOM, &format!("systemctl --user is-active {unit}")).is_err());
    }
    Ok(())
}

/// Who acts, as words before a command.
const ROOT: &[&str] = &[];
const TOM: &[&str] =
    &["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env", "XDG_RUNTIME_DIR=/run/user/1000"];

/// A stage on which systemd runs.
struct Booted<'a> {
    stage: &'a mut Stage,
    /// Its process 1, in the stage's count.
    first: String,
}

impl Booted<'_> {
    /// Words before a command that runs where systemd does.
    fn within(&self, who: &[&str]) -> Vec<String> {
        let enter = ["nsenter", "-t", &self.first, "-m", "-p", "-C", "-u"];
        enter.iter().chain(who).map(ToString::to_string).collect()
    }

    /// Has the port freed, by whoever it is; no process may be signalled for it.
    fn free(&mut self, who: &[&str], agreed: Option<&str>) -> Result<Said, Failed> {
        let said = self.freed(who, agreed)?;
        assert_eq!(said.calls, "", "{}", said.text);
        Ok(said)
    }

    fn freed(&mut self, who: &[&str], agreed: Option<&str>) -> Result<Said, Failed> {
        let words = self.within(who);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        free_with(self.stage, 0, &words, "127.0.0.1:8080", agreed)
    }

    fn sh(&mut self, who: &[&str], script: &str) -> Result<String, Failed> {
        let words = self.within(who);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["bash", "-c", script]);
        let ran = self.stage.run(0, Program::Path("env"), &words)?;
        match ran.code {
            0 => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
            code => Err(format!("{script}: {code}: {}", String::from_utf8_lossy(&ran.stderr)).into()),
        }
    }

    fn systemctl(&mut self, words: &str) -> Result<String, Failed> {
        self.sh(ROOT, &format!("systemctl {words}"))
    }

    /// The same, after which the port is served.
    fn serve(&mut self, words: &str) -> Result<(), Failed> {
        self.systemctl(words)?;
        self.until_served()
    }

    fn until_served(&mut self) -> Result<(), Failed> {
        for _ in 0..400 {
            if !self.is_free()? {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Err("nobody serves the port".into())
    }

    fn is_free(&mut self) -> Result<bool, Failed> {
        Ok(self.stage.attempt(&Wanted::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))))?.is_none())
    }
}
