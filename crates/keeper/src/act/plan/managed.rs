//! Holders that a service manager or a container runtime answers for. A path in the cgroup tree is only a
//! claim; these are the rules by which it counts.

use super::{Case, spared};
use crate::act::surroundings::{Published, manager_of, systemctl};
use inuse_rules::address::{Address, UnixKind, UnixName};
use inuse_rules::cure::Command;
use inuse_rules::owner::{Process, Runtime};
use inuse_rules::{Socket, Transport};

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
    /// It seems to be of this container, of which its runtime does not say so.
    Claimed(String),
}

/// Who answers for a process, if somebody does.
pub(super) fn manager(case: &Case, socket: &Socket, process: &Process) -> Option<Manager> {
    if let Some(of) = manager_of(process) {
        let unit = socket_unit(case.around.socket_units.get(&of)?, &socket.address)?;
        return spared::manages(process).then(|| Manager::Unit(unit.to_owned(), of));
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
        let name = format!("{} container {}", container.runtime.name(), container.short_id());
        if !case.around.contained.contains(&process.pid) {
            return Some(Manager::Claimed(name));
        }
        let command = match container.runtime {
            Runtime::Docker => Command::new(["docker", "stop", id]),
            Runtime::Podman => Command::new(["podman", "stop", id]),
            Runtime::Containerd | Runtime::CriO => Command::new(["crictl", "stop", id]),
            Runtime::Lxc => Command::new(["lxc-stop", "-n", id]),
            Runtime::Machine => Command::new(["machinectl", "poweroff", "--", id]),
        };
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

/// The one active `.socket` unit that has an address, in the words of `systemctl list-sockets --show-types`: a line
/// holds what is listened on (a path may have spaces), the type, the unit, and what it activates. Where two units
/// have it, say on different devices, none is known to be the one.
fn socket_unit<'a>(list: &'a str, address: &Address) -> Option<&'a str> {
    let (wanted, kind) = match address {
        Address::Inet { transport, local, .. } => {
            (local.to_string(), if *transport == Transport::Tcp { " Stream " } else { " Datagram " })
        }
        Address::Unix { name, kind } => {
            let name = match name {
                UnixName::Path(path) => String::from_utf8(path.clone()).ok()?,
                UnixName::Abstract(name) => format!("@{}", String::from_utf8(name.clone()).ok()?),
                UnixName::Unnamed => return None,
            };
            let kind = match kind {
                UnixKind::Stream => " Stream ",
                UnixKind::Datagram => " Datagram ",
                UnixKind::Seqpacket => " SequentialPacket ",
            };
            (name, kind)
        }
    };
    let mut units = list.lines().filter_map(|line| {
        let (listens, rest) = line.rsplit_once(kind)?;
        let unit = rest.split_whitespace().next().filter(|word| word.ends_with(".socket"))?;
        (listens.trim_end() == wanted).then_some(unit)
    });
    let unit = units.next()?;
    units.all(|other| other == unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Debian 12's systemd 252 printed as process 1 of a pid namespace, with `.socket` units made for this.
    const LIST: &str = "\
/run/fifo      FIFO             e.socket e.service
/run/seq.sock  SequentialPacket c.socket c.service
/run/x y.sock  Stream           b.socket b.service
10.0.0.1:7     Stream           e.socket e.service
127.0.0.1:8080 Datagram         a.socket a.service
127.0.0.1:8080 Stream           a.socket a.service
127.0.0.1:8081 Datagram         b.socket b.service
127.0.0.1:9000 Stream           d.socket d.service
@abs           Stream           c.socket c.service
[::1]:9001     Stream           e.socket e.service
[::]:8081      Stream           a.socket a.service
";

    #[test]
    fn the_socket_unit_of_an_address() {
        let check = |address: Address, expect| assert_eq!(socket_unit(LIST, &address), expect, "{address}");
        let tcp = |address: &str| Address::tcp(address.parse().unwrap());
        let udp = |address: &str| Address::udp(address.parse().unwrap());
        check(tcp("[::]:8081"), Some("a.socket"));
        check(tcp("127.0.0.1:8080"), Some("a.socket"));
        check(udp("127.0.0.1:8081"), Some("b.socket"));
        // The same address of the other protocol is another unit's.
        check(tcp("127.0.0.1:8081"), None);
        check(udp("127.0.0.1:9000"), None);
        check(tcp("0.0.0.0:8080"), None);
        check(tcp("127.0.0.1:808"), None);
        let unix = |kind, name: &str| Address::Unix { kind, name: UnixName::Path(name.into()) };
        check(unix(UnixKind::Stream, "/run/x y.sock"), Some("b.socket"));
        check(unix(UnixKind::Stream, "/run/x"), None);
        check(unix(UnixKind::Seqpacket, "/run/seq.sock"), Some("c.socket"));
        check(unix(UnixKind::Stream, "/run/seq.sock"), None);
        check(unix(UnixKind::Stream, "/run/fifo"), None);
        let abs = Address::Unix { kind: UnixKind::Stream, name: UnixName::Abstract(b"abs".to_vec()) };
        check(abs, Some("c.socket"));
        let twice = format!("{LIST}127.0.0.1:9000 Stream           f.socket f.service\n");
        assert_eq!(socket_unit(&twice, &tcp("127.0.0.1:9000")), None);
        assert_eq!(socket_unit("", &tcp("127.0.0.1:9000")), None);
    }
}
