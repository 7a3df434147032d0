//! A wait that has begun in a thread of its own, how it must end, and what the cases hold meanwhile.

use inuse_bind::WhyOptions;
use inuse_bind::wait::{End, Progress, Waiter};
use inuse_rules::{Address, Attempt, Cause, UnixKind, UnixName};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Whatever went wrong.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;
/// What a case answers.
pub(crate) type Told = Result<(), Trouble>;

/// The latest that a waiter may notice what is announced: before it looks without reason.
pub(crate) const SOON: Duration = Duration::from_millis(900);

/// How long a wait must go on to count as going on.
pub(crate) const WHILE: Duration = Duration::from_millis(300);

/// When a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The port of every case: each has a network of its own.
pub(crate) const PORT: u16 = 8080;

pub(crate) fn tcp(address: &str) -> Attempt {
    Attempt::plain(Address::tcp(address.parse().expect("an address")))
}

pub(crate) fn plain() -> Attempt {
    tcp("0.0.0.0:8080")
}

pub(crate) fn unix(name: UnixName) -> Attempt {
    Attempt::plain(Address::Unix { kind: UnixKind::Stream, name })
}

pub(crate) fn path(path: &str) -> Attempt {
    unix(UnixName::Path(path.into()))
}

/// A wait in a thread of its own, which has begun.
pub(crate) struct Begun {
    pub(crate) thread: thread::JoinHandle<(End, Instant, Duration)>,
}

/// Begins to wait, and comes back when it was told why.
pub(crate) fn begin(mut waiter: Waiter, cause: Option<Cause>) -> Result<Begun, Trouble> {
    match waiter.next(Some(Instant::now() + PATIENCE)) {
        Progress::Waiting(waiting) if cause.is_none_or(|cause| waiting.report.diagnosis.cause == cause) => {}
        other => return Err(format!("expected to wait for {cause:?}, not {other:?}").into()),
    }
    let thread = thread::spawn(move || {
        let before = cpu();
        let end = waiter.wait(Some(Instant::now() + PATIENCE));
        (end, Instant::now(), cpu() - before)
    });
    Ok(Begun { thread })
}

pub(crate) fn for_bind(attempts: &[Attempt], cause: Cause) -> Result<Begun, Trouble> {
    begin(Waiter::new(&WhyOptions::default(), attempts)?, Some(cause))
}

impl Begun {
    /// It must still wait after a while.
    pub(crate) fn goes_on(&self) -> Told {
        thread::sleep(WHILE);
        if self.thread.is_finished() { Err("the wait ended early".into()) } else { Ok(()) }
    }

    /// Lets go, and gives the time from that moment to the end of the wait, which must be that it is ready.
    pub(crate) fn ends_after(self, let_go: impl FnOnce() -> Told) -> Result<Duration, Trouble> {
        let (end, moment, at) = self.ends_with(let_go)?;
        match end {
            End::Ready => Ok(at.saturating_duration_since(moment)),
            other => Err(format!("ended with {other:?}").into()),
        }
    }

    pub(crate) fn ends_with(self, let_go: impl FnOnce() -> Told) -> Result<(End, Instant, Instant), Trouble> {
        // At any moment of the waiter's own rhythm, if it has one.
        let jitter =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos() % 10_000_000;
        thread::sleep(Duration::from_millis(20) + Duration::from_nanos(jitter.into()));
        if self.thread.is_finished() {
            return Err("the wait ended before anything was let go".into());
        }
        let moment = Instant::now();
        let_go()?;
        let (end, at, _) = self.thread.join().map_err(|_| "the waiter panicked")?;
        Ok((end, moment, at))
    }
}

/// It must end soon after, and then the kernel must agree.
pub(crate) fn soon(begun: Begun, attempt: &Attempt, let_go: impl FnOnce() -> Told) -> Told {
    let took = begun.ends_after(let_go)?;
    binds(attempt)?;
    if took > SOON { Err(format!("it took {took:?}").into()) } else { Ok(()) }
}

/// The attempt, for real. (The standard library's listener would set SO_REUSEADDR.)
pub(crate) fn binds(attempt: &Attempt) -> Told {
    match &attempt.address {
        Address::Inet { transport, local, .. } => {
            drop(held(*transport == inuse_rules::Transport::Tcp, *local)?)
        }
        Address::Unix { name: UnixName::Path(path), .. } => {
            let path = std::str::from_utf8(path)?;
            UnixListener::bind(path)?;
            std::fs::remove_file(path)?;
        }
        Address::Unix { .. } => {}
    }
    Ok(())
}

/// A socket on that address without any option; it listens if it is of tcp.
pub(crate) fn held(tcp: bool, address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, if tcp { SocketType::STREAM } else { SocketType::DGRAM }, None)?;
    bind(&fd, &address)?;
    if tcp {
        listen(&fd, 16)?;
    }
    Ok(fd)
}

pub(crate) fn server() -> rustix::io::Result<OwnedFd> {
    held(true, (Ipv4Addr::LOCALHOST, PORT).into())
}

/// Another process that holds an address until it is killed.
pub(crate) struct Holder(pub(crate) Child);

impl Holder {
    pub(crate) fn of(address: &str) -> std::io::Result<Holder> {
        let mut child = Command::new("/proc/self/exe")
            .args(["__hold", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = &mut child.stdout {
            BufReader::new(out).read_line(&mut line)?;
        }
        if line == "ready\n" {
            Ok(Holder(child))
        } else {
            Err(std::io::Error::other("the holder holds nothing"))
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The role that holds: until it is killed, or nobody is left to kill it.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn hold(address: &str) {
    let _held = held(true, address.parse().expect("an address")).expect("a free address");
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]);
}

/// A listener, the server's end and the client's end of a connection.
pub(crate) fn connected() -> Result<(TcpListener, TcpStream, TcpStream), Trouble> {
    let listener = TcpListener::from(server()?);
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    let (served, _) = listener.accept()?;
    Ok((listener, served, client))
}

/// A waiter may take a fiftieth of a processor, which is many times what it takes on an idle machine.
pub(crate) fn cheap(worked: Duration, waited: Duration) -> Told {
    if worked * 50 > waited { Err(format!("it worked {worked:?} of {waited:?}").into()) } else { Ok(()) }
}

/// The processor time of this thread.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
pub(crate) fn tell(figures: &str) {
    eprintln!("    {figures}");
}
