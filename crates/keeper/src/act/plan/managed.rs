//! Holders that a service manager or a container runtime answers for. A path in the cgroup tree is only a
//! claim; these are the rules by which it counts.

use super::{Case, spared};
use crate::act::surroundings::{Published, systemctl};
use inuse_rules::Socket;
use inuse_rules::address::Address;
use inuse_rules::cure::Command;
use inuse_rules::owner::{Process, Runtime};

/// Shells: what they start is a person's, or a script's, not the unit's.
const SHELLS: &[&[u8]] = &[
    b"sh", b"bash", b"dash", b"zsh", b"fish", b"ash", b"ksh", b"mksh", b"tcsh", b"csh", b"busybox", b"login",
    b"su", b"sudo",
];

/// Who answers for a holder.
pub(super) enum Manager {
    /// A systemd unit: its name, and the uid of the user's manager that runs it.
    Unit(String, Option<u32>),
    /// A container: what it is called, and the command that stops it.
    Container(String, Command),
}

/// Who answers for a process, if somebody does.
pub(super) fn manager(case: &Case, socket: &Socket, process: &Process) -> Option<Manager> {
    if process.pid == 1 {
        let unit = socket_unit(&case.around.socket_units, &socket.address)?;
        return spared::manages(process).then(|| Manager::Unit(unit.to_owned(), None));
    }
    if process.publishes.is_some() {
        let Published { tool, id, name } = case.around.published.as_ref()?;
        return Some(Manager::Container(
            format!("{tool} container {name}"),
            Command::new([*tool, "stop", id]),
        ));
    }
    if let Some(container) = process.container.as_ref().filter(|c| case.around.container.as_ref() != Some(*c))
    {
        let id = container.id.as_str();
        let command = match container.runtime {
            Runtime::Docker => Command::new(["docker", "stop", id]),
            Runtime::Podman => Command::new(["podman", "stop", id]),
            Runtime::Containerd | Runtime::CriO => Command::new(["crictl", "stop", id]),
            Runtime::Lxc => Command::new(["lxc-stop", "-n", id]),
            Runtime::Machine => Command::new(["machinectl", "poweroff", id]),
        };
        let name = format!("{} container {}", container.runtime.name(), container.short_id());
        return Some(Manager::Container(name, command));
    }
    unit(case, process).map(|(name, manager)| Manager::Unit(name, manager))
}

/// The unit that a process belongs to: a service whose main process it is, or descends from with no shell,
/// terminal or session leader in between. A scope, and a user's whole manager, is never one.
fn unit(case: &Case, process: &Process) -> Option<(String, Option<u32>)> {
    let unit = process.unit.as_ref()?;
    if !(unit.name.ends_with(".service") || unit.name.ends_with(".socket")) || unit.name.starts_with("user@")
    {
        return None;
    }
    let key = (unit.name.clone(), unit.user_manager);
    let main = *case.around.main_pids.get(&key)?;
    if process.pid == main {
        return Some(key);
    }
    let up = process.ancestry.iter().position(|ancestor| ancestor.pid == main)?;
    let between = process.ancestry.get(..up)?;
    // systemd makes each main process the leader of a session of its own; whoever leads another one has
    // left it, as terminals, sshd and tmux do.
    let led_elsewhere = process.session != main;
    let shell = between.iter().any(|ancestor| SHELLS.contains(&ancestor.comm.as_slice()));
    (!led_elsewhere && !shell && process.tty.is_none()).then_some(key)
}

/// The commands that stop units, one for each manager.
pub(super) fn stop_units(units: &[(String, Option<u32>)], uid: u32) -> Vec<(Vec<String>, Command)> {
    let mut managers: Vec<Option<u32>> = units.iter().map(|(_, manager)| *manager).collect();
    managers.sort();
    managers.dedup();
    managers
        .into_iter()
        .map(|manager| {
            let names: Vec<String> =
                units.iter().filter(|(_, other)| *other == manager).map(|(name, _)| name.clone()).collect();
            let words: Vec<&str> =
                ["stop", "--"].into_iter().chain(names.iter().map(String::as_str)).collect();
            let command = systemctl(manager, uid, &words);
            (names, command)
        })
        .collect()
}

/// The `.socket` unit that has an address, in the words of `systemctl list-sockets`: a line holds what is
/// listened on, the unit, and what it activates.
fn socket_unit<'a>(list: &'a str, address: &Address) -> Option<&'a str> {
    let wanted = match address {
        Address::Inet { local, .. } => local.to_string(),
        Address::Unix { name, .. } => match name {
            inuse_rules::UnixName::Path(path) => String::from_utf8(path.clone()).ok()?,
            inuse_rules::UnixName::Abstract(name) => format!("@{}", String::from_utf8(name.clone()).ok()?),
            inuse_rules::UnixName::Unnamed => return None,
        },
    };
    list.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let listens = words.next()?;
        let unit = words.find(|word| word.ends_with(".socket"))?;
        (listens == wanted).then_some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian 12's systemd 252 prints it with --plain --no-legend.
    const LIST: &str = "\
/run/dbus/system_bus_socket     dbus.socket                     dbus.service
/run/systemd/journal/stdout     systemd-journald.socket         systemd-journald.service
0.0.0.0:2049                    nfs-proxy.socket                nfs-proxy.service
127.0.0.1:631                   cups.socket                     cups.service
[::]:22                         ssh.socket                      ssh.service
";

    #[test]
    fn the_socket_unit_of_an_address() {
        let check = |address: &str, expect| {
            assert_eq!(socket_unit(LIST, &Address::tcp(address.parse().unwrap())), expect, "{address}");
        };
        check("[::]:22", Some("ssh.socket"));
        check("127.0.0.1:631", Some("cups.socket"));
        check("0.0.0.0:22", None);
        check("0.0.0.0:204", None);
        let path = Address::Unix {
            kind: inuse_rules::UnixKind::Stream,
            name: inuse_rules::UnixName::Path(b"/run/dbus/system_bus_socket".to_vec()),
        };
        assert_eq!(socket_unit(LIST, &path), Some("dbus.socket"));
        assert_eq!(socket_unit("", &path), None);
    }
}
