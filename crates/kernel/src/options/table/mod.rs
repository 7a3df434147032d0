//! The one table of socket options: what the view shows, the parser accepts, `--list` explains and the tests
//! try is read from here.
//!
//! One file a level. SOL_SOCKET is complete, names that Linux never implemented among them; of the others all that
//! matters to servers, and everything of TCP and UDP. Sources: socket(7), ip(7), ipv6(7), tcp(7), udp(7), and the
//! kernel's sk_setsockopt, do_ip_setsockopt, do_ipv6_setsockopt, do_tcp_setsockopt, udp_lib_setsockopt.

mod ip;
mod ipv6;
mod socket;
mod tcp;
mod udp;

use super::form::{Form, Unit};
use super::spec::Spec;

/// Every option, by level.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    [socket::OPTIONS, ip::OPTIONS, ipv6::OPTIONS, tcp::OPTIONS, udp::OPTIONS].into_iter().flatten()
}

/// The option of that name, in any case of letters.
pub fn named(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.is_named(name))
}

/// A number that is not negative.
const fn count(unit: Unit) -> Form {
    Form::Number { least: 0, most: i32::MAX, unit }
}

/// A number within bounds and without a unit.
const fn number(least: i32, most: i32) -> Form {
    Form::Number { least, most, unit: Unit::None }
}

const fn within(least: i32, most: i32, unit: Unit) -> Form {
    Form::Number { least, most, unit }
}

/// The values of `IP_MTU_DISCOVER` and its IPv6 twin.
const PMTU: Form = Form::Choice(&[
    ("dont", libc::IP_PMTUDISC_DONT),
    ("want", libc::IP_PMTUDISC_WANT),
    ("do", libc::IP_PMTUDISC_DO),
    ("probe", libc::IP_PMTUDISC_PROBE),
    ("interface", 4),
    ("omit", 5),
]);

const PROGRAM: &str = "it takes a program for the kernel, which cannot be written as a value";
const STRUCTURE: &str = "it takes a structure that cannot be written as a value";

#[cfg(test)]
mod tests {
    use super::super::spec::{Level, Preset, Readable, Settable};
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        for spec in all() {
            let same = |other: &&Spec| other.level == spec.level && other.number == spec.number;
            assert_eq!(all().filter(same).count(), 1, "{}", spec.name);
            for name in std::iter::once(&spec.name).chain(spec.aliases) {
                assert_eq!(all().filter(|other| other.is_named(name)).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn a_row_says_all_there_is_to_say() {
        for spec in all() {
            let name = spec.name;
            assert!(spec.says.ends_with('.') && !spec.says.contains("  "), "{name}: {:?}", spec.says);
            assert!(spec.says.chars().count() <= 150, "{name}: {} characters", spec.says.chars().count());
            assert!(!spec.default.is_empty() && !spec.default.ends_with('.'), "{name}");
            assert!(spec.since.split('.').all(|part| part.parse::<u16>().is_ok()), "{name}: {}", spec.since);
            let prefix = match spec.level {
                Level::Socket => "SO_",
                Level::Ip => "IP_",
                Level::Ipv6 => "IPV6_",
                Level::Tcp => "TCP_",
                Level::Udp => "UDP_",
            };
            assert!(name.starts_with(prefix), "{name}");
            if let Settable::Never(why) | Settable::Forced(why) | Settable::ForcedWhere(_, why) =
                spec.settable
            {
                assert!(!why.is_empty() && !why.ends_with('.'), "{name}: a sentence part");
            }
            if matches!(spec.form, Form::Opaque) {
                assert!(!spec.is_settable() && spec.readable != Readable::Yes, "{name} has no value");
            }
            if spec.preset == Preset::Fact && spec.readable == Readable::Yes {
                assert!(!spec.is_settable(), "{name}");
            }
        }
    }

    #[test]
    fn an_option_is_found_by_any_of_its_names() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(named(name).map(|spec| spec.name), expect, "{name}")
        };
        check("SO_REUSEADDR", Some("SO_REUSEADDR"));
        check("so_reuseaddr", Some("SO_REUSEADDR"));
        check("SO_GET_FILTER", Some("SO_ATTACH_FILTER"));
        check("SO_RCVTIMEO_OLD", Some("SO_RCVTIMEO"));
        check("REUSEADDR", None);
        check("", None);
    }
}
