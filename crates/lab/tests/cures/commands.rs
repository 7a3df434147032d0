//! The commands of a cure: typed to a shell as they stand, and none that a cure should not have.

use crate::common::{Answer, on_path, tell};
use crate::roles::{FREE, NOT_FREE};
use crate::{blockers, holders};
use inuse_lab::Stage;
use inuse_lab::stage::Program;
use inuse_rules::address::{UnixKind, UnixName};
use inuse_rules::cure::Command;
use inuse_rules::scene::Scene;
use inuse_rules::written::{self, Target};
use inuse_rules::{Address, Cure, Promise};
use libtest_mimic::Failed;

/// Types the cure's commands to a shell, with the rights that they ask for.
pub(crate) fn type_commands(
    stage: &mut Stage,
    scene: &Scene,
    answer: &Answer,
    cure: &Cure,
) -> Result<(), String> {
    let mut as_root = false;
    for command in &cure.commands {
        let words: Vec<String> =
            command.0.iter().map(|word| String::from_utf8(word.clone()).expect("a scene's text")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (sudo, words) = match words.split_first() {
            Some((&"sudo", rest)) => (true, rest),
            _ => (false, &words[..]),
        };
        as_root |= sudo;
        fits(words, answer)?;
        if let ["inuse", "free", flags @ ..] = words {
            let uid = if sudo { 0 } else { scene.attempt.uid };
            let ran =
                stage.run(uid, Program::Myself, &[&[FREE, scene.name], flags].concat()).map_err(tell)?;
            // Where less than success is promised, freeing may say that it did not come to it; not that it
            // refuses.
            if ran.code != 0 && (ran.code != NOT_FREE || cure.promise == Promise::Now) {
                return Err(format!("{words:?} by uid {uid}: {}", String::from_utf8_lossy(&ran.stdout)));
            }
            continue;
        }
        // Our own command, when it only looks, is asked by `looked`.
        if words.first() == Some(&"inuse") {
            continue;
        }
        let line = Command::new(words.iter().copied()).to_string();
        let uid = if sudo { 0 } else { scene.attempt.uid };
        let ran = stage.run(uid, Program::Path("sh"), &["-c", &line]).map_err(tell)?;
        if ran.code != 0 {
            let said = String::from_utf8_lossy(&ran.stderr);
            return Err(format!("`{line}` by uid {uid} exits with {}: {said}", ran.code));
        }
    }
    let privileged = cure.needs.is_some();
    if !cure.commands.is_empty() && privileged != as_root {
        return Err(format!("needs {:?}, but its commands ask for root: {as_root}", cure.needs));
    }
    Ok(())
}

/// The program of a command that is to be typed, if it is missing. A stage's root needs no sudo, and our own
/// command is not typed.
pub(crate) fn not_installed(command: &Command) -> Option<String> {
    let words = command.0.iter().map(|word| String::from_utf8_lossy(word));
    let program = words.into_iter().find(|word| word != "sudo")?;
    (program != "inuse" && !on_path(&program)).then(|| program.into_owned())
}

/// Whether a command is one of those that a cure may be: it signals none but holders, and destroys none
/// but sockets that are in the way.
pub(crate) fn fits(words: &[&str], answer: &Answer) -> Result<(), String> {
    let wrong = || Err(format!("a command that no cure should be: {words:?}"));
    match words {
        ["kill", "-TERM", pids @ ..] if !pids.is_empty() => {
            let holders = holders(answer);
            for pid in pids {
                let pid: u32 = pid.parse().map_err(|_| format!("not a pid: {pid}"))?;
                if pid <= 1 || !holders.contains(&pid) {
                    return Err(format!("it signals {pid}, and the holders are {holders:?}"));
                }
            }
            Ok(())
        }
        ["inuse", "why" | "next" | "free", address] | ["inuse", "free", "--destroy" | "--kill", address] => {
            let parsed = written::parse(address).map_err(|error| format!("{address}: {error}"))?;
            let asked = &answer.diagnosis.attempt.address;
            let same = match (&parsed.wanted()[..], asked) {
                ([written::Wanted::Unix { name, .. }], Address::Unix { name: asked, .. }) => name == asked,
                (
                    [written::Wanted::Inet { transport, host: written::Host::Ip { ip, .. }, port, .. }],
                    Address::Inet { transport: asked, local, .. },
                ) => (transport, *ip, *port) == (asked, local.ip(), local.port()),
                _ => false,
            };
            if same { Ok(()) } else { Err(format!("{address} is not what was asked for, {asked}")) }
        }
        // Mending a live server is played in full by the tests of options.
        ["inuse", "opts", address, "SO_REUSEADDR=1"] => {
            let known = blockers(answer).iter().any(|socket| socket.address.to_string() == *address);
            if known { Ok(()) } else { Err(format!("{address} is not in the way")) }
        }
        ["sysctl", "-w", setting] if setting.starts_with("net.") && setting.contains('=') => Ok(()),
        ["setcap", "cap_net_bind_service=+ep", "PROGRAM"] => Ok(()),
        ["ls", "-ld", "--", path] | ["mkdir", "-p", path] if path.starts_with('/') => Ok(()),
        ["ip", "-brief", "address"] => Ok(()),
        _ => wrong(),
    }
}

/// What a command shows is what a shell makes of it, whatever the words.
pub(crate) fn words_survive() -> Result<(), Failed> {
    let every_byte: Vec<u8> = (1..=255).collect();
    let mut commands: Vec<Command> = vec![
        Command(vec![b"x".to_vec(), every_byte, b"".to_vec(), b"\n".to_vec(), b"a\n\n".to_vec()]),
        Command::new([
            "%s",
            "a%sb",
            "\\",
            "\\n",
            "a\\\x01",
            "'",
            "''",
            "\x1b'\"$(id)`id`",
            "-n",
            "~root",
            "a b",
        ]),
        Command(vec![b"\xff\xfe".to_vec(), "\u{202e}\u{200b}x".into(), b"\x0112".to_vec(), b"!!".to_vec()]),
    ];
    for known in inuse_rules::known::HOLDERS {
        commands.extend(known.commands.iter().map(|words| Command::new(words.iter().copied())));
    }
    // Our own command reads back the addresses that it prints.
    let words = commands.iter().flat_map(|command| &command.0);
    // As much as fits into an address.
    for word in words.flat_map(|word| word.chunks(100)) {
        let path = UnixName::Path([&b"/r"[..], word].concat());
        for name in [path, UnixName::Abstract(word.to_vec())] {
            let address = Address::Unix { kind: UnixKind::Stream, name: name.clone() };
            let read = written::parse(&address.to_string()).map(|read| read.target);
            if !matches!(&read, Ok(Target::Unix { name: read, .. }) if *read == name) {
                return Err(format!("{address} is read as {read:?}").into());
            }
        }
    }
    for command in commands {
        let line = command.to_string();
        if line.chars().any(|c| c != '\n' && inuse_rules::address::deceives(c)) {
            return Err(format!("what it shows deceives: {line:?}").into());
        }
        for shell in ["sh", "bash"].into_iter().filter(|shell| on_path(shell)) {
            let script = format!("printf '%s\\0' {line}");
            let output = std::process::Command::new(shell).args(["-c", &script]).output()?;
            let expect: Vec<u8> = command.0.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
            if output.stdout != expect {
                return Err(
                    format!("{shell} makes {:?} of {line}", String::from_utf8_lossy(&output.stdout)).into()
                );
            }
        }
    }
    Ok(())
}
