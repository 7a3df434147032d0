//! What waiting costs, and how soon it ends.

use crate::begun::*;
use crate::time_wait::leave_a_time_wait;
use inuse_bind::WhyOptions;
use inuse_bind::wait::{End, Progress, Waiter};
use inuse_rules::{Address, Attempt, Cause};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Sockets per second that come and go on other ports.
pub(crate) const CHURN: u32 = 10_000;

/// The role that lets other sockets come and go, until nobody is left to kill it.
pub(crate) fn churn() {
    let parent = rustix::process::getppid();
    let began = Instant::now();
    for closed in 1.. {
        let one = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        drop(one);
        if closed % 100 == 0 {
            if rustix::process::getppid() != parent {
                return;
            }
            thread::sleep((Duration::from_secs(1) * closed / CHURN).saturating_sub(began.elapsed()));
        }
    }
}

pub(crate) fn other_ports_cost_nothing() -> Told {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let attempt = Attempt::plain(Address::udp((Ipv4Addr::LOCALHOST, PORT).into()));
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::Udp)?;
    let busy = Holder(Command::new("/proc/self/exe").arg("__churn").spawn()?);
    let began = Instant::now();
    thread::sleep(Duration::from_secs(3));
    let moment = Instant::now();
    drop(server);
    let (end, at, worked) = begun.thread.join().map_err(|_| "the waiter panicked")?;
    drop(busy);
    if !matches!(end, End::Ready) || at - moment > SOON {
        return Err(format!("{end:?} after {:?}", at - moment).into());
    }
    tell(&format!("10,000 closes a second on other ports: noticed after {:?}, cpu {worked:?}", at - moment));
    cheap(worked, at - began)
}

/// Waiting for an announced end, for a silent one, and for a listener.
pub(crate) fn a_long_wait_costs_nothing() -> Told {
    let server = server()?;
    let long = Duration::from_secs(3);
    let costs = |what: &str, mut waiter: Waiter| -> Told {
        let Progress::Waiting(_) = waiter.next(None) else { return Err("nothing to wait for".into()) };
        let before = cpu();
        waiter.wait(Some(Instant::now() + long));
        let worked = cpu() - before;
        tell(&format!("waiting {long:?} for {what}: cpu {worked:?}"));
        cheap(worked, long)
    };
    costs("a listener to close", Waiter::new(&WhyOptions::default(), &[plain()])?)?;
    costs("a listener to come", Waiter::listening(&WhyOptions::default(), vec![vec![tcp("127.0.0.1:81")]])?)?;
    drop(server);
    leave_a_time_wait()?;
    costs("a TIME_WAIT", Waiter::new(&WhyOptions::default(), &[plain()])?)
}

/// How soon, over many rounds. The figures are told; the bound is generous.
pub(crate) fn latency() -> Told {
    let attempt = tcp("127.0.0.1:8080");
    let closed = rounds(100, || {
        let server = server()?;
        let begun = for_bind(std::slice::from_ref(&attempt), Cause::Listener)?;
        begun.ends_after(|| {
            drop(server);
            Ok(())
        })
    })?;
    tell(&format!("listener closed: {closed}"));
    let killed = rounds(60, || {
        let mut holder = Holder::of("127.0.0.1:8080")?;
        let begun = for_bind(std::slice::from_ref(&attempt), Cause::Listener)?;
        begun.ends_after(|| Ok(holder.0.kill()?))
    })?;
    tell(&format!("process killed: {killed}"));
    let removed = rounds(60, || {
        let _server = UnixListener::bind("/run/x.sock")?;
        let begun = for_bind(&[path("/run/x.sock")], Cause::UnixLive)?;
        begun.ends_after(|| Ok(std::fs::remove_file("/run/x.sock")?))
    })?;
    tell(&format!("unix socket removed: {removed}"));
    let listens = rounds(60, || {
        let begun = begin(Waiter::listening(&WhyOptions::default(), vec![vec![attempt.clone()]])?, None)?;
        let mut server = None;
        begun.ends_after(|| {
            server = Some(held(true, (Ipv4Addr::LOCALHOST, PORT).into())?);
            Ok(())
        })
    })?;
    tell(&format!("somebody listens: {listens}"));
    Ok(())
}

pub(crate) fn rounds(
    count: usize,
    mut round: impl FnMut() -> Result<Duration, Trouble>,
) -> Result<String, Trouble> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        took.push(round()?);
    }
    took.sort_unstable();
    let (median, worst) = (took[count / 2], took[count - 1]);
    if median > Duration::from_millis(200) {
        return Err(format!("median {median:?}, worst {worst:?}").into());
    }
    Ok(format!("median {median:?}, p99 {:?}, worst {worst:?} of {count}", took[count * 99 / 100]))
}
