//! Unix names: a path goes by unlink(2) or rename(2), of itself or of a directory above it; an abstract name
//! with its socket.

use crate::begun::*;
use inuse_bind::wait::End;
use inuse_rules::{Cause, Errno, UnixName};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn unix_name_removed() -> Told {
    let _server = UnixListener::bind("/run/x.sock")?;
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixLive)?;
    begun.goes_on()?;
    soon(begun, &path("/run/x.sock"), || Ok(std::fs::remove_file("/run/x.sock")?))
}

pub(crate) fn unix_name_renamed() -> Told {
    drop(UnixListener::bind("/run/x.sock")?);
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixStale)?;
    begun.goes_on()?;
    soon(begun, &path("/run/x.sock"), || Ok(std::fs::rename("/run/x.sock", "/run/y.sock")?))
}

/// Then the bind would fail otherwise, and no waiting helps.
pub(crate) fn unix_directory_renamed() -> Told {
    std::fs::create_dir_all("/run/a/b")?;
    let _server = UnixListener::bind("/run/a/b/x.sock")?;
    for (from, to) in [("/run/a/b", "/run/a/c"), ("/run/a", "/run/d")] {
        let begun = for_bind(&[path("/run/a/b/x.sock")], Cause::UnixLive)?;
        let (end, moment, at) = begun.ends_with(|| Ok(std::fs::rename(from, to)?))?;
        match end {
            End::Hopeless(report) if report.diagnosis.verdict.errno() == Some(Errno::ENOENT) => {}
            other => return Err(format!("{other:?}").into()),
        }
        if at - moment > SOON {
            return Err(format!("it took {:?}", at - moment).into());
        }
        if to == "/run/a/c" {
            std::fs::rename(to, from)?;
        }
    }
    Ok(())
}

pub(crate) fn unix_name_in_a_busy_directory() -> Told {
    let _server = UnixListener::bind("/run/x.sock")?;
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixLive)?;
    let busy = Instant::now();
    while busy.elapsed() < Duration::from_secs(1) {
        std::fs::write("/run/other", "")?;
        std::fs::remove_file("/run/other")?;
    }
    let moment = Instant::now();
    std::fs::remove_file("/run/x.sock")?;
    let (end, at, worked) = begun.thread.join().map_err(|_| "the waiter panicked")?;
    match end {
        End::Ready if at - moment < SOON => cheap(worked, busy.elapsed()),
        other => Err(format!("{other:?} after {:?}", at - moment).into()),
    }
}

/// Another file takes the name in the same instant: the wait goes on, for that one.
pub(crate) fn unix_name_taken_again_at_once() -> Told {
    let _server = UnixListener::bind("/run/x.sock")?;
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixLive)?;
    for _ in 0..20 {
        let _next = UnixListener::bind("/run/next.sock")?;
        std::fs::rename("/run/next.sock", "/run/x.sock")?;
        thread::sleep(Duration::from_millis(5));
    }
    begun.goes_on()?;
    soon(begun, &path("/run/x.sock"), || Ok(std::fs::remove_file("/run/x.sock")?))
}

pub(crate) fn abstract_name_released() -> Told {
    use std::os::linux::net::SocketAddrExt as _;
    let server = UnixListener::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name("x")?)?;
    let attempt = unix(UnixName::Abstract(b"x".to_vec()));
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::UnixLive)?;
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(server);
        Ok(())
    })
}
