//! Every scene is played on the real kernel, and the kernel must answer as the scene says.
//!
//! Each scene has a stage of its own. The answers are those of real binds by a process of the attempt's
//! user: with neither option, with SO_REUSEADDR, and with SO_REUSEPORT.
//! What cannot be staged here is reported as ignored, with the reason; with INUSE_REQUIRE_ALL=1 that is a
//! failure.

use inuse_lab::{Stage, StageError};
use inuse_rules::Cause;
use inuse_rules::scene::{self, Need, Scene, Wanted};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Causes without a scene, and why.
const NOT_STAGED: &[(Cause, &str)] = &[
    (Cause::SocketUnit, "needs systemd as pid 1"),
    (Cause::ContainerProxy, "needs a container runtime; a process that merely has its name is not one"),
    (Cause::ContainerProxyStale, "needs a container runtime"),
    (Cause::Forwarded, "needs an ssh session"),
    (Cause::Respawned, "is about two moments, before and after something was freed"),
    (Cause::KernelSocket, "needs a kernel service, such as an NFS server"),
    (Cause::TearingDown, "lasts for microseconds"),
    (Cause::NoSocket, "needs a packet filter's redirection"),
    (Cause::Unknown, "is the absence of a cause"),
];

fn main() {
    inuse_lab::helper_main();
    match std::env::args().nth(1).as_deref() {
        Some("__unprivileged") => return unprivileged(),
        Some("__caller") => return caller(),
        _ => {}
    }
    let mut trials = vec![
        Trial::test("every_cause_has_a_scene_or_a_reason", every_cause_has_a_scene_or_a_reason),
        Trial::ignorable_test("actors_are_gone_after_the_end", || needing_a_stage(actors_end)),
        Trial::ignorable_test("actors_are_gone_when_the_caller_is_killed", || needing_a_stage(killed)),
        Trial::ignorable_test("a_step_that_fails_says_which", || needing_a_stage(failing_steps)),
        Trial::ignorable_test("an_ordinary_user_can_stage", as_ordinary_user),
    ];
    trials.extend(scene::all().map(|scene| {
        Trial::ignorable_test(format!("kernel::{}", scene.name), move || kernel_answers(scene))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match std::env::var_os("INUSE_REQUIRE_ALL") {
        Some(value) if value == "1" => Err(format!("could not run: {reason}").into()),
        _ => Ok(Completion::ignored_with(reason)),
    }
}

/// A stage for a scene, or why there is none.
fn stage_for(scene: &Scene) -> Result<Result<Stage, String>, Failed> {
    let stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return Ok(Err(why)),
        other => other?,
    };
    let missing: Vec<Need> = scene.needs().into_iter().filter(|need| !stage.offers(*need)).collect();
    Ok(match missing.first() {
        Some(need) => Err(format!("it needs {}", need.says())),
        None => Ok(stage),
    })
}

/// The kernel's answers to a scene's attempt must be those that the scene states.
fn kernel_answers(scene: &Scene) -> Result<Completion, Failed> {
    let mut stage = match stage_for(scene)? {
        Ok(stage) => stage,
        Err(why) => return cannot(why),
    };
    stage.play(scene)?;
    compare(&mut stage, scene)?;
    stage.end()?;
    Ok(Completion::Completed)
}

/// SO_REUSEPORT comes last: a bind with it may leave a mark in the port's bucket.
fn compare(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let Wanted { reuseaddr, reuseport, .. } = scene.attempt;
    let counts = [
        (false, false, scene.expect.plain),
        (true, false, scene.expect.reuseaddr),
        (false, true, scene.expect.reuseport),
    ];
    if !counts.iter().any(|(a, p, _)| (*a, *p) == (reuseaddr, reuseport)) {
        return Err("the attempt's own options have no expectation".into());
    }
    for (reuseaddr, reuseport, expect) in counts {
        let wanted = scene.attempt.with(reuseaddr, reuseport);
        let answer = stage.attempt(&wanted).map_err(|error| error.to_string())?;
        if answer != expect {
            return Err(format!(
                "{}: with SO_REUSEADDR {reuseaddr}, SO_REUSEPORT {reuseport} the kernel answers {answer:?}, \
                 the scene says {expect:?}",
                scene.name
            ));
        }
    }
    Ok(())
}

fn every_cause_has_a_scene_or_a_reason() -> Result<(), Failed> {
    for &cause in Cause::ALL {
        let staged = scene::all().any(|scene| scene.cause == cause);
        let excused = NOT_STAGED.iter().any(|(other, _)| *other == cause);
        if staged == excused {
            return Err(format!("{cause}: staged {staged}, excused {excused}").into());
        }
    }
    Ok(())
}

/// Runs a test of the stage itself, in a scene with forked workers.
fn needing_a_stage(test: fn(Stage) -> Result<(), Failed>) -> Result<Completion, Failed> {
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

fn actors_end(mut stage: Stage) -> Result<(), Failed> {
    stage.play(crowd())?;
    let namespace = namespace_of(stage.helper_pid())?;
    // Pid 1 and the sleep.
    assert_eq!(population(&namespace), 2);
    stage.end()?;
    assert_eq!(population(&namespace), 0);
    Ok(())
}

/// Another run of this binary stages, and is killed.
fn killed(stage: Stage) -> Result<(), Failed> {
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
fn caller() {
    let mut stage = Stage::open().expect("a stage");
    stage.play(crowd()).expect("the scene plays");
    println!("{}", namespace_of(stage.helper_pid()).expect("a namespace").display());
    std::thread::sleep(Duration::from_secs(60));
}

fn failing_steps(mut stage: Stage) -> Result<(), Failed> {
    use inuse_rules::scene::{Act, Kind, Place, Step};
    use inuse_rules::verdict::Errno;
    let here = Place::Inet("192.0.2.1:80".parse()?);
    let mut check = |step: Step<'_>, expect: &str| match stage.step(&step) {
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
        Ok(()) => panic!("{step} succeeded"),
    };
    check(Step::Does("nobody", Act::Exit), "no actor is called nobody");
    check(Step::Sysctl("../../etc/passwd", "x"), "a path under /proc/sys");
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

/// An ordinary user plays every scene that needs no second user, in a user namespace.
fn as_ordinary_user() -> Result<Completion, Failed> {
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
fn unprivileged() {
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
            let done = stage.play(scene).map_err(|e| e.to_string()).and_then(|()| compare(&mut stage, scene));
            if let Err(why) = done {
                println!("{}: {why}", scene.name);
                wrong = true;
            }
        }
    }
    std::process::exit(i32::from(wrong));
}
