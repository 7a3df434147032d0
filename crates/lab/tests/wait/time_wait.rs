//! Connections in TIME_WAIT: no event announces that one expires, or that somebody destroys it.

use crate::begun::*;
use inuse_bind::WhyOptions;
use inuse_bind::wait::{End, Progress, Waiter};
use inuse_kernel::SockDiag;
use inuse_kernel::netns::Netns;
use inuse_rules::{Address, Attempt, Cause, State};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn leave_a_time_wait() -> Told {
    let (listener, served, client) = connected()?;
    drop(served);
    drop(client);
    drop(listener);
    Ok(())
}

/// Ports beside the usual one that get a TIME_WAIT too, so that one minute gives many figures.
pub(crate) const MORE: std::ops::Range<u16> = 8100..8119;

pub(crate) fn leave_time_waits() -> Told {
    leave_a_time_wait()?;
    MORE.map(|port| (Ipv4Addr::LOCALHOST, port)).try_for_each(|at| {
        let listener = TcpListener::from(held(true, at.into())?);
        let client = TcpStream::connect(at)?;
        drop(listener.accept()?);
        drop((client, listener));
        Ok(())
    })
}

pub(crate) fn time_wait_expires() -> Told {
    let waits: Vec<_> =
        std::iter::once(PORT).chain(MORE).map(|port| thread::spawn(move || expires(port))).collect();
    let mut late = Vec::new();
    for wait in waits {
        late.push(wait.join().map_err(|_| "a waiter panicked")??);
    }
    late.sort_unstable();
    let (median, worst) = (late[late.len() / 2], late[late.len() - 1]);
    tell(&format!(
        "TIME_WAIT expired: median {median:?}, worst {worst:?} of {} after the kernel's moment",
        late.len()
    ));
    if median > Duration::from_millis(200) { Err(format!("median {median:?}").into()) } else { Ok(()) }
}

/// Waits for a TIME_WAIT to expire; the time from the kernel's moment, which another thread looks out for.
pub(crate) fn expires(port: u16) -> Result<Duration, Trouble> {
    let attempt = Attempt::plain(Address::tcp((Ipv4Addr::UNSPECIFIED, port).into()));
    let mut waiter = Waiter::new(&WhyOptions::default(), std::slice::from_ref(&attempt))?;
    let began = Instant::now();
    let (left, socket) = match waiter.next(None) {
        Progress::Waiting(waiting) => {
            let sockets = &waiting.report.snapshot.sockets;
            let socket = sockets.iter().find(|socket| socket.state == State::TimeWait);
            (waiting.left.ok_or("the time left is known")?, socket.ok_or("a TIME_WAIT")?.clone())
        }
        other => return Err(format!("{other:?}").into()),
    };
    let looks = thread::spawn(move || -> Result<Instant, Trouble> {
        let mut diag = SockDiag::open(&Netns::current())?;
        thread::sleep(left.saturating_sub(WHILE));
        while diag.get(&socket)?.is_some() {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Instant::now())
    });
    let before = cpu();
    // The program may run for a minute, and the timer wheel adds up to two seconds.
    match waiter.wait(Some(began + Duration::from_secs(58))) {
        End::Ready => {}
        other => return Err(format!("{other:?}").into()),
    }
    let (at, waited, worked) = (Instant::now(), began.elapsed(), cpu() - before);
    binds(&attempt)?;
    if waited < left || waited > left + Duration::from_secs(4) {
        return Err(format!("{left:?} were left, and it took {waited:?}").into());
    }
    cheap(worked, waited)?;
    // The waiter may have seen it a moment before the one who looks out.
    Ok(at.saturating_duration_since(looks.join().map_err(|_| "nobody looks out")??))
}

pub(crate) fn time_wait_destroyed() -> Told {
    leave_a_time_wait()?;
    let begun = for_bind(&[plain()], Cause::TimeWait)?;
    begun.goes_on()?;
    soon(begun, &plain(), || {
        let destroy = ["-K", "-n", "-t", "state", "time-wait", "sport", "=", ":8080"];
        let ran = Command::new("ss").args(destroy).output()?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        if said.contains("8080") { Ok(()) } else { Err(format!("ss destroyed nothing: {said}").into()) }
    })
}
