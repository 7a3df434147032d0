//! How wide the table is: what is piped is not cut unless COLUMNS says so, and a terminal knows its width.

use super::pty::{terminal, typed};
use super::ran::Ran;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// A listener whose path makes its row wider than any terminal of these tests.
struct Wide {
    path: String,
    _listener: UnixListener,
}

impl Wide {
    fn new(name: &str) -> Wide {
        let path =
            std::env::temp_dir().join(format!("inuse-ls-{}-{name}-{}", std::process::id(), "w".repeat(40)));
        let listener = UnixListener::bind(&path).expect("a path");
        Wide { path: path.to_str().expect("UTF-8").to_owned(), _listener: listener }
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The line with the headings, which no path pushes aside, and all.
fn head(columns: Option<&str>) -> (usize, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.args(["ls", "-v", "--proto", "unix"]).env_clear();
    let ran = Ran::of(command.envs(columns.map(|columns| ("COLUMNS", columns))));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (ran.stdout.lines().next().unwrap_or_default().chars().count(), ran.stdout)
}

pub(super) fn columns_limits_what_is_piped() {
    let wide = Wide::new("piped");
    for nothing in [None, Some("0"), Some("wide")] {
        let (_, text) = head(nothing);
        assert!(!text.contains("…") && text.contains(&wide.path), "{text}");
        assert!(text.lines().all(|line| !line.starts_with(' ')), "a row is one line: {text}");
    }
    let (columns, text) = head(Some("60"));
    assert!(columns <= 60 && text.lines().nth(1).is_some_and(|line| line.starts_with("    ")), "{text}");
    assert!(text.contains(&wide.path), "an address is never cut: {text}");
}

pub(super) fn a_terminal_knows_better() {
    let wide = Wide::new("terminal");
    let (status, shown) = typed(&["--no-color", "ls", "-v", "--proto", "unix"], Vec::new);
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains(&wide.path), "{shown}");
    for line in shown.lines().filter(|line| !line.starts_with("unix") && !line.starts_with("inuse: ")) {
        assert!(line.chars().count() <= usize::from(terminal::COLUMNS), "{line}");
    }
}
