//! An axum server that explains why it cannot start, takes a socket from systemd, and ends without losing a request.
//!
//! axum stops accepting when the future is done, and lets the requests that it has come to their end.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use axum::Router;
use axum::routing::get;
use inuse_bind::{Listen, shutdown_signal};
use std::error::Error;
use std::time::Duration;
use tokio::net::{TcpListener, UnixStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let server = Listen::tcp(&*address).nonblocking(true).wait(Duration::from_secs(5)).bind()?;
    println!("http://{}/", server.local_addr()?);
    let server = TcpListener::from_std(server)?;
    let shutdown = UnixStream::from_std(shutdown_signal()?.into())?;
    let app = Router::new().route("/", get(|| async { "hello\n" }));
    axum::serve(server, app).with_graceful_shutdown(async move { _ = shutdown.readable().await }).await?;
    Ok(())
}
