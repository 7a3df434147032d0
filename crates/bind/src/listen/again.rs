//! What comes after a try that failed: the next address of the name, a stale file, waiting, the next port.
//!
//! A failure keeps the address that it is about. Which of several failures is told: the one that a person would
//! want to repair, that is, the first that is not "this machine does not have that address".

use super::open::{BIND, Failure, Plan, open};
use inuse_rules::address::Address;
use rustix::fd::OwnedFd;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// The pause after the kernel refused what was said to be free: somebody else was quicker.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// … which doubles up to this. Where nothing can be waited for, it is the pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What to do besides trying once.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) wait: Option<Duration>,
    pub(super) next_port: bool,
    pub(super) replace_stale: bool,
}

/// Which address, and how it failed.
type Failed = (Address, Failure);

impl Patience {
    /// The first of these addresses that can be had.
    pub(super) fn open(&self, addresses: &[Address], plan: &Plan) -> Result<OwnedFd, Failed> {
        let deadline = self.wait.map(|time| Instant::now() + time);
        let mut result = self.each(addresses, plan);
        if let Some(deadline) = deadline {
            result = self.wait(addresses, plan, deadline, result);
        }
        match result {
            Err((address, failure)) if self.next_port && failure.source.kind() == ErrorKind::AddrInUse => {
                self.next(addresses, plan, &address).ok_or((address, failure))
            }
            result => result,
        }
    }

    /// Each in turn. That this machine does not have an address is a reason to try the next, as for a name with an
    /// IPv6 address where there is no IPv6; that one is in use is none.
    fn each(&self, addresses: &[Address], plan: &Plan) -> Result<OwnedFd, Failed> {
        let mut failed: Option<Failed> = None;
        for address in addresses {
            match self.one(address, plan) {
                Ok(socket) => return Ok(socket),
                Err(failure) if missing(&failure) => failed = failed.or(Some((address.clone(), failure))),
                Err(failure) => return Err((address.clone(), failure)),
            }
        }
        // There is at least one address: `Listen` has seen to that.
        Err(failed.unwrap_or_else(|| {
            let nowhere = Address::tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
            (nowhere, Failure::new(BIND, ErrorKind::AddrNotAvailable))
        }))
    }

    fn one(&self, address: &Address, plan: &Plan) -> Result<OwnedFd, Failure> {
        match open(address, plan) {
            Err(failure)
                if self.replace_stale
                    && failure.source.kind() == ErrorKind::AddrInUse
                    && remove_stale(address) =>
            {
                open(address, plan)
            }
            result => result,
        }
    }

    /// Tries again whenever there is reason to, until the deadline.
    fn wait(
        &self,
        addresses: &[Address],
        plan: &Plan,
        deadline: Instant,
        mut result: Result<OwnedFd, Failed>,
    ) -> Result<OwnedFd, Failed> {
        let mut pause = SHORTEST_PAUSE;
        // The file that is there has just been tried to be removed, in vain.
        let mut tried = true;
        while let Err((address, failure)) = &result {
            let may_pass =
                matches!(failure.source.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable);
            if !may_pass || Instant::now() >= deadline {
                break;
            }
            let waited = until_bindable(address, plan, deadline, &mut tried);
            #[cfg(target_os = "linux")]
            if waited == Waited::InVain {
                break;
            }
            result = self.each(addresses, plan);
            if result.is_err() {
                pause =
                    if waited == Waited::Blindly { LONGEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            }
        }
        result
    }

    /// The ports after that of the addresses.
    fn next(&self, addresses: &[Address], plan: &Plan, failed: &Address) -> Option<OwnedFd> {
        let port = failed.port().filter(|port| *port != 0)?;
        let passed_over = passed_over(port);
        for port in port.checked_add(1)?..=u16::MAX {
            if passed_over(port) {
                continue;
            }
            let moved: Vec<Address> = addresses.iter().map(|address| with_port(address, port)).collect();
            match self.each(&moved, plan) {
                Ok(socket) => return Some(socket),
                Err((_, failure)) if failure.source.kind() == ErrorKind::AddrInUse => {}
                Err(_) => return None,
            }
        }
        None
    }
}

fn missing(failure: &Failure) -> bool {
    failure.source.kind() == ErrorKind::AddrNotAvailable
        || failure.source.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn with_port(address: &Address, port: u16) -> Address {
    match address {
        Address::Inet { transport, local, device } => {
            let mut local: SocketAddr = *local;
            local.set_port(port);
            Address::Inet { transport: *transport, local, device: *device }
        }
        Address::Unix { .. } => address.clone(),
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// It should work now.
    #[cfg(target_os = "linux")]
    Ready,
    /// Nothing tells when it works: try.
    Blindly,
    /// The time is over, or waiting does not help.
    #[cfg(target_os = "linux")]
    InVain,
}

/// A server that has ended may leave its socket file behind: then it is time to try to remove it, once.
#[cfg(target_os = "linux")]
fn until_bindable(address: &Address, plan: &Plan, deadline: Instant, tried: &mut bool) -> Waited {
    use crate::wait::{Progress, Waiter};
    let Ok(mut waiter) = Waiter::new(&crate::explain::quickly(), &[plan.attempt(address)]) else {
        return Waited::Blindly;
    };
    loop {
        match waiter.next(Some(deadline)) {
            Progress::Waiting(why) => {
                let unserved = why.report.diagnosis.verdict.by().is_empty();
                let try_now = unserved && !*tried;
                *tried = unserved;
                if try_now {
                    return Waited::Ready;
                }
            }
            Progress::Ready => return Waited::Ready,
            Progress::Hopeless(_) | Progress::Until => return Waited::InVain,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn until_bindable(_: &Address, _: &Plan, _: Instant, _: &mut bool) -> Waited {
    Waited::Blindly
}

/// Removes the socket file of the address, if it is proven stale.
#[cfg(target_os = "linux")]
fn remove_stale(address: &Address) -> bool {
    use crate::stale::SocketFile;
    use inuse_kernel::{Netns, SockDiag};
    use inuse_rules::address::UnixName;
    let Address::Unix { kind, name: UnixName::Path(path) } = address else { return false };
    let netns = Netns::current();
    let (Some(file), Ok(mut diag)) = (SocketFile::at(path, *kind), SockDiag::open(&netns)) else {
        return false;
    };
    file.remove(&netns, &mut diag).is_ok()
}

/// Elsewhere nothing proves that nobody serves it.
#[cfg(not(target_os = "linux"))]
fn remove_stale(_: &Address) -> bool {
    false
}

/// The ports that outgoing connections are given, unless the first is one of them, and the reserved ones.
#[cfg(target_os = "linux")]
fn passed_over(first: u16) -> impl Fn(u16) -> bool {
    let seen = inuse_kernel::sysctls(&inuse_kernel::Netns::current());
    let settings = seen.map(|seen| seen.found).unwrap_or_default();
    let among_them = settings.ephemeral(first);
    move |port| settings.reserves(port) || (settings.ephemeral(port) && !among_them)
}

#[cfg(not(target_os = "linux"))]
fn passed_over(_: u16) -> impl Fn(u16) -> bool {
    |_| false
}
