//! What the tests that ask `why` on a stage have in common: asking as somebody, and getting the whole answer
//! back.
//!
//! The answer comes as a snapshot's file: the asker saves what it saw, and the test draws the conclusions
//! from the file.

use inuse_bind::file::{Entry, Saved, load, save};
use inuse_bind::{Asker, WhyOptions};
use inuse_kernel::netns::NetnsName;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use inuse_rules::scene::{Act, AskedBy, Step};
use inuse_rules::{Attempt, Diagnosis, Snapshot, diagnose};
use libtest_mimic::{Completion, Failed};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The first argument of a run of the test's binary that asks why.
pub(crate) const ASK: &str = "__ask";

/// The longest that an asker may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ignored with a reason, or failed where everything is required.
pub(crate) fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

/// An answer of `why`, and what it rests on.
pub(crate) struct Answer {
    pub(crate) snapshot: Snapshot,
    pub(crate) diagnosis: Diagnosis,
}

/// Asks why on the stage, as somebody. What is asked about is a name that the binary's [`asker`] knows.
pub(crate) fn ask_as(stage: &mut Stage, about: &str, asker: AskedBy) -> Result<Answer, String> {
    let file = Removed(fresh_path("answer"));
    let name = file.0.to_str().ok_or("a temporary directory with a strange name")?;
    match asker {
        AskedBy::User(uid) => {
            let ran = stage.run(uid, Program::Myself, &[ASK, about, name]).map_err(tell)?;
            if ran.code != 0 {
                return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
            }
        }
        AskedBy::Outside => {
            let netns = format!("/proc/{}/ns/net", stage.helper_pid());
            let mut command = Command::new("/proc/self/exe");
            let status = command.args([ASK, about, name, "of", &netns]).status();
            if !status.map_err(|error| error.to_string())?.success() {
                return Err("the asker failed".into());
            }
        }
        AskedBy::Actor(who) => {
            // The actor becomes the one who asks: the same process, with the same descriptors.
            let me = ["/proc/self/exe", ASK, about, name, "for-itself"];
            stage.step(&Step::Does(who, Act::Exec(&me))).map_err(tell)?;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let saved = loop {
        match load(&file.0) {
            Ok(saved) => break saved,
            Err(error) if Instant::now() > deadline => return Err(error.to_string()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let Entry { attempt, snapshot } = saved.entries.into_iter().next().ok_or("an empty answer")?;
    let diagnosis = diagnose(&snapshot, &attempt);
    Ok(Answer { snapshot, diagnosis })
}

/// The role of the asker: what is asked about, the file for the answer, and perhaps `for-itself` (it asks about
/// its own bind), or `of` and a network namespace.
pub(crate) fn asker(find: impl Fn(&str) -> Option<Attempt>) {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, file, options) = match words[..] {
        [name, file] => (name, file, WhyOptions::default()),
        [name, file, "for-itself"] => (name, file, WhyOptions { own_bind: true, ..WhyOptions::default() }),
        [name, file, "of", netns] => {
            let netns = Some(NetnsName::Path(netns.into()));
            (name, file, WhyOptions { netns, ..WhyOptions::default() })
        }
        _ => panic!("other words than an asker's: {words:?}"),
    };
    let attempt = find(name).expect("something to ask about");
    let report = Asker::new(&options).expect("sock_diag").why(&attempt);
    let snapshot = std::sync::Arc::unwrap_or_clone(report.snapshot);
    let entries = vec![Entry { attempt, snapshot }];
    save(Path::new(file), &Saved { made_by: "a test".into(), entries }).expect("a place for the answer");
}

/// A path in the temporary directory that nobody has used yet.
pub(crate) fn fresh_path(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    inuse_lab::scratch_root().join(format!("inuse-{what}-{}-{number}", std::process::id()))
}

/// A file that goes when the test does.
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have come into being.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An error as the text of a failure.
pub(crate) fn tell(error: StageError) -> String {
    error.to_string()
}

/// Whether a program can be found.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).exists()))
}
