//! The model against the kernel: a sample of generated cases with a fixed seed, and the judging of cases
//! from outside.
//!
//! The cases are staged by the program `inuse-conformance`, a process of one thread that moves itself into
//! private namespaces. Where that is not permitted the test is reported as ignored, with the reason; with
//! INUSE_REQUIRE_ALL=1 that is a failure.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_inuse-conformance");

/// The families, and how many cases of each.
const SAMPLES: [(&str, u64); 5] =
    [("tcp", 16_000), ("udp", 6_000), ("port0", 0), ("unix", 0), ("privilege", 0)];

/// Every state in which a TCP socket can stand on a port, as the report names it.
const HOLDING: [&str; 12] = [
    "BOUND",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "FIN_WAIT_2 mini",
    "CLOSE_WAIT",
    "LAST_ACK",
    "CLOSING",
    "TIME_WAIT mini",
];

fn main() {
    let mut trials: Vec<Trial> = SAMPLES
        .into_iter()
        .map(|(family, cases)| {
            let name = format!("the_kernel_and_the_model_agree::{family}");
            Trial::ignorable_test(name, move || agree(family, cases))
        })
        .collect();
    trials.extend([
        Trial::test("lines_from_outside_are_judged", lines_are_judged),
        Trial::test("malformed_lines_name_the_field_and_do_not_stop", malformed_lines),
        Trial::test("a_hundred_thousand_lines_take_less_than_five_seconds", many_lines),
        Trial::test("wrong_words_are_code_2", wrong_words),
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn agree(family: &str, cases: u64) -> Result<Completion, Failed> {
    let output = run(&["run", "--json", "--family", family, "--cases", &cases.to_string()], b"")?;
    if output.status.code() == Some(3) {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return match inuse_lab::all_required() {
            true => Err(format!("could not run: {reason}").into()),
            false => Ok(Completion::ignored_with(reason)),
        };
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let parts = report["parts"].as_array().ok_or("no parts")?;
    let mut played = 0;
    for part in parts {
        let name = &part["part"];
        let number = |field: &str| part[field].as_u64().unwrap_or(0);
        let total = number("cases");
        played += total;
        if number("differed") != 0 {
            return Err(format!("{name}: {} mismatches\n{:#}", number("differed"), part["found"]).into());
        }
        let unknown: u64 =
            part["unknown"].as_object().map_or(0, |u| u.values().filter_map(Value::as_u64).sum());
        // Whether bind() has held a port of the range before: no interface shows that, so many a
        // connect() has no sure answer.
        let limit = if name == "connect" { 30 } else { 1 };
        if unknown * 100 > total * limit {
            return Err(format!("{name}: {unknown} of {total} unknown: {}", part["unknown"]).into());
        }
        if number("unseen") * 500 > total {
            return Err(format!("{name}: {} of {total} with an unseen history", number("unseen")).into());
        }
        if number("refused") * 10 < total {
            return Err(format!("{name}: only {} of {total} were refused", number("refused")).into());
        }
    }
    if family == "tcp" {
        let seen: BTreeSet<&str> = parts
            .iter()
            .filter_map(|part| part["states"].as_object())
            .flatten()
            .map(|(s, _)| s.as_str())
            .collect();
        let expected: BTreeSet<&str> = HOLDING.into_iter().collect();
        if seen != expected {
            return Err(format!("staged {seen:?}, and should have staged {expected:?}").into());
        }
    }
    if played < cases.max(50) {
        return Err(format!("only {played} cases were played").into());
    }
    Ok(Completion::Completed)
}

const EXAMPLE: &str = r#"{"proto":"tcp","sockets":[{"local":"::ffff:127.0.0.1","state":"TIME_WAIT","mini":true,"reuseaddr":true,"reuseport":false,"v6only":false,"uid":1000,"device":null}],"attempt":{"local":"0.0.0.0","reuseaddr":true,"reuseport":false,"v6only":false,"uid":0,"device":null}}"#;

fn lines_are_judged() -> Result<(), Failed> {
    let check = |line: &str, expect: &str| -> Result<(), Failed> {
        let output = run(&["judge"], line.as_bytes())?;
        let answer = String::from_utf8(output.stdout)?;
        if answer.trim_end() != expect || output.status.code() != Some(0) {
            return Err(format!("{line}\n  answered {answer}  and not {expect}").into());
        }
        Ok(())
    };
    check(EXAMPLE, r#"{"errno":null,"at":null,"rule":null,"by":[]}"#)?;
    check(
        &EXAMPLE.replace(r#""reuseaddr":true,"reuseport":false,"v6only":false,"uid":0"#, r#""uid":0"#),
        r#"{"errno":"EADDRINUSE","at":"bind","rule":"new-lacks-reuseaddr","by":[0]}"#,
    )?;
    check(
        r#"{"proto":"tcp","sockets":[{"local":"::1","state":"ESTABLISHED","uid":0}],"attempt":{"local":"0.0.0.0"}}"#,
        r#"{"errno":null,"at":null,"rule":null,"by":[0],"unknown":true,"possible":[null,"EADDRINUSE"],"reason":"socket 0: IPV6_V6ONLY"}"#,
    )?;
    check(
        r#"{"proto":"udp","sockets":[{"local":"127.0.0.1","state":"UNCONN","device":"eth0"},{"local":"0.0.0.0","state":"UNCONN","device":"eth1"}],"attempt":{"local":"127.0.0.1","device":"eth1"},"name":"theirs"}"#,
        r#"{"errno":"EADDRINUSE","at":"bind","rule":"udp-taken","by":[1]}"#,
    )
}

fn malformed_lines() -> Result<(), Failed> {
    let lines = [
        ("{", "not JSON"),
        ("[]", "the line"),
        (r#"{"proto":"sctp","sockets":[],"attempt":{"local":"::"}}"#, "proto"),
        (r#"{"proto":"tcp","attempt":{"local":"::"}}"#, "sockets"),
        (r#"{"proto":"tcp","sockets":[],"attempt":7}"#, "attempt"),
        (r#"{"proto":"tcp","sockets":[],"attempt":{"local":"localhost"}}"#, "attempt.local"),
        (r#"{"proto":"tcp","sockets":[{"state":"LISTEN"}],"attempt":{"local":"::"}}"#, "sockets[0].local"),
        (
            r#"{"proto":"udp","sockets":[{"local":"::","state":"LISTEN"}],"attempt":{"local":"::"}}"#,
            "sockets[0].state",
        ),
        (
            r#"{"proto":"tcp","sockets":[{"local":"::","state":"LISTEN","uid":-1}],"attempt":{"local":"::"}}"#,
            "sockets[0].uid",
        ),
        (r#"{"proto":"tcp","sockets":[],"attempt":{"local":"::","v6only":"yes"}}"#, "attempt.v6only"),
        (r#"{"proto":"tcp","sockets":[],"attempt":{"local":"::","device":[]}}"#, "attempt.device"),
    ];
    let mut input = Vec::new();
    for (line, _) in lines {
        input.extend(line.bytes().chain(*b"\n"));
    }
    input.extend(b"\xff\xfe\n\n");
    input.extend(EXAMPLE.bytes());
    let output = run(&["judge"], &input)?;
    let answers = String::from_utf8(output.stdout)?;
    let answers: Vec<&str> = answers.lines().collect();
    if answers.len() != lines.len() + 2 || output.status.code() != Some(2) {
        return Err(format!("{} answers, {}", answers.len(), output.status).into());
    }
    for ((line, field), answer) in lines.iter().zip(&answers) {
        let answer: Value = serde_json::from_str(answer)?;
        let error = answer["error"].as_str().unwrap_or_default();
        if !error.starts_with(&format!("{field}: ")) {
            return Err(format!("{line}\n  answered {answer}, which does not name {field}").into());
        }
    }
    if !answers.last().is_some_and(|last| last.starts_with(r#"{"errno":null"#)) {
        return Err("the good line behind the malformed ones was not judged".into());
    }
    Ok(())
}

fn many_lines() -> Result<(), Failed> {
    let input = format!("{EXAMPLE}\n").repeat(100_000);
    let start = Instant::now();
    let output = run(&["judge"], input.as_bytes())?;
    let took = start.elapsed();
    let answers = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    if answers != 100_000 || took > Duration::from_secs(5) {
        return Err(format!("{answers} answers in {took:?}").into());
    }
    Ok(())
}

fn wrong_words() -> Result<(), Failed> {
    for words in [&["run", "--cases", "many"][..], &["run", "--family", "sctp"], &["guess"], &[]] {
        let output = run(words, b"")?;
        if output.status.code() != Some(2) || output.stderr.is_empty() {
            return Err(format!("{words:?} ended with {}", output.status).into());
        }
    }
    Ok(())
}

/// Runs the program with that standard input.
fn run(words: &[&str], input: &[u8]) -> Result<Output, Failed> {
    let mut child = Command::new(PROGRAM)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let input = input.to_vec();
    // Both pipes may fill, so the input is written beside the reading of the output.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(output)
}
