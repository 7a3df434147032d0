//! A play as one page that needs nothing else: no script, no picture, no font from elsewhere. It is made from
//! the same moments as the text and the events.
//!
//! What lives here: the page. Who stands where is in `cast`, the ladder in `ladder`, the diagram of states in
//! `states`, how shapes and foreign text are written in `svg`, and its looks in `page.css`. It is well-formed
//! XML too.

mod cast;
mod ladder;
mod states;
mod svg;

use super::text::{carried, end_of, passed};
use super::{Played, short, text};
use crate::render::wording::verdict;
use cast::Cast;
use inuse_lab::play::{Acted, Moment, Told};
use inuse_rules::Outcome;
use inuse_rules::cure::Cure;
use inuse_rules::diagnosis::Diagnosis;
use inuse_rules::scene::lesson::Play;
use inuse_rules::socket::State;
use ladder::{Ladder, Strip, is_short};
use states::Walked;
use std::fmt::Write as _;
use svg::text as esc;

/// What the page says of where it was made.
#[derive(Clone, Debug)]
pub struct About {
    /// The date and the time, with their zone.
    pub when: String,
    /// The kernel and the machine.
    pub machine: String,
}

/// The most lanes that a ladder beside its sentences can have.
const BESIDE: usize = 5;

/// The page.
pub fn page(played: &Played, about: &About) -> String {
    let cast = Cast::of(&played.moments);
    let mut out = String::from("<!DOCTYPE html>\n");
    let _ = writeln!(
        out,
        "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/><title>{} - inuse lab</title>\n<style>{}</style></head><body><main>",
        esc(played.play.name()),
        include_str!("page.css"),
    );
    head(&mut out, played, about);
    answer(&mut out, played);
    steps(&mut out, played, &cast);
    diagram(&mut out, played, &cast);
    end(&mut out, played, about);
    out.push_str("</main></body></html>\n");
    out
}

fn head(out: &mut String, played: &Played, about: &About) {
    let play = played.play;
    let _ = writeln!(
        out,
        "<header><p class=\"which\"><code>inuse lab {}</code></p><h1>{}</h1>",
        esc(play.name()),
        esc(play.title())
    );
    if play.story() != play.title() {
        let _ = writeln!(out, "<p class=\"story\">{}</p>", prose(play.story()));
    }
    out.push_str("<dl class=\"facts\">");
    let mut fact = |name: &str, value: &str| {
        let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", esc(value));
    };
    fact("Played", &about.when);
    fact("Kernel", &about.machine);
    if let Some(ground) = &played.ground {
        fact("Where", &text::ground(ground));
    }
    out.push_str("</dl></header>\n");
    let wrong = match &played.error {
        Some(error) => Some(format!("It could not be played to its end: {error}")),
        None if !played.as_told => {
            Some("Something came out otherwise than the scene says; see its step.".into())
        }
        None => None,
    };
    if let Some(wrong) = wrong {
        let _ = writeln!(out, "<p class=\"alarm\" role=\"alert\">{}</p>", esc(&wrong));
    }
}

/// The verdict, the cause, and what helped.
fn answer(out: &mut String, played: &Played) {
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
            "<section class=\"card no\"><h2>✗ The bind that fails</h2><p><code>{}: {}</code></p><p>At {}.</p></section>",
            esc(&acted.who),
            esc(&acted.call),
            link(moment.number)
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
            let _ = write!(
                out,
                "<p><code>{}: {}</code></p><p>It succeeds at {}.</p>",
                esc(&acted.who),
                esc(&acted.call),
                link(moment.number)
            );
        }
        out.push_str("</section>");
    }
    out.push_str("</div>\n");
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

fn link(number: usize) -> String {
    format!("<a href=\"#step-{number}\">step {number}</a>")
}

/// Our own prose, in which a word between asterisks or backquotes is set apart.
fn prose(says: &str) -> String {
    let mut out = String::new();
    for (mark, tag) in [('*', "em"), ('`', "code")] {
        let source = if out.is_empty() { esc(says) } else { std::mem::take(&mut out) };
        let parts: Vec<&str> = source.split(mark).collect();
        for (index, part) in parts.iter().enumerate() {
            match index % 2 {
                0 => out.push_str(part),
                _ if index + 1 == parts.len() => {
                    let _ = write!(out, "{mark}{part}");
                }
                _ => {
                    let _ = write!(out, "<{tag}>{part}</{tag}>");
                }
            }
        }
    }
    out
}

/// The ladder, with the sentence and the calls of each step.
fn steps(out: &mut String, played: &Played, cast: &Cast) {
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

/// The answer, as 'inuse why' gives it.
fn diagnosis(out: &mut String, of: &Diagnosis) {
    let refused = is_refused(of);
    let class = if refused { "no" } else { "ok" };
    let _ = write!(
        out,
        "<div class=\"told\"><p><code>inuse why {}</code></p><p>{}</p><p><span class=\"word {class}\">{}</span>; cause: \
         <code>{}</code></p>",
        esc(&of.attempt.address.to_string()),
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

/// The diagram of states, where there is something to see in it.
fn diagram(out: &mut String, played: &Played, cast: &Cast) {
    let Some(walked) = Walked::of(&played.moments) else { return };
    out.push_str("<section id=\"states\" aria-labelledby=\"states-h\"><h2 id=\"states-h\">In the TCP state diagram</h2>");
    out.push_str(
        "<p class=\"prose\">Filled are the states in which the kernel showed a socket, with whose it was and the steps at which it \
         came there; heavy lines are the ways that were seen (● has an address of its own, ■ connects to others). The kernel is \
         asked after each call, so what passes more quickly, as a handshake does, is not seen.</p>",
    );
    let _ = writeln!(
        out,
        "<div class=\"draw wide\">{}</div><div class=\"draw narrow\">{}</div></section>",
        walked.draw(states::Shape::WIDE, cast),
        walked.draw(states::Shape::NARROW, cast)
    );
}

fn end(out: &mut String, played: &Played, about: &About) {
    if let Play::Lesson(lesson) = played.play {
        let _ = writeln!(
            out,
            "<section id=\"moral\"><h2>To take home</h2><p class=\"prose\">{}</p></section>",
            prose(lesson.moral)
        );
    }
    let took = played.moments.last().map_or(0.0, |moment| moment.after.as_secs_f64());
    let _ = writeln!(
        out,
        "<footer><p>Played by inuse {} on {} in {took:.1} s. <code>inuse lab {}</code> plays it again{}.</p></footer>",
        env!("CARGO_PKG_VERSION"),
        esc(&about.when),
        esc(played.play.name()),
        match played.play {
            Play::Lesson(_) => String::new(),
            Play::Scene(scene) =>
                format!(", <code>inuse explain {}</code> says more about its cause", scene.cause),
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_sets_words_apart() {
        let check = |says: &str, expect: &str| assert_eq!(prose(says), expect);
        check("an address *and* a port", "an address <em>and</em> a port");
        check("which `localhost` means", "which <code>localhost</code> means");
        check("2 * 3 < 7", "2 * 3 &lt; 7");
    }
}
