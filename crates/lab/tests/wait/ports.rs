//! Ports that are let go: by a close, by the end of a process, and when a wait must go on.

use crate::begun::*;
use inuse_rules::{Address, Attempt, Cause};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

pub(crate) fn listener_closed() -> Told {
    let server = server()?;
    let begun = for_bind(&[plain()], Cause::WildcardVsSpecific)?;
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(server);
        Ok(())
    })
}

pub(crate) fn process_killed() -> Told {
    let mut holder = Holder::of("127.0.0.1:8080")?;
    let begun = for_bind(&[tcp("127.0.0.1:8080")], Cause::Listener)?;
    begun.goes_on()?;
    soon(begun, &tcp("127.0.0.1:8080"), || Ok(holder.0.kill()?))
}

pub(crate) fn bound_socket_closed() -> Told {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
    let attempt = tcp("127.0.0.1:8080");
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::BoundNotListening)?;
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(fd);
        Ok(())
    })
}

pub(crate) fn connection_outlives_the_listener() -> Told {
    let (listener, served, client) = connected()?;
    let begun = for_bind(&[plain()], Cause::WildcardVsSpecific)?;
    begun.goes_on()?;
    drop(listener);
    begun.goes_on()?;
    // The client closes first and keeps the TIME_WAIT at its own port.
    drop(client);
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(served);
        Ok(())
    })
}

pub(crate) fn udp_socket_closed() -> Told {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let attempt = Attempt::plain(Address::udp((Ipv4Addr::LOCALHOST, PORT).into()));
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::Udp)?;
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(server);
        Ok(())
    })
}

/// The next server has the port before the last one leaves it: the wait goes on.
pub(crate) fn port_taken_again_at_once() -> Told {
    let shared = || -> rustix::io::Result<OwnedFd> {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseport(&fd, true)?;
        bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
        listen(&fd, 16)?;
        Ok(fd)
    };
    let mut server = shared()?;
    let attempt = tcp("127.0.0.1:8080");
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::Listener)?;
    for _ in 0..20 {
        server = {
            let next = shared()?;
            drop(server);
            next
        };
        thread::sleep(Duration::from_millis(5));
    }
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(server);
        Ok(())
    })
}

pub(crate) fn all_of_several() -> Told {
    let first = server()?;
    let second = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    let third = UnixListener::bind("/run/x.sock")?;
    let attempts = [
        plain(),
        Attempt::plain(Address::udp(([0, 0, 0, 0], 53).into())),
        path("/run/x.sock"),
        tcp("[::1]:99"),
    ];
    let begun = for_bind(&attempts, Cause::WildcardVsSpecific)?;
    std::fs::remove_file("/run/x.sock")?;
    drop(third);
    begun.goes_on()?;
    drop(first);
    begun.goes_on()?;
    // What was free before must be so at the end.
    let again = server()?;
    drop(second);
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(again);
        Ok(())
    })
}
