//! Where text goes: data to stdout, talk to stderr. Colour disappears by itself where NO_COLOR, a pipe or
//! `--no-color` asks for that, and a reader that went away is no error.
//!
//! How wide text is set is decided here for every verb: a terminal says it itself; where stdout is none, `COLUMNS`
//! does, which watch(1) sets for what it runs; and where nobody does, tables are as wide as they are.

use crate::exit::ExitStatus;
use crate::mistyped;
use anstream::{AutoStream, ColorChoice};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};

/// How wide prose is set where nothing says how wide, and at most.
const MAX_WIDTH: usize = 100;
/// Narrower terminals wrap by themselves.
const MIN_WIDTH: usize = 40;

/// The two streams of the command.
pub struct Output {
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    columns: Option<usize>,
    failed: Option<io::Error>,
    /// Columns of the line that is rewritten in place, 0 for none.
    status: usize,
}

impl Output {
    /// The streams of this process.
    pub fn new(no_color: bool) -> Output {
        let (out, err) = (io::stdout(), io::stderr());
        let choice = |automatic| if no_color { ColorChoice::Never } else { automatic };
        let (out_choice, err_choice) = (choice(AutoStream::choice(&out)), choice(AutoStream::choice(&err)));
        Output {
            columns: columns(terminal_width(), std::env::var_os("COLUMNS").as_deref()),
            out: AutoStream::new(out, out_choice),
            err: AutoStream::new(err, err_choice),
            failed: None,
            status: 0,
        }
    }

    /// Columns that prose may take.
    pub fn width(&self) -> usize {
        self.columns.unwrap_or(MAX_WIDTH).min(MAX_WIDTH)
    }

    /// Columns that a table may take; none where it may take what it needs.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Data, to stdout. A failure is kept for the end.
    pub fn data(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }

    /// A line of talk that the next one overwrites, only where a person sees it at once. It holds no
    /// foreign text, is not longer than the terminal is wide, and an empty one takes it away.
    pub fn status(&mut self, line: &str) {
        if (line.is_empty() && self.status == 0) || !io::stderr().is_terminal() {
            return;
        }
        let line: String = line.chars().take(self.width() - 1).collect();
        let columns = line.chars().count();
        // Spaces, since a stream without colours takes escapes out.
        let old = self.status.saturating_sub(columns);
        let _ = write!(self.err, "\r{line}{:old$}\r{line}", "");
        let _ = self.err.flush();
        self.status = columns;
    }

    /// A line of talk, to stderr. Nobody is left to be told when that fails.
    pub fn say(&mut self, line: &str) {
        self.status("");
        let _ = writeln!(self.err, "inuse: {line}");
    }

    /// Lines of talk as they are, wherever they go.
    pub fn lines(&mut self, lines: &str) {
        let _ = self.err.write_all(lines.as_bytes()).and_then(|()| self.err.flush());
    }

    /// More lines of talk, only where a person sees them at once.
    pub fn show(&mut self, lines: &str) {
        if io::stderr().is_terminal() {
            for line in lines.lines() {
                let _ = writeln!(self.err, "  {line}");
            }
        }
    }

    /// Makes data that was given so far visible.
    pub fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }

    /// Writes out what is left and says how the run ends: a closed pipe changes nothing, another failure
    /// of stdout means that the answer did not arrive.
    pub fn finish(mut self, status: ExitStatus) -> ExitStatus {
        let flushed = self.out.flush();
        match self.failed.take().or(flushed.err()) {
            None => status,
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Success,
            Some(error) => {
                self.say(&format!("stdout cannot be written: {error}"));
                ExitStatus::InUse
            }
        }
    }
}

/// Columns of the terminal that stdout is, if it is one and knows.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// How wide text may be. The terminal knows better than `COLUMNS`, which was right when somebody exported it.
fn columns(terminal: Option<usize>, exported: Option<&OsStr>) -> Option<usize> {
    let exported = || exported?.to_str()?.trim().parse().ok().filter(|&columns: &usize| columns > 0);
    terminal.or_else(exported).map(|columns| columns.max(MIN_WIDTH))
}

/// Answers a command line that clap did not accept, or one that asks for help: one clear line for the
/// former.
pub fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitStatus {
    let mut output = Output::new(false);
    if !error.use_stderr() {
        output.data(&error.render().ansi().to_string());
        return output.finish(ExitStatus::Success);
    }
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    // "Usage: inuse ctl [OPTIONS] …", which a wrong value comes without.
    let usage = text.split("Usage: ").nth(1).unwrap_or_default();
    let is_verb = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let verbs: Vec<&str> = usage.split_whitespace().take_while(is_verb).collect();
    let command = match mistyped::verb(arguments) {
        _ if !verbs.is_empty() => verbs.join(" "),
        Some(verb) => format!("inuse {verb}"),
        None => "inuse".to_owned(),
    };
    output.say(&format!(
        "{}; '{command} --help' shows what there is",
        inuse_rules::address::escape(line.as_bytes())
    ));
    output.finish(ExitStatus::WrongWords)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_says_how_wide_it_is_and_else_columns_does() {
        let check = |terminal: Option<usize>, exported: Option<&str>, expect: Option<usize>| {
            assert_eq!(columns(terminal, exported.map(OsStr::new)), expect, "{terminal:?} {exported:?}");
        };
        check(None, None, None);
        check(None, Some("132"), Some(132));
        check(None, Some(" 132\n"), Some(132));
        check(Some(72), Some("132"), Some(72));
        check(Some(300), None, Some(300));
        check(Some(3), None, Some(MIN_WIDTH));
        check(None, Some("1"), Some(MIN_WIDTH));
        for nonsense in ["", "0", "-1", "wide", "1e3", "99999999999999999999999"] {
            check(None, Some(nonsense), None);
        }
    }
}
