//! What is run with and without the filter: a program that binds and listens again and again, and a server that
//! gives back what it gets.

use clap::Args;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The words of the program that binds.
#[derive(Clone, Debug, Args)]
pub(in crate::bench) struct BindArgs {
    /// Sockets of UDP, which do not listen, instead of TCP
    #[arg(long)]
    pub(super) udp: bool,
    #[arg(long)]
    pub(super) count: u16,
    /// The first address; the others have the same port
    #[arg(long)]
    pub(super) at: SocketAddrV4,
    /// Where a line with the medians goes
    #[arg(long)]
    pub(super) into: PathBuf,
    /// Keep what was bound, and live until a signal comes
    #[arg(long)]
    pub(super) stay: bool,
}

/// The words of the server.
#[derive(Clone, Debug, Args)]
pub(in crate::bench) struct EchoArgs {
    #[arg(long)]
    pub(super) at: SocketAddr,
}

/// Binds, and writes the medians in nanoseconds: of bind(2), and of listen(2) where it is called.
pub(in crate::bench) fn binds(arguments: &BindArgs) -> io::Result<bool> {
    let (mut binding, mut listening, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..arguments.count {
        let at = nth(arguments.at, number);
        let kind = if arguments.udp { SocketType::DGRAM } else { SocketType::STREAM };
        let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        binding.push(timed(|| bind(&socket, &at))?);
        if !arguments.udp {
            listening.push(timed(|| listen(&socket, 128))?);
        }
        kept.push(socket);
    }
    let mut into = OpenOptions::new().create(true).append(true).open(&arguments.into)?;
    into.write_all(format!("{} {}\n", median(&mut binding), median(&mut listening)).as_bytes())?;
    if arguments.stay {
        loop {
            std::thread::park();
        }
    }
    Ok(true)
}

/// The address that is so many further on.
fn nth(at: SocketAddrV4, number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from(*at.ip()).wrapping_add(number.into())), at.port())
}

fn timed(call: impl FnOnce() -> rustix::io::Result<()>) -> io::Result<Duration> {
    let since = Instant::now();
    let done = call();
    let took = since.elapsed();
    done?;
    Ok(took)
}

fn median(times: &mut [Duration]) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0, Duration::as_nanos)
}

/// Serves one client after the other, for ever.
pub(in crate::bench) fn echo(arguments: &EchoArgs) -> io::Result<bool> {
    let listener = TcpListener::bind(arguments.at)?;
    let mut bytes = [0; 4096];
    loop {
        let (mut client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        // A client may reset what it is done with.
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            if client.write_all(bytes.get(..length).unwrap_or_default()).is_err() {
                break;
            }
        }
    }
}
