//! The README's tutorial, word for word: each command is typed in its terminal, and what it shows is what is written
//! there. Only numbers that differ from run to run (seconds, ports of clients) may be others.
//!
//! It is played as an ordinary user in namespaces of its own, so that its ports are free; a copy of this test is the
//! reader.
#![allow(clippy::print_stdout, reason = "the reader's answer goes to the test that started it")]

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{PipeReader, Read as _, pipe};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

const README: &str = include_str!("../../../../README.md");
/// Long for any of the commands, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    if std::env::args().nth(1).as_deref() == Some("__reader") {
        match read_along() {
            Ok(commands) => println!("{commands} commands"),
            Err(wrong) => println!("{wrong}"),
        }
        return;
    }
    let trials = vec![Trial::ignorable_test("the_tutorial_is_true", the_tutorial_is_true)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn the_tutorial_is_true() -> Result<Completion, Failed> {
    let inside = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        // The loopback interface needs root there; the reader is none, and may press Ctrl+C.
        let reader = "exec env --default-signal=INT unshare --user --map-user=1000";
        let script = format!("ip link set lo up && {reader} {command}");
        unshare.args(["sh", "-c", &script, "sh"]).arg(std::env::current_exe()?).stdin(Stdio::null()).output()
    };
    if !inside("true").is_ok_and(|ran| ran.status.success()) {
        let why = "namespaces of its own are not to be had (unshare, ip)";
        return if inuse_lab::all_required() { Err(why.into()) } else { Ok(Completion::ignored_with(why)) };
    }
    let output = inside("\"$1\" __reader")?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim_end().strip_suffix(" commands").and_then(|count| count.parse::<usize>().ok()) {
        Some(commands) if commands >= 6 => Ok(Completion::Completed),
        _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Types what the section has, block by block; each says in the line before it which terminal it belongs to.
fn read_along() -> Result<usize, String> {
    let section = README.split("\n## ").find(|section| section.starts_with("Live through it"));
    let section = section.ok_or("the README has no tutorial")?;
    let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
    let mut commands = 0;
    for (before, block) in blocks(section) {
        let name =
            before.rfind("erminal ").and_then(|at| before.get(at..)?.split(['*', ':', ',', ' ']).nth(1));
        let terminal = terminals.entry(name.ok_or("a block has no terminal")?).or_default();
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                terminal.must_have_said()?;
                terminal.types(command)?;
                commands += 1;
            } else if line == "^C" {
                terminal.must_have_said()?;
                terminal.interrupt()?;
            } else {
                terminal.expected.push(line.to_owned());
            }
        }
        terminal.must_have_said()?;
    }
    Ok(commands)
}

/// The console blocks of a text, each with what stands before it.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split("```").collect();
    parts.chunks_exact(2).filter_map(|pair| Some((pair[0], pair[1].strip_prefix("console\n")?))).collect()
}

/// One window of the reader's.
#[derive(Default)]
struct Terminal {
    running: Option<(Child, Receiver<Vec<u8>>)>,
    typed: String,
    /// Lines that are written and not yet seen.
    expected: Vec<String>,
}

impl Terminal {
    fn types(&mut self, command: &str) -> Result<(), String> {
        if self.running.is_some() {
            return Err(format!("'{}' still runs when '{command}' is typed", self.typed));
        }
        let told = |error: std::io::Error| format!("{command}: {error}");
        let inuse = Path::new(env!("CARGO_BIN_EXE_inuse")).parent().unwrap_or(Path::new("/"));
        let path = format!("{}:{}", inuse.display(), std::env::var("PATH").unwrap_or_default());
        let (reader, writer) = pipe().map_err(told)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).env("PATH", path).stdin(Stdio::null());
        shell.stdout(writer.try_clone().map_err(told)?).stderr(writer);
        let child = shell.spawn().map_err(told)?;
        // With the shell's command our ends of the pipe go as well: then the reader meets its end.
        drop(shell);
        self.running = Some((child, read_aside(reader)));
        self.typed = command.to_owned();
        Ok(())
    }

    /// Waits until everything that is written has been seen. A command that does not go on must have said no more.
    fn must_have_said(&mut self) -> Result<(), String> {
        let expected = self.expected.join(" ");
        let expected = words(&expected);
        self.expected.clear();
        let Some((child, output)) = &mut self.running else {
            return if expected.is_empty() { Ok(()) } else { Err(format!("who says {expected:?}?")) };
        };
        let mut said = String::new();
        let serves = self.typed.contains(" serve ") && !expected.iter().any(|word| word == "cannot");
        loop {
            if serves && words(&said) == expected {
                return Ok(());
            }
            match output.recv_timeout(PATIENCE) {
                Ok(bytes) => said += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Disconnected) if !serves => break,
                Err(error) => {
                    return Err(format!("'{}': {error}; it says\n{said}, not {expected:?}", self.typed));
                }
            }
        }
        child.wait().map_err(|error| error.to_string())?;
        self.running = None;
        if words(&said) == expected {
            return Ok(());
        }
        Err(format!("'{}' says\n{said}\nand the README has {expected:?}", self.typed))
    }

    /// Ctrl+C ends what runs, and that is no failure.
    fn interrupt(&mut self) -> Result<(), String> {
        let (mut child, _) = self.running.take().ok_or("^C, and nothing runs")?;
        kill_process(Pid::from_child(&child), Signal::INT).map_err(|errno| errno.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("'{}' after Ctrl+C: {status}", self.typed)) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read_aside(mut reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Words, however the lines are broken, with N for numbers of two digits and more that are not the tutorial's own.
fn words(text: &str) -> Vec<String> {
    let number = |digits: &str| {
        let own = digits.len() < 2 || ["127", "12000"].contains(&digits);
        if own { digits.to_owned() } else { "N".to_owned() }
    };
    text.split_whitespace()
        .map(|word| {
            let mut shown = String::new();
            let mut digits = String::new();
            for letter in word.chars().chain([' ']) {
                if letter.is_ascii_digit() {
                    digits.push(letter);
                } else {
                    shown += &number(&std::mem::take(&mut digits));
                    shown.push(letter);
                }
            }
            shown.trim_end().to_owned()
        })
        .collect()
}
