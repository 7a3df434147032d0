//! Which machine, how busy, and which versions: without that a figure means nothing.

use super::sample::Samples;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What was there before the measurement began.
#[derive(Debug)]
pub(super) struct Machine {
    load: String,
    processes: usize,
}

/// A program whose version stands in a paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    /// What prints its version.
    pub(super) version: &'static str,
}

impl Machine {
    /// To be looked at before anything is staged.
    pub(super) fn before() -> Machine {
        Machine { load: load(), processes: processes() }
    }

    /// A paragraph: the day, the machine, its load before and after, the programs.
    pub(super) fn paragraph(&self, samples: &[&[Samples]], absent: &[&str]) -> String {
        let mut programs: Vec<Program> = Vec::new();
        for Samples { tool, path, .. } in samples.iter().flat_map(|samples| samples.iter()) {
            let program = Program { name: tool.program, path: path.clone(), version: tool.version };
            if !programs.contains(&program) {
                programs.push(program);
            }
        }
        self.about(&programs, absent)
    }

    /// The same with any programs.
    pub(super) fn about(&self, programs: &[Program], absent: &[&str]) -> String {
        let day = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
        let kernel = read("/proc/sys/kernel/osrelease");
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("processor unknown", |(_, model)| model);
        let count = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = read("/proc/meminfo");
        let memory: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
        let build = if cfg!(debug_assertions) { ", **a debug build: its figures mean nothing**" } else { "" };
        let mut text = format!(
            "{day}, Linux {kernel}, {count} × {model}, {} GiB; load average (1, 5, 15 minutes) {} before and {} after, \
             {} other processes{build}.",
            memory / (1024 * 1024),
            self.load,
            load(),
            self.processes,
        );
        let mut words: Vec<String> = Vec::new();
        if !programs.is_empty() {
            let versions =
                programs.iter().map(|program| version(&program.path, program.version, program.name));
            words.push(versions.collect::<Vec<_>>().join(", "));
        }
        let mut absent = absent.to_vec();
        absent.sort_unstable();
        absent.dedup();
        if !absent.is_empty() {
            words.push(format!("not installed: {}", absent.join(", ")));
        }
        if !words.is_empty() {
            text.push_str(&format!(" {}.", words.join("; ")));
        }
        text.push('\n');
        text
    }
}

/// The three averages.
fn load() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Processes that /proc shows, this one not counted.
fn processes() -> usize {
    let numbers = fs::read_dir("/proc").map(|entries| {
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count()
    });
    numbers.unwrap_or(0).saturating_sub(1)
}

/// `ss 6.1.0`: the first word with a digit and a dot in what the program says of itself.
fn version(path: &Path, argument: &str, name: &str) -> String {
    let said = Command::new(path).arg(argument).stdin(Stdio::null()).env("LC_ALL", "C").output();
    let said = said.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let trimmed = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    let mut words = said.split([' ', '\n', ',', '\t']).map(trimmed);
    let is_version = |word: &String| {
        let plain = word.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-');
        plain.starts_with(|c: char| c.is_ascii_digit()) && plain.contains('.')
    };
    words.find(is_version).map_or(name.to_owned(), |version| {
        let plain = version.trim_start_matches("iproute2-").to_owned();
        format!("{name} {plain}")
    })
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
