//! The stage itself: it ends with everything on it, says what went wrong, and opens for ordinary users.

use super::{cannot, kernel, why};
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{self, Need, Scene};
use libtest_mimic::{Completion, Failed};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a test of the stage itself, in a scene with forked workers.
pub(crate) fn with(test: fn(Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
    match Stage::open() {
        Err(StageError::Unavailable(why)) => cannot(why),
        other => test(other?).map(|()| Completion::Completed),
    }
}

/// The scene with the most processes of the most kinds.
fn crowd() -> &'static Scene {
    scene::by_name("listener-inherited").expect("the scene exists")
}

/// A stage's pid namespace, as the link that names it.
fn namespace_of(helper: u32) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{helper}/ns/pid_for_children"))
}

/// How many processes live in a pid namespace.
fn population(namespace: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|p| std::fs::read_link(p.path().join("ns/pid")).is_ok_and(|ns| ns == namespace)).count()
}

pub(crate) fn actors_end(mut stage: Stage) -> Result<(), Failed> {
    stage.play(crowd())?;
    let namespace = namespace_of(stage.helper_pid())?;
    // Pid 1 and the sleep.
    assert_eq!(population(&namespace), 2);
    stage.end()?;
    assert_eq!(population(&namespace), 0);
    Ok(())
}

/// Another run of this binary stages, and is killed.
pub(crate) fn killed(stage: Stage) -> Result<(), Failed> {
    stage.end()?;
    let mut caller = Command::new("/proc/self/exe").arg("__caller").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(caller.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let namespace = PathBuf::from(line.trim());
    assert_eq!(population(&namespace), 2, "{line}");
    caller.kill()?;
    caller.wait()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while population(&namespace) > 0 {
        assert!(Instant::now() < deadline, "actors outlived the caller");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The role that is killed: stages, says where, and waits.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn caller() {
    let mut stage = Stage::open().expect("a stage");
    stage.play(crowd()).expect("the scene plays");
    println!("{}", namespace_of(stage.helper_pid()).expect("a namespace").display());
    std::thread::sleep(Duration::from_secs(60));
}

pub(crate) fn failing_steps(mut stage: Stage) -> Result<(), Failed> {
    use inuse_rules::scene::{Act, Kind, Place, Step};
    use inuse_rules::verdict::Errno;
    let here = Place::Inet("192.0.2.1:80".parse()?);
    let mut check = |step: Step<'_>, expect: &str| match stage.step(&step) {
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
        Ok(()) => panic!("{step} succeeded"),
    };
    check(Step::Does("nobody", Act::Exit), "no actor is called nobody");
    check(Step::Sysctl("net/../kernel/hostname", "x"), "only what is in /proc/sys/net/ belongs to the stage");
    check(Step::Sysctl("kernel/hostname", "x"), "only what is in /proc/sys/net/ belongs to the stage");
    check(Step::Remove("/run/../no/such/file"), "only what is in /run/ belongs to the stage");
    check(Step::Create("/no/such/file", scene::Thing::File), "only what is in /run/ belongs to the stage");
    check(Step::Sysctl("net/ipv4/no_such_thing", "1"), "No such file");
    stage.step(&Step::Actor("a", 0))?;
    stage.step(&Step::Does("a", Act::Socket("s", Kind::Tcp4)))?;
    let mut check = |step: Step<'_>, expect: &str| match stage.step(&step) {
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
        Ok(()) => panic!("{step} succeeded"),
    };
    check(Step::Does("a", Act::Listen("t", 1)), "no socket is called t");
    check(Step::Does("a", Act::Bind("s", here)), "a: bind(s, 192.0.2.1:80): Cannot assign");
    check(Step::Fails("a", Act::Bind("s", here), Errno::EADDRINUSE), "Cannot assign");
    check(Step::Fails("a", Act::Listen("s", 1), Errno::EADDRINUSE), "it succeeded");
    check(Step::Does("a", Act::Exec(&["/no/such/program"])), "No such file");
    stage.step(&Step::Fails("a", Act::Bind("s", here), Errno::EADDRNOTAVAIL))?;
    let ran =
        stage.run(0, inuse_lab::stage::Program::Path("sh"), &["-c", "echo out; echo err >&2; exit 3"])?;
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (3, &b"out\n"[..], &b"err\n"[..]));
    stage.end()?;
    Ok(())
}

pub(crate) fn both_ends_show(mut stage: Stage) -> Result<(), Failed> {
    let scene = scene::by_name("close-wait").ok_or("no such scene")?;
    let mut seen = Vec::new();
    for step in scene.steps() {
        stage.step(step)?;
        let rows = stage.rows()?;
        let states: Vec<&str> = rows.iter().map(|row| row.state.name()).collect();
        if seen.last().is_none_or(|last| *last != states) {
            seen.push(states);
        }
    }
    // Nothing, then the listener, then both ends of a connection beside it; the client closes last.
    assert_eq!(seen.first(), Some(&vec![]));
    assert!(seen.contains(&vec!["LISTEN"]), "{seen:?}");
    assert!(seen.contains(&vec!["LISTEN", "ESTABLISHED", "ESTABLISHED"]), "{seen:?}");
    let mut last = seen.pop().unwrap_or_default();
    last.sort_unstable();
    // The server's kernel may take 40 ms to acknowledge the client's FIN.
    assert!(matches!(last[..], ["CLOSE_WAIT", "FIN_WAIT_1" | "FIN_WAIT_2"]), "{last:?}");
    let server = stage.rows()?.into_iter().find(|row| row.local.port() == 8080).ok_or("no row")?;
    assert!(server.inode != 0 && !server.mini, "{server:?}");
    assert!(stage.pid("server")? > 1);
    stage.end()?;
    Ok(())
}

/// An ordinary user plays every scene that needs no second user, in a user namespace.
pub(crate) fn as_ordinary_user() -> Result<Completion, Failed> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("__unprivileged").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(1000).gid(1000);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(3) => cannot(said.trim()),
        code => Err(format!("{code:?}: {said}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The role of an ordinary user: exits with 0 when all went well, with 3 when there is no stage.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn unprivileged() {
    let mut wrong = false;
    for scene in scene::all() {
        let mut stage = match Stage::open() {
            Ok(stage) => stage,
            Err(why) => {
                println!("{why}");
                std::process::exit(3);
            }
        };
        assert!(!stage.offers(Need::Uids));
        if scene.needs().iter().all(|need| stage.offers(*need)) {
            let played = stage.play(scene);
            if matches!(played, Err(StageError::Unavailable(_))) {
                continue;
            }
            let done = played
                .map_err(|error| error.to_string())
                // Binds first: the actor that asks why may become another program.
                .and_then(|()| kernel::answers(&mut stage, scene))
                .and_then(|()| why::answers(&mut stage, scene));
            if let Err(why) = done {
                println!("{}: {why}", scene.name);
                wrong = true;
            }
        }
    }
    std::process::exit(i32::from(wrong));
}
