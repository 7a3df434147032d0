//! Who links this library cannot signal a process or destroy a socket through it, and links no BPF and no seccomp.
//!
//! Two looks: what cargo would build for an application that asks for nothing special, and the source of every
//! crate of this workspace in that tree, where the calls in question are looked for by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What an application gets: the library with its default features, without what tests need.
fn tree(format: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--package", "inuse-bind", "--prefix", "none"]).args(format);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn no_feature_that_acts_is_on() {
    let features = tree(&["--edges", "normal,features"]);
    for forbidden in ["destroy", "bpf", "seccomp", "snapshot-file"] {
        let wanted = format!("feature \"{forbidden}\"");
        assert!(!features.contains(&wanted), "{wanted} is in the tree:\n{features}");
    }
}

#[test]
fn the_tree_is_small() {
    let crates: BTreeSet<String> = tree(&["--edges", "normal"])
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    let expect = ["bitflags", "inuse-bind", "inuse-kernel", "inuse-rules", "libc", "linux-raw-sys", "rustix"];
    assert_eq!(crates.iter().map(String::as_str).collect::<Vec<_>>(), expect);
}

/// Files that belong to features which are off, or to the words of an answer ("kill" is a cure to type).
fn is_compiled(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ![
        "/kernel/src/destroy.rs",
        "/kernel/src/bpf/",
        "/kernel/src/sys/bpf.rs",
        "/kernel/src/hold/",
        "/kernel/src/seccomp",
    ]
    .iter()
    .any(|gated| text.contains(gated))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && is_compiled(&path) {
            found.push(path);
        }
    }
}

#[test]
fn no_call_that_acts_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "../kernel/src"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 40, "the sources are elsewhere: {files:?}");
    let calls = [
        "pidfd_send_signal",
        "kill_process",
        "kill_current_process_group",
        "libc::kill",
        "libc::tgkill",
        "libc::sigqueue",
        "libc::ptrace",
        "SYS_kill",
        "SOCK_DESTROY",
        "SYS_seccomp",
        "process_vm_writev",
        "Command::new(\"kill",
    ];
    for file in files {
        let source = fs::read_to_string(&file).expect("UTF-8");
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            let call = calls.iter().find(|call| line.contains(**call));
            assert_eq!(call, None, "{}: code line {number}: {line}", file.display());
        }
    }
}
