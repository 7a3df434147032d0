//! The kernel settings that bear on a bind, read from /proc/sys/net in a network namespace.
//!
//! All of them belong to the namespace (Documentation/networking/ip-sysctl.rst); what a setting means is
//! not decided here.

use crate::error::Error;
use crate::netns::Netns;
use crate::seen::Seen;
use inuse_rules::BlindSpot;
use inuse_rules::snapshot::Sysctls;
use std::io::{ErrorKind, Read};
use std::str::FromStr;

/// More than `ip_local_reserved_ports` can print: 65536 ports, six bytes each.
const LARGEST: u64 = 512 * 1024;

/// Reads every setting of that namespace. One that this kernel does not have is `None`, and no blind spot.
pub fn sysctls(netns: &Netns) -> Result<Seen<Sysctls>, Error> {
    netns.inside(|| {
        let mut reader = Reader { hidden: Vec::new() };
        let found = Sysctls {
            unprivileged_port_start: reader.get("ipv4/ip_unprivileged_port_start", number),
            local_port_range: reader.get("ipv4/ip_local_port_range", pair),
            reserved_ports: reader.get("ipv4/ip_local_reserved_ports", ranges),
            tcp_fin_timeout: reader.get("ipv4/tcp_fin_timeout", number),
            tcp_rfc1337: reader.get("ipv4/tcp_rfc1337", flag),
            nonlocal_bind_v4: reader.get("ipv4/ip_nonlocal_bind", flag),
            nonlocal_bind_v6: reader.get("ipv6/ip_nonlocal_bind", flag),
            bindv6only: reader.get("ipv6/bindv6only", flag),
            autobind_reuse: reader.get("ipv4/ip_autobind_reuse", flag),
            tcp_tw_reuse: reader.get("ipv4/tcp_tw_reuse", number),
        };
        Seen { found, blind: reader.blind() }
    })
}

struct Reader {
    hidden: Vec<&'static str>,
}

impl Reader {
    fn get<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = match read(&format!("/proc/sys/net/{name}")) {
            Ok(text) => parse(&text),
            // A kernel without this setting, or without IPv6, decides as if it were off; only a missing
            // /proc hides something.
            Err(kind) if kind == ErrorKind::NotFound && std::path::Path::new("/proc/sys/net").exists() => {
                return None;
            }
            Err(_) => None,
        };
        if value.is_none() {
            self.hidden.push(name);
        }
        value
    }

    fn blind(self) -> Vec<BlindSpot> {
        if self.hidden.is_empty() {
            return Vec::new();
        }
        let what = format!("kernel settings in /proc/sys/net: {}", self.hidden.join(", "));
        vec![BlindSpot { what, remedy: "mount /proc, and allow reading /proc/sys/net".into() }]
    }
}

fn read(path: &str) -> Result<String, ErrorKind> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.kind())?;
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

fn flag(text: &str) -> Option<bool> {
    number::<u32>(text).map(|value| value != 0)
}

/// Two numbers with white space between: `32768 60999`.
fn pair(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace();
    let pair = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(pair)
}

/// A list as the kernel prints it: `8080,9148-9150`; an empty line is an empty list.
fn ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',')
        .map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            Some((low.parse().ok()?, high.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let check = |text, expect| assert_eq!(pair(text), expect, "{text:?}");
        check("32768\t60999\n", Some((32768, 60999)));
        check("1 2", Some((1, 2)));
        check("1", None);
        check("1 2 3", None);
        check("1 70000", None);
        check("", None);
    }

    #[test]
    fn port_lists() {
        let check = |text, expect: Option<&[(u16, u16)]>| {
            assert_eq!(ranges(text).as_deref(), expect, "{text:?}");
        };
        check("\n", Some(&[]));
        check("8080,9148-9150\n", Some(&[(8080, 8080), (9148, 9150)]));
        check("1-65535", Some(&[(1, 65535)]));
        check("8080,", None);
        check("8080-", None);
        check("70000", None);
        check("a-b", None);
    }

    #[test]
    fn flags_and_numbers() {
        assert_eq!(flag("0\n"), Some(false));
        assert_eq!(flag("2\n"), Some(true));
        assert_eq!(flag("yes"), None);
        assert_eq!(number::<u16>("1024\n"), Some(1024));
        assert_eq!(number::<u16>("-1"), None);
    }
}
