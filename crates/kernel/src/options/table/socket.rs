//! `SOL_SOCKET`, complete: every `SO_` name of asm-generic/socket.h up to Linux 6.18.

use super::super::form::{Form, Unit};
use super::super::spec::{Level, Sockets, Spec};
use super::super::value::Value;
use super::{PROGRAM, STRUCTURE, count, number, within};

const fn so(number: i32, name: &'static str, form: Form) -> Spec {
    Spec::new(Level::Socket, number, name, form)
}

const NOT_IMPLEMENTED: &str = "Linux has the name and nothing behind it";
const STAMPS: &str = "the program then gets messages beside its data, of a form that it must expect";

pub(super) const OPTIONS: &[Spec] = &[
    so(2, "SO_REUSEADDR", Form::Switch).says(
        "Lets a bind share the address with other sockets that have it too, TIME_WAIT included, unless one listens.",
    ),
    so(15, "SO_REUSEPORT", Form::Switch)
        .since("3.9")
        .says("Lets sockets of one user that all have it listen on one address; the kernel shares the connections out."),
    so(13, "SO_LINGER", Form::Linger)
        .forced_where(
            |value| *value == Value::Linger(Some(0)),
            "with 0 seconds close() throws away what was not sent yet and resets the connection",
        )
        .says("How long close() waits for unsent data; 0 seconds resets the connection, which leaves no TIME_WAIT."),
    so(25, "SO_BINDTODEVICE", Form::Text(15))
        .default("none")
        .since("3.8")
        .on(Sockets::INET.and(Sockets::OTHER))
        .forced("packets that come or go through another interface are no longer this socket's")
        .says("Only packets of this interface belong to the socket; sockets of different devices may share an address."),
    so(62, "SO_BINDTOIFINDEX", number(0, i32::MAX))
        .default("0")
        .since("5.1")
        .forced("packets that come or go through another interface are no longer this socket's")
        .says("The same as SO_BINDTODEVICE, by the number of the interface; 0 for none."),
    so(9, "SO_KEEPALIVE", Form::Switch)
        .says("Asks a silent peer now and then whether it lives; without it a dead one holds its connection for ever."),
    so(7, "SO_SNDBUF", count(Unit::Bytes))
        .default("net.core.wmem_default; tcp: net.ipv4.tcp_wmem")
        .locked(1)
        .says("Bytes that may wait to be sent; the kernel doubles what is set, and cuts it at net.core.wmem_max."),
    so(8, "SO_RCVBUF", count(Unit::Bytes))
        .default("net.core.rmem_default; tcp: net.ipv4.tcp_rmem")
        .locked(2)
        .says("Bytes that may wait to be read; the kernel doubles what is set, and cuts it at net.core.rmem_max."),
    so(32, "SO_SNDBUFFORCE", count(Unit::Bytes))
        .since("2.6.14")
        .unreadable()
        .says("SO_SNDBUF beyond net.core.wmem_max, for who has CAP_NET_ADMIN."),
    so(33, "SO_RCVBUFFORCE", count(Unit::Bytes))
        .since("2.6.14")
        .unreadable()
        .says("SO_RCVBUF beyond net.core.rmem_max, for who has CAP_NET_ADMIN."),
    so(72, "SO_BUF_LOCK", Form::Flags(&[("send", 1), ("receive", 2)]))
        .since("5.15")
        .says("Which buffers keep the size that a program gave them; the kernel tunes the others by itself."),
    so(20, "SO_RCVTIMEO", Form::Time)
        .alias(&["SO_RCVTIMEO_OLD"])
        .says("How long accept() and recv() block before EAGAIN; sockets with O_NONBLOCK do not notice."),
    so(21, "SO_SNDTIMEO", Form::Time)
        .alias(&["SO_SNDTIMEO_OLD"])
        .says("How long send() and connect() block before EAGAIN; sockets with O_NONBLOCK do not notice."),
    so(66, "SO_RCVTIMEO_NEW", Form::Opaque)
        .since("5.1")
        .unreadable()
        .never("it is SO_RCVTIMEO in another form: set that")
        .says("SO_RCVTIMEO with 64 bits of seconds on every machine."),
    so(67, "SO_SNDTIMEO_NEW", Form::Opaque)
        .since("5.1")
        .unreadable()
        .never("it is SO_SNDTIMEO in another form: set that")
        .says("SO_SNDTIMEO with 64 bits of seconds on every machine."),
    so(18, "SO_RCVLOWAT", within(1, i32::MAX, Unit::Bytes))
        .default("1")
        .forced("poll() no longer wakes the program until that many bytes are there")
        .says("How many bytes make a socket readable."),
    so(19, "SO_SNDLOWAT", count(Unit::Bytes))
        .default("1")
        .never("Linux has no such setting: it is always 1")
        .says("How much room makes a socket writable; Linux always says 1."),
    so(6, "SO_BROADCAST", Form::Switch).says("Lets datagrams go to a broadcast address."),
    so(5, "SO_DONTROUTE", Form::Switch)
        .forced("peers behind a gateway are no longer reached")
        .says("Sends only to hosts on the attached networks, past every gateway."),
    so(10, "SO_OOBINLINE", Form::Switch)
        .forced("the program finds urgent bytes in the middle of its data")
        .says("Leaves urgent (out-of-band) bytes in the stream."),
    so(1, "SO_DEBUG", Form::Switch).says("Marks the socket for debugging; it needs CAP_NET_ADMIN and does next to nothing."),
    so(3, "SO_TYPE", Form::Choice(&[
        ("stream", 1),
        ("dgram", 2),
        ("raw", 3),
        ("rdm", 4),
        ("seqpacket", 5),
        ("dccp", 6),
        ("packet", 10),
    ]))
    .fact()
    .says("The type that socket(2) was given."),
    so(38, "SO_PROTOCOL", Form::Choice(&[("none", 0), ("tcp", 6), ("udp", 17), ("mptcp", 262), ("sctp", 132)]))
        .since("2.6.32")
        .fact()
        .says("The protocol: tcp, udp, mptcp."),
    so(39, "SO_DOMAIN", Form::Choice(&[
        ("unix", libc::AF_UNIX),
        ("inet", libc::AF_INET),
        ("inet6", libc::AF_INET6),
        ("netlink", libc::AF_NETLINK),
        ("packet", libc::AF_PACKET),
        ("vsock", libc::AF_VSOCK),
    ]))
    .since("2.6.32")
    .fact()
    .says("The family that socket(2) was given."),
    so(30, "SO_ACCEPTCONN", Form::Switch).fact().says("Whether it listens."),
    so(4, "SO_ERROR", number(0, i32::MAX))
        .fact()
        .disturbs("asking takes the pending error away from the program, which would never learn of it")
        .says("The error that waits for the program; whoever asks takes it away."),
    so(57, "SO_COOKIE", Form::Unsigned(Unit::None))
        .since("4.12")
        .fact()
        .says("The number that names this socket for as long as the machine runs."),
    so(71, "SO_NETNS_COOKIE", Form::Unsigned(Unit::None))
        .since("5.14")
        .fact()
        .says("The number that names its network namespace."),
    so(49, "SO_INCOMING_CPU", number(-1, i32::MAX))
        .default("-1")
        .since("3.19")
        .moved()
        .says("The CPU that its packets came to last; set on listeners of one SO_REUSEPORT group, whom that CPU prefers."),
    so(56, "SO_INCOMING_NAPI_ID", number(0, i32::MAX))
        .since("4.12")
        .fact()
        .says("The receive queue that its packets came through last; 0 for none."),
    so(12, "SO_PRIORITY", number(0, i32::MAX))
        .default("0")
        .says("The class of its packets in the queue of an interface; above 6 it needs CAP_NET_ADMIN."),
    so(36, "SO_MARK", Form::Bits)
        .default("0")
        .since("2.6.25")
        .forced("routing and packet filters may treat its packets otherwise, up to dropping them")
        .says("The mark of its packets, which routing rules and packet filters look at; it needs CAP_NET_ADMIN."),
    so(47, "SO_MAX_PACING_RATE", Form::Unsigned(Unit::BytesPerSecond))
        .default("unlimited")
        .since("3.13")
        .forced("every transfer slows down to that rate")
        .says("The most bytes a second that tcp, or the fq scheduler, sends for it."),
    so(46, "SO_BUSY_POLL", count(Unit::Microseconds))
        .default("net.core.busy_read")
        .since("3.11")
        .says("How long a read polls the network card instead of sleeping."),
    so(69, "SO_PREFER_BUSY_POLL", Form::Switch)
        .since("5.11")
        .says("Keeps the card's interrupts off while the program polls."),
    so(70, "SO_BUSY_POLL_BUDGET", number(0, 65535))
        .since("5.11")
        .unreadable()
        .says("How many packets one busy poll takes."),
    so(73, "SO_RESERVE_MEM", count(Unit::Bytes))
        .default("0")
        .since("5.16")
        .on(Sockets::INET)
        .says("Memory that is set aside for the socket; it needs a cgroup with a memory controller."),
    so(74, "SO_TXREHASH", number(-1, 1))
        .default("net.core.txrehash")
        .since("5.18")
        .on(Sockets::TCP)
        .moved()
        .says("Whether a connection that times out tries another path of a multipath route."),
    so(55, "SO_MEMINFO", Form::Numbers)
        .since("4.12")
        .fact()
        .says("Memory: receive queue, its limit, send queue, its limit, forward, queued, options, backlog, drops."),
    so(60, "SO_ZEROCOPY", Form::Switch)
        .since("4.14")
        .forced("a program that sends with MSG_ZEROCOPY depends on it")
        .says("Permits send() with MSG_ZEROCOPY, which reports completion on the error queue."),
    so(61, "SO_TXTIME", Form::Opaque)
        .alias(&["SCM_TXTIME"])
        .since("4.19")
        .disturbs("its value is a structure: a clock and flags")
        .never(STRUCTURE)
        .says("Lets each packet be sent at a moment of its own."),
    so(42, "SO_PEEK_OFF", number(-1, i32::MAX))
        .default("-1")
        .since("3.4")
        .forced("recv() with MSG_PEEK then looks from another place")
        .says("Where the next recv() with MSG_PEEK looks; -1 for the beginning, always."),
    so(44, "SO_LOCK_FILTER", Form::Switch)
        .since("3.9")
        .forced("it cannot be undone: the filter stays for the life of the socket")
        .says("Locks the filter in, for good."),
    so(26, "SO_ATTACH_FILTER", Form::Filter)
        .alias(&["SO_GET_FILTER"])
        .default("none")
        .since("2.2")
        .never(PROGRAM)
        .says("A filter (classic BPF) that decides which packets arrive; shown is how many instructions it has."),
    so(27, "SO_DETACH_FILTER", Form::Opaque)
        .alias(&["SO_DETACH_BPF"])
        .since("2.2")
        .unreadable()
        .never("it would take a filter away that the program relies on")
        .says("Takes the filter away."),
    so(50, "SO_ATTACH_BPF", Form::Opaque)
        .since("3.19")
        .unreadable()
        .never(PROGRAM)
        .says("A filter (eBPF) that decides which packets arrive."),
    so(51, "SO_ATTACH_REUSEPORT_CBPF", Form::Opaque)
        .since("4.5")
        .unreadable()
        .never(PROGRAM)
        .says("A classic BPF program that chooses among the sockets of one SO_REUSEPORT group."),
    so(52, "SO_ATTACH_REUSEPORT_EBPF", Form::Opaque)
        .since("4.5")
        .unreadable()
        .never(PROGRAM)
        .says("An eBPF program that chooses among the sockets of one SO_REUSEPORT group."),
    so(68, "SO_DETACH_REUSEPORT_BPF", Form::Opaque)
        .since("5.3")
        .unreadable()
        .never("it would change who in a SO_REUSEPORT group gets which connection")
        .says("Takes the program away that chooses among the sockets of one SO_REUSEPORT group."),
    so(48, "SO_BPF_EXTENSIONS", number(0, i32::MAX))
        .since("3.14")
        .fact()
        .says("How many extensions of classic BPF the kernel has."),
    so(11, "SO_NO_CHECK", Form::Switch)
        .says("Sends udp datagrams over IPv4 without a checksum."),
    so(14, "SO_BSDCOMPAT", Form::Switch)
        .never(NOT_IMPLEMENTED)
        .says("Once a way to be like BSD about errors of udp; without effect since Linux 2.4."),
    so(16, "SO_PASSCRED", Form::Switch)
        .on(Sockets::UNIX.and(Sockets::OTHER))
        .forced(STAMPS)
        .says("Gives the receiver pid, uid and gid of the sender of each message."),
    so(34, "SO_PASSSEC", Form::Switch)
        .since("2.6.18")
        .on(Sockets::UNIX.and(Sockets::OTHER))
        .forced(STAMPS)
        .says("Gives the receiver the security label of the sender of each message."),
    so(76, "SO_PASSPIDFD", Form::Switch)
        .since("6.5")
        .on(Sockets::UNIX.and(Sockets::OTHER))
        .forced("each message then brings a descriptor, which the program would have to close")
        .says("Gives the receiver a pidfd of the sender of each message."),
    so(83, "SO_PASSRIGHTS", Form::Switch)
        .default("on")
        .since("6.16")
        .on(Sockets::UNIX)
        .forced("without it the program gets no more descriptors")
        .says("Whether descriptors (SCM_RIGHTS) may be received."),
    so(17, "SO_PEERCRED", Form::Credentials)
        .on(Sockets::UNIX)
        .fact()
        .says("Pid, uid and gid of the peer when it connected; of a listener, when it began to listen."),
    so(59, "SO_PEERGROUPS", Form::Numbers)
        .since("4.13")
        .on(Sockets::UNIX)
        .fact()
        .says("The groups of the peer when it connected."),
    so(77, "SO_PEERPIDFD", Form::Opaque)
        .since("6.5")
        .on(Sockets::UNIX)
        .disturbs("the answer is a descriptor, no value; SO_PEERCRED has the pid")
        .never("the kernel reports it, and nobody can set it")
        .says("A pidfd of the peer."),
    so(31, "SO_PEERSEC", Form::Text(4095))
        .since("2.6.2")
        .fact()
        .says("The security label of the peer (SELinux, AppArmor, Smack)."),
    so(28, "SO_PEERNAME", Form::Name).fact().says("The address of the peer, as getpeername(2) gives it."),
    so(29, "SO_TIMESTAMP", Form::Switch)
        .alias(&["SO_TIMESTAMP_OLD"])
        .forced(STAMPS)
        .says("Gives the receiver the time at which each datagram came, in microseconds."),
    so(35, "SO_TIMESTAMPNS", Form::Switch)
        .alias(&["SO_TIMESTAMPNS_OLD"])
        .since("2.6.22")
        .forced(STAMPS)
        .says("Gives the receiver the time at which each datagram came, in nanoseconds."),
    so(37, "SO_TIMESTAMPING", Form::Bits)
        .alias(&["SO_TIMESTAMPING_OLD"])
        .default("0")
        .since("2.6.30")
        .forced(STAMPS)
        .says("Time stamps for what is sent and received, by hardware or software, as bits."),
    so(63, "SO_TIMESTAMP_NEW", Form::Switch)
        .since("5.1")
        .forced(STAMPS)
        .says("SO_TIMESTAMP with 64 bits of seconds on every machine."),
    so(64, "SO_TIMESTAMPNS_NEW", Form::Switch)
        .since("5.1")
        .forced(STAMPS)
        .says("SO_TIMESTAMPNS with 64 bits of seconds on every machine."),
    so(65, "SO_TIMESTAMPING_NEW", Form::Bits)
        .default("0")
        .since("5.1")
        .forced(STAMPS)
        .says("SO_TIMESTAMPING with 64 bits of seconds on every machine."),
    so(40, "SO_RXQ_OVFL", Form::Switch)
        .since("2.6.33")
        .forced(STAMPS)
        .says("Gives the receiver of datagrams the number of those that were dropped."),
    so(75, "SO_RCVMARK", Form::Switch)
        .since("5.19")
        .forced(STAMPS)
        .says("Gives the receiver the mark of each datagram."),
    so(82, "SO_RCVPRIORITY", Form::Switch)
        .since("6.14")
        .forced(STAMPS)
        .says("Gives the receiver the priority of each datagram."),
    so(84, "SO_INQ", Form::Switch)
        .since("6.17")
        .on(Sockets::UNIX)
        .unreadable()
        .forced(STAMPS)
        .says("Gives the reader of a unix stream the number of bytes that are still there."),
    so(41, "SO_WIFI_STATUS", Form::Switch)
        .alias(&["SCM_WIFI_STATUS"])
        .since("3.3")
        .forced(STAMPS)
        .says("Reports whether a wireless frame was acknowledged."),
    so(43, "SO_NOFCS", Form::Switch)
        .since("3.4")
        .forced("frames then need a checksum from the program")
        .says("Has a packet socket send frames with the program's own checksum."),
    so(45, "SO_SELECT_ERR_QUEUE", Form::Switch)
        .since("3.10")
        .forced("poll() then reports events that the program may not expect")
        .says("Makes the error queue count as exceptional for select()."),
    so(53, "SO_CNX_ADVICE", number(1, 1))
        .since("4.6")
        .on(Sockets::INET)
        .unreadable()
        .says("Tells the kernel that the connection does badly, so that it looks for another path."),
    so(78, "SO_DEVMEM_LINEAR", Form::Opaque)
        .alias(&["SCM_DEVMEM_LINEAR"])
        .since("6.12")
        .on(Sockets::TCP)
        .unreadable()
        .never("it is the name of a message, no option")
        .says("Names a message: received bytes that lie in ordinary memory."),
    so(79, "SO_DEVMEM_DMABUF", Form::Opaque)
        .alias(&["SCM_DEVMEM_DMABUF"])
        .since("6.12")
        .on(Sockets::TCP)
        .unreadable()
        .never("it is the name of a message, no option")
        .says("Names a message: received bytes that lie in the memory of a device."),
    so(80, "SO_DEVMEM_DONTNEED", Form::Opaque)
        .since("6.12")
        .on(Sockets::TCP)
        .unreadable()
        .never("it gives memory back that the program may still read")
        .says("Gives device memory back to the network card."),
    so(22, "SO_SECURITY_AUTHENTICATION", Form::Opaque)
        .unreadable()
        .never(NOT_IMPLEMENTED)
        .says("A name from an old draft for IPv6 security."),
    so(23, "SO_SECURITY_ENCRYPTION_TRANSPORT", Form::Opaque)
        .unreadable()
        .never(NOT_IMPLEMENTED)
        .says("A name from an old draft for IPv6 security."),
    so(24, "SO_SECURITY_ENCRYPTION_NETWORK", Form::Opaque)
        .unreadable()
        .never(NOT_IMPLEMENTED)
        .says("A name from an old draft for IPv6 security."),
];
