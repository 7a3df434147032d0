//! Holders that many machines have, on the ports where people meet them, and what to do about each.
//!
//! A table, so that the advice for systemd-resolved is not "kill systemd-resolved". It is consulted with
//! the program's name and the port together: a program of the same name on another port is just a
//! program. Not here: deciding that something holds the port at all.

use crate::address::Transport;
use crate::cure::Action;

/// A program that is known to hold certain ports, with its own cure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its file name; `comm` holds the first 15 bytes of it.
    pub programs: &'static [&'static str],
    /// The transport and port pairs on which it is expected.
    pub ports: &'static [(Transport, u16)],
    /// What it is, as a sentence part after "is": "the DNS cache of systemd".
    pub what: &'static str,
    /// What kind of action the cure is.
    pub action: Action,
    /// What to do and why, one plain sentence.
    pub says: &'static str,
    /// The commands to type, in order, as words.
    pub commands: &'static [&'static [&'static str]],
    /// Whom it could hurt.
    pub harms: &'static str,
    /// The privilege it needs, if any.
    pub needs: Option<&'static str>,
}

use Transport::{Tcp, Udp};

const ROOT: Option<&str> = Some("root");

/// The table, by port.
pub const HOLDERS: &[Known] = &[
    Known {
        programs: &["systemd-resolved"],
        ports: &[(Tcp, 53), (Udp, 53)],
        what: "the DNS cache of systemd, which listens on 127.0.0.53 and 127.0.0.54",
        action: Action::Configure,
        says: "Bind the one address you serve (for instance 192.0.2.1:53) instead of every address, or turn off the \
               stub listener of systemd-resolved; name resolution goes on without it once /etc/resolv.conf points to \
               /run/systemd/resolve/resolv.conf.",
        commands: &[
            &["sudo", "mkdir", "-p", "/etc/systemd/resolved.conf.d"],
            &[
                "sudo",
                "sh",
                "-c",
                "printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/no-stub.conf",
            ],
            &["sudo", "ln", "-sf", "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"],
            &["sudo", "systemctl", "restart", "systemd-resolved"],
        ],
        harms: "programs on this machine that ask 127.0.0.53 directly",
        needs: ROOT,
    },
    Known {
        programs: &["systemd-resolved"],
        ports: &[(Tcp, 5355), (Udp, 5355), (Udp, 5353)],
        what: "the DNS cache of systemd, which answers LLMNR (5355) and mDNS (5353)",
        action: Action::Configure,
        says: "Turn LLMNR and multicast DNS off in systemd-resolved, if nothing here needs .local names from it.",
        commands: &[
            &["sudo", "mkdir", "-p", "/etc/systemd/resolved.conf.d"],
            &[
                "sudo",
                "sh",
                "-c",
                "printf '[Resolve]\\nLLMNR=no\\nMulticastDNS=no\\n' > /etc/systemd/resolved.conf.d/no-mdns.conf",
            ],
            &["sudo", "systemctl", "restart", "systemd-resolved"],
        ],
        harms: "lookups of single-label and .local names",
        needs: ROOT,
    },
    Known {
        programs: &["dnsmasq"],
        ports: &[(Tcp, 53), (Udp, 53), (Udp, 67)],
        what: "a small DNS and DHCP server, often started by libvirt, lxd or NetworkManager for a virtual network",
        action: Action::BindElsewhere,
        says: "Bind the one address you serve instead of every address: virtual networks get their own dnsmasq on their \
               bridge, and machines on them depend on it.",
        commands: &[],
        harms: "nobody",
        needs: None,
    },
    Known {
        programs: &["rpcbind", "portmap"],
        ports: &[(Tcp, 111), (Udp, 111)],
        what: "the port mapper that NFS version 3 needs",
        action: Action::StopUnit,
        says: "If this machine neither serves nor mounts NFS version 3, stop rpcbind together with its socket unit, \
               which would start it again.",
        commands: &[&["sudo", "systemctl", "disable", "--now", "rpcbind.socket", "rpcbind.service"]],
        harms: "NFS version 3 and NIS on this machine",
        needs: ROOT,
    },
    Known {
        programs: &["cupsd", "cups-browsed"],
        ports: &[(Tcp, 631), (Udp, 631)],
        what: "the printing system",
        action: Action::StopUnit,
        says: "Stop the printing system with its socket and path units, which would start it again.",
        commands: &[&["sudo", "systemctl", "disable", "--now", "cups.socket", "cups.path", "cups.service"]],
        harms: "printing from this machine",
        needs: ROOT,
    },
    Known {
        programs: &["avahi-daemon"],
        ports: &[(Udp, 5353)],
        what: "the multicast DNS responder",
        action: Action::SetOption,
        says: "Port 5353 is meant to be shared: set SO_REUSEADDR on your socket before bind(), as every multicast DNS \
               program does. Only where nothing needs .local names, stop avahi.",
        commands: &[&[
            "sudo",
            "systemctl",
            "disable",
            "--now",
            "avahi-daemon.socket",
            "avahi-daemon.service",
        ]],
        harms: "names that end in .local, and the discovery of printers",
        needs: ROOT,
    },
    Known {
        programs: &["postgres", "postmaster"],
        ports: &[(Tcp, 5432)],
        what: "a PostgreSQL server",
        action: Action::StopUnit,
        says: "A PostgreSQL of the distribution starts by itself at boot: stop that one, or give the second one its own \
               port (port = 5433 in postgresql.conf).",
        commands: &[&["sudo", "systemctl", "stop", "postgresql"]],
        harms: "everybody who uses that database",
        needs: ROOT,
    },
    Known {
        programs: &["mysqld", "mariadbd"],
        ports: &[(Tcp, 3306), (Tcp, 33060)],
        what: "a MySQL or MariaDB server",
        action: Action::StopUnit,
        says: "A database server of the distribution starts by itself at boot: stop that one, or give the second one its \
               own port (port = 3307 in my.cnf).",
        commands: &[&["sudo", "systemctl", "stop", "mariadb", "mysql"]],
        harms: "everybody who uses that database",
        needs: ROOT,
    },
    Known {
        programs: &["redis-server", "valkey-server"],
        ports: &[(Tcp, 6379)],
        what: "a Redis or Valkey server",
        action: Action::StopUnit,
        says: "A Redis of the distribution starts by itself at boot: stop that one, or give the second one its own port \
               (port 6380).",
        commands: &[&["sudo", "systemctl", "stop", "redis-server", "redis", "valkey"]],
        harms: "everybody who uses that store",
        needs: ROOT,
    },
    Known {
        programs: &["apache2", "httpd"],
        ports: &[(Tcp, 80), (Tcp, 443)],
        what: "the Apache web server, which many packages bring along",
        action: Action::StopUnit,
        says: "If nothing here is served by Apache, stop it and keep it from starting at boot.",
        commands: &[&["sudo", "systemctl", "disable", "--now", "apache2"]],
        harms: "the sites that it serves",
        needs: ROOT,
    },
    Known {
        programs: &["exim4", "master", "sendmail-mta"],
        ports: &[(Tcp, 25)],
        what: "the mail server of the distribution",
        action: Action::StopUnit,
        says: "Stop the mail server of the distribution if another one should take its place.",
        commands: &[&["sudo", "systemctl", "disable", "--now", "exim4", "postfix"]],
        harms: "mail that this machine sends, cron's reports among it",
        needs: ROOT,
    },
    Known {
        programs: &["chronyd", "ntpd", "ntpsec"],
        ports: &[(Udp, 123), (Udp, 323)],
        what: "the time server",
        action: Action::StopUnit,
        says: "Only one program should set the clock: stop the other one before you start yours.",
        commands: &[&["sudo", "systemctl", "stop", "chronyd", "ntpd", "ntpsec"]],
        harms: "the clock of this machine, if nothing takes over",
        needs: ROOT,
    },
    Known {
        programs: &["dockerd", "docker"],
        ports: &[(Tcp, 2375), (Tcp, 2376), (Tcp, 2377), (Tcp, 7946), (Udp, 7946), (Udp, 4789)],
        what: "the Docker daemon itself (its API, or its swarm)",
        action: Action::Configure,
        says: "The port belongs to Docker's own configuration: take the address out of \"hosts\" in \
               /etc/docker/daemon.json, or leave the swarm with: docker swarm leave.",
        commands: &[],
        harms: "clients of the Docker API",
        needs: ROOT,
    },
];

/// The known holder of that name on that port. `program` is `comm` or the path of the executable.
pub fn holder(program: &[u8], transport: Transport, port: u16) -> Option<&'static Known> {
    let file = program.rsplit(|&b| b == b'/').next().unwrap_or(program);
    HOLDERS.iter().find(|known| {
        known.ports.contains(&(transport, port))
            && known.programs.iter().any(|name| same_program(file, name.as_bytes()))
    })
}

/// Whether a file name, or a `comm` that the kernel cut off after 15 bytes, is that program.
fn same_program(seen: &[u8], name: &[u8]) -> bool {
    const COMM: usize = 15;
    seen == name || (seen.len() == COMM && name.get(..COMM) == Some(seen))
}

/// A holder that macOS brings along, for the page on its errno 48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacHolder {
    /// The TCP ports.
    pub ports: &'static [u16],
    /// Who it is and how to turn it off, one sentence.
    pub says: &'static str,
}

/// The holders that macOS brings along.
pub const MACOS: &[MacHolder] = &[
    MacHolder {
        ports: &[5000, 7000],
        says: "ControlCenter (the AirPlay receiver): System Settings, General, AirDrop & Handoff, AirPlay Receiver off.",
    },
    MacHolder {
        ports: &[3283, 5900],
        says: "Screen Sharing and Remote Management: System Settings, General, Sharing.",
    },
    MacHolder { ports: &[631], says: "cupsd, the printing system: sudo launchctl stop org.cups.cupsd." },
    MacHolder { ports: &[80, 8080], says: "httpd, Apple's Apache: sudo apachectl stop." },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(program: &str, transport: Transport, port: u16, expect: Option<&str>) {
        let found = holder(program.as_bytes(), transport, port);
        assert_eq!(found.map(|known| known.programs[0]), expect, "{program} on {port}");
    }

    #[test]
    fn a_holder_is_known_by_program_and_port_together() {
        check("systemd-resolve", Udp, 53, Some("systemd-resolved"));
        check("/usr/lib/systemd/systemd-resolved", Tcp, 53, Some("systemd-resolved"));
        check("systemd-resolve", Tcp, 8080, None);
        check("cupsd", Tcp, 631, Some("cupsd"));
        check("cups", Tcp, 631, None);
        check("postgres", Tcp, 5432, Some("postgres"));
        check("postgres", Udp, 5432, None);
        check("avahi-daemon", Udp, 5353, Some("avahi-daemon"));
        check("", Tcp, 53, None);
    }

    #[test]
    fn every_entry_says_what_to_do_in_whole_sentences() {
        for known in HOLDERS {
            assert!(
                known.says.ends_with('.') && known.says.starts_with(char::is_uppercase),
                "{}",
                known.says
            );
            assert!(!known.what.ends_with('.') && !known.harms.ends_with('.'), "{}", known.what);
            assert!(!known.says.contains("  "), "{}", known.says);
        }
    }
}
