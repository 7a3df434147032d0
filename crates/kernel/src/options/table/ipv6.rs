//! `SOL_IPV6`: what matters to servers (ipv6(7), RFC 3493, RFC 3542, do_ipv6_setsockopt).
//!
//! Not here: joining and leaving multicast groups, extension headers, and what raw sockets use.

use super::super::form::{Form, Unit};
use super::super::spec::{Level, Sockets, Spec};
use super::{PMTU, number, within};

const fn ipv6(number: i32, name: &'static str, form: Form) -> Spec {
    Spec::new(Level::Ipv6, number, name, form)
}

const MESSAGES: &str = "the program then gets messages beside its data, of a form that it must expect";

pub(super) const OPTIONS: &[Spec] = &[
    ipv6(26, "IPV6_V6ONLY", Form::Switch).default("net.ipv6.bindv6only").since("2.4.21").moved().says(
        "Keeps IPv4 out: [::] then leaves 0.0.0.0 of the same port free. It can be set only before bind().",
    ),
    ipv6(78, "IPV6_FREEBIND", Form::Switch)
        .since("4.15")
        .says("Lets a bind name an address that this machine does not have yet: no EADDRNOTAVAIL."),
    ipv6(75, "IPV6_TRANSPARENT", Form::Switch).since("2.6.37").says(
        "Lets a proxy bind any address, for redirected traffic; it needs CAP_NET_ADMIN or CAP_NET_RAW.",
    ),
    ipv6(16, "IPV6_UNICAST_HOPS", number(-1, 255))
        .default("net.ipv6.conf.*.hop_limit")
        .since("2.2")
        .forced("packets with too small a number do not reach their peer")
        .says("How many routers its packets may pass; -1 for the default."),
    ipv6(73, "IPV6_MINHOPCOUNT", number(0, 255))
        .default("0")
        .since("2.6.35")
        .forced("packets from further away are dropped")
        .says("Drops packets that have come from further away than this."),
    ipv6(67, "IPV6_TCLASS", number(-1, 255))
        .default("0")
        .since("2.6.14")
        .says("The traffic class of its packets (DSCP and ECN)."),
    ipv6(23, "IPV6_MTU_DISCOVER", PMTU)
        .default("want")
        .since("2.2")
        .says("How it finds the largest packet that reaches the peer."),
    ipv6(24, "IPV6_MTU", within(1280, 65535, Unit::Bytes))
        .since("2.2")
        .fact()
        .never("what is set is the size of fragments, which nothing reads back")
        .says("The largest packet on the way to the peer; only a connected socket has one."),
    ipv6(62, "IPV6_DONTFRAG", Form::Switch)
        .since("2.6.35")
        .says("Refuses to send datagrams that would need fragments."),
    ipv6(25, "IPV6_RECVERR", Form::Switch)
        .since("2.2")
        .forced("send() and recv() then fail with errors that the network reports")
        .says("Reports errors of the network with all details on the error queue."),
    ipv6(31, "IPV6_RECVERR_RFC4884", Form::Switch)
        .since("5.9")
        .forced(MESSAGES)
        .says("Adds the extensions of RFC 4884 to what IPV6_RECVERR reports."),
    ipv6(49, "IPV6_RECVPKTINFO", Form::Switch)
        .since("2.6.14")
        .forced(MESSAGES)
        .says("Gives the receiver of a datagram the address and interface that it came to."),
    ipv6(2, "IPV6_2292PKTINFO", Form::Switch)
        .since("2.2")
        .forced(MESSAGES)
        .says("IPV6_RECVPKTINFO in its older form."),
    ipv6(51, "IPV6_RECVHOPLIMIT", Form::Switch)
        .since("2.6.14")
        .forced(MESSAGES)
        .says("Gives the receiver the hop limit of each datagram."),
    ipv6(66, "IPV6_RECVTCLASS", Form::Switch)
        .since("2.6.14")
        .forced(MESSAGES)
        .says("Gives the receiver the traffic class of each datagram."),
    ipv6(60, "IPV6_RECVPATHMTU", Form::Switch)
        .since("2.6.35")
        .forced(MESSAGES)
        .says("Tells the program when the largest packet on the way changes."),
    ipv6(74, "IPV6_RECVORIGDSTADDR", Form::Switch)
        .alias(&["IPV6_ORIGDSTADDR"])
        .since("2.6.37")
        .forced(MESSAGES)
        .says("Gives the receiver the address that a redirected datagram was sent to."),
    ipv6(77, "IPV6_RECVFRAGSIZE", Form::Switch)
        .since("4.10")
        .forced(MESSAGES)
        .says("Gives the receiver the size of the largest fragment of each datagram."),
    ipv6(33, "IPV6_FLOWINFO_SEND", Form::Switch)
        .since("2.2")
        .says("Takes the flow label of outgoing packets from the address that the program gives."),
    ipv6(70, "IPV6_AUTOFLOWLABEL", Form::Switch)
        .default("net.ipv6.auto_flowlabels")
        .since("3.17")
        .says("Gives each connection a flow label by itself."),
    ipv6(
        72,
        "IPV6_ADDR_PREFERENCES",
        Form::Flags(&[
            ("temporary", 1),
            ("public", 2),
            ("care-of", 4),
            ("home", 0x400),
            ("temporary-or-public", 0x100),
        ]),
    )
    .default("public, home")
    .since("2.6.26")
    .moved()
    .never("its words exclude each other in ways that the kernel settles at bind() or connect()")
    .says("Which kind of its own addresses it prefers for a connection."),
    ipv6(76, "IPV6_UNICAST_IF", Form::Opaque)
        .since("3.4")
        .disturbs("its value is an interface's number in network byte order")
        .never("SO_BINDTODEVICE says the same by name")
        .says("The interface for outgoing packets."),
    ipv6(18, "IPV6_MULTICAST_HOPS", number(-1, 255))
        .default("1")
        .since("2.2")
        .on(Sockets::UDP)
        .says("How many routers its multicast packets may pass; -1 for the default."),
    ipv6(19, "IPV6_MULTICAST_LOOP", Form::Switch)
        .default("on")
        .since("2.2")
        .says("Whether multicast packets also come back to this machine."),
    ipv6(29, "IPV6_MULTICAST_ALL", Form::Switch)
        .default("on")
        .since("4.20")
        .on(Sockets::UDP)
        .forced("the program may lose or gain datagrams of groups that others joined")
        .says("Whether datagrams of all groups that anybody here joined arrive, or only of its own."),
    ipv6(1, "IPV6_ADDRFORM", Form::Opaque)
        .since("2.2")
        .disturbs("it says no more than SO_DOMAIN")
        .never("it cannot be undone: it makes an IPv4 socket of a live one")
        .says("Turns a connected IPv6 socket with a mapped address into an IPv4 one."),
];
