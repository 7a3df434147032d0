//! The words of the lab, what it says, who may play, and what it leaves behind.

use super::{Ended, cannot, events, inuse, play};
use inuse_rules::scene::{self, lesson};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("list_names_every_scene_once", list),
        Trial::test("wrong_words_are_told_in_a_line", wrong_words),
        Trial::ignorable_test("text_tells_the_whole_story", text),
        Trial::ignorable_test("what_is_kept_can_be_looked_at", keep),
        Trial::ignorable_test("an_ordinary_user_plays", as_ordinary_user),
        Trial::ignorable_test("without_namespaces_it_plays_on_loopback", without_namespaces),
        Trial::ignorable_test("few_descriptors_are_enough", few_descriptors),
    ]
}

fn list() -> Result<(), Failed> {
    let output = inuse(&["list", "--json"]).output()?;
    let list = events(&output)?;
    let scenes = list[0]["scenes"].as_array().ok_or("no list")?;
    let mut names: Vec<&str> = scenes.iter().filter_map(|scene| scene["name"].as_str()).collect();
    let text = String::from_utf8(inuse(&["list"]).output()?.stdout)?;
    for name in &names {
        let lines = text.lines().filter(|line| line.split_whitespace().next() == Some(name)).count();
        assert_eq!(lines, 1, "{name}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), scenes.len());
    for name in scene::all().map(|scene| scene.name).chain(lesson::lessons().map(|lesson| lesson.name)) {
        assert!(names.binary_search(&name).is_ok(), "{name}");
    }
    Ok(())
}

fn wrong_words() -> Result<(), Failed> {
    let check = |words: &[&str], expect: &str| {
        let output = inuse(words).output().expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), &said[..], &output.stdout[..]),
            (Some(2), expect, &b""[..]),
            "{words:?}"
        );
    };
    check(&["tiem-wait"], "inuse: there is no scene 'tiem-wait'; did you mean 'inuse lab time-wait'?\n");
    check(
        &["reuseport"],
        "inuse: there is no scene 'reuseport'; did you mean reuseport-pair, time-wait-reuseport, reuseport-mismatch or reuseport-mismatch-root?\n",
    );
    check(&["tea\u{1b}"], "inuse: there is no scene 'tea\\u{1b}'; 'inuse lab list' names them all\n");
    check(
        &[],
        "inuse: no scene is named; 'inuse lab list' has them all, 'inuse lab time-wait' plays the first\n",
    );
    check(&["time-wait", "--pause"], "inuse: --pause waits for Enter, and standard input is no terminal\n");
    check(
        &["time-wait", "--pause", "--json"],
        "inuse: the argument '--pause' cannot be used with '--json'; 'inuse lab --help' shows what there is\n",
    );
    Ok(())
}

fn text() -> Result<Completion, Failed> {
    let output = inuse(&["time-wait"]).output()?;
    if output.status.code() == Some(3) {
        return cannot(String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let mut rest = text.as_str();
    for expect in [
        "time-wait\n\n",
        "  1. A server starts.",
        "server 127.0.0.1:8080: BOUND -> LISTEN",
        "client -> server: SYN\n",
        // From ESTABLISHED or FIN_WAIT_1: the acknowledgement may have been quicker than the look.
        "-> FIN_WAIT_2",
        "ESTABLISHED > FIN_WAIT_1 > FIN_WAIT_2 > [TIME_WAIT] > CLOSED: closed first",
        "bind(s, 127.0.0.1:8080) = -1 EADDRINUSE",
        "refused: EADDRINUSE from bind()  cause: time-wait",
        "inuse free --yes",
        "TIME_WAIT -> CLOSED",
        "To take home\n",
    ] {
        let at =
            rest.find(expect).ok_or_else(|| format!("{expect:?} does not come in its place:\n{text}"))?;
        rest = &rest[at + expect.len()..];
    }
    assert!(!text.contains('\u{1b}'), "colours in a pipe");
    assert!(text.lines().all(|line| line.trim_end() == line), "spaces at the end of a line");
    Ok(Completion::Completed)
}

/// Left standing, it is seen by a tool that enters its namespace; after Enter nothing is left.
fn keep() -> Result<Completion, Failed> {
    let mut lab = inuse(&["listener", "--json", "--keep"]);
    let mut lab = lab.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut pid = None;
    let mut standing = None;
    for line in BufReader::new(lab.stdout.take().ok_or("no pipe")?).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        pid = pid.or(event["ground"]["pid"].as_u64());
        if event["event"] == "standing" {
            standing = event["commands"][0].as_str().map(str::to_owned);
            break;
        }
    }
    let (Some(pid), Some(command)) = (pid, standing) else {
        lab.wait()?;
        return cannot("no namespaces here");
    };
    let seen = Command::new("sh").args(["-c", &command]).output();
    let namespace = std::fs::read_link(format!("/proc/{pid}/ns/pid_for_children"))?;
    assert!(population(&namespace) > 1);
    lab.stdin.take().ok_or("no pipe")?.write_all(b"\n")?;
    assert_eq!(lab.wait()?.code(), Some(0));
    assert_eq!(population(&namespace), 0);
    let seen = seen?;
    if seen.status.code() == Some(127) {
        return cannot("nsenter or ss is missing (util-linux, iproute2)");
    }
    let rows = String::from_utf8_lossy(&seen.stdout);
    assert!(
        rows.lines().any(|row| row.contains(" LISTEN ") && row.contains("127.0.0.1:8080")),
        "{command}: {seen:?}"
    );
    Ok(Completion::Completed)
}

/// How many processes live in a pid namespace.
fn population(namespace: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|p| std::fs::read_link(p.path().join("ns/pid")).is_ok_and(|ns| ns == namespace)).count()
}

/// A copy of the command that any user may start.
struct Copy(PathBuf);

impl Copy {
    fn new(what: &str) -> std::io::Result<Copy> {
        let copy = Copy(std::env::temp_dir().join(format!("inuse-lab-{what}-{}", std::process::id())));
        std::fs::copy(env!("CARGO_BIN_EXE_inuse"), &copy.0)?;
        std::fs::set_permissions(&copy.0, PermissionsExt::from_mode(0o755))?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What an ordinary user is shown, in a user namespace.
fn as_ordinary_user() -> Result<Completion, Failed> {
    let copy = Copy::new("user")?;
    let run = |words: &[&str]| {
        let mut command = Command::new(&copy.0);
        command.arg("lab").args(words).current_dir("/").stdin(Stdio::null()).env_remove("SUDO_UID");
        if rustix::process::geteuid().is_root() {
            command.uid(1000).gid(1000);
        }
        play(&mut command)
    };
    for name in ["time-wait", "fin-wait-2", "ctrl-c-and-the-child", "unix-stale"] {
        let ended: Ended = run(&[name, "--json"])?;
        if ended.events.first().is_none_or(|event| event["ground"]["kind"] != "namespaces") {
            return cannot(format!("ordinary users have no user namespaces here: {}", ended.stderr));
        }
        ended.is_as_told().map_err(|error| format!("{name}: {error:?}"))?;
    }
    let ended = run(&["owner-hidden", "--json"])?;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("run it as root"), "{}", ended.stderr);
    Ok(Completion::Completed)
}

fn few_descriptors() -> Result<Completion, Failed> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 40; exec \"$0\" lab listener --json", env!("CARGO_BIN_EXE_inuse")]);
    let ended = play(shell.stdin(Stdio::null()).env_remove("SUDO_UID"))?;
    if ended.events.first().is_none_or(|event| event["ground"]["kind"] != "namespaces") {
        return cannot(format!("no namespaces here: {}", ended.stderr));
    }
    ended.is_as_told()?;
    Ok(Completion::Completed)
}

/// Where a user namespace forbids further namespaces, loopback is what there is.
fn without_namespaces() -> Result<Completion, Failed> {
    let copy = Copy::new("loopback")?;
    let run = |name: &str| {
        let forbid = "for kind in user net; do echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 9; done; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", forbid, "sh"]);
        command.arg(&copy.0).args(["lab", name, "--json"]).current_dir("/").stdin(Stdio::null());
        play(&mut command)
    };
    for name in ["option-value-zero", "same-address-twice", "ctrl-c-and-the-child", "listener"] {
        let ended = run(name)?;
        if ended.events.is_empty() {
            return cannot(format!("namespaces cannot be forbidden here: {}", ended.stderr));
        }
        let ground = &ended.events[0]["ground"];
        assert_eq!(ground["kind"], "loopback", "{ended:?}", ended = ended.stderr);
        assert!(ground["why"].as_str().is_some_and(|why| !why.is_empty()));
        ended.is_as_told().map_err(|error| format!("{name}: {error:?}"))?;
    }
    let ended = run("wait-it-out")?;
    assert_eq!((ended.code, ended.events.len()), (Some(3), 1), "{}", ended.stderr);
    Ok(Completion::Completed)
}
