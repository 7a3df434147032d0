//! What servers leave behind, staged in every way; `why` with the BPF iterator must decide each verdict,
//! and answer what a real bind then answers.
//!
//! Needs root in the initial user namespace; where it cannot run it is reported as ignored with the
//! reason, and with `INUSE_REQUIRE_ALL=1` that is a failure.

use inuse_bind::{Asker, Report, WhyOptions};
use inuse_kernel::{Error, Netns, NetnsName, bpf::tcp_options};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, Answer, Kind, Need, Opt, Place, Sight, Step, Wanted};
use inuse_rules::socket::Learned;
use inuse_rules::{Outcome, State, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::fmt;
use std::net::SocketAddr;

const PORT: u16 = 8080;

fn main() {
    inuse_lab::helper_main();
    if std::env::args().nth(1).as_deref() == Some("__ask") {
        return ask();
    }
    let mut trials = vec![
        Trial::ignorable_test("an_ordinary_user_is_told", || on_stage(an_ordinary_user_is_told)),
        Trial::ignorable_test("many_remains_of_two_kinds", || on_stage(many_remains_of_two_kinds)),
        Trial::ignorable_test("a_listener_is_not_worth_it", || on_stage(a_listener_is_not_worth_it)),
    ];
    for old in Old::all() {
        for new in old.newcomers() {
            trials.push(Trial::ignorable_test(format!("{old}: {new}"), move || {
                on_stage(move |stage| decided(stage, old, new))
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A server that was, and what is left of its only connection.
#[derive(Clone, Copy)]
struct Old {
    at: &'static str,
    client: &'static str,
    left: State,
    reuseaddr: bool,
    reuseport: bool,
    v6only: bool,
}

impl Old {
    fn all() -> impl Iterator<Item = Old> {
        let servers = [
            ("127.0.0.1:8080", "127.0.0.1:8080", false),
            ("[::]:8080", "[::1]:8080", false),
            ("[::]:8080", "[::1]:8080", true),
        ];
        servers.into_iter().flat_map(|(at, client, v6only)| {
            (0..8u8).map(move |bits| Old {
                at,
                client,
                left: if bits & 1 == 0 { State::TimeWait } else { State::FinWait2 },
                reuseaddr: bits & 2 != 0,
                reuseport: bits & 4 != 0,
                v6only,
            })
        })
    }

    /// The same address as what is left, and both wildcards.
    fn newcomers(self) -> [&'static str; 3] {
        [self.client, "0.0.0.0:8080", "[::]:8080"]
    }

    fn play(self, stage: &mut Stage) -> Result<(), StageError> {
        let (at, client) = (address(self.at), address(self.client));
        listen(stage, at, [self.reuseaddr, self.reuseport, self.v6only])?;
        for step in [
            Step::Actor("client", 0),
            Step::Does("client", Act::Socket("c", kind(client))),
            Step::Does("client", Act::Connect("c", Place::Inet(client))),
            Step::Does("server", Act::Accept("s", "a")),
            Step::Does("server", Act::Close("a")),
        ] {
            stage.step(&step)?;
        }
        if self.left == State::TimeWait {
            stage.step(&Step::Does("client", Act::Close("c")))?;
        }
        stage.step(&Step::Does("server", Act::Exit))?;
        stage.step(&Step::Await(Sight { local: client, state: self.left }))
    }
}

impl fmt::Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.left.name())?;
        for (on, name) in
            [(self.reuseaddr, " SO_REUSEADDR"), (self.reuseport, " SO_REUSEPORT"), (self.v6only, " V6ONLY")]
        {
            f.write_str(if on { name } else { "" })?;
        }
        write!(f, " of {}", self.at)
    }
}

fn listen(stage: &mut Stage, at: SocketAddr, options: [bool; 3]) -> Result<(), StageError> {
    stage.step(&Step::Actor("server", 0))?;
    stage.step(&Step::Does("server", Act::Socket("s", kind(at))))?;
    for (opt, on) in [Opt::Reuseaddr, Opt::Reuseport, Opt::V6only].into_iter().zip(options) {
        if on {
            stage.step(&Step::Does("server", Act::Set("s", opt, true)))?;
        }
    }
    stage.step(&Step::Does("server", Act::Bind("s", Place::Inet(at))))?;
    stage.step(&Step::Does("server", Act::Listen("s", 16)))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const fn kind(like: SocketAddr) -> Kind {
    if like.is_ipv4() { Kind::Tcp4 } else { Kind::Tcp6 }
}

/// Runs a test on a stage, or says why it cannot run here.
fn on_stage(test: impl FnOnce(&mut Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    let cannot = |reason: String| match inuse_lab::all_required() {
        true => Err(format!("must run, but {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    };
    match tcp_options(&Netns::current(), PORT) {
        Err(error @ (Error::Denied { .. } | Error::Unsupported { .. })) => return cannot(error.to_string()),
        other => other.map(drop)?,
    }
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(error) => return cannot(error.to_string()),
    };
    if !stage.offers(Need::Uids) || !stage.offers(Need::Ipv6) {
        return cannot("it needs several users and IPv6".into());
    }
    test(&mut stage)?;
    stage.end()?;
    Ok(Completion::Completed)
}

/// What `why` says on the stage to a root who stands outside.
fn why(stage: &Stage, wanted: &Wanted) -> Result<Report, Failed> {
    let netns = NetnsName::Path(format!("/proc/{}/ns/net", stage.helper_pid()).into());
    let options = WhyOptions { netns: Some(netns), ..WhyOptions::default() };
    Ok(Asker::new(&options)?.why(&wanted.attempt()))
}

fn decided(stage: &mut Stage, old: Old, new: &str) -> Result<(), Failed> {
    old.play(stage)?;
    let wanted = Wanted::tcp(address(new));
    let Report { snapshot, diagnosis } = why(stage, &wanted)?;
    // A bind with SO_REUSEPORT may leave a mark on the port, so it comes last.
    for (verdict, reuseaddr, reuseport) in [
        (&diagnosis.plain, false, false),
        (&diagnosis.reuseaddr, true, false),
        (&diagnosis.reuseport, false, true),
    ] {
        let kernel = stage.attempt(&wanted.with(reuseaddr, reuseport))?;
        if answer(verdict) != Some(kernel) {
            let question = format!("SO_REUSEADDR {reuseaddr}, SO_REUSEPORT {reuseport}");
            return Err(
                format!("{question}: the kernel answers {kernel:?}; {verdict:?}; {snapshot:#?}").into()
            );
        }
    }
    Ok(())
}

/// A verdict as the stage puts it, if there is one.
fn answer(verdict: &Verdict) -> Option<Answer> {
    match &verdict.outcome {
        Outcome::Ok => Some(None),
        Outcome::Refused(refusal) => Some(Some((refusal.errno, refusal.at))),
        Outcome::Unknown { .. } => None,
    }
}

/// Whoever may not load a program is told once what that hides, and the rest of the answer stands.
fn an_ordinary_user_is_told(stage: &mut Stage) -> Result<(), Failed> {
    Old::all().next().ok_or("a first one")?.play(stage)?;
    let said = stage.run(1000, Program::Myself, &["__ask"])?.stdout;
    let expect = "options of sockets on this address that decide a bind (1 of them) (run it as root";
    match String::from_utf8_lossy(&said) {
        lines if lines.starts_with(expect) && lines.lines().count() == 1 => Ok(()),
        lines => Err(lines.into_owned().into()),
    }
}

/// The role of that user: what could not be seen, a line each.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn ask() {
    let mut asker = Asker::new(&WhyOptions::default()).expect("sock_diag");
    let report = asker.why(&Wanted::tcp(address("127.0.0.1:8080")).by(1000).attempt());
    for spot in &report.snapshot.blind {
        println!("{} ({})", spot.what, spot.remedy);
    }
}

/// More remains than stay rows of their own, of one address and with two ways of options: the rows and their counts
/// tell both, and the verdict is the kernel's.
fn many_remains_of_two_kinds(stage: &mut Stage) -> Result<(), Failed> {
    const EACH: u64 = 15;
    let at = address("127.0.0.1:8080");
    listen(stage, at, [true, false, false])?;
    stage.step(&Step::Actor("client", 0))?;
    for reuseaddr in [true, false] {
        // A connection has the option as its listener has it then.
        stage.step(&Step::Does("server", Act::Set("s", Opt::Reuseaddr, reuseaddr)))?;
        for number in 0..EACH {
            // A port that came up twice would bring a TIME_WAIT back to life.
            let from = address(&format!("127.0.0.1:{}", 20_000 + number + EACH * u64::from(reuseaddr)));
            for step in [
                Step::Does("client", Act::Socket("c", Kind::Tcp4)),
                Step::Does("client", Act::Bind("c", Place::Inet(from))),
                Step::Does("client", Act::Connect("c", Place::Inet(at))),
                Step::Does("server", Act::Accept("s", "a")),
                Step::Does("server", Act::Close("a")),
                Step::Does("client", Act::Close("c")),
            ] {
                stage.step(&step)?;
            }
        }
    }
    stage.step(&Step::Does("server", Act::Exit))?;
    stage.step(&Step::Await(Sight { local: at, state: State::TimeWait }))?;
    let wanted = Wanted::tcp(at);
    let Report { snapshot, diagnosis } = why(stage, &wanted)?;
    let count = |reuseaddr| -> u64 {
        let rows = snapshot.sockets.iter().filter(|row| row.options.reuseaddr == Some(reuseaddr));
        rows.map(|row| row.count()).sum()
    };
    assert_eq!((count(true), count(false)), (EACH, EACH), "{:#?}", snapshot.sockets);
    assert!(snapshot.sockets.len() < 2 * EACH as usize, "{:#?}", snapshot.sockets);
    assert!(diagnosis.summary.contains("30 connections are in TIME_WAIT"), "{}", diagnosis.summary);
    let kernel = stage.attempt(&wanted.with(true, false))?;
    assert_eq!((answer(&diagnosis.reuseaddr), kernel.is_some()), (Some(kernel), true));
    Ok(())
}

/// A listener refuses whatever its options: no program is loaded for it.
fn a_listener_is_not_worth_it(stage: &mut Stage) -> Result<(), Failed> {
    listen(stage, address("127.0.0.1:8080"), [true, false, false])?;
    let report = why(stage, &Wanted::tcp(address("127.0.0.1:8080")))?;
    let learned: Vec<Learned> = report.snapshot.sockets.iter().map(|s| s.options.learned).collect();
    assert_eq!(learned, [Learned::Getsockopt]);
    Ok(())
}
