//! What 'inuse why' answered: the cards at the top of the page, and the answer at its step.

use super::svg::text as esc;
use super::{link, prose};
use crate::render::lab::{Played, question};
use crate::render::wording::verdict;
use inuse_lab::play::{Acted, Moment, Told};
use inuse_rules::Outcome;
use inuse_rules::cure::Cure;
use inuse_rules::diagnosis::Diagnosis;
use std::fmt::Write as _;

/// The verdict, the cause, and what helped.
pub(super) fn answer(out: &mut String, played: &Played) {
    let whys = played.moments.iter().filter_map(|moment| match &moment.told {
        Told::Why { report, .. } => Some((moment, &report.diagnosis)),
        _ => None,
    });
    let whys: Vec<(&Moment, &Diagnosis)> = whys.collect();
    let Some((asked, diagnosis)) = whys.iter().find(|(_, of)| is_refused(of)).or(whys.first()).copied()
    else {
        return;
    };
    let refused = is_refused(diagnosis);
    out.push_str("<div class=\"cards\">");
    let failing = played.moments.iter().take_while(|moment| moment.number < asked.number);
    let failing = failing.flat_map(|moment| moment.acts.iter().map(move |acted| (moment, acted)));
    let failing = failing.filter(|(_, acted)| acted.refused().is_some()).last();
    if let Some((moment, acted)) = failing {
        let _ = write!(
            out,
            "<section class=\"card no\"><h2>✗ The bind that fails</h2>{}</section>",
            call(acted, "At", moment)
        );
    }
    let _ = write!(
        out,
        "<section class=\"card why\"><h2>{}</h2><p>{}</p><p><span class=\"word {}\">{}</span><br/>cause: \
         <code>{}</code>, {}</p></section>",
        if refused { "Why" } else { "The answer" },
        esc(&diagnosis.summary),
        if refused { "no" } else { "ok" },
        esc(&verdict(&diagnosis.verdict)),
        diagnosis.cause,
        esc(diagnosis.cause.title()),
    );
    let after = || played.moments.iter().skip_while(|moment| moment.number < asked.number);
    let bound = after().flat_map(|moment| moment.acts.iter().map(move |acted| (moment, acted)));
    let bound: Vec<_> =
        bound.filter(|(_, acted)| acted.bind == Some(None) && acted.call.starts_with("bind(")).collect();
    let helped: Vec<String> = after().filter_map(helped).collect();
    if refused || !bound.is_empty() {
        let (class, heading) = match (refused, bound.is_empty()) {
            (true, false) => ("ok", "✓ What helps"),
            (true, true) => ("why", "What helps"),
            (false, _) => ("ok", "✓ The bind that succeeds"),
        };
        let _ = write!(out, "<section class=\"card {class}\"><h2>{heading}</h2>");
        for helped in &helped {
            let _ = write!(out, "<p>{helped}</p>");
        }
        if let Some((moment, acted)) = bound.first() {
            out.push_str(&call(acted, "It succeeds at", moment));
        }
        out.push_str("</section>");
    }
    out.push_str("</div>\n");
}

/// A call, and at which step it was made.
fn call(acted: &Acted, at: &str, moment: &Moment) -> String {
    let (who, call) = (esc(&acted.who), esc(&acted.call));
    format!("<p><code>{who}: {call}</code></p><p>{at} {}.</p>", link(moment.number))
}

fn is_refused(diagnosis: &Diagnosis) -> bool {
    diagnosis.verdict.outcome != Outcome::Ok
}

/// What was done about it in a moment, if that is what the moment is about.
fn helped(moment: &Moment) -> Option<String> {
    match &moment.told {
        Told::Cure(cure) => {
            let typed = moment.acts.iter().map(|acted| format!("<br/><code>{}</code>", esc(&acted.call)));
            Some(format!("{}{}", esc(&cure.says), typed.collect::<String>()))
        }
        Told::Change | Told::NoCure => Some(prose(&moment.says)),
        Told::Waited { at, passed, .. } => Some(format!(
            "<code>{}</code> could be bound after {:.0} s.",
            esc(&at.to_string()),
            passed.as_secs_f64()
        )),
        _ => None,
    }
}

/// The answer, as 'inuse why' gives it.
pub(super) fn diagnosis(out: &mut String, of: &Diagnosis) {
    let refused = is_refused(of);
    let class = if refused { "no" } else { "ok" };
    let _ = write!(
        out,
        "<div class=\"told\"><p><code>{}</code></p><p>{}</p><p><span class=\"word {class}\">{}</span>; cause: \
         <code>{}</code></p>",
        esc(&question(&of.attempt)),
        esc(&of.summary),
        esc(&verdict(&of.verdict)),
        of.cause
    );
    if refused && of.attempt.address.inet().is_some() {
        out.push_str("<ul>");
        for (option, answer) in [("SO_REUSEADDR", &of.reuseaddr), ("SO_REUSEPORT", &of.reuseport)] {
            let _ = write!(out, "<li>with {option}: {}</li>", esc(&verdict(answer)));
        }
        out.push_str("</ul>");
    }
    if refused && !of.cures.is_empty() {
        out.push_str("<p>What helps:</p><ol>");
        of.cures.iter().for_each(|cure| self::cure(out, cure));
        out.push_str("</ol>");
    }
    out.push_str("</div>");
}

fn cure(out: &mut String, cure: &Cure) {
    let _ = write!(out, "<li>{}", esc(&cure.says));
    for command in &cure.commands {
        let _ = write!(out, "<br/><code>{}</code>", esc(&command.to_string()));
    }
    out.push_str("</li>");
}
