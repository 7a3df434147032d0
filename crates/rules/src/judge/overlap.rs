//! Whether two sockets' addresses overlap.
//!
//! Two walks of the kernel, which do not agree with each other: a newcomer with a *concrete* address
//! is compared through the address buckets (`inet_bhash2_addr_any_conflict`, `inet_bhash2_conflict`),
//! one with a *wildcard* address, and every datagram socket, through `inet_rcv_saddr_equal`. The
//! second lets a real IPv6 socket stand in the way of 0.0.0.0.

use super::newcomer::Newcomer;
use super::quirks::Quirks;
use crate::address::{is_wildcard, v4_part};
use core::net::{IpAddr, Ipv4Addr};

/// The old socket's side of the comparison, with V6ONLY settled.
pub(super) struct Old {
    pub(super) ip: IpAddr,
    pub(super) v6only: bool,
}

/// The walk that TCP takes: by address bucket for a concrete newcomer, else by
/// `inet_rcv_saddr_equal`.
pub(super) fn tcp(new: &Newcomer, old: &Old, quirks: Quirks) -> bool {
    if new.concrete() { buckets(new, old, quirks) } else { rcv_saddr_equal(new, old) }
}

/// Two buckets are searched: the newcomer's own address, and the wildcard.
fn buckets(new: &Newcomer, old: &Old, quirks: Quirks) -> bool {
    let old_any = is_wildcard(old.ip);
    let mapped = new.ip.is_ipv6() && new.v4.is_some();
    if old.v6only && new.v4.is_some() && !(mapped && quirks.mapped_meets_v6only_any && old_any) {
        return false;
    }
    match v4_part(old.ip) {
        // 0.0.0.0 and ::ffff:0.0.0.0 take every IPv4 address, and no IPv6 one.
        Some(v4) if v4.is_unspecified() => {
            let missed =
                if old.ip.is_ipv4() { quirks.mapped_misses_v4_any } else { quirks.mapped_misses_mapped_any };
            new.v4.is_some() && !(mapped && missed)
        }
        Some(v4) => new.v4 == Some(v4),
        None if old.ip.is_unspecified() => true,
        None => new.ip == old.ip,
    }
}

/// `inet_rcv_saddr_equal(new, old, match_wildcard = true)` of net/ipv4/inet_connection_sock.c.
pub(super) fn rcv_saddr_equal(new: &Newcomer, old: &Old) -> bool {
    if new.ip.is_ipv4() {
        return !old.v6only && v4_equal(new.v4, v4_view(old.ip));
    }
    // ipv6_rcv_saddr_equal, sk1 = new (AF_INET6), sk2 = old.
    let old_v4 = v4_part(old.ip);
    match (new.v4, old_v4) {
        // Both speak IPv4: mapped or AF_INET.
        (Some(_), Some(_)) => !old.v6only && v4_equal(new.v4, old_v4),
        _ => {
            if old.ip.is_ipv6() && old.ip.is_unspecified() && !(old.v6only && new.v4.is_some()) {
                return true;
            }
            if new.ip.is_unspecified() && !(new.v6only && old_v4.is_some()) {
                return true;
            }
            old.ip.is_ipv6() && new.ip == old.ip
        }
    }
}

/// `ipv4_rcv_saddr_equal`: equal, or one of them is 0.0.0.0.
fn v4_equal(a: Option<Ipv4Addr>, b: Option<Ipv4Addr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        _ => false,
    }
}

/// `sk_rcv_saddr` of a socket as an `AF_INET` newcomer reads it: an `AF_INET6` socket on `::` shows
/// 0.0.0.0, a mapped one its IPv4 address, and any other 127.0.0.6 (`LOOPBACK4_IPV6`).
fn v4_view(ip: IpAddr) -> Option<Ipv4Addr> {
    Some(match v4_part(ip) {
        Some(v4) => v4,
        None if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED,
        None => Ipv4Addr::new(127, 0, 0, 6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::attempt::Attempt;

    /// One line a fact: who comes, who is there (`!` for V6ONLY), and whether they meet.
    #[track_caller]
    fn check(new: &str, old: &str, meets: bool) {
        let (new_ip, new_only) = ip(new);
        let (old_ip, old_only) = ip(old);
        let mut attempt = Attempt::plain(Address::tcp((new_ip, 80).into()));
        attempt.v6only = new_only;
        let newcomer = Newcomer::new(&attempt, (new_ip, 80).into(), 0);
        let real_v6 = old_ip.is_ipv6() && v4_part(old_ip).is_none() && !old_ip.is_unspecified();
        let old_socket = Old { ip: old_ip, v6only: old_only || (real_v6 && !old.ends_with('?')) };
        assert_eq!(tcp(&newcomer, &old_socket, Quirks::default()), meets, "{new} beside {old}");
    }

    fn ip(text: &str) -> (IpAddr, bool) {
        (text.trim_end_matches(['!', '?']).parse().unwrap(), text.ends_with('!'))
    }

    #[test]
    fn addresses_that_meet_and_addresses_that_do_not() {
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("127.0.0.1", "0.0.0.0", true);
        check("0.0.0.0", "127.0.0.1", true);
        check("127.0.0.1", "::", true);
        check("127.0.0.1", "::!", false);
        check("::", "127.0.0.1", true);
        check("::!", "127.0.0.1", false);
        check("0.0.0.0", "::", true);
        check("0.0.0.0", "::!", false);
        check("::!", "0.0.0.0", false);
        check("::", "0.0.0.0", true);
        check("::1", "0.0.0.0", false);
        check("::1", "::ffff:0.0.0.0", false);
        check("::1", "::", true);
        check("::1", "::!", true);
        check("::1", "::1", true);
        check("::", "::1", true);
        check("::!", "::1", true);
        // A socket bound to ::1 is V6ONLY by force and leaves 0.0.0.0 alone; the child of a dual-stack
        // listener on the same address is not (`?`), and refuses it.
        check("0.0.0.0", "::1", false);
        check("0.0.0.0", "::1?", true);
        check("127.0.0.1", "::1?", false);
        check("::ffff:0.0.0.0", "::1?", false);
        check("::ffff:127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "::ffff:127.0.0.1", true);
        check("::ffff:127.0.0.1", "::!", false);
        check("::ffff:0.0.0.0", "::", true);
        check("::ffff:0.0.0.0", "::!", false);
        check("::", "::ffff:127.0.0.1", true);
        check("::!", "::ffff:127.0.0.1", false);
    }
}
