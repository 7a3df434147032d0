//! A play for who watches it in a terminal: what each side calls, what passes between them, the state of both
//! ends after each step with its place in the diagram of states, why the bind fails, and what helped.

use super::{Played, question, short};
use crate::render::wording;
use crate::render::wrap::{hanging, wrapped};
use anstyle::{AnsiColor, Style};
use inuse_bind::Report;
use inuse_lab::play::{Acted, Ground, Moment, Seen, Told, diagram};
use inuse_lab::stage::Segment;
use inuse_rules::scene::lesson::Play;
use inuse_rules::socket::State;
use std::fmt::Write as _;
use std::net::SocketAddr;

const HEADING: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const STATE: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();

/// The most sockets that are shown after a step.
const FEW: usize = 8;
/// Behind the name of who acts.
const CALLS: &str = "                 ";

/// The beginning: what is played, and where.
pub fn begin(play: Play, ground: &Ground, width: usize) -> String {
    let mut out = format!("{HEADING}{}{HEADING:#}\n\n", play.name());
    out.push_str(&wrapped(play.story(), "", width));
    out.push('\n');
    out.push_str(&wrapped(&self::ground(ground), "", width));
    out
}

/// Where it is played, as a sentence.
pub(super) fn ground(ground: &Ground) -> String {
    match ground {
        Ground::Namespace { of_a_user, .. } => format!(
            "Played by real processes on the real kernel, in {}network and pid namespaces of its own: nothing else on \
             this machine is touched. States are read from sock_diag after each step, segments from the wire.",
            if *of_a_user { "user, " } else { "" }
        ),
        Ground::Loopback { ports: [first, second], why } => format!(
            "This machine gives no namespaces ({why}), so it is played on its own loopback, where the ports {first} and \
             {second} are free and stand for 8080 and 8081. States are read from sock_diag after each step; segments \
             are not recorded. What the kernel keeps of the connections passes within a minute.",
            why = inuse_rules::address::escape(why.as_bytes())
        ),
    }
}

/// One moment.
pub fn moment(moment: &Moment, width: usize) -> String {
    let mut out = String::new();
    match &moment.told {
        Told::Round { number, of } if *number > 1 => return round(moment, *number, *of),
        Told::Waiting { at, passed } if moment.says.is_empty() => {
            return format!("      {:>3} s  {at} is still refused{}\n", passed.as_secs(), timer(moment));
        }
        _ => {}
    }
    out.push('\n');
    let first = format!("{:>3}. ", moment.number);
    if !moment.says.is_empty() {
        out.push_str(&hanging(&moment.says, &first, "     ", width));
    }
    if let Told::Round { of, .. } = moment.told {
        let _ = writeln!(out, "     {FAINT}(the first of {of} times){FAINT:#}");
    }
    for acted in &moment.acts {
        act(&mut out, acted);
    }
    match &moment.told {
        Told::Why { report, as_told, expected } => {
            why(&mut out, report, width);
            if !as_told {
                let line = format!(
                    "The scene says that the cause is {expected}; on this machine it came out as {}.",
                    report.diagnosis.cause
                );
                out.push_str(&wrapped(&line, "       ", width));
            }
        }
        Told::Waited { at, passed, as_told, at_least, at_most } => {
            let style = if *as_told { GOOD } else { BAD };
            let _ = writeln!(
                out,
                "      {style}{at} could be bound after {:.1} s{style:#} (from {at_least} to {at_most} s were expected)",
                passed.as_secs_f64()
            );
        }
        _ => {}
    }
    if let Some(last) = moment.acts.last() {
        ends(&mut out, last, &moment.acts);
    }
    out
}

/// A repetition in one line.
fn round(moment: &Moment, number: u32, of: u32) -> String {
    let bind = moment.acts.iter().find(|acted| acted.bind.is_some());
    let what = bind.or(moment.acts.last()).map_or_else(String::new, |acted| {
        let style = style(acted);
        format!("{} {style}{}{style:#}", acted.who, acted.call)
    });
    let counts = moment.acts.last().map_or_else(String::new, |acted| counted(&acted.ends));
    format!("     {number:>3} of {of}: {what}   {FAINT}{counts}{FAINT:#}\n")
}

/// "2 LISTEN, 3 TIME_WAIT", and what waits in the queues of listeners.
fn counted(ends: &[Seen]) -> String {
    let mut counts: Vec<String> = Vec::new();
    for state in State::ALL {
        let of: Vec<&Seen> = ends.iter().filter(|seen| seen.end.state == state).collect();
        match of.len() {
            0 => {}
            count => {
                let queues: Vec<String> = of.iter().map(|seen| seen.end.recv_q.to_string()).collect();
                let waits = state == State::Listen && of.iter().any(|seen| seen.end.recv_q > 0);
                let queues =
                    if waits { format!(" (Recv-Q {})", queues.join(" and ")) } else { String::new() };
                counts.push(format!("{count} {}{queues}", state.name()));
            }
        }
    }
    counts.join(", ")
}

fn timer(moment: &Moment) -> String {
    let Told::Waiting { at, .. } = &moment.told else { return String::new() };
    let local = format!("tcp/{at}");
    let left = moment.acts.iter().flat_map(|acted| &acted.ends).filter(|seen| seen.end.local == local);
    match left.filter_map(|seen| Some((seen.end.timer_ms?, seen.end.state))).max_by_key(|(ms, _)| *ms) {
        Some((ms, state)) => format!("; the kernel's timer of its {} has {} s left", state.name(), ms / 1000),
        None => String::new(),
    }
}

fn style(acted: &Acted) -> Style {
    match acted.bind {
        Some(Some(_)) => BAD,
        Some(None) => GOOD,
        None => Style::new(),
    }
}

/// A call, what passed because of it, and which states it changed.
fn act(out: &mut String, acted: &Acted) {
    let style = if acted.who == "you" { COMMAND } else { style(acted) };
    let _ = writeln!(out, "      {:<9}  {style}{}{style:#}", acted.who, acted.call);
    for segment in &acted.segments {
        let _ = writeln!(out, "{CALLS}{FAINT}{}{FAINT:#}", passed(segment, acted));
    }
    for seen in acted.ends.iter().filter(|seen| seen.before != Some(seen.end.state)) {
        let before = seen.before.map_or("CLOSED", State::name);
        let now = seen.end.state.name();
        let whose = &seen.whose;
        let _ = writeln!(out, "{CALLS}{whose} {}: {before} -> {STATE}{now}{STATE:#}", short(&seen.end.local));
    }
    for gone in &acted.gone {
        let local = short(&gone.local);
        let _ =
            writeln!(out, "{CALLS}{} {local}: {} -> {STATE}CLOSED{STATE:#}", gone.whose, gone.state.name());
    }
}

/// "client -> server: SYN".
pub(super) fn passed(segment: &Segment, acted: &Acted) -> String {
    let name = |at, to| end_of(at, to, acted).map_or_else(|| at.to_string(), str::to_owned);
    let (from, to) = (name(&segment.from, &segment.to), name(&segment.to, &segment.from));
    format!("{from} -> {to}: {}", carried(segment))
}

/// What a segment is: its flags, and how much it carries.
pub(super) fn carried(segment: &Segment) -> String {
    let data = if segment.bytes > 0 { format!(" and {} bytes", segment.bytes) } else { String::new() };
    format!("{}{data}", segment.flags)
}

/// Whose end of a connection that is: a listener has the same address as what it accepts, and comes last.
pub(super) fn end_of<'a>(at: &SocketAddr, other: &SocketAddr, acted: &'a Acted) -> Option<&'a str> {
    let (local, remote) = (format!("tcp/{at}"), other.to_string());
    let here = || acted.ends.iter().filter(|seen| seen.end.local == local);
    let connected = here().find(|seen| seen.end.remote.as_ref() == Some(&remote));
    let gone = || acted.gone.iter().find(|gone| gone.local == local).map(|gone| gone.whose.as_str());
    connected.map(|seen| seen.whose.as_str()).or_else(gone).or_else(|| Some(&here().next()?.whose[..]))
}

/// Whether a socket has its place in the diagram of TCP's states.
pub(super) fn is_tcp(seen: &Seen) -> bool {
    seen.end.local.starts_with("tcp/")
}

/// Every socket after the step, and the place in the diagram of those about which there is news.
fn ends(out: &mut String, last: &Acted, acts: &[Acted]) {
    let news = |seen: &Seen| {
        acts.iter().any(|acted| acted.ends.iter().any(|other| other.id == seen.id && other.news))
    };
    if last.ends.is_empty() {
        return;
    }
    let _ = writeln!(out, "      {HEADING}the kernel shows now{HEADING:#}");
    let shown = &last.ends[..last.ends.len().min(FEW)];
    let wide =
        |of: &dyn Fn(&Seen) -> String| shown.iter().map(|seen| of(seen).chars().count()).max().unwrap_or(0);
    let (names, places) = (wide(&|seen| seen.whose.clone()), wide(&address));
    for seen in shown {
        let end = &seen.end;
        let mut notes = Vec::new();
        if end.recv_q > 0 {
            notes.push(format!("Recv-Q {}", end.recv_q));
        }
        if end.send_q > 0 && end.remote.is_some() {
            notes.push(format!("Send-Q {}", end.send_q));
        }
        if end.held_by.is_empty() && end.inode == 0 {
            // Elsewhere the timer is the one that sends again.
            let ends = matches!(end.state, State::TimeWait | State::FinWait2);
            let left = end.timer_ms.filter(|_| ends);
            let left = left.map_or_else(String::new, |ms| format!(", {} s left", ms.div_ceil(1000)));
            notes.push(match end.state {
                State::Established | State::CloseWait => "not accepted yet".to_owned(),
                _ => format!("open in no process{left}"),
            });
        } else if end.held_by.len() > 1 {
            notes.push(format!("open in {}", end.held_by.join(" and ")));
        }
        let (whose, address, state) = (&seen.whose, address(seen), end.state.name());
        let (pad, notes) = match notes.join(", ") {
            none if none.is_empty() => (0, none),
            notes => (13_usize.saturating_sub(state.len()), notes),
        };
        let _ = writeln!(
            out,
            "      {whose:<names$}  {address:<places$}  {STATE}{state}{STATE:#}{:pad$}{notes}",
            ""
        );
        if news(seen)
            && let Some(path) = place(seen)
        {
            let _ =
                writeln!(out, "      {:<names$}  {FAINT}{path}: {}{FAINT:#}", "", diagram::says(end.state));
        }
    }
    if let Some(more) = last.ends.len().checked_sub(FEW).filter(|more| *more > 0) {
        let _ = writeln!(out, "      and {more} more: {}", counted(&last.ends));
    }
}

fn address(seen: &Seen) -> String {
    match &seen.end.remote {
        Some(remote) => format!("{} - {remote}", short(&seen.end.local)),
        None => short(&seen.end.local).to_owned(),
    }
}

/// "ESTABLISHED > [CLOSE_WAIT] > LAST_ACK > CLOSED".
pub(super) fn place(seen: &Seen) -> Option<String> {
    if !is_tcp(seen) {
        return None;
    }
    let (names, at) = diagram::path(seen.end.state)?;
    let marked = names
        .iter()
        .enumerate()
        .map(|(i, name)| if i == at { format!("[{name}]") } else { (*name).to_owned() });
    Some(marked.collect::<Vec<_>>().join(" > "))
}

/// The answer, as 'inuse why' gives it, in short.
fn why(out: &mut String, report: &Report, width: usize) {
    let diagnosis = &report.diagnosis;
    let refused = diagnosis.verdict.outcome != inuse_rules::Outcome::Ok;
    let style = if refused { BAD } else { GOOD };
    let _ = writeln!(out, "      {COMMAND}{}{COMMAND:#}", question(&diagnosis.attempt));
    out.push_str(&wrapped(&diagnosis.summary, "        ", width));
    let _ = writeln!(
        out,
        "        {style}{}{style:#}  cause: {HEADING}{}{HEADING:#}",
        wording::verdict(&diagnosis.verdict),
        diagnosis.cause
    );
    if refused && diagnosis.attempt.address.inet().is_some() {
        for (option, verdict) in
            [("SO_REUSEADDR", &diagnosis.reuseaddr), ("SO_REUSEPORT", &diagnosis.reuseport)]
        {
            let _ = writeln!(out, "        with {option}: {}", wording::verdict(verdict));
        }
    }
    for (number, cure) in diagnosis.cures.iter().enumerate().filter(|_| refused) {
        out.push_str(&hanging(&cure.says, &format!("        {}. ", number + 1), "           ", width));
    }
}

/// The end.
pub fn end(played: &Played, width: usize) -> String {
    let mut out = String::new();
    if played.error.is_none()
        && let Play::Lesson(lesson) = played.play
    {
        let _ = writeln!(out, "\n{HEADING}To take home{HEADING:#}");
        out.push_str(&wrapped(lesson.moral, "", width));
    }
    if played.error.is_none() && !played.as_told {
        out.push_str("\nSomething came out otherwise than the scene says; see above.\n");
    }
    out
}

/// How others can look at what is left standing.
pub fn standing(ground: &Ground, width: usize) -> String {
    let mut out = String::from("\n");
    out.push_str(&wrapped("It is left standing. Other tools see it, from another terminal:", "", width));
    for command in looks(ground) {
        let _ = writeln!(out, "  {COMMAND}{command}{COMMAND:#}");
    }
    out
}

/// Commands that look at a play.
pub(super) fn looks(ground: &Ground) -> Vec<String> {
    match ground {
        Ground::Namespace { pid, of_a_user } => {
            let enter = if *of_a_user {
                format!("nsenter -t {pid} -U --preserve-credentials -n")
            } else {
                format!("nsenter -t {pid} -n")
            };
            ["ss -tuxan", "netstat -tuxan", "tcpdump -i lo -n"]
                .iter()
                .map(|look| format!("{enter} {look}"))
                .collect()
        }
        Ground::Loopback { ports: [first, second], .. } => {
            vec![format!(
                "ss -tan '( sport = :{first} or dport = :{first} or sport = :{second} or dport = :{second} )'"
            )]
        }
    }
}
