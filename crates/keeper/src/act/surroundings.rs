//! What a plan must know besides the sockets: who we are and where we come from, what we may do, and what
//! service managers and container runtimes say of the holders.
//!
//! Gathered here, judged in `plan`. A manager is asked (`systemctl show`, `docker ps`) only where a holder
//! seems to be its own; asking changes nothing, and an answer that does not come is one that is not known.

use super::run::command::output;
use inuse_bind::Report;
use inuse_kernel::netns::Netns;
use inuse_kernel::process::{cgroup, containers};
use inuse_kernel::{caps, locality, process};
use inuse_rules::cure::Command;
use inuse_rules::owner::{Container, Process, Publishes, Runtime, Unit};
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
    /// Holders of whom the runtime says that they are of the container that their cgroup names.
    pub contained: BTreeSet<u32>,
    /// What `systemctl list-sockets` says, where systemd itself is a holder: by the uid of a user's manager.
    pub socket_units: BTreeMap<Option<u32>, String>,
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
        ancestors: ancestors(std::process::id(), process::parent),
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
        if let Some(manager) = manager_of(process).filter(|of| !around.socket_units.contains_key(of)) {
            let words = ["list-sockets", "--full", "--plain", "--no-legend", "--show-types"];
            let list = output(&systemctl(manager, around.uid, &words)).unwrap_or_default();
            around.socket_units.insert(manager, list);
        }
        if let Some(container) = &process.container
            && around.container.as_ref() != Some(container)
            && is_of(process, container)
        {
            around.contained.insert(process.pid);
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

/// Whether the runtime says that a process is of a container. Its cgroup's name is only a claim: whoever was given
/// a part of the tree may call a group there like somebody else's container. So the runtime names a process of it,
/// and that one must live in the very same group.
fn is_of(process: &Process, container: &Container) -> bool {
    let Some(pids) = output(&ask_pids(container)) else { return false };
    let its_group = |process: &Process| Some(group_of(process.cgroup.as_deref()?, container)?.to_vec());
    let Some(group) = its_group(process) else { return false };
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|&pid| pid != 0);
    pids.into_iter().any(|pid| process::read(pid).as_ref().and_then(its_group).as_ref() == Some(&group))
}

/// The question for a container's processes, as this machine counts them.
fn ask_pids(container: &Container) -> Command {
    let id = container.id.as_str();
    match container.runtime {
        Runtime::Docker => {
            Command::new(["docker", "container", "inspect", "--format", "{{.State.Pid}}", "--", id])
        }
        Runtime::Podman => Command::new([
            "podman",
            "container",
            "inspect",
            "--format",
            "{{.State.Pid}} {{.State.ConmonPid}}",
            "--",
            id,
        ]),
        Runtime::Containerd | Runtime::CriO => Command::new([
            "crictl",
            "inspect",
            "--output",
            "go-template",
            "--template",
            "{{.info.pid}}",
            "--",
            id,
        ]),
        Runtime::Lxc => Command::new(["lxc-info", "--pid", "--no-humanize", "--name", id]),
        Runtime::Machine => Command::new(["machinectl", "show", "--property=Leader", "--value", "--", id]),
    }
}

/// A cgroup's path up to the component that names the container.
fn group_of<'a>(path: &'a [u8], container: &Container) -> Option<&'a [u8]> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let groups = slashes.chain([path.len()]).filter_map(|end| path.get(..end));
    groups.into_iter().find(|group| cgroup::container(group).as_ref() == Some(container))
}

/// Parent, grandparent and so on, to the end: each of them is spared, so none may be left out.
fn ancestors(pid: u32, parent: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
    let mut ancestors = Vec::new();
    let mut next = parent(pid);
    while let Some(pid) = next.filter(|pid| *pid != 0 && !ancestors.contains(pid)) {
        ancestors.push(pid);
        next = parent(pid);
    }
    ancestors
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

/// The manager that a process is, if it is systemd: of the machine (`None`), or of a user.
pub(super) fn manager_of(process: &Process) -> Option<Option<u32>> {
    if process.comm != b"systemd" {
        return None;
    }
    if process.pid == 1 {
        return Some(None);
    }
    let uid = process.unit.as_ref()?.name.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok()?;
    (process.uid == Some(uid)).then_some(Some(uid))
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
    systemctl(unit.user_manager, uid, &["show", "--property=MainPID", "--", unit.name.as_str()])
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
    fn every_ancestor_counts_however_many_there_are() {
        let line = |pid: u32| (pid > 1).then(|| pid - 1);
        assert_eq!(ancestors(1000, line), (1..1000).rev().collect::<Vec<_>>());
        // A pid that is given out again meanwhile may close a circle.
        assert_eq!(ancestors(7, |pid| Some(pid % 3 + 1)), [2, 3, 1]);
        assert!(ancestors(1, |_| Some(0)).is_empty());
    }

    #[test]
    fn a_group_ends_with_the_containers_own() {
        let check = |path: &str, expect: Option<&str>| {
            let container = cgroup::container(path.as_bytes());
            let group = container.as_ref().and_then(|container| group_of(path.as_bytes(), container));
            assert_eq!(group, expect.map(str::as_bytes), "{path}");
        };
        let scope = "/system.slice/docker-4f6a1c0de4f6a1c0.scope";
        check(scope, Some(scope));
        check("/system.slice/docker-4f6a1c0de4f6a1c0.scope/init/x", Some(scope));
        check("/docker/4f6a1c0de4f6a1c0/system.slice/nginx.service", Some("/docker/4f6a1c0de4f6a1c0"));
        let claimed = "/user.slice/user@1000.service/docker-4f6a1c0de4f6a1c0.scope";
        check(claimed, Some(claimed));
        let machine = "/machine.slice/machine-debian\\x2d12.scope";
        check(&format!("{machine}/payload/x"), Some(machine));
        check("/machine.slice/machine-.scope", Some("/machine.slice/machine-.scope"));
        check("/docker/other", None);
        check("", None);
    }

    #[test]
    fn a_process_is_not_of_a_container_of_which_nobody_knows() {
        let id = "4f6a1c0de4f6a1c04f6a1c0de4f6a1c04f6a1c0de4f6a1c04f6a1c0de4f6a1c0";
        for runtime in [Runtime::Docker, Runtime::Podman, Runtime::Containerd, Runtime::Machine] {
            let container = Container { runtime, id: id.into() };
            let cgroup = Some(format!("/docker/{id}").into());
            let claims = Process { pid: 1, cgroup, container: Some(container.clone()), ..Process::default() };
            assert!(!is_of(&claims, &container), "{runtime:?}");
        }
    }

    #[test]
    fn systemd_is_a_manager_of_the_machine_or_of_a_user() {
        let systemd = |pid, uid, unit: &str| Process {
            pid,
            uid: Some(uid),
            comm: b"systemd".to_vec(),
            unit: Some(Unit { name: unit.into(), user_manager: None }),
            ..Process::default()
        };
        assert_eq!(manager_of(&systemd(1, 0, "init.scope")), Some(None));
        assert_eq!(manager_of(&systemd(900, 1000, "user@1000.service")), Some(Some(1000)));
        assert_eq!(manager_of(&systemd(900, 1001, "user@1000.service")), None);
        assert_eq!(manager_of(&systemd(900, 0, "shop.service")), None);
        assert_eq!(manager_of(&Process { comm: b"init".to_vec(), ..systemd(1, 0, "init.scope") }), None);
    }

    #[test]
    fn a_users_unit_is_asked_of_that_users_manager() {
        let say = |manager, uid| systemctl(manager, uid, &["stop", "--", "x.service"]).to_string();
        assert_eq!(say(None, 0), "systemctl stop -- x.service");
        assert_eq!(say(Some(1000), 1000), "systemctl --user stop -- x.service");
        assert_eq!(say(Some(1000), 0), "systemctl --user --machine=1000@.host stop -- x.service");
    }
}
