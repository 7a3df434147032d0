//! What a plan must know besides the sockets: who we are and where we come from, what we may do, and what
//! service managers and container runtimes say of the holders.
//!
//! Gathered here, judged in `plan`. A manager is asked (`systemctl show`, `docker ps`) only where a holder
//! seems to be its own; asking changes nothing, and an answer that does not come is one that is not known.

use super::run::command::output;
use inuse_bind::Report;
use inuse_kernel::netns::Netns;
use inuse_kernel::process::containers;
use inuse_kernel::{caps, locality, process};
use inuse_rules::cure::Command;
use inuse_rules::owner::{Container, Process, Publishes, Unit};
use inuse_rules::snapshot::Locality;
use inuse_rules::{Address, State, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// `CAP_KILL` and `CAP_NET_ADMIN` of capabilities(7).
const CAP_KILL: u32 = 5;
const CAP_NET_ADMIN: u32 = 12;

/// What a plan must know besides the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Our own process.
    pub pid: u32,
    /// Our parent, its parent and so on.
    pub ancestors: Vec<u32>,
    /// The leader of our session; 0 when it is out of sight.
    pub session: u32,
    /// Our effective uid.
    pub uid: u32,
    /// Whether we may signal other users' processes (`CAP_KILL`).
    pub kill: bool,
    /// Whether we may destroy sockets (`CAP_NET_ADMIN`).
    pub net_admin: bool,
    /// Whether we may bind privileged ports (`CAP_NET_BIND_SERVICE`).
    pub net_bind_service: bool,
    /// The container that we run in ourselves: its processes are our neighbours, not a container's.
    pub container: Option<Container>,
    /// The main process of each unit that a holder seems to belong to, by the unit's name and the uid of
    /// its manager.
    pub main_pids: BTreeMap<(String, Option<u32>), u32>,
    /// What `systemctl list-sockets` says, where systemd itself is a holder.
    pub socket_units: String,
    /// The container that publishes the port, where a runtime's helper is a holder.
    pub published: Option<Published>,
    /// Addresses of other ends that this machine has.
    pub local: BTreeSet<IpAddr>,
}

/// A container, as its runtime's command names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `docker` or `podman`.
    pub tool: &'static str,
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Gathers it, and completes the processes of the report.
pub(super) fn look(netns: &Netns, report: &mut Report) -> Surroundings {
    complete(report);
    let effective = capabilities();
    let may = |cap: u32| effective >> cap & 1 != 0;
    let own = process::read(std::process::id());
    let mut around = Surroundings {
        pid: std::process::id(),
        ancestors: own.iter().flat_map(|own| &own.ancestry).map(|ancestor| ancestor.pid).collect(),
        session: own.as_ref().map_or(0, |own| own.session),
        uid: rustix::process::geteuid().as_raw(),
        kill: may(CAP_KILL),
        net_admin: may(CAP_NET_ADMIN) && caps::root_counts(netns),
        net_bind_service: caps::may_bind_privileged(netns),
        container: own.and_then(|own| own.container),
        ..Surroundings::default()
    };
    around.local = local_ends(netns, report);
    let port = report.diagnosis.attempt.address.port();
    for process in holders(report) {
        if process.pid == 1 && process.comm == b"systemd" && around.socket_units.is_empty() {
            let list =
                Command::new(["systemctl", "list-sockets", "--all", "--full", "--plain", "--no-legend"]);
            around.socket_units = output(&list).unwrap_or_default();
        }
        if let (Some(unit), true) = (&process.unit, has_systemd(process)) {
            let key = (unit.name.clone(), unit.user_manager);
            if let Some(pid) = output(&show_main_pid(unit, around.uid)).as_deref().and_then(main_pid) {
                around.main_pids.insert(key, pid);
            }
        }
        if let (Some(publishes), Some(port)) = (&process.publishes, port)
            && around.published.is_none()
        {
            around.published = published(publishes, port);
        }
    }
    around
}

/// The container behind a helper, as its runtime names it. Which runtime answers is the environment's choice
/// (`DOCKER_HOST`, a context), and it may be one of another machine that publishes the same port: so a
/// container counts only if it is the one that has the helper's address, or else if it runs here at all.
fn published(publishes: &Publishes, port: u16) -> Option<Published> {
    let tool = publishes.tool();
    let known = publishes.container.as_ref().map(|container| container.id.as_str());
    let filter = known.map_or_else(|| format!("publish={port}"), |id| format!("id={id}"));
    let words = [tool, "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}", "--filter", filter.as_str()];
    let found = only_container(tool, &output(&Command::new(words))?)?;
    let is_it = known.map_or_else(|| containers::runs_here(&found.id), |id| id == found.id);
    is_it.then_some(found)
}

/// Describes every holder: `why` describes no more than a person reads.
fn complete(report: &mut Report) {
    let snapshot = &report.snapshot;
    let elsewhere = snapshot.elsewhere.iter().map(|other| &other.socket);
    let pids: BTreeSet<u32> = snapshot
        .sockets
        .iter()
        .chain(elsewhere)
        .flat_map(|socket| socket.owners.holdings())
        .map(|holding| holding.pid)
        .filter(|pid| !snapshot.processes.contains_key(pid))
        .collect();
    for pid in pids {
        if let Some(mut process) = process::read(pid) {
            containers::name_published(&mut process);
            Arc::make_mut(&mut report.snapshot).processes.insert(pid, process);
        }
    }
}

/// The processes that hold something in the way.
fn holders(report: &Report) -> Vec<&Process> {
    let snapshot = &report.snapshot;
    let in_the_way = report.diagnosis.verdict.by().iter().filter_map(|&index| snapshot.sockets.get(index));
    let pids: BTreeSet<u32> =
        in_the_way.flat_map(|socket| socket.owners.holdings()).map(|holding| holding.pid).collect();
    pids.iter().filter_map(|pid| snapshot.processes.get(pid)).collect()
}

/// Those other ends of TIME_WAITs that are addresses of this machine.
fn local_ends(netns: &Netns, report: &Report) -> BTreeSet<IpAddr> {
    let remains = report.snapshot.sockets.iter().filter(|socket| {
        socket.state == State::TimeWait
            && matches!(socket.address, Address::Inet { transport: Transport::Tcp, .. })
    });
    let ends: BTreeSet<IpAddr> = remains.filter_map(|socket| Some(socket.remote?.ip())).collect();
    let is_local = |ip: &IpAddr| matches!(locality::locality(netns, *ip, 0), Ok(Locality::Local));
    ends.into_iter().filter(is_local).collect()
}

/// `CapEff` of this process (proc_pid_status(5)); nothing when it cannot be read.
fn capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Whether systemd is among its ancestors: a path in the cgroup tree alone proves nothing.
fn has_systemd(process: &Process) -> bool {
    process.ancestry.iter().any(|ancestor| ancestor.comm == b"systemd")
}

/// The question for a unit's main process.
fn show_main_pid(unit: &Unit, uid: u32) -> Command {
    let words = [&["show", "--property=MainPID", "--", unit.name.as_str()][..]].concat();
    systemctl(unit.user_manager, uid, &words)
}

/// `systemctl`, spoken to the manager that runs a unit.
pub(super) fn systemctl(user_manager: Option<u32>, uid: u32, words: &[&str]) -> Command {
    let mut all = vec!["systemctl".to_owned()];
    match user_manager {
        None => {}
        Some(manager) if manager == uid => all.push("--user".into()),
        Some(manager) => all.extend(["--user".into(), format!("--machine={manager}@.host")]),
    }
    all.extend(words.iter().map(|&word| word.to_owned()));
    Command::new(all)
}

/// `MainPID=4412`; 0 stands for none.
fn main_pid(shown: &str) -> Option<u32> {
    let pid = shown.lines().find_map(|line| line.strip_prefix("MainPID="))?;
    pid.trim().parse().ok().filter(|&pid| pid != 0)
}

/// The one container in a list of `ID NAME` lines; of several none is known to be the one.
fn only_container(tool: &'static str, list: &str) -> Option<Published> {
    let mut lines = list.lines().filter(|line| !line.trim().is_empty());
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (id, name) = line.trim().split_once(' ')?;
    let is_id = id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| Published { tool, id: id.into(), name: name.trim().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_process_is_read_from_what_systemctl_prints() {
        assert_eq!(main_pid("MainPID=4412\n"), Some(4412));
        assert_eq!(main_pid("MainPID=0\n"), None);
        assert_eq!(main_pid(""), None);
        assert_eq!(main_pid("Unit x.service could not be found."), None);
    }

    #[test]
    fn only_one_container_is_the_one() {
        let id = "3f2a9c0d11ee3f2a9c0d11ee3f2a9c0d11ee3f2a9c0d11ee3f2a9c0d11ee0011";
        let one = only_container("docker", &format!("{id} shop_web_1\n")).unwrap();
        assert_eq!((one.id.as_str(), one.name.as_str()), (id, "shop_web_1"));
        assert_eq!(only_container("docker", &format!("{id} a\n{id} b\n")), None);
        assert_eq!(only_container("docker", ""), None);
        assert_eq!(only_container("docker", "--all x\n"), None);
    }

    #[test]
    fn a_users_unit_is_asked_of_that_users_manager() {
        let say = |manager, uid| systemctl(manager, uid, &["stop", "--", "x.service"]).to_string();
        assert_eq!(say(None, 0), "systemctl stop -- x.service");
        assert_eq!(say(Some(1000), 1000), "systemctl --user stop -- x.service");
        assert_eq!(say(Some(1000), 0), "systemctl --user --machine=1000@.host stop -- x.service");
    }
}
