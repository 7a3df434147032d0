//! From what was written to what is asked of the kernel: names to addresses, interfaces to numbers.
//!
//! Here the machine is asked (the resolver of the C library, the list of interfaces); the grammar is
//! `inuse_rules::written`. Which interface has which number depends on the network namespace, so the caller
//! hands that question in.

use inuse_kernel::Error;
use inuse_rules::address::{Address, Transport};
use inuse_rules::written::{Host, Mistake, Wanted, Written};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

/// The most addresses that one name may bring.
const MAX_ADDRESSES: usize = 16;

/// One address to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The address.
    pub address: Address,
    /// True for the loopback addresses that a port alone brings along: worth telling only where the
    /// answer differs from that of the wildcard of the same family.
    pub only_if_different: bool,
}

/// Everything that a written address asks for, in the order in which it is told.
///
/// A port alone asks for `0.0.0.0` and for `[::]`, and for the two loopback addresses where their answer
/// differs. A name asks for each of its addresses. An IP address asks for exactly one.
///
/// # Errors
///
/// A [`Mistake`] that points at a name that does not resolve or an interface that does not exist.
pub fn resolve(
    written: &Written,
    interface: impl Fn(&str) -> Result<Option<u32>, Error>,
) -> Result<Vec<Ask>, Mistake> {
    let number = |name: &str| match name.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => match interface(name) {
            Ok(Some(number)) => Ok(number),
            Ok(None) => Err("there is no interface of this name".to_owned()),
            Err(error) => Err(format!("the interface could not be looked up: {error}")),
        }
        .map_err(|wrong| written.blame_interface(wrong, "'ip link' lists the interfaces")),
    };
    let mut asks: Vec<Ask> = Vec::new();
    for wanted in written.wanted() {
        match wanted {
            Wanted::Unix { kind, name } => {
                asks.push(Ask { address: Address::Unix { kind, name }, only_if_different: false });
            }
            Wanted::Inet { transport, host, device, port } => {
                let device = device.as_deref().map(&number).transpose()?.unwrap_or(0);
                let places = match &host {
                    Host::Every => every(port),
                    Host::Ip { ip, scope } => {
                        let scope = scope.as_deref().map(&number).transpose()?.unwrap_or(0);
                        vec![(socket_addr(*ip, port, scope), false)]
                    }
                    Host::Name(name) => named(written, name, port)?,
                };
                asks.extend(places.into_iter().map(|place| ask(transport, device, place)));
            }
        }
    }
    Ok(asks)
}

fn ask(transport: Transport, device: u32, (local, only_if_different): (SocketAddr, bool)) -> Ask {
    Ask { address: Address::Inet { transport, local, device }, only_if_different }
}

fn every(port: u16) -> Vec<(SocketAddr, bool)> {
    vec![
        (SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false),
        (SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false),
        (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), true),
        (SocketAddr::from((Ipv6Addr::LOCALHOST, port)), true),
    ]
}

fn socket_addr(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(ip) => (ip, port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

fn named(written: &Written, name: &str, port: u16) -> Result<Vec<(SocketAddr, bool)>, Mistake> {
    let found = (name, port).to_socket_addrs().map_err(|_| {
        written.blame_host("this name has no address here", "check the spelling, or write the IP address")
    })?;
    let mut addresses: Vec<(SocketAddr, bool)> = Vec::new();
    for address in found {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&(address, false)) {
            addresses.push((address, false));
        }
    }
    if addresses.is_empty() {
        return Err(written.blame_host("this name has no address", "write the IP address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::written::parse;

    fn interfaces(name: &str) -> Result<Option<u32>, Error> {
        match name {
            "eth0" => Ok(Some(2)),
            "locked" => Err(Error::Malformed { object: "reply".into(), what: "it is too short" }),
            _ => Ok(None),
        }
    }

    #[track_caller]
    fn check(typed: &str, expect: &[&str]) {
        let asks = resolve(&parse(typed).unwrap(), interfaces).unwrap_or_else(|mistake| panic!("{mistake}"));
        let shown: Vec<String> = asks
            .iter()
            .map(|ask| {
                let device = ask.address.inet().map_or(0, |(_, _, device)| device);
                let device = if device == 0 { String::new() } else { format!(" on {device}") };
                let quiet = if ask.only_if_different { " if different" } else { "" };
                format!("{}{device}{quiet}", ask.address)
            })
            .collect();
        assert_eq!(shown, expect, "{typed}");
    }

    #[test]
    fn a_port_alone_asks_for_both_families_and_an_address_for_one() {
        let both =
            ["tcp/0.0.0.0:80", "tcp/[::]:80", "tcp/127.0.0.1:80 if different", "tcp/[::1]:80 if different"];
        check("80", &both);
        check("*:80", &both);
        check("udp/[::1]:53", &["udp/[::1]:53"]);
        check("127.0.0.1:80-81", &["tcp/127.0.0.1:80", "tcp/127.0.0.1:81"]);
        check("[fe80::1%eth0]:80", &["tcp/[fe80::1%2]:80"]);
        check("[fe80::1%7]:80", &["tcp/[fe80::1%7]:80"]);
        check("0.0.0.0%eth0:68", &["tcp/0.0.0.0:68 on 2"]);
        check("@x", &["@x"]);
    }

    #[test]
    fn localhost_has_at_least_one_loopback_address() {
        let asks = resolve(&parse("localhost:80").unwrap(), interfaces).unwrap();
        assert!(!asks.is_empty());
        assert!(
            asks.iter().all(|ask| ask.address.inet().is_some_and(|(_, local, _)| local.ip().is_loopback()))
        );
    }

    #[track_caller]
    fn refuse(typed: &str, blamed: &str, wrong: &str) {
        let mistake = resolve(&parse(typed).unwrap(), interfaces).unwrap_err();
        assert_eq!(&typed[mistake.span.clone()], blamed);
        assert_eq!(mistake.wrong, wrong);
    }

    #[test]
    fn what_does_not_exist_is_pointed_at() {
        refuse("[fe80::1%nosuch]:80", "nosuch", "there is no interface of this name");
        refuse("[::]%nosuch:80", "nosuch", "there is no interface of this name");
        refuse(
            "*%locked:80",
            "locked",
            "the interface could not be looked up: cannot read reply: it is too short",
        );
        refuse("no-such-host.invalid:80", "no-such-host.invalid", "this name has no address here");
    }
}
