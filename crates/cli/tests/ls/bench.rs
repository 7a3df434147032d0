//! `inuse-bench` with a small crowd: that every program's answer is right, that a wrong one is noticed, and that the
//! report says so. No time is judged here.

use super::cannot;
use libtest_mimic::{Completion, Failed};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::{env, fs};

const SMALL: [&str; 8] = ["--processes", "20", "--fds", "2000", "--sockets", "400", "--rounds", "2"];

/// A directory that goes when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Result<Directory, Failed> {
        let path = env::temp_dir().join(format!("inuse-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As root and as a user, or what this user may do of it.
pub(super) fn the_report_is_written() -> Result<Completion, Failed> {
    let directory = Directory::new("report")?;
    let report = directory.0.join("benchmarks.md");
    fs::write(&report, "# Benchmarks\n\n## other\n\nstays\n")?;
    let words = |more: &[&str]| -> Vec<String> {
        let report = ["--report", report.to_str().unwrap_or_default()];
        [&SMALL[..], more, &report].concat().iter().map(|&word| word.to_owned()).collect()
    };
    let root = rustix::process::geteuid().is_root();
    let mut runs = vec![("host-as-user", words(&["--as-user"]))];
    if root {
        // Twice: the section is replaced.
        runs.extend([("host", words(&[])), ("host", words(&[]))]);
    }
    for (section, words) in runs {
        let output = bench(&words, None)?;
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(3) && talk.contains("a namespace of its own") {
            return cannot(talk.trim());
        }
        let text = fs::read_to_string(&report)?;
        assert_eq!(output.status.code(), Some(0), "{talk}{text}");
        let (begin, end) = (format!("<!-- inuse-bench: {section} -->"), format!("<!-- end of {section} -->"));
        assert_eq!((text.matches(&begin).count(), text.matches(&end).count()), (1, 1), "{text}");
        assert!(text.starts_with("# Benchmarks\n\n## other\n\nstays\n"), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        for command in ["`inuse why PORT`", "`inuse ls`"] {
            assert!(rows.iter().any(|row| row.contains(command)), "{text}");
        }
        assert!(rows.iter().all(|row| row.ends_with(" 2 of 2 |")), "{text}");
        assert!(text.contains("- met: ") || text.contains("- **missed**: "), "{text}");
        assert!(text.contains("load average") && text.contains("Linux "), "{text}");
    }
    Ok(Completion::Completed)
}

/// A program that names another process than the right one.
pub(super) fn a_wrong_answer_is_seen() -> Result<Completion, Failed> {
    let directory = Directory::new("wrong")?;
    let liar = directory.0.join("fuser");
    fs::write(&liar, "#!/bin/sh\necho 1\n")?;
    for path in [&directory.0, &liar] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let words: Vec<String> =
        SMALL.iter().chain(&["--as-user", "--no-report"]).map(|&word| word.to_owned()).collect();
    let output = bench(&words, Some(&directory.0))?;
    let talk = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && talk.contains("a namespace of its own") {
        return cannot(talk.trim());
    }
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{talk}{text}");
    let row = text.lines().find(|line| line.contains("`fuser PORT/tcp`")).unwrap_or_default();
    assert!(row.ends_with(" 0 of 2 |"), "{text}");
    assert_eq!(text.matches("\nWrong: ").count(), 1, "{text}");
    assert!(text.contains("\nWrong: `fuser PORT/tcp`: port 1"), "{text}");
    Ok(Completion::Completed)
}

fn bench(words: &[String], first_in_path: Option<&PathBuf>) -> Result<Output, Failed> {
    let mut command = inuse_lab::bench::command();
    command.arg("host").args(words).args(["--inuse", env!("CARGO_BIN_EXE_inuse")]);
    if let Some(first) = first_in_path {
        let rest = env::var_os("PATH").unwrap_or_default();
        command.env("PATH", env::join_paths(std::iter::once(first.clone()).chain(env::split_paths(&rest)))?);
    }
    Ok(command.output()?)
}
