//! `--save` and `--snapshot`: an answer given elsewhere is the same answer.

use crate::fixtures;
use crate::json::fits;
use crate::run::inuse;
use inuse_bind::file::{Entry, Saved, save};
use inuse_cli::render::Answer;
use std::path::PathBuf;

/// A name in the temporary directory that this process alone uses; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("inuse-test-{}-{name}.json", std::process::id())))
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn saved(answers: &[Answer]) -> Saved {
    let entry = |answer: &Answer| Entry {
        attempt: answer.diagnosis.attempt.clone(),
        snapshot: inuse_rules::Snapshot::clone(&answer.snapshot),
    };
    Saved { made_by: "test".into(), entries: answers.iter().map(entry).collect() }
}

#[test]
fn a_saved_answer_is_told_again() {
    for (name, answers) in fixtures::all() {
        let file = Scratch::new(name);
        save(&file.0, &saved(&answers)).unwrap();
        fits("inuse.snapshot-1.json", &std::fs::read_to_string(&file.0).unwrap());
        let ran = inuse(&["why", "--snapshot", file.text()]);
        if name == "hostile" {
            continue;
        }
        let expect = format!(
            "Facts saved on 2026-11-20 12:00:00 by test; nothing was asked of this machine.\n\n{}",
            crate::golden::plain(&answers, false)
                .replace("What to do\n", "What to do, on the machine of the snapshot\n")
        );
        assert_eq!(ran.stdout, expect, "{name}");
        assert_eq!(ran.stderr, "", "{name}");
    }
}

#[test]
fn the_exit_code_is_that_of_the_worst_verdict() {
    let check = |name: &str, answers: Vec<Answer>, flags: &[&str], code: i32| {
        let file = Scratch::new(&format!("exit-{name}-{code}"));
        save(&file.0, &saved(&answers)).unwrap();
        let ran = inuse(&[&["why", "--snapshot", file.text()], flags].concat());
        assert_eq!(ran.code, Some(code), "{name} {flags:?}: {}{}", ran.stdout, ran.stderr);
    };
    check("free", fixtures::free(), &[], 0);
    check("listener", fixtures::listener(), &[], 1);
    check("privileged", fixtures::privileged(), &[], 4);
    check("privileged", fixtures::privileged(), &["--as-uid", "root"], 0);
    check("time-wait", fixtures::time_wait_with_the_option(), &[], 1);
    check("time-wait", fixtures::time_wait_with_the_option(), &["--reuseaddr"], 0);
    check("time-wait-without", fixtures::time_wait_without_the_option(), &["--reuseaddr"], 1);
    check("time-wait-unseen", fixtures::time_wait_unseen(), &["--reuseaddr"], 3);
    let mixed = [fixtures::listener(), fixtures::privileged(), fixtures::free()].concat();
    check("mixed", mixed, &[], 4);
    let mixed = [fixtures::privileged(), fixtures::time_wait_unseen(), fixtures::free()].concat();
    check("mixed", mixed, &["--reuseaddr"], 3);
}

#[test]
fn an_address_may_be_asked_of_a_file() {
    let file = Scratch::new("asked");
    save(&file.0, &saved(&fixtures::listener())).unwrap();
    let ran = inuse(&["127.0.0.1:8080", "--snapshot", file.text()]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("\nnode (pid 4412)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("wildcard-vs-specific"), "{}", ran.stdout);
    // Nothing is known there of another port.
    let ran = inuse(&["127.0.0.1:9090", "--snapshot", file.text()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    let line = "inuse: the snapshot says nothing of tcp/127.0.0.1:9090; it holds tcp/0.0.0.0:8080 and tcp/[::]:8080\n";
    assert_eq!(ran.stderr, line);
    // The view for programs says where the facts come from, too.
    let ran = inuse(&["--json", "--snapshot", file.text()]);
    fits("inuse.why-1.json", &ran.stdout);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["saved"], serde_json::json!({"by": "test", "at_ms": 1_795_176_000_000_u64}));
}

#[test]
fn a_file_is_never_overwritten() {
    let file = Scratch::new("twice");
    let port = crate::live::free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    let first = inuse(&["why", &address, "--save", file.text()]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stderr, format!("inuse: the facts are saved in {}\n", file.text()));
    fits("inuse.snapshot-1.json", &std::fs::read_to_string(&file.0).unwrap());
    let second = inuse(&["why", &address, "--save", file.text()]);
    assert_eq!((second.code, second.stdout.as_str()), (Some(2), ""));
    assert!(second.stderr.contains("exists and is not overwritten"), "{}", second.stderr);
}

#[test]
fn a_hostile_file_is_one_line() {
    let file = Scratch::new("bad");
    for text in [
        "",
        "{",
        "[]",
        "\u{1b}[2J",
        r#"{"schema":"inuse.snapshot/2"}"#,
        r#"{"schema":"inuse.snapshot/1","made_by":"","entries":[]}"#,
    ] {
        std::fs::write(&file.0, text).unwrap();
        let ran = inuse(&["80", "--snapshot", file.text()]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{text}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
    }
}
