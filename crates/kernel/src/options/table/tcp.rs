//! `SOL_TCP`: everything in linux/tcp.h (tcp(7), do_tcp_setsockopt).

use super::super::form::{Form, Unit};
use super::super::spec::{Level, Spec};
use super::{STRUCTURE, count, number, within};

const fn tcp(number: i32, name: &'static str, form: Form) -> Spec {
    Spec::new(Level::Tcp, number, name, form)
}

const REPAIR: &str = "it is for programs that move whole connections (checkpoint and restore)";

pub(super) const OPTIONS: &[Spec] = &[
    tcp(1, "TCP_NODELAY", Form::Switch).says("Sends small pieces at once instead of collecting them (Nagle's algorithm off)."),
    tcp(3, "TCP_CORK", Form::Switch)
        .since("2.2")
        .forced("bytes are held back for up to 200 ms until it is off again")
        .says("Holds small pieces back until the cork is out, or 200 ms are over."),
    tcp(2, "TCP_MAXSEG", within(88, 32767, Unit::Bytes))
        .default("that of the route")
        .moved()
        .says("The largest segment; after the handshake the one that is in use."),
    tcp(4, "TCP_KEEPIDLE", within(1, 32767, Unit::Seconds))
        .default("net.ipv4.tcp_keepalive_time")
        .says("How long a connection must be silent before SO_KEEPALIVE asks."),
    tcp(5, "TCP_KEEPINTVL", within(1, 32767, Unit::Seconds))
        .default("net.ipv4.tcp_keepalive_intvl")
        .says("The time between two questions of SO_KEEPALIVE."),
    tcp(6, "TCP_KEEPCNT", number(1, 127))
        .default("net.ipv4.tcp_keepalive_probes")
        .says("How many unanswered questions of SO_KEEPALIVE end a connection."),
    tcp(18, "TCP_USER_TIMEOUT", count(Unit::Milliseconds))
        .default("0")
        .since("2.6.37")
        .forced("connections whose data stays unacknowledged for that long are ended")
        .says("How long sent data may stay unacknowledged before the connection ends; 0 for the kernel's own rule."),
    tcp(8, "TCP_LINGER2", within(-1, 120, Unit::Seconds))
        .default("net.ipv4.tcp_fin_timeout")
        .says("How long a closed connection waits in FIN_WAIT_2 for the peer's end; it holds the port meanwhile."),
    tcp(9, "TCP_DEFER_ACCEPT", count(Unit::Seconds))
        .default("0")
        .forced("a server that speaks first is no longer told of new connections")
        .says("A listener hands connections over only when data is there; rounded to the kernel's retransmission times."),
    tcp(23, "TCP_FASTOPEN", number(0, i32::MAX))
        .default("0")
        .since("3.7")
        .says("On a listener: how many connections may bring data with their first packet; 0 for none."),
    tcp(30, "TCP_FASTOPEN_CONNECT", Form::Switch)
        .since("4.11")
        .says("Lets connect() wait for the first data and send it with the first packet."),
    tcp(34, "TCP_FASTOPEN_NO_COOKIE", Form::Switch)
        .since("4.15")
        .says("TCP_FASTOPEN without the cookie that proves the client's address."),
    tcp(33, "TCP_FASTOPEN_KEY", Form::Opaque)
        .since("4.15")
        .disturbs("it is a secret key")
        .never("it is a secret key")
        .says("The key that makes the cookies of TCP_FASTOPEN."),
    tcp(7, "TCP_SYNCNT", number(1, 127))
        .default("net.ipv4.tcp_syn_retries")
        .says("How often connect() repeats its first packet."),
    tcp(10, "TCP_WINDOW_CLAMP", count(Unit::Bytes))
        .default("that of the receive buffer")
        .moved()
        .forced("a small window slows the connection down, and a too small one stops it")
        .says("The largest window that is offered to the peer."),
    tcp(11, "TCP_INFO", Form::TcpInfo)
        .fact()
        .says("The state; of a listener, how many connections wait to be accepted and how many may."),
    tcp(12, "TCP_QUICKACK", Form::Switch)
        .default("on")
        .since("2.4.4")
        .moved()
        .says("Acknowledges at once; the kernel switches it by itself again and again."),
    tcp(13, "TCP_CONGESTION", Form::Text(15))
        .default("net.ipv4.tcp_congestion_control")
        .since("2.6.13")
        .says("The congestion control, by name: cubic, reno, bbr."),
    tcp(26, "TCP_CC_INFO", Form::Opaque)
        .since("4.1")
        .disturbs("its value is a structure of the congestion control")
        .never("the kernel reports it, and nobody can set it")
        .says("What the congestion control has to say."),
    tcp(25, "TCP_NOTSENT_LOWAT", count(Unit::Bytes))
        .default("0, for net.ipv4.tcp_notsent_lowat")
        .since("3.12")
        .says("How many unsent bytes make a socket writable no longer."),
    tcp(16, "TCP_THIN_LINEAR_TIMEOUTS", Form::Switch)
        .since("2.6.34")
        .says("Repeats lost packets of thin streams (games, terminals) in even steps."),
    tcp(17, "TCP_THIN_DUPACK", Form::Switch)
        .since("2.6.34")
        .never("Linux has the name and nothing behind it since 4.12")
        .says("Once a quicker repetition for thin streams; without effect since Linux 4.12."),
    tcp(24, "TCP_TIMESTAMP", Form::Bits)
        .since("3.9")
        .fact()
        .never(REPAIR)
        .says("The clock of its time stamps."),
    tcp(27, "TCP_SAVE_SYN", number(0, 2))
        .default("0")
        .since("4.2")
        .says("On a listener: keeps the headers of each connection's first packet, 2 with the link layer's."),
    tcp(28, "TCP_SAVED_SYN", Form::Opaque)
        .since("4.2")
        .disturbs("asking takes the saved headers away from the program")
        .never("the kernel reports it, and nobody can set it")
        .says("The headers that TCP_SAVE_SYN kept; whoever asks takes them away."),
    tcp(31, "TCP_ULP", Form::Text(15))
        .default("none")
        .since("4.13")
        .never("it cannot be undone, and the other end would have to know")
        .says("The protocol on top of tcp in the kernel: tls, mptcp, smc."),
    tcp(36, "TCP_INQ", Form::Switch)
        .alias(&["TCP_CM_INQ"])
        .since("4.18")
        .forced("the program then gets messages beside its data, of a form that it must expect")
        .says("Gives the reader the number of bytes that are still there."),
    tcp(35, "TCP_ZEROCOPY_RECEIVE", Form::Opaque)
        .since("4.18")
        .disturbs("asking takes data away from the program")
        .never("it is a way to read, no setting")
        .says("Reads by mapping pages; it takes the data."),
    tcp(37, "TCP_TX_DELAY", count(Unit::Microseconds))
        .default("0")
        .since("5.3")
        .forced("every packet is sent that much later")
        .says("Delays outgoing packets, to try out slow networks."),
    tcp(44, "TCP_RTO_MAX_MS", within(1000, 120_000, Unit::Milliseconds))
        .default("net.ipv4.tcp_rto_max_ms")
        .since("6.15")
        .says("The longest time between two repetitions of a packet."),
    tcp(45, "TCP_RTO_MIN_US", within(1, 1_000_000, Unit::Microseconds))
        .default("net.ipv4.tcp_rto_min_us")
        .since("6.15")
        .says("The shortest time before a packet is repeated."),
    tcp(46, "TCP_DELACK_MAX_US", within(1, 200_000, Unit::Microseconds))
        .default("200 ms")
        .since("6.15")
        .says("The longest time that an acknowledgement may wait for company."),
    tcp(43, "TCP_IS_MPTCP", Form::Switch).since("6.9").fact().says("Whether the connection speaks Multipath TCP."),
    tcp(14, "TCP_MD5SIG", Form::Opaque)
        .since("2.6.20")
        .unreadable()
        .never("it takes an address and a secret key")
        .says("Signs each segment (RFC 2385), for BGP."),
    tcp(32, "TCP_MD5SIG_EXT", Form::Opaque)
        .since("4.14")
        .unreadable()
        .never("it takes an address and a secret key")
        .says("TCP_MD5SIG for a whole prefix of addresses."),
    tcp(38, "TCP_AO_ADD_KEY", Form::Opaque)
        .since("6.7")
        .unreadable()
        .never("it takes an address and a secret key")
        .says("Adds a key of the TCP Authentication Option (RFC 5925)."),
    tcp(39, "TCP_AO_DEL_KEY", Form::Opaque)
        .since("6.7")
        .unreadable()
        .never(STRUCTURE)
        .says("Takes a key of the TCP Authentication Option away."),
    tcp(40, "TCP_AO_INFO", Form::Opaque)
        .since("6.7")
        .disturbs("its value is a structure with keys")
        .never(STRUCTURE)
        .says("State and counters of the TCP Authentication Option."),
    tcp(41, "TCP_AO_GET_KEYS", Form::Opaque)
        .since("6.7")
        .disturbs("its value is a list of secret keys")
        .never("the kernel reports it, and nobody can set it")
        .says("The keys of the TCP Authentication Option."),
    tcp(42, "TCP_AO_REPAIR", Form::Opaque)
        .since("6.7")
        .disturbs("it is for programs that move whole connections")
        .never(REPAIR)
        .says("The TCP Authentication Option of a connection that is moved."),
    tcp(19, "TCP_REPAIR", Form::Switch)
        .since("3.5")
        .never(REPAIR)
        .says("Puts a connection into the state in which it can be taken apart and rebuilt elsewhere."),
    tcp(20, "TCP_REPAIR_QUEUE", Form::Opaque)
        .since("3.5")
        .disturbs("it has a value only in repair mode")
        .never(REPAIR)
        .says("Which queue a connection under repair is about."),
    tcp(21, "TCP_QUEUE_SEQ", Form::Opaque)
        .since("3.5")
        .disturbs("it has a value only in repair mode")
        .never(REPAIR)
        .says("The sequence number of a queue under repair."),
    tcp(22, "TCP_REPAIR_OPTIONS", Form::Opaque)
        .since("3.5")
        .unreadable()
        .never(REPAIR)
        .says("What was negotiated, for a connection under repair."),
    tcp(29, "TCP_REPAIR_WINDOW", Form::Opaque)
        .since("4.8")
        .disturbs("it has a value only in repair mode")
        .never(REPAIR)
        .says("The windows of a connection under repair."),
];
