//! The table against the names in the kernel's headers (linux-libc-dev).

use inuse_kernel::options::spec::Level;
use inuse_kernel::options::table;
use libtest_mimic::{Completion, Failed};

/// Header, level, prefix.
const HEADERS: &[(&str, Level, &str)] = &[
    ("/usr/include/asm-generic/socket.h", Level::Socket, "SO_"),
    ("/usr/include/linux/in.h", Level::Ip, "IP_"),
    ("/usr/include/linux/in6.h", Level::Ipv6, "IPV6_"),
    ("/usr/include/linux/tcp.h", Level::Tcp, "TCP_"),
    ("/usr/include/linux/udp.h", Level::Udp, "UDP_"),
];

const GROUPS: &str = "joins, leaves or filters a multicast group: an act with an address, no value";
const RAW: &str = "for raw sockets and routing daemons";
const IPSEC: &str = "takes a policy of IPsec";
const HEADER: &str = "an extension header as bytes, or asks for them as messages";
const MESSAGE: &str = "the name of a message (RFC 3542), or a structure that nothing keeps";

/// Options that the table leaves out, and why. Of SOL_SOCKET, TCP and UDP there are none.
const LEFT_OUT: &[(&str, &str)] = &[
    ("IP_HDRINCL", RAW),
    ("IP_ROUTER_ALERT", RAW),
    ("IP_NODEFRAG", RAW),
    ("IP_PROTOCOL", RAW),
    ("IP_PKTOPTIONS", "messages of a tcp connection, read once"),
    ("IP_IPSEC_POLICY", IPSEC),
    ("IP_XFRM_POLICY", IPSEC),
    ("IP_MULTICAST_IF", "takes an address or a structure; the interface of multicast packets"),
    ("IP_ADD_MEMBERSHIP", GROUPS),
    ("IP_DROP_MEMBERSHIP", GROUPS),
    ("IP_UNBLOCK_SOURCE", GROUPS),
    ("IP_BLOCK_SOURCE", GROUPS),
    ("IP_ADD_SOURCE_MEMBERSHIP", GROUPS),
    ("IP_DROP_SOURCE_MEMBERSHIP", GROUPS),
    ("IP_MSFILTER", GROUPS),
    ("IPV6_2292HOPOPTS", HEADER),
    ("IPV6_2292DSTOPTS", HEADER),
    ("IPV6_2292RTHDR", HEADER),
    ("IPV6_2292PKTOPTIONS", HEADER),
    ("IPV6_2292HOPLIMIT", "IPV6_RECVHOPLIMIT in its older form"),
    ("IPV6_RECVHOPOPTS", HEADER),
    ("IPV6_HOPOPTS", HEADER),
    ("IPV6_RTHDRDSTOPTS", HEADER),
    ("IPV6_RECVRTHDR", HEADER),
    ("IPV6_RTHDR", HEADER),
    ("IPV6_RECVDSTOPTS", HEADER),
    ("IPV6_DSTOPTS", HEADER),
    ("IPV6_CHECKSUM", RAW),
    ("IPV6_NEXTHOP", "Linux reads its value and does nothing with it"),
    ("IPV6_AUTHHDR", HEADER),
    ("IPV6_FLOWINFO", MESSAGE),
    ("IPV6_PKTINFO", MESSAGE),
    ("IPV6_HOPLIMIT", MESSAGE),
    ("IPV6_PATHMTU", MESSAGE),
    ("IPV6_FLOWLABEL_MGR", "takes a structure: leases of flow labels"),
    ("IPV6_USE_MIN_MTU", "Linux has the name and nothing behind it"),
    ("IPV6_MULTICAST_IF", "the interface of multicast packets, by number"),
    ("IPV6_ADD_MEMBERSHIP", GROUPS),
    ("IPV6_DROP_MEMBERSHIP", GROUPS),
    ("IPV6_JOIN_ANYCAST", GROUPS),
    ("IPV6_LEAVE_ANYCAST", GROUPS),
    ("IPV6_ROUTER_ALERT", RAW),
    ("IPV6_ROUTER_ALERT_ISOLATE", RAW),
    ("IPV6_IPSEC_POLICY", IPSEC),
    ("IPV6_XFRM_POLICY", IPSEC),
    ("IPV6_HDRINCL", RAW),
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
    "IP_MSFILTER_SIZE",
];

/// Every option that the headers name is in the table with its number, or left out for a reason.
pub(crate) fn complete() -> Result<Completion, Failed> {
    let (mut report, mut wrong) = (String::new(), Vec::new());
    let (mut covered, mut all) = (0, 0);
    for (path, level, prefix) in HEADERS {
        let Ok(header) = std::fs::read_to_string(path) else {
            return super::cannot(format!("it needs {path} (linux-libc-dev)"));
        };
        let names = names(&header, prefix);
        if names.len() <= 5 {
            wrong.push(format!("{path} is not read: {names:?}"));
        }
        let mut here = 0;
        for (name, number) in &names {
            match (table::named(name), LEFT_OUT.iter().any(|(left, _)| left == name)) {
                (Some(spec), false) => {
                    here += 1;
                    if spec.level != *level || number.is_some_and(|number| number != spec.number) {
                        wrong.push(format!("{name} is {number:?} in {path}, not {}", spec.number));
                    }
                }
                (None, true) => {}
                (Some(_), true) => wrong.push(format!("{name} is in the table, and not left out")),
                (None, false) => wrong.push(format!("{path} names {name}: it belongs into the table")),
            }
        }
        report.push_str(&format!("{path}: {here} of {}\n", names.len()));
        (covered, all) = (covered + here, all + names.len());
    }
    report.push_str(&format!("in all: {covered} of {all}\n"));
    // Shown by `--nocapture`, and the figure that is to be measured.
    #[allow(clippy::print_stdout, reason = "a measurement")]
    {
        print!("{report}");
    }
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
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
