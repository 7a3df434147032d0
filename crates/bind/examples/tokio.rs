//! An echo server on tokio that explains why it cannot start, and ends when asked to.
//!
//! Run it twice to see the error: `cargo run -p inuse-bind --example tokio -- 127.0.0.1:8080`. The runtime itself
//! needs no help: a listener of the standard library becomes one of tokio's, if it is non-blocking.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use inuse_bind::{Error, Listen, shutdown_signal};
use tokio::net::{TcpListener, UnixStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let server = Listen::tcp(&*address).nonblocking(true).bind()?;
    match serve(server).await {
        Ok(()) => println!("ended"),
        Err(error) => println!("while serving: {error}"),
    }
    Ok(())
}

async fn serve(server: std::net::TcpListener) -> std::io::Result<()> {
    println!("listening on {}", server.local_addr()?);
    let server = TcpListener::from_std(server)?;
    let shutdown = UnixStream::from_std(shutdown_signal()?.into())?;
    loop {
        tokio::select! {
            accepted = server.accept() => {
                let (mut connection, _) = accepted?;
                tokio::spawn(async move {
                    let (mut from, mut to) = connection.split();
                    // A client that leaves is no error of the server.
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
            _ = shutdown.readable() => return Ok(()),
        }
    }
}
