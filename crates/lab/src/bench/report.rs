//! Sections of a Markdown document that belong to a measurement: each stands between two comments, and only
//! what is between them is ever replaced.

use super::bars::times_of;
use super::sample::Samples;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// Puts the section of that name into the document, at its old place or at the end.
///
/// # Errors
/// Where the document cannot be read or written.
pub(super) fn put(path: &Path, name: &str, section: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "# Benchmarks\n".to_owned(),
        other => other.map_err(named)?,
    };
    fs::write(path, with_section(&old, name, section)).map_err(named)
}

fn with_section(old: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- inuse-bench: {name} -->"), format!("<!-- end of {name} -->"));
    let new = format!("{begin}\n{}\n{end}", section.trim_end());
    let there = old.find(&begin).and_then(|from| {
        let rest = old.get(from..)?.find(&end)?;
        Some((old.get(..from)?, old.get(from + rest + end.len()..)?))
    });
    match there {
        Some((before, behind)) => format!("{before}{new}{behind}"),
        None => format!("{}\n\n{new}\n", old.trim_end()),
    }
}

/// `1 round`, `2 rounds`.
pub(super) fn rounds(count: usize) -> String {
    format!("{count} round{}", if count == 1 { "" } else { "s" })
}

/// A row for each program; the first is what the others are compared with.
pub(super) fn table(samples: &[Samples]) -> String {
    let Some(first) = samples.first() else { return String::new() };
    let mut text = format!(
        "| command | median, ms | fastest–slowest | times `{0}` | processor, ms | times `{0}` | peak memory, MiB | \
         right answers |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
        first.tool.typed()
    );
    for (at, samples) in samples.iter().enumerate() {
        let spread = samples.spread();
        let ratio = |spread| if at == 0 { String::new() } else { times_of(spread) };
        let peak = samples.peak.map_or_else(|| "?".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
        let _ = writeln!(
            text,
            "| `{}` | {:.1} | {:.1}–{:.1} | {} | {:.1} | {} | {peak} | {} of {} |",
            samples.tool.typed(),
            spread.median * 1000.0,
            spread.low * 1000.0,
            spread.high * 1000.0,
            ratio(samples.times(first)),
            samples.processor_spread().median * 1000.0,
            ratio(samples.processor_times(first)),
            samples.right,
            samples.seconds.len(),
        );
    }
    text
}

/// What the wrong answers were, a line each.
pub(super) fn wrong_answers(samples: &[&[Samples]]) -> String {
    let mut text = String::new();
    for samples in samples.iter().flat_map(|samples| samples.iter()) {
        if let Some(wrong) = &samples.wrong {
            let _ = writeln!(text, "\nWrong: `{}`: {wrong}", samples.tool.typed());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_section_is_replaced() {
        let once = with_section("# Benchmarks\n\n## wait\nkept\n", "host", "## Host\n1\n");
        assert_eq!(
            once,
            "# Benchmarks\n\n## wait\nkept\n\n<!-- inuse-bench: host -->\n## Host\n1\n<!-- end of host -->\n"
        );
        let two = with_section(&format!("{once}\n## behind\n"), "empty", "e");
        let again = with_section(&two, "host", "## Host\n2");
        assert_eq!(again, two.replace("Host\n1", "Host\n2"));
        assert!(again.contains("## behind\n") && again.contains("kept\n"));
        // Without its end the old one is left alone.
        let broken = with_section("<!-- inuse-bench: host -->\n1\n", "host", "2");
        assert!(broken.starts_with("<!-- inuse-bench: host -->\n1\n\n"), "{broken}");
    }
}
