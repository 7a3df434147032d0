//! Every scene is played on the real kernel; the kernel must answer as the scene says, and so must `why`.
//!
//! Each scene has a stage of its own. The kernel's answers are those of real binds by a process of the
//! attempt's user: with neither option, with SO_REUSEADDR, and with SO_REUSEPORT. `why` is asked on the
//! stage, by another run of this binary as the scene's asker.
//! What cannot be staged here is reported as ignored, with the reason; with INUSE_REQUIRE_ALL=1 that is a
//! failure.

use inuse_bind::{Asker, Report, WhyOptions};
use inuse_kernel::netns::NetnsName;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{self, Act, Answer, AskedBy, Need, Scene, Step, Wanted};
use inuse_rules::{Cause, Errno, Fact, Outcome, Ownership, Snapshot, Verdict};
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
    (Cause::TearingDown, "lasts for microseconds"),
    (Cause::NoSocket, "needs a packet filter's redirection"),
    (Cause::Unknown, "is the absence of a cause"),
];

/// Scenes whose cause depends on what a machine may not show; and the cause where it does not.
const UNLESS_SHOWN: &[(&str, Cause)] = &[
    // Options of a socket that nobody has a descriptor of.
    ("free-after-reuseaddr", Cause::TimeWait),
    ("free-after-v6only", Cause::V6BlocksV4),
    // That no process has it: even root may be refused a look into some process.
    ("kernel-socket", Cause::OwnerHidden),
];

/// Cures that do not free the address at once, by scene and action, and why. Each must go on not helping:
/// a line that is no longer true is an error.
const NOT_AT_ONCE: &[(&str, &str, &str)] = &[
    (
        "listener-with-client",
        "stop-process",
        "the server's connections are closed by it, and wait for their client",
    ),
    ("established-leftover", "stop-process", "as above"),
    ("v6-blocks-v4", "stop-process", "as above"),
    ("self-connect", "stop-process", "a connection with itself ends in TIME_WAIT"),
    ("fin-wait-2", "close-peer", "the client's FIN turns it into a TIME_WAIT"),
    ("fin-wait-2-reuseaddr", "close-peer", "as above"),
    ("ephemeral-collision", "sysctl", "it is for the next time; the connection that is there goes on"),
    ("ephemeral-collision-v6", "sysctl", "as above"),
    ("ephemeral-collision-syn-sent", "sysctl", "as above"),
    ("ephemeral-collision-bound", "sysctl", "as above"),
    (
        "ephemeral-collision-bound",
        "destroy",
        "the program bound the port itself and keeps it until it closes",
    ),
    ("self-connect", "sysctl", "it is for the next time"),
    ("not-local-before-privileged", "sysctl", "the port is privileged too"),
    ("privileged-before-not-local", "sysctl", "the address is not there either"),
    ("time-wait", "destroy", "ss leaves TIME_WAIT out unless `state time-wait` is asked for"),
    ("time-wait-reuseaddr", "destroy", "as above"),
    ("time-wait-reuseport", "destroy", "as above"),
    ("v6-blocks-v4-time-wait", "destroy", "as above"),
    ("not-local-needs-scope", "sysctl", "no setting makes up for a missing scope"),
    ("unix-live", "stop-process", "the server leaves its file behind"),
    ("unix-live-not-listening", "stop-process", "as above"),
];

/// A test of a scene that has been played.
type OnStage = fn(&mut Stage, &Scene) -> Result<(), String>;

fn main() {
    inuse_lab::helper_main();
    match std::env::args().nth(1).as_deref() {
        Some("__unprivileged") => return unprivileged(),
        Some("__caller") => return caller(),
        Some("__why") => return why(),
        _ => {}
    }
    let mut trials = vec![
        Trial::test("every_cause_has_a_scene_or_a_reason", every_cause_has_a_scene_or_a_reason),
        Trial::ignorable_test("actors_are_gone_after_the_end", || needing_a_stage(actors_end)),
        Trial::ignorable_test("actors_are_gone_when_the_caller_is_killed", || needing_a_stage(killed)),
        Trial::ignorable_test("a_step_that_fails_says_which", || needing_a_stage(failing_steps)),
        Trial::ignorable_test("an_ordinary_user_can_stage", as_ordinary_user),
    ];
    for scene in scene::all() {
        let on_stage = |test| move || play_and(scene, test);
        trials.push(Trial::ignorable_test(format!("kernel::{}", scene.name), on_stage(kernel_answers)));
        trials.push(Trial::ignorable_test(format!("why::{}", scene.name), on_stage(why_answers)));
        trials.push(Trial::ignorable_test(format!("cures::{}", scene.name), move || cures_help(scene)));
        if scene.asker == AskedBy::User(scene.attempt.uid) {
            trials.push(Trial::ignorable_test(format!("probe::{}", scene.name), on_stage(probe_answers)));
        }
    }
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

/// Plays a scene on a stage of its own, and tests what is then there.
fn play_and(scene: &Scene, test: OnStage) -> Result<Completion, Failed> {
    let mut stage = match stage_for(scene)? {
        Ok(stage) => stage,
        Err(why) => return cannot(why),
    };
    match stage.play(scene) {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    }
    test(&mut stage, scene)?;
    stage.end()?;
    Ok(Completion::Completed)
}

/// The kernel's answers to a scene's attempt must be those that the scene states.
/// SO_REUSEPORT comes last: a bind with it may leave a mark in the port's bucket.
fn kernel_answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
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

/// The answers of `why`, asked by the scene's asker, must be those that the scene states: the cause, what
/// must stand under *also*, and the three verdicts. A verdict may stay open only where it depends on an
/// option of a socket that nobody has a descriptor of, and must then allow the true answer.
fn why_answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let tell = |error: StageError| error.to_string();
    let said = match scene.asker {
        AskedBy::User(uid) => {
            stage.run(uid, Program::Myself, &["__why", scene.name, "looking"]).map_err(tell)?.stdout
        }
        AskedBy::Outside => {
            let netns = format!("/proc/{}/ns/net", stage.helper_pid());
            let mut command = Command::new("/proc/self/exe");
            let output = command.args(["__why", scene.name, "of", &netns]).output();
            output.map_err(|error| error.to_string())?.stdout
        }
        AskedBy::Actor(who) => {
            // The actor becomes the one who asks: the same process, with the same descriptors.
            let me = ["/proc/self/exe", "__why", scene.name, "for", "/run/why"];
            stage.step(&Step::Does(who, Act::Exec(&me))).map_err(tell)?;
            let wait = "until test -e /run/why; do sleep 0.01; done; cat /run/why";
            stage.run(0, Program::Path("timeout"), &["10", "sh", "-c", wait]).map_err(tell)?.stdout
        }
    };
    let undecided = UNLESS_SHOWN.iter().find(|(name, _)| *name == scene.name).map(|(_, cause)| *cause);
    judge_answer(scene, &String::from_utf8_lossy(&said), true, undecided)
}

/// The same with a probe by the very user whose bind it is: nothing may stay open.
fn probe_answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let ran = stage.run(scene.attempt.uid, Program::Myself, &["__why", scene.name, "probing"]);
    judge_answer(
        scene,
        &String::from_utf8_lossy(&ran.map_err(|error| error.to_string())?.stdout),
        false,
        None,
    )
}

/// Each cure that is a command is carried out, on a stage of its own, and must help: the same bind then
/// succeeds. (Cures that only the reader can carry out, or that take a minute, are not for this test.)
fn cures_help(scene: &Scene) -> Result<Completion, Failed> {
    let mut wrong = Vec::new();
    for tried in 0.. {
        let mut stage = match stage_for(scene)? {
            Ok(stage) => stage,
            Err(why) => return cannot(why),
        };
        match stage.play(scene) {
            Err(StageError::Unavailable(why)) => return cannot(why),
            other => other?,
        }
        let ran = stage.run(0, Program::Myself, &["__why", scene.name, "looking"])?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let mut cures = said.lines().filter_map(|line| line.strip_prefix("cure ")?.split_once(": "));
        let Some((action, commands)) = cures.by_ref().filter(to_carry_out).nth(tried) else {
            break;
        };
        let commands = commands.replace("sudo ", "");
        let ran = stage.run(0, Program::Path("sh"), &["-c", &commands])?;
        if ran.code == 127 {
            return cannot(String::from_utf8_lossy(&ran.stderr).trim());
        }
        let excused = NOT_AT_ONCE.iter().any(|(name, what, _)| (*name, *what) == (scene.name, action));
        let helped = bindable_soon(&mut stage, scene)?;
        if helped == excused {
            let rows: Vec<String> = stage.rows()?.iter().map(ToString::to_string).collect();
            let verdict = if helped { "helped, so take it out of NOT_AT_ONCE" } else { "did not help" };
            wrong.push(format!("{action}: {commands}: it {verdict}; {}", rows.join("; ")));
        }
        stage.end()?;
    }
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}

/// Whether a cure is a command that helps at once.
fn to_carry_out((action, commands): &(&str, &str)) -> bool {
    !commands.is_empty()
        && !matches!(*action, "wait" | "look-again" | "bind-elsewhere" | "configure" | "privilege")
}

/// Whether the attempt succeeds now, or as soon as a process that was told to end has ended.
fn bindable_soon(stage: &mut Stage, scene: &Scene) -> Result<bool, StageError> {
    let deadline = Instant::now() + Duration::from_millis(500);
    loop {
        if stage.attempt(&scene.attempt)?.is_none() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Holds an answer against the scene. Verdicts may be open where `open` says so, and the cause another
/// one then.
fn judge_answer(scene: &Scene, said: &str, open: bool, undecided: Option<Cause>) -> Result<(), String> {
    let answer =
        |answer: Answer| answer.map_or("ok".into(), |(errno, at)| format!("{errno} at {}", at.name()));
    let mut wrong = Vec::new();
    let mut check = |what: &str, fits: &dyn Fn(&str) -> bool, expect: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        if !line.is_some_and(fits) {
            wrong.push(format!("{what}: {}, expected {expect}", line.unwrap_or("nothing")));
        }
    };
    let cause = |code: &str| code == scene.cause.code() || Some(code) == undecided.map(Cause::code);
    check("cause", &cause, scene.cause.code());
    for also in scene.also {
        check("also", &|list| list.split(' ').any(|code| code == also.code()), also.code());
    }
    for (what, expect) in [
        ("plain", scene.expect.plain),
        ("reuseaddr", scene.expect.reuseaddr),
        ("reuseport", scene.expect.reuseport),
    ] {
        let expect = answer(expect);
        let fits = |verdict: &str| match verdict.strip_prefix("not shown: ") {
            Some(possible) => open && possible.split(", ").any(|answer| answer == expect),
            None => verdict == expect,
        };
        check(what, &fits, &expect);
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n\n{said}", wrong.join("\n"))) }
}

/// The role that asks: the scene's name, and `looking` or `probing`, or `of` another network namespace, or
/// `for` a file, which appears when the answer is complete; then it asks about its own bind.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn why() {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let (scene, netns, file) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [name, "looking" | "probing"] => (scene::by_name(name), None, None),
        [name, "of", netns] => (scene::by_name(name), Some(NetnsName::Path(netns.into())), None),
        [name, "for", file] => (scene::by_name(name), None, Some(file)),
        _ => (None, None, None),
    };
    let scene = scene.expect("the name of a scene");
    let probe = words.iter().any(|word| word == "probing");
    let options = WhyOptions { own_bind: file.is_some(), netns, probe };
    let report = Asker::new(&options).expect("sock_diag").why(&scene.attempt.attempt());
    let Report { diagnosis, snapshot } = &report;
    let verdict = |verdict: &Verdict| match &verdict.outcome {
        Outcome::Ok => "ok".to_owned(),
        Outcome::Refused(refusal) => format!("{} at {}", refusal.errno, refusal.at.name()),
        Outcome::Unknown { possible, missing, .. }
            if missing.iter().all(|fact| shown_by_none(snapshot, fact)) =>
        {
            // Options decide at bind() only.
            let at = |answer: &Option<Errno>| answer.map_or("ok".into(), |errno| format!("{errno} at bind"));
            format!("not shown: {}", possible.iter().map(at).collect::<Vec<_>>().join(", "))
        }
        Outcome::Unknown { possible, missing, .. } => {
            format!("unknown: {possible:?}, for lack of {missing:?}")
        }
    };
    let also: Vec<&str> = diagnosis.also.iter().map(|cause| cause.code()).collect();
    let cures: String = diagnosis
        .cures
        .iter()
        .map(|cure| {
            let commands: Vec<String> = cure.commands.iter().map(ToString::to_string).collect();
            format!("cure {}: {}\n", cure.action.code(), commands.join("; "))
        })
        .collect();
    let said = format!(
        "cause: {}\nalso: {}\nplain: {}\nreuseaddr: {}\nreuseport: {}\n{cures}{}\n{:#?}\n{:#?}\n",
        diagnosis.cause,
        also.join(" "),
        verdict(&diagnosis.plain),
        verdict(&diagnosis.reuseaddr),
        verdict(&diagnosis.reuseport),
        diagnosis.summary,
        snapshot.blind,
        snapshot.sockets,
    );
    match file {
        None => print!("{said}"),
        Some(file) => {
            let unfinished = format!("{file}.unfinished");
            std::fs::write(&unfinished, said).expect("a place for the answer");
            std::fs::rename(unfinished, file).expect("the answer appears");
        }
    }
}

/// Whether a fact is an option of a socket that no process has a descriptor of.
fn shown_by_none(snapshot: &Snapshot, fact: &Fact) -> bool {
    let option = matches!(fact, Fact::V6only(_) | Fact::Reuseaddr(_) | Fact::Reuseport(_));
    let socket = fact.socket().and_then(|index| snapshot.sockets.get(index));
    option && socket.is_some_and(|socket| !matches!(socket.owners, Ownership::Held(_)))
}

fn every_cause_has_a_scene_or_a_reason() -> Result<(), Failed> {
    for (name, _) in UNLESS_SHOWN {
        scene::by_name(name).ok_or_else(|| format!("{name} is no scene"))?;
    }
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
            let played = stage.play(scene);
            if matches!(played, Err(StageError::Unavailable(_))) {
                continue;
            }
            let done = played
                .map_err(|error| error.to_string())
                // Binds first: the actor that asks why may become another program.
                .and_then(|()| kernel_answers(&mut stage, scene))
                .and_then(|()| why_answers(&mut stage, scene));
            if let Err(why) = done {
                println!("{}: {why}", scene.name);
                wrong = true;
            }
        }
    }
    std::process::exit(i32::from(wrong));
}
