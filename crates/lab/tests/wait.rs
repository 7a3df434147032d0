//! Waiting, against the real kernel: what ends a wait, what must not, how soon, and at what cost.
//!
//! Each case runs on a stage of its own, as another run of this binary: there it holds addresses, waits for
//! them in a second thread, and lets them go. Moments are those of the one who lets go. The bounds on time
//! are generous, since machines that test are busy; but they are below the second after which a waiter looks
//! without any reason, so that an event that was missed shows.

use inuse_bind::WhyOptions;
use inuse_bind::wait::{End, Progress, Waiter};
use inuse_kernel::SockDiag;
use inuse_kernel::netns::{Netns, NetnsName};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, Kind, Place, Step};
use inuse_rules::{Address, Attempt, Cause, Errno, State, UnixKind, UnixName};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Whatever went wrong.
type Trouble = Box<dyn std::error::Error + Send + Sync>;
/// What a case answers.
type Told = Result<(), Trouble>;

/// The latest that a waiter may notice what is announced: before it looks without reason.
const SOON: Duration = Duration::from_millis(900);
/// How long a wait must go on to count as going on.
const WHILE: Duration = Duration::from_millis(300);
/// When a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The port of every case: each has a network of its own.
const PORT: u16 = 8080;

/// A name, and what is then played.
type Case = (&'static str, fn() -> Told);

/// The cases that run on a stage, by name.
const CASES: &[Case] = &[
    ("listener_closed", listener_closed),
    ("process_killed", process_killed),
    ("bound_socket_closed", bound_socket_closed),
    ("connection_outlives_the_listener", connection_outlives_the_listener),
    ("udp_socket_closed", udp_socket_closed),
    ("unix_name_removed", unix_name_removed),
    ("unix_name_renamed", unix_name_renamed),
    ("unix_directory_renamed", unix_directory_renamed),
    ("unix_name_in_a_busy_directory", unix_name_in_a_busy_directory),
    ("unix_name_taken_again_at_once", unix_name_taken_again_at_once),
    ("abstract_name_released", abstract_name_released),
    ("port_taken_again_at_once", port_taken_again_at_once),
    ("all_of_several", all_of_several),
    ("deadline", deadline),
    ("hopeless", hopeless),
    ("listening", listening),
    ("listening_on_unix_names", listening_on_unix_names),
    ("no_event_is_lost", no_event_is_lost),
    ("other_ports_cost_nothing", other_ports_cost_nothing),
    ("a_long_wait_costs_nothing", a_long_wait_costs_nothing),
    ("latency", latency),
];

fn main() {
    inuse_lab::helper_main();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["__case", name] => return case(name),
        ["__hold", address] => return hold(address),
        ["__churn"] => return churn(),
        _ => {}
    }
    let mut trials: Vec<Trial> =
        CASES.iter().map(|(name, _)| Trial::ignorable_test(*name, move || on_stage(&[name]))).collect();
    trials.push(Trial::ignorable_test("time_wait_destroyed", || {
        match Command::new("ss").arg("-V").output() {
            Err(error) => cannot(format!("ss cannot be started: {error}")),
            Ok(_) => on_stage(&["time_wait_destroyed"]),
        }
    }));
    trials.push(Trial::ignorable_test("time_wait_expires", || {
        // A program on the stage may run for a minute, which this outlasts: so it comes in two parts.
        with_stage(|stage| {
            run(stage, "leave_time_waits")?;
            thread::sleep(Duration::from_secs(6));
            run(stage, "time_wait_expires")
        })
    }));
    trials.push(Trial::ignorable_test("listening_in_another_namespace", || with_stage(elsewhere)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn with_stage(test: impl FnOnce(&mut Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    test(&mut stage)?;
    stage.end()?;
    Ok(Completion::Completed)
}

fn on_stage(cases: &[&str]) -> Result<Completion, Failed> {
    with_stage(|stage| cases.iter().try_for_each(|case| run(stage, case)))
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
fn run(stage: &mut Stage, case: &str) -> Result<(), Failed> {
    let ran = stage.run(0, Program::Myself, &["__case", case])?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.code != 0 {
        return Err(format!("{case}: {said}").into());
    }
    eprint!("{said}");
    Ok(())
}

/// The role that plays a case.
#[allow(clippy::print_stderr, reason = "the parent reads it")]
fn case(name: &str) {
    let parts = [
        ("time_wait_destroyed", time_wait_destroyed as fn() -> Told),
        ("leave_time_waits", leave_time_waits),
        ("time_wait_expires", time_wait_expires),
    ];
    let found = CASES.iter().chain(&parts).find(|(other, _)| *other == name);
    if let Err(error) = found.map_or_else(|| Err("no such case".into()), |(_, test)| test()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn tcp(address: &str) -> Attempt {
    Attempt::plain(Address::tcp(address.parse().expect("an address")))
}

fn plain() -> Attempt {
    tcp("0.0.0.0:8080")
}

fn unix(name: UnixName) -> Attempt {
    Attempt::plain(Address::Unix { kind: UnixKind::Stream, name })
}

fn path(path: &str) -> Attempt {
    unix(UnixName::Path(path.into()))
}

/// A wait in a thread of its own, which has begun.
struct Begun {
    thread: thread::JoinHandle<(End, Instant, Duration)>,
}

/// Begins to wait, and comes back when it was told why.
fn begin(mut waiter: Waiter, cause: Option<Cause>) -> Result<Begun, Trouble> {
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

fn for_bind(attempts: &[Attempt], cause: Cause) -> Result<Begun, Trouble> {
    begin(Waiter::new(&WhyOptions::default(), attempts)?, Some(cause))
}

impl Begun {
    /// It must still wait after a while.
    fn goes_on(&self) -> Told {
        thread::sleep(WHILE);
        if self.thread.is_finished() { Err("the wait ended early".into()) } else { Ok(()) }
    }

    /// Lets go, and gives the time from that moment to the end of the wait, which must be that it is ready.
    fn ends_after(self, let_go: impl FnOnce() -> Told) -> Result<Duration, Trouble> {
        let (end, moment, at) = self.ends_with(let_go)?;
        match end {
            End::Ready => Ok(at.saturating_duration_since(moment)),
            other => Err(format!("ended with {other:?}").into()),
        }
    }

    fn ends_with(self, let_go: impl FnOnce() -> Told) -> Result<(End, Instant, Instant), Trouble> {
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
fn soon(begun: Begun, attempt: &Attempt, let_go: impl FnOnce() -> Told) -> Told {
    let took = begun.ends_after(let_go)?;
    binds(attempt)?;
    if took > SOON { Err(format!("it took {took:?}").into()) } else { Ok(()) }
}

/// The attempt, for real. (The standard library's listener would set SO_REUSEADDR.)
fn binds(attempt: &Attempt) -> Told {
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
fn held(tcp: bool, address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, if tcp { SocketType::STREAM } else { SocketType::DGRAM }, None)?;
    bind(&fd, &address)?;
    if tcp {
        listen(&fd, 16)?;
    }
    Ok(fd)
}

fn server() -> rustix::io::Result<OwnedFd> {
    held(true, (Ipv4Addr::LOCALHOST, PORT).into())
}

fn listener_closed() -> Told {
    let server = server()?;
    let begun = for_bind(&[plain()], Cause::WildcardVsSpecific)?;
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(server);
        Ok(())
    })
}

/// Another process that holds an address until it is killed.
struct Holder(Child);

impl Holder {
    fn of(address: &str) -> std::io::Result<Holder> {
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
fn hold(address: &str) {
    let _held = held(true, address.parse().expect("an address")).expect("a free address");
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]);
}

fn process_killed() -> Told {
    let mut holder = Holder::of("127.0.0.1:8080")?;
    let begun = for_bind(&[tcp("127.0.0.1:8080")], Cause::Listener)?;
    begun.goes_on()?;
    soon(begun, &tcp("127.0.0.1:8080"), || Ok(holder.0.kill()?))
}

fn bound_socket_closed() -> Told {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
    let attempt = tcp("127.0.0.1:8080");
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::BoundNotListening)?;
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(fd);
        Ok(())
    })
}

/// A listener, the server's end and the client's end of a connection.
fn connected() -> Result<(TcpListener, TcpStream, TcpStream), Trouble> {
    let listener = TcpListener::from(server()?);
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    let (served, _) = listener.accept()?;
    Ok((listener, served, client))
}

fn connection_outlives_the_listener() -> Told {
    let (listener, served, client) = connected()?;
    let begun = for_bind(&[plain()], Cause::WildcardVsSpecific)?;
    begun.goes_on()?;
    drop(listener);
    begun.goes_on()?;
    // The client closes first and keeps the TIME_WAIT at its own port.
    drop(client);
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(served);
        Ok(())
    })
}

fn leave_a_time_wait() -> Told {
    let (listener, served, client) = connected()?;
    drop(served);
    drop(client);
    drop(listener);
    Ok(())
}

/// Ports beside the usual one that get a TIME_WAIT too, so that one minute gives many figures.
const MORE: std::ops::Range<u16> = 8100..8119;

fn leave_time_waits() -> Told {
    leave_a_time_wait()?;
    MORE.map(|port| (Ipv4Addr::LOCALHOST, port)).try_for_each(|at| {
        let listener = TcpListener::from(held(true, at.into())?);
        let client = TcpStream::connect(at)?;
        drop(listener.accept()?);
        drop((client, listener));
        Ok(())
    })
}

fn time_wait_expires() -> Told {
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
fn expires(port: u16) -> Result<Duration, Trouble> {
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

fn time_wait_destroyed() -> Told {
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

fn udp_socket_closed() -> Told {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let attempt = Attempt::plain(Address::udp((Ipv4Addr::LOCALHOST, PORT).into()));
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::Udp)?;
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(server);
        Ok(())
    })
}

fn unix_name_removed() -> Told {
    let _server = UnixListener::bind("/run/x.sock")?;
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixLive)?;
    begun.goes_on()?;
    soon(begun, &path("/run/x.sock"), || Ok(std::fs::remove_file("/run/x.sock")?))
}

fn unix_name_renamed() -> Told {
    drop(UnixListener::bind("/run/x.sock")?);
    let begun = for_bind(&[path("/run/x.sock")], Cause::UnixStale)?;
    begun.goes_on()?;
    soon(begun, &path("/run/x.sock"), || Ok(std::fs::rename("/run/x.sock", "/run/y.sock")?))
}

/// Then the bind would fail otherwise, and no waiting helps.
fn unix_directory_renamed() -> Told {
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

fn unix_name_in_a_busy_directory() -> Told {
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
fn unix_name_taken_again_at_once() -> Told {
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

fn abstract_name_released() -> Told {
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

/// The next server has the port before the last one leaves it: the wait goes on.
fn port_taken_again_at_once() -> Told {
    let shared = || -> rustix::io::Result<OwnedFd> {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseport(&fd, true)?;
        bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
        listen(&fd, 16)?;
        Ok(fd)
    };
    let mut server = shared()?;
    let attempt = tcp("127.0.0.1:8080");
    let begun = for_bind(std::slice::from_ref(&attempt), Cause::Listener)?;
    for _ in 0..20 {
        server = {
            let next = shared()?;
            drop(server);
            next
        };
        thread::sleep(Duration::from_millis(5));
    }
    begun.goes_on()?;
    soon(begun, &attempt, || {
        drop(server);
        Ok(())
    })
}

fn all_of_several() -> Told {
    let first = server()?;
    let second = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    let third = UnixListener::bind("/run/x.sock")?;
    let attempts = [
        plain(),
        Attempt::plain(Address::udp(([0, 0, 0, 0], 53).into())),
        path("/run/x.sock"),
        tcp("[::1]:99"),
    ];
    let begun = for_bind(&attempts, Cause::WildcardVsSpecific)?;
    std::fs::remove_file("/run/x.sock")?;
    drop(third);
    begun.goes_on()?;
    drop(first);
    begun.goes_on()?;
    // What was free before must be so at the end.
    let again = server()?;
    drop(second);
    begun.goes_on()?;
    soon(begun, &plain(), || {
        drop(again);
        Ok(())
    })
}

fn deadline() -> Told {
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

fn hopeless() -> Told {
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

fn listening() -> Told {
    for (wanted, address) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
    ] {
        // Others are there, and are not meant; bound is not listening.
        let _other = held(true, (Ipv4Addr::new(127, 0, 0, 2), 81).into())?;
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&fd, &address.parse::<SocketAddr>()?)?;
        let waiter = Waiter::listening(&WhyOptions::default(), vec![vec![tcp("[::1]:1"), tcp(wanted)]])?;
        let begun = begin(waiter, None)?;
        begun.goes_on()?;
        let took = begun.ends_after(|| Ok(listen(&fd, 1)?))?;
        if took > SOON {
            return Err(format!("it took {took:?}").into());
        }
    }
    Ok(())
}

fn listening_on_unix_names() -> Told {
    use std::os::linux::net::SocketAddrExt as _;
    drop(UnixListener::bind("/run/x.sock")?);
    let waiter = |attempt| Waiter::listening(&WhyOptions::default(), vec![vec![attempt]]);
    // A stale file is nobody.
    let begun = begin(waiter(path("/run/x.sock"))?, None)?;
    begun.goes_on()?;
    let mut held = None;
    begun.ends_after(|| {
        std::fs::remove_file("/run/x.sock")?;
        held = Some(UnixListener::bind("/run/x.sock")?);
        Ok(())
    })?;
    let begun = begin(waiter(path("/run/log.sock"))?, None)?;
    let mut datagram = None;
    begun.ends_after(|| {
        datagram = Some(UnixDatagram::bind("/run/log.sock")?);
        Ok(())
    })?;
    let begun = begin(waiter(unix(UnixName::Abstract(b"x".to_vec())))?, None)?;
    begun.goes_on()?;
    let name = std::os::unix::net::SocketAddr::from_abstract_name("x")?;
    begun.ends_after(|| {
        held = Some(UnixListener::bind_addr(&name)?);
        Ok(())
    })?;
    Ok(())
}

/// The waiter is outside, the server on the stage.
fn elsewhere(stage: &mut Stage) -> Result<(), Failed> {
    let netns = NetnsName::Path(format!("/proc/{}/ns/net", stage.helper_pid()).into());
    let options = WhyOptions { netns: Some(netns), ..WhyOptions::default() };
    let waiter = match Waiter::listening(&options, vec![vec![tcp("127.0.0.1:5432")]]) {
        Err(error @ inuse_kernel::Error::Denied { .. }) => {
            cannot(error)?;
            return Ok(());
        }
        other => other?,
    };
    let place = Place::Inet("127.0.0.1:5432".parse()?);
    let steps = |stage: &mut Stage, acts: &[Act<'_>]| -> Told {
        acts.iter().try_for_each(|act| Ok(stage.step(&Step::Does("server", *act))?))
    };
    stage.step(&Step::Actor("server", 0))?;
    let said = |error: Trouble| Failed::from(error.to_string());
    let begun = begin(waiter, None).map_err(said)?;
    begun.goes_on().map_err(said)?;
    begun
        .ends_after(|| {
            steps(stage, &[Act::Socket("s", Kind::Tcp4), Act::Bind("s", place), Act::Listen("s", 1)])
        })
        .map_err(said)?;
    let begun =
        begin(Waiter::new(&options, &[tcp("127.0.0.1:5432")])?, Some(Cause::Listener)).map_err(said)?;
    begun.goes_on().map_err(said)?;
    let took = begun.ends_after(|| steps(stage, &[Act::Close("s")])).map_err(said)?;
    if took > SOON { Err(format!("it took {took:?}").into()) } else { Ok(()) }
}

/// It is let go at any moment while the wait begins.
fn no_event_is_lost() -> Told {
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

/// Sockets per second that come and go on other ports.
const CHURN: u32 = 10_000;

/// The role that lets other sockets come and go, until nobody is left to kill it.
fn churn() {
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

fn other_ports_cost_nothing() -> Told {
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
fn a_long_wait_costs_nothing() -> Told {
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
fn latency() -> Told {
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

fn rounds(count: usize, mut round: impl FnMut() -> Result<Duration, Trouble>) -> Result<String, Trouble> {
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

/// A waiter may take a fiftieth of a processor, which is many times what it takes on an idle machine.
fn cheap(worked: Duration, waited: Duration) -> Told {
    if worked * 50 > waited { Err(format!("it worked {worked:?} of {waited:?}").into()) } else { Ok(()) }
}

/// The processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[allow(clippy::print_stderr, reason = "figures that no assertion rests on")]
fn tell(figures: &str) {
    eprintln!("    {figures}");
}
