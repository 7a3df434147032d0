//! Which machine, how busy, and which versions: without that a figure means nothing.

use super::sample::Samples;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What was there before the measurement began.
#[derive(Debug)]
pub(super) struct Machine {
    load: String,
    processes: usize,
}

impl Machine {
    /// To be looked at before anything is staged.
    pub(super) fn before() -> Machine {
        Machine { load: load(), processes: processes() }
    }

    /// A paragraph: the day, the machine, its load before and after, the programs.
    pub(super) fn paragraph(&self, samples: &[&[Samples]], absent: &[&str]) -> String {
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
             {} other processes{build}. ",
            memory / (1024 * 1024),
            self.load,
            load(),
            self.processes,
        );
        let mut seen: Vec<&str> = Vec::new();
        for samples in samples.iter().flat_map(|samples| samples.iter()) {
            if !seen.contains(&samples.tool.program) {
                let first = if seen.is_empty() { "" } else { ", " };
                text.push_str(&format!(
                    "{first}{}",
                    version(&samples.path, samples.tool.version, samples.tool.program)
                ));
                seen.push(samples.tool.program);
            }
        }
        let mut absent = absent.to_vec();
        absent.sort_unstable();
        absent.dedup();
        if !absent.is_empty() {
            text.push_str(&format!("; not installed: {}", absent.join(", ")));
        }
        text.push_str(".\n");
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
