//! The other ends of a wait: the deadline, and that waiting does not help; and that no event is lost between
//! the question and the sleep.

use crate::begun::*;
use inuse_bind::WhyOptions;
use inuse_bind::wait::{End, Waiter};
use inuse_rules::{Attempt, Errno};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn deadline() -> Told {
    let _server = server()?;
    let mut waiter = Waiter::new(&WhyOptions::default(), &[plain()])?;
    let began = Instant::now();
    for wait in [Duration::ZERO, Duration::from_millis(100)] {
        let deadline = Instant::now() + wait;
        match waiter.wait(Some(deadline)) {
            End::TimedOut if Instant::now() >= deadline && began.elapsed() < PATIENCE => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    let free = Waiter::new(&WhyOptions::default(), &[tcp("127.0.0.1:1")])?.wait(Some(began));
    if matches!(free, End::Ready) { Ok(()) } else { Err(format!("{free:?}").into()) }
}

pub(crate) fn hopeless() -> Told {
    let _server = server()?;
    let ordinary = Attempt { uid: 1000, net_bind_service: false, ..tcp("127.0.0.1:80") };
    let check = |attempts: &[Attempt], errno| match Waiter::new(&WhyOptions::default(), attempts)?.wait(None)
    {
        End::Hopeless(report) if report.diagnosis.verdict.errno() == Some(errno) => Ok::<(), Trouble>(()),
        other => Err(format!("{other:?}").into()),
    };
    check(std::slice::from_ref(&ordinary), Errno::EACCES)?;
    check(&[tcp("192.0.2.1:80")], Errno::EADDRNOTAVAIL)?;
    check(&[path("/run/nowhere/x")], Errno::ENOENT)?;
    // Even if another one must be waited for first.
    check(&[plain(), ordinary], Errno::EACCES)?;
    match Waiter::listening(&WhyOptions::default(), vec![vec![tcp("192.0.2.1:80")]])?.wait(None) {
        End::Hopeless(_) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// It is let go at any moment while the wait begins.
pub(crate) fn no_event_is_lost() -> Told {
    for round in 0..200 {
        let server = server()?;
        let name = format!("/run/{round}.sock");
        drop(UnixListener::bind(&name)?);
        let leaves = {
            let name = name.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_micros(25 * round));
                drop(server);
                std::fs::remove_file(name)
            })
        };
        let began = Instant::now();
        let end = Waiter::new(&WhyOptions::default(), &[plain(), path(&name)])?.wait(Some(began + PATIENCE));
        let took = began.elapsed();
        leaves.join().map_err(|_| "it did not leave")??;
        if !matches!(end, End::Ready) || took > SOON {
            return Err(format!("round {round}: {end:?} after {took:?}").into());
        }
    }
    Ok(())
}
