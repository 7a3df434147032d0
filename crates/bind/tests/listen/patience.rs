//! Waiting, and going on to the next port.

use crate::roles::Holder;
use crate::{same, says, unhurried};
use inuse_bind::{Listen, listen};
use libtest_mimic::{Failed, Trial};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("patience::until_the_holder_ends", until_the_holder_ends),
        Trial::test("patience::until_the_time_is_over", until_the_time_is_over),
        Trial::test("patience::not_for_what_waiting_cannot_help", not_for_what_waiting_cannot_help),
        Trial::test("patience::until_a_unix_server_dies", until_a_unix_server_dies),
        Trial::test("patience::the_next_port", the_next_port),
        Trial::test("patience::no_next_port", no_next_port),
    ]
}

fn until_the_holder_ends() -> Result<(), Failed> {
    let mut holder = Holder::start("127.0.0.1:0")?;
    let address = holder.address;
    let waiter = thread::spawn(move || Listen::tcp(address).wait(LONG).bind());
    thread::sleep(Duration::from_millis(100));
    same(waiter.is_finished(), false)?;
    let began = Instant::now();
    holder.let_go();
    let server = waiter.join().map_err(|_| "panicked")??;
    same(server.local_addr()?, address)?;
    same(began.elapsed() < LONG / 2, true)
}

fn until_the_time_is_over() -> Result<(), Failed> {
    let holder = Holder::start("127.0.0.1:0")?;
    let began = Instant::now();
    let listen = Listen::tcp(holder.address).wait(Duration::from_millis(200));
    let error = unhurried(|| listen.bind().unwrap_err());
    same(began.elapsed() >= Duration::from_millis(200), true)?;
    says(&error, &[&format!("(pid {})", holder.pid())])
}

fn not_for_what_waiting_cannot_help() -> Result<(), Failed> {
    let began = Instant::now();
    let error = Listen::tcp("192.0.2.1:80").wait(LONG).bind().unwrap_err();
    says(&error, &["on no interface"])?;
    same(began.elapsed() < LONG / 2, true)
}

fn until_a_unix_server_dies() -> Result<(), Failed> {
    let folder = crate::unix::Folder::new("dies")?;
    let path = folder.path("s");
    let mut holder = Holder::start(path.to_str().ok_or("not UTF-8")?)?;
    let there = path.clone();
    let waiter = thread::spawn(move || Listen::unix(there).wait(LONG).bind());
    thread::sleep(Duration::from_millis(100));
    same(waiter.is_finished(), false)?;
    let began = Instant::now();
    // It leaves its file behind.
    holder.let_go();
    waiter.join().map_err(|_| "panicked")??;
    same(began.elapsed() < LONG / 2, true)
}

fn the_next_port() -> Result<(), Failed> {
    // Below the ephemeral range, where nobody else takes a port meanwhile.
    let first = (20_000..30_000).find_map(|port| listen(("127.0.0.1", port)).ok()).ok_or("no free port")?;
    let port = first.local_addr()?.port();
    let second = Listen::tcp(first.local_addr()?).or_next_port().bind()?;
    let next = second.local_addr()?.port();
    same(next > port, true)?;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let bounds: Vec<u16> = range.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    same((bounds[0]..=bounds[1]).contains(&next), false)
}

fn no_next_port() -> Result<(), Failed> {
    let last = Listen::tcp("127.0.0.1:65535").or_next_port();
    let Ok(_held) = last.bind() else { return Ok(()) };
    says(&unhurried(|| last.bind().unwrap_err()), &["cannot bind 127.0.0.1:65535", "This very process"])
}
