//! `-`: a program in front of the pipe is read to its end, shown, and answered while it still runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

fn reading(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_inuse"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

#[test]
fn a_program_that_keeps_running_is_answered_at_once() {
    for (arguments, expect) in [(&["-"][..], "[::]:1986 is free"), (&["why", "-", "--json"], "{")] {
        let mut child = reading(arguments);
        let mut program = child.stdin.take().unwrap();
        program.write_all(b"\x1b[31mError: EADDRINUSE :::1986\x1b[0m\nwatching for changes").unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut first = String::new();
            stdout.read_line(&mut first).unwrap();
            send.send(first).unwrap();
            stdout.read_to_string(&mut String::new()).unwrap();
        });
        let first = lines.recv_timeout(Duration::from_secs(20)).expect("an answer before the end");
        assert!(first.starts_with(expect), "{first}");
        assert!(child.try_wait().unwrap().is_none(), "it reads on");
        program.write_all(b"\nrestarting\xff\n").expect("a pipe that is read");
        drop(program);
        reader.join().unwrap();
        let mut shown = Vec::new();
        child.stderr.take().unwrap().read_to_end(&mut shown).unwrap();
        let expect = b"\x1b[31mError: EADDRINUSE :::1986\x1b[0m\nwatching for changes\nrestarting\xff\n";
        assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(expect));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn an_error_behind_and_before_a_long_log_is_found() {
    let log = "GET / 200\n".repeat(200_000);
    for text in [format!("{log}bind :1: address already in use\n"), format!("in use: :1\n{log}")] {
        let mut child = reading(&["-", "-"]);
        let mut program = child.stdin.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let shown = std::thread::spawn(move || {
            let mut shown = String::new();
            stderr.read_to_string(&mut shown).unwrap();
            shown
        });
        program.write_all(text.as_bytes()).expect("everything is read");
        drop(program);
        let ran = child.wait_with_output().unwrap();
        let answer = String::from_utf8(ran.stdout).unwrap();
        assert!(answer.contains("tcp/0.0.0.0:1"), "{answer}");
        assert!(shown.join().unwrap() == text, "what is shown is what was printed");
    }
}

#[test]
fn a_file_is_not_shown() {
    let path = std::env::temp_dir().join(format!("inuse-message-{}", std::process::id()));
    std::fs::write(&path, "listen tcp :1: bind: address already in use").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    let ran = command.arg("-").stdin(file).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(String::from_utf8(ran.stdout).unwrap().contains("tcp/0.0.0.0:1"));
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
}
