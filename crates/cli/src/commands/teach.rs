//! `inuse lab serve` and `inuse lab client`: the teaching servers and clients, to live through the error by hand.
//!
//! The server listens through the library, so that a refused bind is explained as in any program that links it.

use crate::args::{ClientArgs, ServeArgs, Switch};
use crate::exit::ExitStatus;
use crate::output::Output;
use inuse_bind::Listen;
use inuse_bind::resolve::resolve;
use inuse_lab::teach::{Client, Kind, Printer, Server, ServerOptions, converse};
use inuse_rules::Transport;
use inuse_rules::written::{self, Mistake};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a client tries to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM.
pub fn serve(args: &ServeArgs, output: &mut Output) -> ExitStatus {
    let address = match address(args.kind, args.listen.as_deref()) {
        Ok(address) => address,
        Err(mistake) => return wrong(&mistake, output),
    };
    // From here on a signal is a word to the server, also while it starts.
    let stop = match inuse_bind::shutdown_signal() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("SIGINT and SIGTERM cannot be waited for: {error}"), output),
    };
    let reuseaddr = args.reuseaddr == Switch::On;
    let listen = Listen::tcp(address).reuseaddr(reuseaddr).reuseport(args.reuseport);
    let listener = match listen.bind() {
        Ok(listener) => listener,
        Err(error) => return failed(&error.to_string(), output),
    };
    let at = listener.local_addr().unwrap_or(address);
    let options = ServerOptions { graceful: args.graceful };
    let served = Server::new(args.kind, listener, options, Printer::stdout()).and_then(|mut server| {
        let switch = if reuseaddr { "on" } else { "off" };
        output.say(&format!("{} listens on {at}, SO_REUSEADDR {switch}; Ctrl+C ends it", args.kind));
        server.serve(&stop)
    });
    match served {
        Ok(()) => ExitStatus::Success,
        Err(error) => failed(&format!("cannot serve: {error}"), output),
    }
}

/// Talks to a server until it closes.
pub fn client(args: &ClientArgs, output: &mut Output) -> ExitStatus {
    let address = match address(args.kind, args.address.as_deref()) {
        Ok(address) => address,
        Err(mistake) => return wrong(&mistake, output),
    };
    let stream = match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let start = format!("inuse lab serve {} --listen {address}", args.kind);
            return failed(&format!("nobody listens on {address}; start a server there: {start}"), output);
        }
        Err(error) => return failed(&format!("cannot connect to {address}: {error}"), output),
    };
    let says = match (&args.message, args.kind) {
        (Some(message), _) => Client::Message(format!("{message}\n").into_bytes()),
        (None, Kind::Stream) => Client::Listen,
        (None, _) => Client::Input(io::stdin()),
    };
    match converse(args.kind, stream, says, &mut Printer::stdout()) {
        Ok(()) => ExitStatus::Success,
        Err(error) => failed(&format!("the connection to {address} broke: {error}"), output),
    }
}

/// The first address of what was written, or the kind's own on loopback.
fn address(kind: Kind, written: Option<&str>) -> Result<SocketAddr, Mistake> {
    let Some(text) = written else {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, kind.default_port())));
    };
    let written = written::parse(text)?;
    let asks = resolve(&written, |_| Ok(None))?;
    match asks.first().and_then(|ask| ask.address.inet()) {
        Some((Transport::Tcp, local, _)) => Ok(local),
        _ => Err(written.blame_host("this is no TCP address", "for instance: 127.0.0.1:8080")),
    }
}

fn wrong(mistake: &Mistake, output: &mut Output) -> ExitStatus {
    output.say(&mistake.to_string());
    output.show(&mistake.caret());
    ExitStatus::WrongWords
}

/// The line holds no foreign text but what the kernel or the library says.
fn failed(line: &str, output: &mut Output) -> ExitStatus {
    output.say(line);
    ExitStatus::InUse
}
