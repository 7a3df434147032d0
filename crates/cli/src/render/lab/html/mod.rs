//! A play as one page that needs nothing else: no script, no picture, no font from elsewhere. It is made from
//! the same moments as the text and the events.
//!
//! What lives here: the page. What was answered is in `answer`, the steps are in `steps`, who stands where in `cast`,
//! the ladder in `ladder`, the diagram of states in `states`, how shapes and foreign text are written in `svg`, and its looks in `page.css`. It is well-formed
//! XML too.

mod answer;
mod cast;
mod ladder;
mod states;
mod steps;
mod svg;

use super::{Played, text};
use answer::answer;
use cast::Cast;
use inuse_rules::scene::lesson::Play;
use states::Walked;
use std::fmt::Write as _;
use steps::steps;
use svg::text as esc;

/// What the page says of where it was made.
#[derive(Clone, Debug)]
pub struct About {
    /// The date and the time, with their zone.
    pub when: String,
    /// The kernel and the machine.
    pub machine: String,
}

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
