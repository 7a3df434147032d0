//! `inuse free` for a network namespace that is not its own, and for users who may not do everything: on a stage.

use crate::{document, inuse};
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, Kind, Need, Place, Step, Wanted};
use libtest_mimic::{Completion, Failed};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// One of them.
pub(crate) type Case = fn(&mut Stage) -> Result<Completion, Failed>;

/// All of them.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("another_namespace", another_namespace),
    ("another_users_holder", another_users_holder),
    ("one_plan_for_a_whole_port", one_plan_for_a_whole_port),
    ("nobody_is_stopped_for_nothing", none_for_nothing),
];

/// An ordinary user of the stage.
const TOM: u32 = 1000;

/// Runs a case on a stage.
pub(crate) fn on(test: Case) -> Result<Completion, Failed> {
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    if !stage.offers(Need::Uids) {
        return cannot("it needs several users");
    }
    let done = test(&mut stage)?;
    stage.end()?;
    Ok(done)
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn serve(stage: &mut Stage, who: &str, uid: u32, at: SocketAddr) -> Result<(), Failed> {
    stage.step(&Step::Actor(who, uid))?;
    for act in [Act::Socket("s", Kind::Tcp4), Act::Bind("s", Place::Inet(at)), Act::Listen("s", 16)] {
        stage.step(&Step::Does(who, act))?;
    }
    Ok(())
}

/// The holder there is stopped; whoever has the same address here lives on, and so does who has nothing to do with it.
fn another_namespace(stage: &mut Stage) -> Result<Completion, Failed> {
    // This very process: it would be refused, were it looked at.
    let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = here.local_addr()?;
    let port = at.port().checked_sub(1).ok_or("a port with a lower neighbour")?;
    serve(stage, "server", 0, at)?;
    serve(stage, "neighbour", 0, (Ipv4Addr::LOCALHOST, port).into())?;
    let netns = format!("/proc/{}/ns/net", stage.helper_pid());
    let words = ["free", "--netns", &netns, "--json"];
    let dry = inuse(&[&words, &["--dry-run", &at.to_string()][..]].concat());
    assert_eq!(dry.code, Some(0), "{}{}", dry.stdout, dry.stderr);
    assert!(stage.attempt(&Wanted::tcp(at))?.is_some());
    let ran = inuse(&[&words, &["--yes", &at.to_string()][..]].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(document(&ran.stdout)["results"][0]["outcome"], "free");
    assert_eq!(stage.attempt(&Wanted::tcp(at))?, None);
    assert!(stage.pid("server").is_err());
    for act in
        [Act::Socket("c", Kind::Tcp4), Act::Connect("c", Place::Inet((Ipv4Addr::LOCALHOST, port).into()))]
    {
        stage.step(&Step::Does("neighbour", act))?;
    }
    stage.step(&Step::Does("neighbour", Act::Accept("s", "a")))?;
    drop(here);
    Ok(Completion::Completed)
}

/// The command's file, where every user may run it.
struct Copy(PathBuf);

impl Copy {
    fn make() -> Result<Copy, Failed> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let copy = Copy(std::env::temp_dir().join(format!("inuse-of-all-{}-{number}", std::process::id())));
        std::fs::copy(env!("CARGO_BIN_EXE_inuse"), &copy.0)?;
        Ok(copy)
    }

    /// What it says to tom, on the stage.
    fn says(&self, stage: &mut Stage, words: &[&str]) -> Result<(i32, String), Failed> {
        let file = self.0.to_str().ok_or("a path that is no text")?;
        let ran = stage.run(TOM, Program::Path(file), words)?;
        let said = [ran.stdout, ran.stderr].concat();
        Ok((ran.code, String::from_utf8_lossy(&said).into_owned()))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Another user's process does not show: nobody is signalled, and the command for root is one that works.
fn another_users_holder(stage: &mut Stage) -> Result<Completion, Failed> {
    let inuse = Copy::make()?;
    serve(stage, "server", 0, AT)?;
    let (code, said) = inuse.says(stage, &["free", "--yes", "--kill", "--reuseaddr", "127.0.0.1:8080"])?;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("held by a socket of root"), "{said}");
    assert!(stage.pid("server").is_ok());
    let hint =
        said.lines().find_map(|line| line.trim().strip_prefix("sudo ")).ok_or("no command for root")?;
    assert!(hint.contains(" --reuseaddr ") && hint.contains(" --kill "), "{said}");
    let typed = stage.run(0, Program::Path("sh"), &["-c", &format!("{hint} --yes")])?;
    assert_eq!(typed.code, 0, "{hint}: {}", String::from_utf8_lossy(&typed.stderr));
    assert_eq!(stage.attempt(&Wanted::tcp(AT))?, None);
    Ok(Completion::Completed)
}

/// A port alone means several addresses: what stands in the way of all of them is said once.
fn one_plan_for_a_whole_port(stage: &mut Stage) -> Result<Completion, Failed> {
    let inuse = Copy::make()?;
    serve(stage, "server", 0, (Ipv4Addr::UNSPECIFIED, 8080).into())?;
    let (code, said) = inuse.says(stage, &["free", "--yes", "8080"])?;
    assert_eq!(code, 3, "{said}");
    assert_eq!(said.matches("held by a socket of root").count(), 1, "{said}");
    assert!(said.contains("Plan for tcp/0.0.0.0:8080 and tcp/[::]:8080\n"), "{said}");
    let hints: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("sudo ")).collect();
    let [hint] = hints.as_slice() else { return Err(format!("one command for root: {said}").into()) };
    assert!(hint.ends_with(" free 8080"), "{hint}");
    let typed = stage.run(0, Program::Path("sh"), &["-c", &format!("{hint} --yes")])?;
    assert_eq!(typed.code, 0, "{hint}: {}", String::from_utf8_lossy(&typed.stderr));
    assert!(stage.pid("server").is_err());
    let (code, said) = inuse.says(stage, &["free", "80"])?;
    assert_eq!((code, said.matches("refused with EACCES").count()), (4, 1), "{said}");
    assert!(said.ends_with("      inuse why 80\n"), "{said}");
    Ok(Completion::Completed)
}

/// Tom's process has a socket that root's process made and has as well: to stop the one would not free it.
fn none_for_nothing(stage: &mut Stage) -> Result<Completion, Failed> {
    let inuse = Copy::make()?;
    serve(stage, "server", 0, AT)?;
    stage.step(&Step::Does("server", Act::Fork("worker")))?;
    let as_tom = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sleep", "1000"];
    stage.step(&Step::Does("worker", Act::Exec(&as_tom)))?;
    let worker = stage.pid("worker")?.to_string();
    let becomes = "until grep -q ^sleep$ /proc/$0/comm; do sleep 0.02; done";
    stage.run(0, Program::Path("sh"), &["-c", becomes, &worker])?;
    let (code, said) = inuse.says(stage, &["free", "--yes", "--kill", "127.0.0.1:8080"])?;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("was made by root"), "{said}");
    assert!(stage.pid("worker").is_ok() && stage.pid("server").is_ok());
    Ok(Completion::Completed)
}
