//! The table against the names in the kernel's headers (linux-libc-dev).

use inuse_kernel::options::spec::Level;
use inuse_kernel::options::table;
use libtest_mimic::{Completion, Failed};

/// Header, level, prefix, and whether every name must be in the table. IP and IPv6 also name what only raw sockets
/// and multicast routers use, and values besides options.
const HEADERS: &[(&str, Level, &str, bool)] = &[
    ("/usr/include/asm-generic/socket.h", Level::Socket, "SO_", true),
    ("/usr/include/linux/udp.h", Level::Udp, "UDP_", true),
    ("/usr/include/linux/tcp.h", Level::Tcp, "TCP_", true),
    ("/usr/include/linux/in.h", Level::Ip, "IP_", false),
    ("/usr/include/linux/in6.h", Level::Ipv6, "IPV6_", false),
];

/// Names with these beginnings are values of options, not options.
const VALUES: &[&str] = &[
    "UDP_ENCAP_",
    "TCP_REPAIR_ON",
    "TCP_REPAIR_OFF",
    "TCP_RECEIVE_ZEROCOPY_FLAG_",
    "TCP_MD5SIG_MAXKEYLEN",
    "TCP_MD5SIG_FLAG_",
    "TCP_MSS_",
    "TCP_AO_MAXKEYLEN",
    "TCP_AO_KEYF_",
    "IP_PMTUDISC_",
    "IPV6_PMTUDISC_",
    "IPV6_FL_",
    "IPV6_PRIORITY_",
    "IPV6_FLOWINFO_FLOWLABEL",
    "IPV6_FLOWINFO_PRIORITY",
    "IPV6_TLV_",
    "IPV6_PREFER_",
    "IP_DEFAULT_MULTICAST_",
];

/// No name that the headers have is missing, and the numbers agree.
pub(crate) fn complete() -> Result<Completion, Failed> {
    let mut report = String::new();
    for (path, level, prefix, whole) in HEADERS {
        let Ok(header) = std::fs::read_to_string(path) else {
            return super::cannot(format!("it needs {path} (linux-libc-dev)"));
        };
        let names = names(&header, prefix);
        let lacking: Vec<&str> =
            names.iter().map(|(name, _)| *name).filter(|name| table::named(name).is_none()).collect();
        for (name, number) in &names {
            if let (Some(spec), Some(number)) = (table::named(name), number) {
                assert_eq!((spec.level, spec.number), (*level, *number), "{name} in {path}");
            }
        }
        report.push_str(&format!("{path}: {} of {}\n", names.len() - lacking.len(), names.len()));
        if *whole && !lacking.is_empty() {
            return Err(format!("{path} names what the table lacks: {lacking:?}").into());
        }
        assert!(names.len() > 5, "{path} is read: {names:?}");
    }
    // Shown by `--nocapture`, and the figure that is to be measured.
    #[allow(clippy::print_stdout, reason = "a measurement")]
    {
        print!("{report}");
    }
    Ok(Completion::Completed)
}

/// The options that a header defines, with their numbers where these are plain.
fn names<'a>(header: &'a str, prefix: &str) -> Vec<(&'a str, Option<i32>)> {
    let mut names: Vec<(&str, Option<i32>)> = Vec::new();
    for line in header.lines() {
        let mut words = line.trim_start_matches('#').split_whitespace();
        if !line.starts_with('#') || words.next() != Some("define") {
            continue;
        }
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let option = name.starts_with(prefix) && !VALUES.iter().any(|value| name.starts_with(value));
        if option && names.iter().all(|(known, _)| *known != name) {
            names.push((name, value.parse().ok()));
        }
    }
    names
}
