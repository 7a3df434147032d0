//! The view for people: the answer in a sentence, who it is, the evidence, what the options would change,
//! what to do, and what could not be seen.
//!
//! The text carries colours; the stream takes them out where they are not wanted, and nothing is said by
//! colour alone. Everything that another process chose is escaped, commands are quoted for a shell, and a
//! command or a table row is never broken over lines.

mod facts;
mod owners;

use super::Answer;
use super::rows::{Row, table};
use super::wording::{self, list};
use super::wrap::{hanging, wrapped};
use crate::exit::ExitStatus;
use anstyle::{AnsiColor, Style};
use inuse_rules::cure::Cure;
use inuse_rules::explain::snippets;
use inuse_rules::verdict::{Outcome, Verdict};
use inuse_rules::{Attempt, BlindSpot, Cause, Socket};
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// The most rows, owners and addresses that are shown without `-v`.
const FEW: usize = 8;

const HEADING: Style = Style::new().bold();
const SUMMARY: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const UNSURE: Style = AnsiColor::Yellow.on_default();

/// How to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Columns that prose may take.
    pub width: usize,
    /// Every fact.
    pub verbose: bool,
    /// The time zone of the reader.
    pub zone: TimeZone,
    /// What saved the facts, where they come from a file.
    pub saved_by: Option<String>,
}

/// The whole text. Answers that tell the same story are told once.
pub fn text(answers: &[Answer], look: &Look) -> String {
    let mut groups: Vec<Vec<&Answer>> = Vec::new();
    for answer in answers {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same_story(first, answer))) {
            Some(group) => group.push(answer),
            None => groups.push(vec![answer]),
        }
    }
    // Beside an address that is in use, one that is free needs no more than a line.
    let alone = groups.iter().all(|group| group.first().is_some_and(|first| nothing_in_the_way(first)));
    let mut noted = Vec::new();
    let stories: Vec<String> = groups.iter().map(|group| story(group, alone, &mut noted, look)).collect();
    let mut text = origin(answers, look);
    text.push_str(&stories.join("\n"));
    text.push_str(&blind_spots(answers, look));
    text
}

/// The text for who asked for an address and makes no socket: what concerns the program's own socket, and the table
/// of the sockets in the way, are left out.
pub fn refused(answer: &Answer, look: &Look) -> String {
    let mut out = painted(&wrapped(&answer.diagnosis.summary, "", look.width), SUMMARY);
    out.push('\n');
    answer_lines(&mut out, &[answer], look);
    owners::section(&mut out, answer, look);
    let without_source: Vec<Cure> =
        answer.diagnosis.cures.iter().filter(|cure| cure.source.is_none()).cloned().collect();
    cures(&mut out, &without_source, look);
    out.push_str(&blind_spots(std::slice::from_ref(answer), look));
    out
}

/// That the facts are not of this moment, nor of this machine.
fn origin(answers: &[Answer], look: &Look) -> String {
    let Some(saved_by) = &look.saved_by else { return String::new() };
    let taken = answers.first().and_then(|answer| {
        let second = i64::try_from(answer.snapshot.taken_ms / 1000).ok()?;
        let time = jiff::Timestamp::from_second(second).ok()?.to_zoned(look.zone.clone());
        Some(format!(" on {}", time.strftime("%Y-%m-%d %H:%M:%S")))
    });
    let by = wording::foreign(saved_by.as_bytes(), 40);
    let taken = taken.unwrap_or_default();
    let line = format!("Facts saved{taken} by {by}; nothing was asked of this machine.");
    wrapped(&line, "", look.width) + "\n"
}

/// Whether two answers come out the same way because of the same sockets.
fn same_story(a: &Answer, b: &Answer) -> bool {
    let holders = |answer: &Answer| -> Vec<Identity> {
        let sockets = answer.in_the_way().into_iter().filter_map(|index| answer.snapshot.sockets.get(index));
        let mut holders: Vec<Identity> = sockets.map(identity).collect();
        holders.sort();
        holders
    };
    let (mine, theirs) = (holders(a), holders(b));
    let (a, b) = (&a.diagnosis, &b.diagnosis);
    ExitStatus::of(&a.verdict) == ExitStatus::of(&b.verdict)
        && mine == theirs
        && (!mine.is_empty() || (a.cause == b.cause && a.cures == b.cures && a.warnings == b.warnings))
}

type Identity = (String, Option<std::net::SocketAddr>, inuse_rules::State, u64, u64);

fn identity(socket: &Socket) -> Identity {
    (socket.address.to_string(), socket.remote, socket.state, socket.inode, socket.cookie)
}

fn story(group: &[&Answer], alone: bool, noted: &mut Vec<String>, look: &Look) -> String {
    let Some(&first) = group.first() else { return String::new() };
    let mut out = String::new();
    let summary = if group.len() > 1 && nothing_in_the_way(first) {
        format!("{} are free: nothing stands in the way of these binds.", list(&addresses(group), FEW))
    } else {
        first.diagnosis.summary.clone()
    };
    out.push_str(&painted(&wrapped(&summary, "", look.width), SUMMARY));
    if !nothing_in_the_way(first) {
        out.push('\n');
        answer_lines(&mut out, group, look);
        owners::section(&mut out, first, look);
        evidence(&mut out, first, look);
        options(&mut out, group, look);
        cures(&mut out, &first.diagnosis.cures, look);
    } else if alone {
        out.push_str(&if_it_failed(first, look));
    }
    notes(&mut out, group, noted, look);
    if look.verbose {
        facts::section(&mut out, group, look);
    }
    out
}

/// Whether the plain answer is all there is to say.
fn nothing_in_the_way(answer: &Answer) -> bool {
    answer.diagnosis.cause == Cause::Free && answer.in_the_way().is_empty()
}

fn addresses(group: &[&Answer]) -> Vec<String> {
    group.iter().map(|answer| answer.diagnosis.attempt.address.to_string()).collect()
}

fn painted(text: &str, style: Style) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let _ = writeln!(out, "{style}{line}{style:#}");
    }
    out
}

fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{HEADING}{title}{HEADING:#}");
}

fn colour(verdict: &Verdict) -> Style {
    match verdict.outcome {
        Outcome::Ok => GOOD,
        Outcome::Refused(_) => BAD,
        Outcome::Unknown { .. } => UNSURE,
    }
}

/// `tcp/[::]:8080  refused: EADDRINUSE from bind()  cause: dual-stack`, each with its own sentence where
/// it has one.
fn answer_lines(out: &mut String, group: &[&Answer], look: &Look) {
    let addresses = addresses(group);
    let longest = addresses.iter().map(|address| address.chars().count()).max().unwrap_or(0);
    let mut told: Vec<&str> = group.iter().take(1).map(|first| first.diagnosis.summary.as_str()).collect();
    for (answer, address) in group.iter().zip(&addresses) {
        let diagnosis = &answer.diagnosis;
        let style = colour(&diagnosis.verdict);
        let verdict = wording::verdict(&diagnosis.verdict);
        let pad = " ".repeat(longest - address.chars().count());
        let _ = write!(out, "  {address}{pad}  {style}{verdict}{style:#}");
        let mut cause = format!("cause: {}", diagnosis.cause);
        if !diagnosis.also.is_empty() {
            let also: Vec<&str> = diagnosis.also.iter().map(|cause| cause.code()).collect();
            cause.push_str(&format!(" (also: {})", also.join(", ")));
        }
        let columns = [longest, verdict.chars().count(), cause.chars().count()];
        if columns.iter().sum::<usize>() + 6 <= look.width {
            let _ = writeln!(out, "  {cause}");
        } else {
            out.push('\n');
            out.push_str(&hanging(&cause, "      ", "        ", look.width));
        }
        if !told.contains(&diagnosis.summary.as_str()) {
            told.push(&diagnosis.summary);
            out.push_str(&wrapped(&diagnosis.summary, "      ", look.width));
        }
    }
}

/// What to know when a bind failed a moment ago and the address is free now.
fn if_it_failed(answer: &Answer, look: &Look) -> String {
    let attempt = &answer.diagnosis.attempt;
    let port = attempt.address.port();
    if port == Some(0) {
        let chosen = "Port 0 stands for no port: the kernel chooses a free one at bind(), and getsockname() \
                      says which. If your program was refused, ask for the port in its message.";
        return wrapped(chosen, "  ", look.width);
    }
    let gone = "If a program was refused here a moment ago, what stood in its way has gone since: the remains of a \
                closed connection (they last about a minute), a process that was still ending, or another start that \
                came first and failed too.";
    let other = "If it is refused right now, it asks for another address, or runs in another network namespace (a \
                 container): ask for exactly the address in its message.";
    let catch = "To catch it at the moment of failure:";
    let mut out = wrapped(gone, "  ", look.width);
    if port.is_some() {
        out.push_str(&wrapped(other, "  ", look.width));
    }
    out.push_str(&wrapped(catch, "  ", look.width));
    let _ = writeln!(out, "      {COMMAND}YOUR-COMMAND 2>&1 | inuse -{COMMAND:#}");
    out
}

/// The rows of the sockets in the way and of their other ends.
fn evidence(out: &mut String, answer: &Answer, look: &Look) {
    let limit = if look.verbose { usize::MAX } else { FEW };
    let holders = answer.in_the_way();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for socket in holders.iter().take(limit).filter_map(|&index| answer.snapshot.sockets.get(index)) {
        rows.push(Row { socket, mark: alike(socket) });
        if let Some(peer) = answer.peer(socket) {
            rows.push(Row { socket: peer, mark: other_end(answer, peer) });
        }
    }
    if rows.is_empty() {
        return;
    }
    heading(out, "The sockets, as netstat -an would show them");
    out.push_str(&table(&rows, "  "));
    let hidden = holders.iter().skip(limit).filter_map(|&index| answer.snapshot.sockets.get(index));
    match hidden.fold((0, false), |(more, many), socket| (more + socket.count(), many || socket.alike > 0)) {
        (0, _) => {}
        (more, false) => _ = writeln!(out, "  and {more} more; -v shows them all"),
        (more, true) => _ = writeln!(out, "  and {more} more, which differ in their other ends"),
    }
}

/// For how many more sockets a row stands, in words.
fn alike(socket: &Socket) -> String {
    match socket.alike {
        0 => String::new(),
        more => format!("and {more} more like it"),
    }
}

/// "its other end, curl (pid 5001)".
fn other_end(answer: &Answer, peer: &Socket) -> String {
    let mut names = vec!["its other end".to_owned()];
    for holding in peer.owners.holdings().iter().take(FEW) {
        if let Some(process) = answer.snapshot.processes.get(&holding.pid) {
            names.push(format!("{} (pid {})", wording::foreign(&process.comm, 40), process.pid));
        }
    }
    names.join(", ")
}

/// What SO_REUSEADDR and SO_REUSEPORT would change.
fn options(out: &mut String, group: &[&Answer], look: &Look) {
    let inet = |answer: &&&Answer| answer.diagnosis.attempt.address.inet().is_some();
    let tables: Vec<(String, String)> = group
        .iter()
        .filter(inet)
        .map(|answer| (answer.diagnosis.attempt.address.to_string(), option_lines(answer, look)))
        .collect();
    let Some((_, first)) = tables.first() else { return };
    heading(out, "Would an option on your socket help?");
    if tables.iter().all(|(_, lines)| lines == first) {
        out.push_str(first);
    } else {
        for (address, lines) in &tables {
            let _ = writeln!(out, "  {address}");
            out.push_str(lines);
        }
    }
}

fn option_lines(answer: &Answer, look: &Look) -> String {
    let diagnosis = &answer.diagnosis;
    let Attempt { reuseaddr, reuseport, .. } = diagnosis.attempt;
    let mut rows = vec![
        ("no option", &diagnosis.plain),
        ("SO_REUSEADDR", &diagnosis.reuseaddr),
        ("SO_REUSEPORT", &diagnosis.reuseport),
    ];
    if reuseaddr && reuseport {
        rows.push(("both", &diagnosis.verdict));
    }
    let name = |index: usize| match answer.snapshot.sockets.get(index) {
        Some(socket) => format!("the {} of {}", socket.state.name(), socket.address),
        None => "a socket".into(),
    };
    // Where no option changes anything, one reason is enough.
    let (_, plain) = rows[0];
    let idle = rows.iter().all(|(_, verdict)| verdict.outcome == plain.outcome);
    if idle && plain.by().is_empty() {
        rows = vec![("none of them", plain)];
    }
    let mut out = String::new();
    for (label, verdict) in rows {
        let style = colour(verdict);
        let _ = writeln!(out, "  {label:<12}  {style}{}{style:#}", wording::verdict(verdict));
        let reason = wording::reason(verdict, name);
        for text in reason.iter().map(String::as_str).chain(verdict.version_note) {
            out.push_str(&wrapped(text, "                ", look.width));
        }
    }
    out
}

fn cures(out: &mut String, cures: &[Cure], look: &Look) {
    if cures.is_empty() {
        return;
    }
    let there = if look.saved_by.is_some() { ", on the machine of the snapshot" } else { "" };
    heading(out, &format!("What to do{there}"));
    for (number, cure) in cures.iter().enumerate() {
        out.push_str(&hanging(&cure.says, &format!("  {}. ", number + 1), "     ", look.width));
        for command in &cure.commands {
            let _ = writeln!(out, "       {COMMAND}{command}{COMMAND:#}");
        }
        let mut costs = Vec::new();
        if cure.harms != "nobody" {
            costs.push(format!("Could hurt: {}.", cure.harms));
        }
        if let Some(needs) = &cure.needs {
            costs.push(format!("Needs: {needs}."));
        }
        if !costs.is_empty() {
            out.push_str(&wrapped(&costs.join(" "), "     ", look.width));
        }
        for snippet in cure.source.into_iter().flat_map(snippets) {
            let _ = writeln!(out, "       {}", snippet.language);
            for line in snippet.lines {
                let _ = writeln!(out, "         {COMMAND}{line}{COMMAND:#}");
            }
        }
    }
}

/// Warnings, and who listens on the same address in another network namespace; what was noted once is not said again.
fn notes(out: &mut String, group: &[&Answer], noted: &mut Vec<String>, look: &Look) {
    let mut notes: Vec<String> = Vec::new();
    for answer in group {
        let elsewhere = answer.snapshot.elsewhere.iter().take(FEW).map(|elsewhere| {
            let who = answer.snapshot.processes.get(&elsewhere.pid).map_or_else(
                || format!("pid {}", elsewhere.pid),
                |process| format!("{} (pid {})", wording::foreign(&process.comm, 40), process.pid),
            );
            format!(
                "{who} listens on {} in another network namespace ({}); that is no conflict.",
                elsewhere.socket.address, elsewhere.netns
            )
        });
        for note in answer.diagnosis.warnings.iter().cloned().chain(elsewhere) {
            if !notes.contains(&note) && !noted.contains(&note) {
                notes.push(note);
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    heading(out, "Good to know");
    for note in &notes {
        out.push_str(&hanging(note, "  - ", "    ", look.width));
    }
    noted.append(&mut notes);
}

fn blind_spots(answers: &[Answer], look: &Look) -> String {
    let mut spots: Vec<&BlindSpot> = Vec::new();
    for spot in answers.iter().flat_map(|answer| &answer.snapshot.blind) {
        if !spots.contains(&spot) {
            spots.push(spot);
        }
    }
    let mut out = String::new();
    if !spots.is_empty() {
        heading(&mut out, "What could not be seen");
        for spot in spots {
            let text = if spot.remedy.is_empty() {
                format!("{}.", spot.what)
            } else {
                format!("{}; {}.", spot.what, spot.remedy)
            };
            out.push_str(&hanging(&text, "  - ", "    ", look.width));
        }
    }
    out
}
