//! Whatever stands in a datagram from sock_diag, reading its rows neither panics nor runs away.
#![no_main]

use inuse_kernel::sockdiag::rows_in;
use inuse_rules::Transport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    for transport in [Some(Transport::Tcp), Some(Transport::Udp), None] {
        // A header is 16 bytes, so no more rows than that fit.
        assert!(rows_in(datagram, transport).len() <= datagram.len() / 16);
    }
});
