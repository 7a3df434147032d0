//! Who is never signalled, whatever they hold, and why. Data and pure functions.
//!
//! A name that misleads costs a refusal, never a victim: each rule here only spares.

use super::super::surroundings::Surroundings;
use inuse_rules::diagnose::{holds_for_a_program, is_forwarder, program};
use inuse_rules::owner::{Ancestor, Process};

/// Service managers, super-servers, process supervisors and container runtimes, and the helpers that work for them: by the
/// name of their program, or of the script that an interpreter runs.
const MANAGERS: &[&str] = &[
    "systemd",
    "systemd-executor",
    "init",
    "openrc",
    "openrc-init",
    "supervise-daemon",
    "launchd",
    "runit",
    "runit-init",
    "runsv",
    "runsvdir",
    "supervise",
    "svscan",
    "supervisord",
    "circusd",
    "monit",
    "inetd",
    "xinetd",
    "rlinetd",
    "pm2",
    "dockerd",
    "dockerd-rootless.sh",
    "docker-init",
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v1",
    "containerd-shim-runc-v2",
    "nerdctl",
    "conmon",
    "conmonrs",
    "podman",
    "crio",
    "kubelet",
    "kube-proxy",
    "lxd",
    "incusd",
    "docker-proxy",
    "rootlessport",
    "rootlesskit",
    "slirp4netns",
    "pasta",
    "pasta.avx2",
    "passt",
    "passt.avx2",
    "gvproxy",
    "vpnkit",
];

/// Every program of the s6 suite.
const MANAGER_FAMILY: &str = "s6-";

/// The most bytes of a `comm` (`TASK_COMM_LEN` less the end).
const COMM: usize = 15;

/// Programs whose first argument is the program that counts.
const INTERPRETERS: &[&str] = &["python", "perl", "ruby", "node", "sh", "bash", "dash"];

/// Why a process is never signalled, as a sentence part ("it is …"); `None` where nothing protects it.
pub fn reason(process: &Process, around: &Surroundings) -> Option<String> {
    let says = |text: &str| Some(text.to_owned());
    match process.pid {
        0 => return says("it has no process id that could be signalled"),
        1 => return says("it is process 1, with which everything else ends"),
        pid if pid == around.pid => return says("it is this command itself"),
        pid if around.ancestors.contains(&pid) => {
            return says("this command runs in it: it is the shell, terminal or program that called it");
        }
        pid if pid == around.session => return says("it leads the session in which this command runs"),
        _ => {}
    }
    if let Some(publishes) = process.publishes.as_ref().filter(|publishes| publishes.helper != "dockerd") {
        return Some(format!(
            "it is {}, the helper of a container runtime: the runtime would still believe the port published",
            inuse_rules::address::escape(publishes.helper.as_bytes())
        ));
    }
    if holds_for_a_program(process) {
        return Some(format!(
            "it is 'inuse run', which holds the address for its program: 'inuse ctl stop --pid {}' ends both",
            process.pid
        ));
    }
    if manages(process) {
        return says("it manages other processes, which would end or go on without their manager");
    }
    if is_forwarder(process) {
        return says("it carries somebody's session, of which this port is only a part");
    }
    None
}

/// Whether it is a service manager, a supervisor, or a runtime.
pub fn manages(process: &Process) -> bool {
    names(process).iter().any(|name| is_manager(name)) || god_daemon(process)
}

/// Who has started a process and may start it again when it ends: its parent, where that manages others. Only the
/// parent's `comm` is known, which the kernel cuts. Process 1 adopts everybody: it counts only for its services.
pub fn supervisor(process: &Process) -> Option<&Ancestor> {
    let of_service = || process.unit.as_ref().is_some_and(|unit| unit.name.ends_with(".service"));
    let parent = process.ancestry.first().filter(|parent| parent.pid != 1 || of_service())?;
    let name = parent.comm.as_slice();
    let cut = |manager: &&str| name.len() == COMM && manager.as_bytes().starts_with(name);
    (is_manager(name) || MANAGERS.iter().any(cut) || name.starts_with(b"PM2 v")).then_some(parent)
}

fn is_manager(name: &[u8]) -> bool {
    MANAGERS.iter().any(|manager| manager.as_bytes() == name) || name.starts_with(MANAGER_FAMILY.as_bytes())
}

/// pm2 gives its manager the title "PM2 v5.3.0: God Daemon (/home/tom/.pm2)".
fn god_daemon(process: &Process) -> bool {
    let title = process.cmdline.first().map(Vec::as_slice).unwrap_or_default();
    process.comm.starts_with(b"PM2 v") || title.starts_with(b"PM2 v")
}

/// The names by which a program may be known: its executable, its `comm`, what it calls itself, and for an
/// interpreter the script.
fn names(process: &Process) -> Vec<&[u8]> {
    let executable = program(process);
    let mut names = vec![executable, process.comm.as_slice()];
    let mut words = process.cmdline.iter().map(|word| file_name(word));
    names.extend(words.next());
    let interprets = |name: &str| executable.starts_with(name.as_bytes());
    if INTERPRETERS.iter().any(|name| interprets(name)) {
        names.extend(words.find(|word| !word.starts_with(b"-")));
    }
    names
}

fn file_name(word: &[u8]) -> &[u8] {
    word.rsplit(|&b| b == b'/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::owner::Publishes;

    fn called(exe: &str, comm: &str, cmdline: &[&str]) -> Process {
        Process {
            pid: 4412,
            exe: Some(exe.into()),
            comm: comm.into(),
            cmdline: cmdline.iter().map(|word| word.as_bytes().to_vec()).collect(),
            ..Process::default()
        }
    }

    #[track_caller]
    fn check(process: &Process, spared: bool) {
        let around =
            Surroundings { pid: 50, ancestors: vec![40, 30, 1], session: 35, ..Surroundings::default() };
        assert_eq!(reason(process, &around).is_some(), spared, "{process:?}");
    }

    #[test]
    fn those_who_are_never_signalled_and_their_doubles() {
        for pid in [0, 1, 50, 40, 30, 35] {
            check(&Process { pid, ..called("/usr/bin/node", "node", &["node"]) }, true);
        }
        check(&called("/usr/bin/node", "node", &["node", "server.js"]), false);
        check(&called("/usr/lib/systemd/systemd", "systemd", &["/usr/lib/systemd/systemd", "--user"]), true);
        check(&called("/usr/bin/dockerd", "dockerd", &["dockerd"]), true);
        check(&called("/usr/bin/containerd-shim-runc-v2", "containerd-shim", &[]), true);
        check(&called("/usr/bin/conmon", "conmon", &["/usr/bin/conmon"]), true);
        check(
            &called("/usr/bin/python3.11", "supervisord", &["/usr/bin/python3", "/usr/bin/supervisord"]),
            true,
        );
        check(&called("/usr/bin/python3.11", "python3", &["python3", "-u", "/usr/bin/supervisord"]), true);
        check(&called("/usr/bin/python3.11", "python3", &["python3", "app.py", "supervisord"]), false);
        check(&called("/usr/bin/runsv", "runsv", &["runsv", "web"]), true);
        check(&called("/bin/s6-supervise", "s6-supervise", &["s6-supervise", "web"]), true);
        check(&called("/usr/bin/node", "PM2 v5.3.0: God", &["PM2 v5.3.0: God Daemon (/root/.pm2)"]), true);
        check(&called("/usr/bin/ssh", "ssh", &["ssh", "-L", "8080:x:80", "host"]), true);
        check(&called("/usr/sbin/sshd", "sshd", &["sshd: tom"]), true);
        check(&called("/usr/share/code/code", "code", &["code"]), true);
        check(&called("/usr/bin/inuse", "exe", &["/proc/self/exe", "__keep"]), true);
        check(&called("/usr/bin/inuse", "inuse", &["inuse", "run", "-l", "8080", "--", "./server"]), true);
        check(&called("/usr/bin/inuse", "inuse", &["inuse", "lab", "serve", "ack"]), false);
        check(&called("/usr/sbin/nginx", "nginx", &["nginx: master process"]), false);
        check(&called("/opt/systemd-like", "systemd-like", &[]), false);
        let publishes = Some(Publishes {
            helper: "docker-proxy".into(),
            container_ip: None,
            container_port: Some(80),
            container: None,
        });
        check(&Process { publishes, ..called("/usr/bin/x", "x", &[]) }, true);
    }
}
