//! Step by step: for each its sentence, its drawing, the sockets behind it as a table, and all of that in words for
//! who does not see the drawing; and what the drawing means.

use super::answer::diagnosis;
use super::cast::{self, Cast};
use super::ladder::{self, Ladder, Strip, is_short};
use super::prose;
use super::svg::text as esc;
use crate::render::lab::text::{carried, end_of, passed};
use crate::render::lab::{Played, short};
use inuse_lab::play::{Acted, Moment, Told};
use inuse_rules::socket::State;
use std::fmt::Write as _;

/// The most lanes that a ladder beside its sentences can have.
const BESIDE: usize = 5;

/// The ladder, with the sentence and the calls of each step.
pub(super) fn steps(out: &mut String, played: &Played, cast: &Cast) {
    let moments = &played.moments;
    if moments.is_empty() {
        return;
    }
    out.push_str("<section id=\"ladder\" aria-labelledby=\"ladder-h\"><h2 id=\"ladder-h\">Step by step</h2>");
    legend(out, moments);
    let fits = cast.columns.len() <= 3 && cast.lanes() <= BESIDE;
    let _ = write!(out, "<div class=\"{}\">", if fits { "beside" } else { "below" });
    let mut wide = Ladder::new(moments, cast, ladder::Shape::WIDE);
    let folded = cast.folded();
    let few = if cast.lanes() > ladder::Shape::LANES { &folded } else { cast };
    let mut narrow = Ladder::new(moments, few, ladder::Shape::NARROW);
    for (index, moment) in moments.iter().enumerate() {
        let (title, desc) = (format!("Step {}", moment.number), told(moment));
        let (wide, narrow) = (wide.strip(index, &title, &desc), narrow.strip(index, &title, &desc));
        step(out, moment, &wide, &narrow);
    }
    out.push_str("</div></section>\n");
}

fn step(out: &mut String, moment: &Moment, wide: &Strip, narrow: &Strip) {
    let again = is_short(moment);
    let number = moment.number;
    let class = if again { "step again" } else { "step" };
    let _ = write!(out, "\n<section class=\"{class}\" id=\"step-{number}\"><div class=\"head\">");
    if !again {
        let _ = write!(
            out,
            "<h3><a class=\"n\" href=\"#step-{number}\" aria-label=\"Step {number}\" style=\"display:block\">{number}</a></h3><div>"
        );
        let times = match moment.told {
            Told::Round { of, .. } => format!(" (The first of {of} times.)"),
            _ => String::new(),
        };
        let _ = write!(out, "<p class=\"says\">{}{times}</p>", prose(&moment.says));
        match &moment.told {
            Told::Why { report, expected, as_told } => {
                diagnosis(out, &report.diagnosis);
                if !as_told {
                    let _ = write!(
                        out,
                        "<p class=\"alarm\">The scene says that the cause is {expected}; on this machine it came out as {}.</p>",
                        report.diagnosis.cause
                    );
                }
            }
            Told::Waited { at, passed, at_least, at_most, .. } => {
                let _ = write!(
                    out,
                    "<p><span class=\"word ok\">{} could be bound after {:.1} s</span> (from {at_least} to {at_most} s were expected).</p>",
                    esc(&at.to_string()),
                    passed.as_secs_f64()
                );
            }
            _ => {}
        }
        if let Some(last) = moment.acts.last() {
            table(out, last);
        }
        out.push_str("</div>");
    }
    let _ = write!(
        out,
        "</div><div class=\"draw wide\">{}{}</div><div class=\"draw narrow\">{}</div></section>",
        wide.svg, wide.more, narrow.svg
    );
}

/// Every socket after a step.
fn table(out: &mut String, last: &Acted) {
    if last.ends.is_empty() {
        return;
    }
    out.push_str(
        "<details><summary>What the kernel shows now</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Sockets\"><table><thead><tr><th>whose</th><th>local address</th><th>other end</th><th>state</th>\
         <th>Recv-Q</th><th>Send-Q</th><th>timer</th><th>open in</th></tr></thead><tbody>",
    );
    for seen in &last.ends {
        let end = &seen.end;
        let timer = end.timer_ms.map_or_else(String::new, |ms| format!("{} s", ms.div_ceil(1000)));
        let open = if end.held_by.is_empty() { "no process".to_owned() } else { end.held_by.join(", ") };
        let cells = [
            &seen.whose[..],
            short(&end.local),
            end.remote.as_deref().unwrap_or("-"),
            end.state.name(),
            &end.recv_q.to_string(),
            &end.send_q.to_string(),
            &timer,
            &open,
        ];
        out.push_str("<tr>");
        for cell in cells {
            let _ = write!(out, "<td>{}</td>", esc(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></details>");
}

/// A moment in words, for who does not see the drawing.
fn told(moment: &Moment) -> String {
    let mut out = String::new();
    for acted in &moment.acts {
        let _ = write!(out, "{}: {}. ", acted.who, acted.call);
        for segment in &acted.segments {
            let from = end_of(&segment.from, &segment.to, acted);
            let to = end_of(&segment.to, &segment.from, acted);
            match (from, to) {
                (Some(from), Some(to)) => {
                    let _ = write!(out, "{from} sends {to} {}. ", carried(segment));
                }
                _ => {
                    let _ = write!(out, "{}. ", passed(segment, acted));
                }
            }
        }
        for seen in acted.ends.iter().filter(|seen| seen.before != Some(seen.end.state)) {
            let before = seen.before.map_or("CLOSED", State::name);
            let (whose, now) = (&seen.whose, seen.end.state.name());
            let _ = write!(out, "{whose}, {}: from {before} to {now}. ", short(&seen.end.local));
        }
        for gone in &acted.gone {
            let _ =
                write!(out, "{}, {}: from {} to CLOSED. ", gone.whose, short(&gone.local), gone.state.name());
        }
    }
    if let Told::Why { report, .. } = &moment.told {
        let _ = write!(out, "{} The cause is {}.", report.diagnosis.summary, report.diagnosis.cause);
    }
    if out.is_empty() { "Nothing changes.".into() } else { out.trim_end().to_owned() }
}

/// What the colours, lines and signs mean: those that there are.
fn legend(out: &mut String, moments: &[Moment]) {
    let ends = || moments.iter().flat_map(|moment| &moment.acts).flat_map(|acted| &acted.ends);
    let meanings = [
        ("bound", "has its address"),
        ("listen", "waits for clients"),
        ("open", "a connection is open, or being opened"),
        ("first", "closed first"),
        ("second", "the other side closed first"),
        ("wait", "closed; the kernel keeps the addresses"),
    ];
    out.push_str("<ul class=\"legend\" aria-label=\"What the drawing means\">");
    for (class, meaning) in meanings {
        let names: Vec<&str> = State::ALL
            .into_iter()
            .filter(|state| cast::class(*state) == class && ends().any(|seen| seen.end.state == *state))
            .map(State::name)
            .collect();
        if !names.is_empty() {
            let _ = write!(
                out,
                "<li><svg aria-hidden=\"true\" width=\"18\" height=\"14\"><rect class=\"band {class}\" x=\"1\" y=\"1\" \
                 width=\"16\" height=\"12\" rx=\"3\"/></svg>{}: {meaning}</li>",
                names.join(", ")
            );
        }
    }
    if ends().any(|seen| seen.end.inode == 0) {
        out.push_str(
            "<li><svg aria-hidden=\"true\" width=\"18\" height=\"14\"><rect class=\"band ghost\" x=\"1\" y=\"1\" width=\"16\" \
             height=\"12\" rx=\"3\" fill=\"none\" stroke=\"currentColor\"/></svg>dashed: open in no process</li>",
        );
    }
    for (class, sign, meaning) in [
        ("no", "M5.5 4.5l5 5m0 -5l-5 5", "a bind that is refused"),
        ("ok", "M5 7.2l2.2 2.2l4 -4.6", "a bind or listen that succeeds"),
    ] {
        let _ = write!(
            out,
            "<li><svg aria-hidden=\"true\" width=\"16\" height=\"14\"><g class=\"mark {class} key\"><circle cx=\"8\" cy=\"7\" \
             r=\"6.5\"/><path d=\"{sign}\"/></g></svg>{meaning}</li>"
        );
    }
    out.push_str("</ul>");
}
