//! A teaching server as a helper process, for measurements and tests: it prints its port and serves.

use super::{Kind, Printer, Server, ServerOptions};
use std::io::{self, Write as _};

/// Serves on a free loopback port until SIGTERM.
pub(crate) fn main(kind: &str) -> ! {
    std::process::exit(match serve(kind) {
        Ok(()) => 0,
        Err(_) => 1,
    })
}

fn serve(kind: &str) -> io::Result<()> {
    let kind: Kind = kind.parse().map_err(io::Error::other)?;
    let stop = inuse_bind::shutdown_signal()?;
    let listener = inuse_bind::listen("127.0.0.1:0")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    Server::new(kind, listener, ServerOptions::default(), Printer::stdout())?.serve(&stop)
}
