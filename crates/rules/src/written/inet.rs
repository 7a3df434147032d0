//! IP addresses with ports, as people write them and as netstat, ss, lsof, docker, BIND and browsers
//! print them.

use super::part::{Fault, Part};
use super::{Host, MAX_RANGE, Read, Target};
use crate::address::Transport;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

const PORT: &str = "a port is a number from 0 to 65535";
const FORMS: &str = "write a port (8080), HOST:PORT, [IPV6]:PORT, udp/PORT or unix:PATH";

/// Ports that a URL may leave out.
const SCHEMES: [(&str, u16); 10] = [
    ("http", 80),
    ("https", 443),
    ("ws", 80),
    ("wss", 443),
    ("ftp", 21),
    ("ssh", 22),
    ("mysql", 3306),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
];

/// Reads an IP address with its port or ports.
pub(super) fn parse(whole: Part<'_>) -> Result<Read, Fault> {
    if let Some((scheme, rest)) = whole.split_once("://") {
        return url(scheme, rest);
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let name = transport.name();
        if let Some(rest) = whole.strip_prefix(name).and_then(|rest| rest.strip_prefix("/")) {
            return endpoint(transport, rest);
        }
        // 8080/tcp, and docker's 0.0.0.0:8080->80/tcp.
        if let Some(rest) = whole.strip_suffix(name).and_then(|rest| rest.strip_suffix("/")) {
            return endpoint(transport, rest);
        }
    }
    if let Some(fault) = no_transport(whole) {
        return Err(fault);
    }
    match whole.split_once("/") {
        // localhost:3000/index.html, copied out of a browser that hides the scheme.
        Some((address, _path)) if address.text.contains(':') => endpoint(Transport::Tcp, address),
        Some(_) => Err(whole.wrong("this is no address", FORMS)),
        None => endpoint(Transport::Tcp, whole),
    }
}

/// `tcp:8080`, and transports that no rule is known for: `sctp/80`, `80/sctp`.
fn no_transport(whole: Part<'_>) -> Option<Fault> {
    for name in ["sctp", "dccp", "mptcp"] {
        let before = whole.strip_prefix(name).is_some_and(|rest| rest.text.starts_with(['/', ':']));
        if before || whole.strip_suffix(name).is_some_and(|rest| rest.text.ends_with('/')) {
            let wrong = format!("{} is not modelled", name.to_ascii_uppercase());
            return Some(whole.wrong(wrong, "write tcp/PORT, udp/PORT or unix:PATH"));
        }
    }
    for name in ["tcp", "udp"] {
        if let Some(rest) = whole.strip_prefix(name).and_then(|rest| rest.strip_prefix(":")) {
            let right = match ports(rest) {
                Ok(_) => format!("write {name}/{}", rest.text),
                Err(_) => format!("write {name}/8080"),
            };
            let colon = whole.split_at(name.len()).1.split_at(1).0;
            return Some(colon.wrong("a slash stands behind the transport", right));
        }
    }
    None
}

/// `http://user@localhost:3000/path?query`.
fn url(scheme: Part<'_>, rest: Part<'_>) -> Result<Read, Fault> {
    if let Some(bad) = scheme.since(|c| !(c.is_ascii_alphanumeric() || "+-.".contains(c))) {
        return Err(bad.wrong("this is no URL", FORMS));
    }
    let end = rest.text.find(['/', '?', '#']).unwrap_or(rest.text.len());
    let authority = rest.split_at(end).0;
    let authority = authority.rsplit_once("@").map_or(authority, |(_user, host)| host);
    let transport = if scheme.text.eq_ignore_ascii_case("udp") { Transport::Udp } else { Transport::Tcp };
    let has_port = match authority.text.rfind(':') {
        Some(colon) => colon > authority.text.rfind(']').unwrap_or(0),
        None => false,
    };
    if has_port {
        return endpoint(transport, authority);
    }
    let known = SCHEMES.iter().find(|(name, _)| scheme.text.eq_ignore_ascii_case(name));
    let Some(&(_, port)) = known else {
        let end = Part { text: "", at: authority.span().end };
        return Err(end.wrong(format!("a {}: URL does not say which port", scheme.text), "add it: HOST:PORT"));
    };
    let inner = authority.strip_prefix("[").and_then(|part| part.strip_suffix("]"));
    let place = match inner {
        Some(inner) => bracketed(inner)?,
        None => bare_host(authority)?,
    };
    Ok(place.with(transport, port..=port))
}

/// A host with its interface, before the port is known.
struct Place {
    host: Host,
    device: Option<String>,
    host_span: core::ops::Range<usize>,
    interface: Option<core::ops::Range<usize>>,
}

impl Place {
    fn with(self, transport: Transport, ports: RangeInclusive<u16>) -> Read {
        Read {
            target: Target::Inet { transport, host: self.host, device: self.device, ports },
            host: self.host_span,
            interface: self.interface,
        }
    }
}

/// Everything behind `tcp/`.
fn endpoint(transport: Transport, part: Part<'_>) -> Result<Read, Fault> {
    let part = part.split_once("->").map_or(part, |(published, _inside)| published);
    if part.is_empty() {
        return Err(part.wrong("the port is missing", PORT));
    }
    let (place, port) = split(part)?;
    Ok(place.with(transport, ports(port)?))
}

/// Finds the border between host and port.
fn split(part: Part<'_>) -> Result<(Place, Part<'_>), Fault> {
    if let Some(inside) = part.strip_prefix("[") {
        let Some((inside, behind)) = inside.split_once("]") else {
            return Err(part.split_at(1).0.wrong("this bracket is never closed", "write [::1]:8080"));
        };
        let mut place = bracketed(inside)?;
        let (device, port) = match behind.strip_prefix("%") {
            Some(rest) => {
                let border = rest.text.find(':').unwrap_or(rest.text.len());
                let (device, port) = rest.split_at(border);
                (Some(device), port)
            }
            None => (None, behind),
        };
        if let Some(device) = device {
            place.device = Some(interface(device)?);
            place.interface = Some(device.span());
        }
        return match port.strip_prefix(":").or_else(|| port.strip_prefix(".")) {
            Some(port) => Ok((place, port)),
            None if port.is_empty() => Err(missing_port(part, port)),
            None => Err(port.wrong("a colon and the port should follow the bracket", "write [::1]:8080")),
        };
    }
    match part.split_once(":") {
        None => no_colon(part),
        Some((host, port)) if !port.text.contains(':') => match ports(host) {
            Ok(_) => Err(published(part, host)),
            Err(_) => Ok((bare_host(host)?, port)),
        },
        Some(_) => unbracketed_v6(part),
    }
}

/// docker's `HOST-PORT:CONTAINER-PORT`, of which only the first is bound on this machine.
fn published(whole: Part<'_>, first: Part<'_>) -> Fault {
    whole.wrong(
        "these are two ports, as docker publishes them, and only the first is bound here",
        format!("write {}", first.text),
    )
}

/// `8080`, `127.0.0.1.8080` and `*.8080` (BSD netstat), `127.0.0.1#53` (BIND, dnsmasq).
fn no_colon(part: Part<'_>) -> Result<(Place, Part<'_>), Fault> {
    if part.text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') && !part.text.contains('.')
    {
        let nowhere = Part { text: "", at: part.at };
        return Ok((every(nowhere), part));
    }
    if let Some((host, port)) = part.split_once("#") {
        return Ok((bare_host(host)?, port));
    }
    if let Some((host, port)) = part.rsplit_once(".") {
        let is_host = host.text == "*" || host.text.parse::<Ipv4Addr>().is_ok();
        if is_host {
            return Ok((bare_host(host)?, port));
        }
    }
    let place = bare_host(part)?;
    let end = Part { text: "", at: part.span().end };
    match place.host {
        // A word alone: more likely a mistyped verb or a port's name than a host.
        Host::Name(name) if name.ends_with(".sock") || name.ends_with(".socket") => {
            Err(part.wrong("this is a name without a port", format!("write unix:{name} for a socket file")))
        }
        Host::Name(_) => Err(part.wrong("this is a name without a port", FORMS)),
        _ => Err(missing_port(part, end)),
    }
}

/// `:::3000` and `::1:8080` (netstat), `fe80::1%eth0:80`, `::1.8080` (BSD): the last group is the port,
/// since an address without a port asks for nothing.
fn unbracketed_v6(part: Part<'_>) -> Result<(Place, Part<'_>), Fault> {
    for separator in [":", "."] {
        if let Some((host, port)) = part.rsplit_once(separator) {
            let digits = !port.is_empty() && port.text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            if digits && v6(host).is_some() {
                return Ok((bracketed(host)?, port));
            }
        }
    }
    let end = Part { text: "", at: part.span().end };
    if v6(part).is_some() {
        return Err(missing_port(part, end));
    }
    if let Some((outside, inside)) = part.rsplit_once(":")
        && let Some((host, port)) = outside.split_once(":")
        && host.text.parse::<Ipv4Addr>().is_ok()
        && ports(port).is_ok()
        && ports(inside).is_ok()
    {
        return Err(published(part, outside));
    }
    if let Some((host, port)) = part.rsplit_once(":")
        && v6(host).is_some()
    {
        return Ok((bracketed(host)?, port));
    }
    Err(part.wrong("this is no IPv6 address with a port", "write [IPV6]:PORT, for instance [::1]:8080"))
}

fn v6(part: Part<'_>) -> Option<Ipv6Addr> {
    let address = part.text.split_once('%').map_or(part.text, |(address, _)| address);
    address.parse().ok()
}

/// What stands inside `[…]`: an IPv6 address with or without a scope; ssh brackets IPv4 too.
fn bracketed(inside: Part<'_>) -> Result<Place, Fault> {
    let (address, scope) = match inside.split_once("%") {
        Some((address, scope)) => (address, Some(scope)),
        None => (inside, None),
    };
    let ip: IpAddr = address.text.parse().map_err(|_| {
        address.wrong("this is no IPv6 address", "inside brackets write one, for instance [::1]:8080")
    })?;
    let name = scope.map(interface).transpose()?;
    let (scope_name, device) = if ip.is_ipv6() { (name, None) } else { (None, name) };
    Ok(Place {
        host: Host::Ip { ip, scope: scope_name },
        device,
        host_span: address.span(),
        interface: scope.map(Part::span),
    })
}

/// A host without brackets and colons: nothing, `*`, IPv4 or a name; each with `%device`.
fn bare_host(part: Part<'_>) -> Result<Place, Fault> {
    let (host, device) = match part.split_once("%") {
        Some((host, device)) => (host, Some(device)),
        None => (part, None),
    };
    let mut place = every(host);
    if let Some(device) = device {
        place.device = Some(interface(device)?);
        place.interface = Some(device.span());
    }
    // http://+:80 is how .NET writes every address.
    if !matches!(host.text, "" | "*" | "+") {
        place.host = match host.text.parse::<Ipv4Addr>() {
            Ok(ip) => Host::Ip { ip: ip.into(), scope: None },
            Err(_) => Host::Name(name(host)?),
        };
    }
    Ok(place)
}

fn every(part: Part<'_>) -> Place {
    Place { host: Host::Every, device: None, host_span: part.span(), interface: None }
}

fn name(part: Part<'_>) -> Result<String, Fault> {
    if part.text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(part.wrong("this is no IPv4 address", "it has four numbers from 0 to 255, as 127.0.0.1"));
    }
    if let Some(bad) = part.since(|c| !(c.is_alphanumeric() || "-._".contains(c))) {
        let first = bad.split_at(bad.text.chars().next().map_or(0, char::len_utf8)).0;
        return Err(first.wrong("this character cannot stand in a host name", FORMS));
    }
    if part.text.len() > 253 {
        return Err(part
            .after(253)
            .wrong("this is too long for a host name", "it may have 253 characters at most"));
    }
    Ok(part.text.to_string())
}

/// The name or number of an interface: at most 15 bytes, no slash, no space (`dev_valid_name`).
fn interface(part: Part<'_>) -> Result<String, Fault> {
    let right = "write its name or number, for instance fe80::1%eth0";
    if part.is_empty() {
        return Err(part.wrong("the interface is missing behind %", right));
    }
    if part.text.len() > 15 {
        return Err(part.after(15).wrong("an interface name has 15 bytes at most", right));
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/:%[]".contains(c);
    match part.since(bad) {
        Some(bad) => Err(bad.wrong("this cannot stand in the name of an interface", right)),
        None => Ok(part.text.to_string()),
    }
}

fn missing_port(whole: Part<'_>, end: Part<'_>) -> Fault {
    let bare_v6 = whole.text.contains(':') && !whole.text.contains('[');
    let host = if bare_v6 { format!("[{}]", whole.text) } else { whole.text.to_string() };
    let host: String = host.chars().filter(|&c| !crate::address::deceives(c)).take(60).collect();
    end.wrong("the port is missing", format!("write {host}:8080"))
}

fn ports(part: Part<'_>) -> Result<RangeInclusive<u16>, Fault> {
    let Some((low, high)) = part.split_once("-").filter(|(low, _)| !low.is_empty()) else {
        let port = port(part)?;
        return Ok(port..=port);
    };
    let (first, last) = (port(low)?, port(high)?);
    if first > last {
        return Err(part.wrong("this range runs backwards", format!("write {last}-{first}")));
    }
    if usize::from(last - first) >= MAX_RANGE {
        let count = usize::from(last - first) + 1;
        return Err(part.wrong(
            format!("this range has {count} ports"),
            format!("a range may have {MAX_RANGE} at most"),
        ));
    }
    Ok(first..=last)
}

fn port(part: Part<'_>) -> Result<u16, Fault> {
    if part.is_empty() {
        return Err(part.wrong("the port is missing", PORT));
    }
    let may_be_service = part.text.starts_with(|c: char| c.is_ascii_alphabetic())
        && part.text.len() <= 40
        && part.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if may_be_service {
        let right = format!("for a service, 'getent services {}' prints it", part.text);
        return Err(part.wrong("a port is written as a number", right));
    }
    if let Some(bad) = part.since(|c| !c.is_ascii_digit()) {
        return Err(bad.wrong("a port has digits only", PORT));
    }
    part.text.parse().map_err(|_| part.wrong("this port is too large", PORT))
}
