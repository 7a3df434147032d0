//! `/proc/PID/cgroup`: the path that a service manager or container runtime gave a process, and the unit
//! and container that the path names (cgroups(7), systemd.unit(5), the runtimes' own naming).
//!
//! Not here: asking systemd or a runtime. A path is a claim of whoever may create cgroups there; inside
//! a cgroup namespace it may say nothing at all (`0::/`).

use inuse_rules::owner::{Container, Runtime, Unit};

/// The path that names the most: that of the v2 hierarchy if it names a unit or container, else
/// systemd's own v1 hierarchy, else the longest that does; failing that the v2 path, if it is not the
/// root.
pub fn path(cgroup: &[u8]) -> Option<&[u8]> {
    let names = |path: &&[u8]| container(path).is_some() || unit(path).is_some();
    let with = |controllers: &[u8]| {
        let mut paths = lines(cgroup).filter(|line| line.0 == controllers).map(|line| line.1);
        paths.next()
    };
    with(b"")
        .filter(names)
        .or_else(|| with(b"name=systemd").filter(names))
        .or_else(|| lines(cgroup).map(|line| line.1).filter(names).max_by_key(|path| path.len()))
        .or_else(|| with(b"").filter(|&path| path != b"/"))
}

/// Controllers and path of each line, `12:cpu,cpuacct:/system.slice`.
fn lines(cgroup: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    cgroup.split(|&b| b == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |&b| b == b':');
        let (_hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        path.starts_with(b"/").then_some((controllers, path))
    })
}

/// The systemd unit that a path names: the innermost one that is not a slice.
///
/// The name is as `systemctl` takes it, so `\x2d` in it stays. Inside a container there is none: a unit
/// there belongs to another service manager, and stopping its namesake outside would hurt the wrong one.
/// The exception is a service that runs its container in its own cgroup, which is then the one to stop.
pub fn unit(path: &[u8]) -> Option<Unit> {
    let mut found: Option<Unit> = None;
    let mut manager = None;
    for name in components(path) {
        if name.starts_with("libpod-payload-") {
            return found;
        }
        if container_in(name, "").is_some() {
            return None;
        }
        if let Some(uid) = name.strip_prefix("user@").and_then(|rest| rest.strip_suffix(".service")) {
            manager = uid.parse().ok();
            found = Some(Unit { name: name.to_owned(), user_manager: None });
        } else if name == "init.scope" && manager.is_some() {
            // The user's manager itself, which is the service around it.
        } else if [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|kind| name.ends_with(kind))
        {
            found = Some(Unit { name: name.to_owned(), user_manager: manager });
        }
    }
    // The id alone names a container only below a directory of the runtime.
    if container(path).is_some() { None } else { found }
}

/// The container that a path names: the innermost.
pub fn container(path: &[u8]) -> Option<Container> {
    let mut found = None;
    let mut around = "";
    for name in components(path) {
        found = container_in(name, around).or(found);
        // Directories of a runtime hold for everything below them.
        if ["docker", "ecs", "lxc"].contains(&name) || name.starts_with("kubepods") {
            around = name;
        }
    }
    found
}

/// What one component names, below a directory of a runtime (or `""`).
fn container_in(name: &str, around: &str) -> Option<Container> {
    let named = |runtime, id: &str| Some(Container { runtime, id: id.to_owned() });
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    // conmon serves one container from a scope beside it.
    const PREFIXES: [(&str, Runtime); 8] = [
        ("docker-", Runtime::Docker),
        ("libpod-conmon-", Runtime::Podman),
        ("libpod-payload-", Runtime::Podman),
        ("libpod-", Runtime::Podman),
        ("cri-containerd-", Runtime::Containerd),
        ("nerdctl-", Runtime::Containerd),
        ("crio-conmon-", Runtime::CriO),
        ("crio-", Runtime::CriO),
    ];
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = stem.strip_prefix(prefix).filter(|id| is_id(id)) {
            return named(runtime, id);
        }
    }
    if let Some(id) = name.strip_prefix("lxc.payload.").filter(|id| !id.is_empty()) {
        return named(Runtime::Lxc, id);
    }
    if let Some(machine) = name.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope")) {
        return named(Runtime::Machine, &unescape(machine)?);
    }
    // kubepods-burstable-pod1234.slice:cri-containerd:ID, when containerd keeps its cgroups itself.
    if let Some((_, id)) = name.split_once(":cri-containerd:").filter(|(_, id)| is_id(id)) {
        return named(Runtime::Containerd, id);
    }
    match around {
        "docker" | "ecs" if is_id(name) => named(Runtime::Docker, name),
        "lxc" => named(Runtime::Lxc, name),
        _ if around.starts_with("kubepods") && is_id(name) => named(Runtime::Containerd, name),
        _ => None,
    }
}

/// A container's id: 64 hexadecimal digits, or the twelve that people type.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 12..=64) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// The names between the slashes, without the `_` that systemd puts before names the kernel may want
/// (`cg_escape`). A path that is not UTF-8 names nothing we know.
fn components(path: &[u8]) -> impl Iterator<Item = &str> {
    let path = str::from_utf8(path).unwrap_or("");
    path.split('/').map(|name| name.strip_prefix('_').unwrap_or(name)).filter(|name| !name.is_empty())
}

/// systemd-escape(1) undone: `\x2d` is a byte. `None` when the result is not UTF-8 or an escape is cut.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "4f6a1c0de4f6a1c0de4f6a1c0de4f6a1c0de4f6a1c0de4f6a1c0de4f6a1c0dea";

    /// `$` stands for a container's id in paths.
    fn named(path: &str) -> (Option<Unit>, Option<Container>) {
        let path = path.replace('$', ID);
        (unit(path.as_bytes()), container(path.as_bytes()))
    }

    #[track_caller]
    fn check_unit(path: &str, name: &str, user_manager: Option<u32>) {
        assert_eq!(named(path), (Some(Unit { name: name.to_owned(), user_manager }), None), "{path}");
    }

    #[track_caller]
    fn check_container(path: &str, runtime: Runtime, id: &str) {
        let id = id.replace('$', ID);
        assert_eq!(named(path), (None, Some(Container { runtime, id })), "{path}");
    }

    #[test]
    fn units() {
        check_unit("/system.slice/nginx.service", "nginx.service", None);
        check_unit("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", None);
        check_unit("/init.scope", "init.scope", None);
        check_unit("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", None);
        check_unit("/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service", None);
        check_unit(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
            "foo.service",
            Some(1000),
        );
        check_unit(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome\\x2dterminal-7.scope",
            "app-gnome\\x2dterminal-7.scope",
            Some(1000),
        );
        check_unit("/system.slice/docker.service", "docker.service", None);
        check_unit("/system.slice/cups.socket", "cups.socket", None);
        check_unit("/system.slice/_cgroup.service", "cgroup.service", None);
        check_unit("/system.slice/web.service/worker/3", "web.service", None);
        check_unit("/../../system.slice/ssh.service", "ssh.service", None);
        check_unit("/system.slice/docker-proxy.scope", "docker-proxy.scope", None);
        check_unit("/machine.slice/machine-bad\\x2.scope", "machine-bad\\x2.scope", None);
        check_unit("/machine.slice/machine-bad\\xff.scope", "machine-bad\\xff.scope", None);
    }

    #[test]
    fn containers() {
        check_container("/system.slice/docker-$.scope", Runtime::Docker, "$");
        check_container("/docker/$", Runtime::Docker, "$");
        check_container("/docker/$/system.slice/nginx.service", Runtime::Docker, "$");
        check_container("/ecs/task/$", Runtime::Docker, "$");
        check_container("/machine.slice/libpod-$.scope", Runtime::Podman, "$");
        check_container("/machine.slice/libpod-$.scope/container", Runtime::Podman, "$");
        check_container("/machine.slice/libpod-conmon-$.scope", Runtime::Podman, "$");
        check_container("/libpod_parent/libpod-$", Runtime::Podman, "$");
        check_container(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-$.scope",
            Runtime::Podman,
            "$",
        );
        check_container(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/cri-containerd-$.scope",
            Runtime::Containerd,
            "$",
        );
        check_container("/kubepods/burstable/pod12-34/$", Runtime::Containerd, "$");
        check_container(
            "/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:$",
            Runtime::Containerd,
            "$",
        );
        check_container("/kubepods.slice/kubepods-pod1.slice/crio-$.scope", Runtime::CriO, "$");
        check_container("/lxc.payload.web/system.slice/nginx.service", Runtime::Lxc, "web");
        check_container("/lxc/web", Runtime::Lxc, "web");
        check_container("/machine.slice/machine-debian\\x2d12.scope", Runtime::Machine, "debian-12");
        check_container("/docker/0123456789ab/docker/$", Runtime::Docker, "$");
        check_container("/lxc.payload.web/system.slice/docker-$.scope", Runtime::Docker, "$");
    }

    #[test]
    fn a_service_around_its_own_container_is_the_one_to_stop() {
        let unit = Unit { name: "web.service".to_owned(), user_manager: None };
        let container = Container { runtime: Runtime::Podman, id: ID.to_owned() };
        assert_eq!(named("/system.slice/web.service/libpod-payload-$"), (Some(unit), Some(container)));
    }

    #[test]
    fn paths_that_name_nothing() {
        let check = |path: &str| assert_eq!(named(path), (None, None), "{path}");
        check("/");
        check("");
        check("/user.slice");
        check("/$");
        check("/docker/short");
        check("/docker/buildx");
        check("/lxc.payload.");
    }

    #[test]
    fn of_several_hierarchies_the_telling_one_counts() {
        let check = |file: &str, expect: Option<&str>| {
            let file = file.replace('$', ID);
            let expect = expect.map(|path| path.replace('$', ID));
            assert_eq!(path(file.as_bytes()), expect.as_deref().map(str::as_bytes), "{file}");
        };
        check("0::/system.slice/nginx.service\n", Some("/system.slice/nginx.service"));
        check("0::/system.slice/nginx.service (deleted)\n", Some("/system.slice/nginx.service"));
        check("0::/\n", None);
        check("0::/workload\n", Some("/workload"));
        check("9:name=systemd:/init.scope\n4:memory:/x\n0::/\n", Some("/init.scope"));
        check("9:name=systemd:/\n4:memory:/docker/$\n0::/\n", Some("/docker/$"));
        check("4:cpu,cpuacct:/docker/$\n3:memory:/docker/$/init.scope\n", Some("/docker/$/init.scope"));
        check("1:name=systemd:/a:b.service\n", Some("/a:b.service"));
        check("0::relative.service\n", None);
        check("0:\nx\n::\n", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            path(&bytes);
            unit(&bytes);
            container(&bytes);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(/|\\\\x|docker|lxc|kubepods|machine-|\\.scope|user@|[a-f0-9]|é){0,12}") {
            unit(text.as_bytes());
            container(text.as_bytes());
        }
    }
}
