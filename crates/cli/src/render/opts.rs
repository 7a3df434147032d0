//! What `inuse opts` says to people: a table for each socket, groups where there are many, pages on options, the
//! plan and what came of it.

use super::wording::list as joined;
use super::wrap::{hanging, wrapped};
use inuse_keeper::act::options::{
    Again, Deed, Ending, Found, Holder, Look, Outcome, Plan, Reading, Subject, place,
};
use inuse_kernel::options::fresh::Changed;
use inuse_kernel::options::spec::{Preset, Readable, Settable, Spec};
use inuse_kernel::options::value::{Value, show};
use inuse_rules::address::escape;
use std::collections::BTreeMap;

/// The most holders, or sockets of a group, that are named.
const FEW: usize = 4;
/// The most steps that are listed.
const STEPS: usize = 12;
/// The widest value or default in a table.
const WIDEST: usize = 28;

/// How much of what was read is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What is changed, and how many others there are.
    Changed,
    /// What was asked for by name.
    Asked,
}

/// The sockets and their options, a piece at a time: of thousands the whole text would be many times what was read.
/// `columns` is the width to which lines of tables are cut.
pub fn look(look: &Look, shown: Shown, columns: Option<usize>, width: usize, each: &mut dyn FnMut(&str)) {
    if look.in_full || look.found.len() <= FEW {
        for (number, found) in look.found.iter().enumerate() {
            let mut out = String::from(if number == 0 { "" } else { "\n" });
            out.push_str(&heading(found, width));
            match shown {
                Shown::Changed => out.push_str(&brief(&found.readings, columns, width)),
                Shown::Asked => out.push_str(&table(&found.readings, columns)),
            }
            each(&out);
        }
    } else {
        each(&groups(look, shown == Shown::Asked, width));
    }
    if shown == Shown::Changed {
        let hint = "'--all' shows every option of each; a name shows that one: SO_KEEPALIVE.";
        each(&wrapped(hint, "", width));
    }
    each(&besides(look, width));
}

/// The sockets with every option, each read just before it is written; those that were closed meanwhile are left out.
pub fn all(
    look: &Look,
    mut again: Again<'_>,
    columns: Option<usize>,
    width: usize,
    each: &mut dyn FnMut(&str),
) {
    let mut between = "";
    for found in &look.found {
        let Some(readings) = again.read(found) else { continue };
        let mut out = String::from(std::mem::replace(&mut between, "\n"));
        out.push_str(&heading(found, width));
        out.push_str(&hanging(&changes(&readings), "  ", "    ", width));
        out.push_str(&table(&readings, columns));
        each(&out);
    }
    each(&besides(look, width));
}

/// What is changed, in a table, and how many others there are.
fn brief(readings: &[Reading], columns: Option<usize>, width: usize) -> String {
    let is_changed = |reading: &&Reading| matches!(reading.changed, Changed::From(_));
    let changed: Vec<&Reading> = readings.iter().filter(is_changed).collect();
    let mut out = String::from("  Changed, compared with a new socket:");
    if changed.is_empty() {
        out.push_str(" nothing.\n");
    } else {
        let rows = changed.iter().map(|reading| {
            ([reading.spec.name.to_owned(), value(reading), preset(reading)], reading.spec.says)
        });
        out.push('\n');
        out.push_str(&lines(["Option", "Value", "Default"], rows, columns));
    }
    let count = |is: fn(&Changed) -> bool| readings.iter().filter(|reading| is(&reading.changed)).count();
    let others = [
        (count(|changed| *changed == Changed::No), "as in a new socket"),
        (count(|changed| *changed == Changed::Unknown), "of which nothing tells"),
        (count(|changed| *changed == Changed::Fact), "that are no settings"),
    ];
    let others: Vec<String> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, which)| format!("{count} {which}"))
        .collect();
    if !others.is_empty() {
        out.push_str(&hanging(&format!("Not shown: {}.", joined(&others, FEW)), "  ", "    ", width));
    }
    out
}

/// What is out of reach, and what could not be seen.
fn besides(look: &Look, width: usize) -> String {
    let mut out = String::new();
    let unplanned = inuse_keeper::act::options::plan(look, &[], false);
    for note in &unplanned.notes {
        out.push_str(&format!("\n{}", wrapped(note, "", width)));
    }
    for says in unseen(look) {
        out.push_str(&format!("\n{}", wrapped(&says, "", width)));
    }
    out
}

/// What could not be seen, a sentence each.
fn unseen(look: &Look) -> impl Iterator<Item = String> {
    look.blind.iter().map(|spot| format!("Not seen: {}; {}.", spot.what, spot.remedy))
}

/// Nobody has such a socket, as one line.
pub fn nobody(look: &Look, target: &str) -> String {
    let what = match look.subject {
        Subject::Addresses(_) => format!("no process has a socket on {}", escape(target.as_bytes())),
        _ => format!("{} has no sockets", escape(target.as_bytes())),
    };
    let mut notes = inuse_keeper::act::options::plan(look, &[], false).notes;
    notes.extend(unseen(look));
    if notes.is_empty() { what } else { format!("{what}. {}", notes.join(" ")) }
}

fn heading(found: &Found, width: usize) -> String {
    let traits = &found.traits;
    let holders: Vec<String> = found.holders.iter().map(holder).collect();
    hanging(
        &format!(
            "{}: {}, {}, inode {}, cookie {}",
            place(traits),
            traits.kind.name(),
            joined(&holders, FEW),
            traits.inode,
            traits.cookie
        ),
        "",
        "  ",
        width,
    )
}

fn holder(holder: &Holder) -> String {
    let fds: Vec<String> = holder.fds.iter().take(FEW).map(u32::to_string).collect();
    let thread = holder.tid.map_or_else(String::new, |tid| format!(", thread {tid}"));
    format!("fd {} of {} (pid {}{thread})", fds.join(" and "), escape(&holder.comm), holder.pid)
}

/// "Changed, compared with a new socket: SO_REUSEADDR on."
fn changes(readings: &[Reading]) -> String {
    let changed: Vec<String> = readings
        .iter()
        .filter(|reading| matches!(reading.changed, Changed::From(_)))
        .map(|reading| format!("{} {}", reading.spec.name, value(reading)))
        .collect();
    let changed = if changed.is_empty() { "nothing".to_owned() } else { joined(&changed, usize::MAX) };
    format!("Changed, compared with a new socket: {changed}.")
}

fn value(reading: &Reading) -> String {
    match &reading.value {
        Ok(value) => show(reading.spec.form, value),
        Err(_) if reading.spec.readable == Readable::No => "cannot be read".to_owned(),
        Err(errno) => match reading.spec.readable {
            Readable::Disturbs(why) => format!("not asked: {why}"),
            _ => format!("none ({errno})"),
        },
    }
}

fn preset(reading: &Reading) -> String {
    match (&reading.changed, &reading.preset) {
        (Changed::Fact, _) => String::new(),
        (_, Some(preset)) => show(reading.spec.form, preset),
        _ => "not known".to_owned(),
    }
}

fn changed(reading: &Reading) -> &'static str {
    match reading.changed {
        Changed::From(_) => "changed",
        Changed::No => "no",
        Changed::Unknown => "unknown",
        Changed::Fact => "",
    }
}

const HEAD: [&str; 4] = ["Option", "Value", "Default", "Changed"];

fn table(readings: &[Reading], columns: Option<usize>) -> String {
    let rows = readings.iter().map(|reading| {
        let cells =
            [reading.spec.name.to_owned(), value(reading), preset(reading), changed(reading).to_owned()];
        (cells, reading.spec.says)
    });
    lines(HEAD, rows, columns)
}

/// Lines under a heading, a sentence at the end of each.
fn lines<const CELLS: usize>(
    head: [&str; CELLS],
    rows: impl Iterator<Item = ([String; CELLS], &'static str)>,
    columns: Option<usize>,
) -> String {
    let head = (head.map(String::from), "What it does");
    let rows: Vec<([String; CELLS], &str)> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; CELLS];
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count().min(WIDEST));
        }
    }
    let mut out = String::new();
    for (cells, says) in &rows {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!(" {cell:width$} "));
        }
        line.push_str(&format!(" {says}"));
        let line = line.trim_end();
        match columns {
            Some(columns) if line.chars().count() > columns => {
                out.extend(line.chars().take(columns.saturating_sub(1)));
                out.push('…');
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Many sockets: those that say the same stand together.
fn groups(look: &Look, asked: bool, width: usize) -> String {
    let mut groups: BTreeMap<(u8, String, String), Vec<&Found>> = BTreeMap::new();
    for found in &look.found {
        let what = if asked {
            let all: Vec<String> = found
                .readings
                .iter()
                .map(|reading| format!("{} {}", reading.spec.name, value(reading)))
                .collect();
            joined(&all, usize::MAX)
        } else {
            changes(&found.readings)
        };
        let state = found.traits.state.map_or("", |state| state.name());
        let rank = u8::from(state != "LISTEN");
        groups.entry((rank, format!("{} {state}", found.traits.kind.name()), what)).or_default().push(found);
    }
    let mut out = wrapped(&format!("{} sockets", look.found.len()), "", width);
    for ((_, kind, what), members) in &groups {
        let some: Vec<String> = members.iter().map(|found| name(found)).collect();
        let sockets = if members.len() == 1 { "socket" } else { "sockets" };
        out.push_str(&hanging(
            &format!("{} {} {sockets}: {}", members.len(), kind.trim_end(), joined(&some, FEW - 1)),
            "  ",
            "    ",
            width,
        ));
        out.push_str(&hanging(what, "      ", "        ", width));
    }
    out
}

/// A socket as one of many.
fn name(found: &Found) -> String {
    let holder = found.holders.first();
    let fd = holder.and_then(|holder| holder.fds.first()).copied().unwrap_or_default();
    format!("{} (fd {fd} of pid {})", place(&found.traits), holder.map_or(0, |holder| holder.pid))
}

/// Every option, a line each.
pub fn list(specs: &[&'static Spec], columns: Option<usize>) -> String {
    let rows = specs.iter().map(|spec| {
        let set = match spec.settable {
            Settable::Freely => "yes",
            Settable::Forced(_) | Settable::ForcedWhere(..) => "--force",
            Settable::Never(_) => "no",
        };
        let cells =
            [spec.name.to_owned(), spec.level.name().to_owned(), spec.default.to_owned(), set.to_owned()];
        (cells, spec.says)
    });
    lines(["Option", "Level", "Default", "Settable"], rows, columns)
}

/// A page on each option.
pub fn pages(specs: &[&'static Spec], width: usize) -> String {
    specs.iter().map(|spec| page(spec, width)).collect::<Vec<_>>().join("\n")
}

fn page(spec: &Spec, width: usize) -> String {
    let mut out = format!("{}\n", spec.name);
    out.push_str(&wrapped(spec.says, "  ", width));
    out.push('\n');
    let mut fact = |name: &str, text: &str| {
        out.push_str(&hanging(text, &format!("  {name:<9} "), "            ", width));
    };
    fact("level", &format!("{} ({}), option {}", spec.level.name(), spec.level.number(), spec.number));
    if !spec.aliases.is_empty() {
        fact("also", &spec.aliases.join(", "));
    }
    fact("since", &format!("Linux {}", spec.since));
    fact("sockets", &spec.on.says());
    fact("type", &format!("{}; written as {}", spec.form.type_name(), spec.form.written()));
    let words = spec.form.words();
    if !words.is_empty() {
        fact("words", &words.join(", "));
    }
    fact("default", spec.default);
    match spec.readable {
        Readable::Yes => fact("read", "yes"),
        Readable::No => fact("read", "no: the kernel has no way to ask"),
        Readable::Disturbs(why) => fact("read", &format!("never: {why}")),
    }
    match spec.settable {
        Settable::Freely => fact("set", "yes"),
        Settable::Forced(why) => fact("set", &format!("with --force: {why}")),
        Settable::ForcedWhere(_, why) => fact("set", &format!("yes; some values with --force: {why}")),
        Settable::Never(why) => fact("set", &format!("no: {why}")),
    }
    match spec.preset {
        Preset::Moved => fact("changed", "the kernel moves it too, so that another value tells nothing"),
        Preset::Locked(_) => fact("changed", "SO_BUF_LOCK tells whether a program set it (Linux 5.15)"),
        Preset::Fresh | Preset::Fact => {}
    }
    out
}

/// The plan, before the question.
pub fn plan(look: &Look, plan: &Plan, width: usize) -> String {
    let mut out = String::from("To be set, in this order:\n");
    for (number, step) in plan.steps.iter().enumerate() {
        if number >= STEPS && plan.steps.len() > STEPS + 1 {
            let more = plan.steps.len() - number;
            out.push_str(&hanging(&format!("and {more} more of this kind."), "     ", "     ", width));
            break;
        }
        out.push_str(&hanging(&step.says(look), &format!("  {}. ", number + 1), "     ", width));
        if let Some(found) = look.found.get(step.found) {
            let holders: Vec<String> = found.holders.iter().map(holder).collect();
            out.push_str(&hanging(&joined(&holders, FEW), "     ", "     ", width));
        }
    }
    for note in plan.notes.iter().cloned().chain(unseen(look)) {
        out.push_str(&hanging(&note, "  note: ", "        ", width));
    }
    out
}

/// What came of it.
pub fn outcome(look: &Look, plan: &Plan, outcome: &Outcome, width: usize) -> String {
    let mut out = String::new();
    let many = outcome.deeds.len() > 2 * STEPS;
    let mut alike = 0;
    for (number, deed) in outcome.deeds.iter().enumerate() {
        if many && number >= STEPS && matches!(deed.ending, Ending::Set { .. }) {
            alike += 1;
            continue;
        }
        if many && number >= STEPS && deed.ending == Ending::NotTried {
            continue;
        }
        out.push_str(&hanging(&says(deed), "  - ", "    ", width));
    }
    if alike > 0 {
        out.push_str(&hanging(&format!("and {alike} more sockets like these."), "    ", "    ", width));
    }
    let untried = outcome.deeds.iter().filter(|deed| deed.ending == Ending::NotTried).count();
    let set = outcome.deeds.iter().filter(|deed| matches!(deed.ending, Ending::Set { .. })).count();
    out.push_str(&wrapped(
        &match (outcome.failed(), outcome.any_set(), untried) {
            (false, true, _) if outcome.altered() => {
                "Everything that was asked is in force, as the kernel took it.".to_owned()
            }
            (false, true, _) => "Everything that was asked is in force.".to_owned(),
            (false, false, _) => "Nothing is set: the sockets were closed meanwhile.".to_owned(),
            (true, _, 0) => {
                format!("In force: {set}. The last one failed, and nothing else was left to try.")
            }
            (true, _, left) => format!("In force: {set}. After the failure {left} more were not tried."),
        },
        "",
        width,
    ));
    for note in plan.notes.iter().cloned().chain(unseen(look)) {
        out.push_str(&wrapped(&note, "", width));
    }
    out
}

/// "SO_RCVBUF: 131072 bytes → 524288 bytes on …".
fn says(deed: &Deed) -> String {
    let word = |value: &Value| show(deed.spec.form, value);
    let (name, place) = (deed.spec.name, &deed.place);
    match &deed.ending {
        Ending::Set { before, after, remark } => {
            let before = before.as_ref().map_or_else(|| "?".to_owned(), word);
            let after = after.as_ref().map_or_else(|| word(&deed.value), word);
            let remark = remark.as_ref().map(|remark| format!("; {remark}")).unwrap_or_default();
            format!("{name}: {before} → {after} on {place}{remark}.")
        }
        Ending::Gone => format!("{name}: {place} was closed meanwhile (EBADF)."),
        Ending::Failed(_, why) => format!("{name}={}: {why}.", word(&deed.value)),
        Ending::Unproven(why) => format!("{name} on {place}: {why}."),
        Ending::NotTried => format!("{name}={} on {place}: not tried.", word(&deed.value)),
    }
}
