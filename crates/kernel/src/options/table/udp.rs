//! `SOL_UDP`: everything in linux/udp.h (udp(7), udp_lib_setsockopt).

use super::super::form::{Form, Unit};
use super::super::spec::{Level, Spec};
use super::{number, within};

const fn udp(number: i32, name: &'static str, form: Form) -> Spec {
    Spec::new(Level::Udp, number, name, form)
}

pub(super) const OPTIONS: &[Spec] = &[
    udp(1, "UDP_CORK", Form::Switch)
        .since("2.6")
        .forced("nothing is sent until it is off again")
        .says("Collects what is sent into one datagram, until the cork is out."),
    udp(100, "UDP_ENCAP", number(0, 7))
        .default("0")
        .since("2.6")
        .forced("the kernel then takes datagrams for itself")
        .says("Has the kernel unpack datagrams: IPsec, L2TP, GTP."),
    udp(101, "UDP_NO_CHECK6_TX", Form::Switch)
        .since("3.16")
        .says("Sends datagrams over IPv6 without a checksum, which most receivers drop."),
    udp(102, "UDP_NO_CHECK6_RX", Form::Switch)
        .since("3.16")
        .says("Accepts datagrams over IPv6 without a checksum."),
    udp(103, "UDP_SEGMENT", within(0, 65535, Unit::Bytes))
        .default("0")
        .since("4.18")
        .forced("every send() is then cut into datagrams of this size")
        .says("Cuts each send() into datagrams of this size; 0 for not."),
    udp(104, "UDP_GRO", Form::Switch)
        .since("5.0")
        .forced("the program then gets several datagrams as one")
        .says("Hands over datagrams of one sender that came together as one."),
];
