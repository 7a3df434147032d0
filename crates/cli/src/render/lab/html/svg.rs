//! Drawing: a few shapes as SVG, with their text escaped. Not here: what is drawn.
//!
//! All text is set in a monospaced font, so that its width is known here: nothing is measured by the reader.

use inuse_rules::address::escape;
use std::fmt::Write as _;

/// The width of a character, in parts of the font's size. Courier, Menlo, DejaVu and Liberation agree in it;
/// Consolas is narrower.
const ADVANCE: f64 = 0.603;

/// Foreign text as the text of an element, or the value of an attribute.
pub(super) fn text(foreign: &str) -> String {
    let mut out = String::with_capacity(foreign.len());
    // Prose of our own has no backslash or control character that this would change.
    for c in escape(foreign.as_bytes()).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What XML 1.0 knows no way to write.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The way from one point to another. hypot(3) would be the only function of libm here: one library more at each start.
pub(super) fn length(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    (dx * dx + dy * dy).sqrt()
}

/// How wide words are.
pub(super) fn width(words: &str, size: f64) -> f64 {
    words.chars().map(|c| if c.is_ascii() { 1.0 } else { 2.0 }).sum::<f64>() * size * ADVANCE
}

/// Words broken into lines of that many characters: at spaces, else where they must.
pub(super) fn lines(words: &str, first: usize, next: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = first.max(1);
    for word in words.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is always one");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= room {
                line.extend(std::iter::repeat_n(' ', gap));
                line.extend(&word);
                break;
            }
            if used == 0 {
                line.extend(word.drain(..room));
            }
            lines.push(String::new());
            room = next.max(1);
        }
    }
    lines
}

/// A drawing under way.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    body: String,
}

impl Drawing {
    /// What was drawn, in an element of its own with a title and a description.
    pub(super) fn finish(self, (width, height): (f64, f64), id: &str, title: &str, desc: &str) -> String {
        format!(
            "<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{}</svg>",
            text(title),
            text(desc),
            self.body
        )
    }

    /// What was drawn, stretched to whatever height there is; it says nothing.
    pub(super) fn stretched(self, width: f64) -> String {
        format!(
            "<svg class=\"more\" aria-hidden=\"true\" width=\"{width:.0}\" viewBox=\"0 0 {width:.0} 10\" \
             preserveAspectRatio=\"none\">{}</svg>",
            self.body
        )
    }

    /// Another drawing on top of this one.
    pub(super) fn add(&mut self, other: Drawing) {
        self.body.push_str(&other.body);
    }

    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (w, h): (f64, f64), round: f64) {
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{round:.0}\"/>"
        );
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A path of our own numbers.
    pub(super) fn path(&mut self, class: &str, d: &str) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"/>");
    }

    /// A line with its head at the end.
    pub(super) fn arrow(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.line(class, from, to);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = length(from, to).max(1.0);
        let (ux, uy) = (dx / length, dy / length);
        let back = (to.0 - 7.0 * ux, to.1 - 7.0 * uy);
        let side = (-uy * 3.5, ux * 3.5);
        self.path(
            &format!("{class} head"),
            &format!(
                "M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z",
                to.0,
                to.1,
                back.0 + side.0,
                back.1 + side.1,
                back.0 - side.0,
                back.1 - side.1
            ),
        );
    }

    /// A circle with a tick, or with a cross.
    pub(super) fn mark(&mut self, well: bool, (x, y): (f64, f64), radius: f64) {
        let class = if well { "mark ok" } else { "mark no" };
        let _ =
            write!(self.body, "<g class=\"{class}\"><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>");
        let r = radius * 0.45;
        let sign = if well {
            format!(
                "M{:.1} {:.1}l{:.1} {:.1}l{:.1} {:.1}",
                x - r,
                y + 0.1 * r,
                0.75 * r,
                0.8 * r,
                1.3 * r,
                -1.7 * r
            )
        } else {
            format!(
                "M{:.1} {:.1}l{:.1} {:.1}m0 {:.1}l{:.1} {:.1}",
                x - r,
                y - r,
                2.0 * r,
                2.0 * r,
                -2.0 * r,
                -2.0 * r,
                2.0 * r
            )
        };
        let _ = write!(self.body, "<path d=\"{sign}\"/></g>");
    }

    /// Words that run upward.
    pub(super) fn upright(&mut self, class: &str, (x, y): (f64, f64), size: f64, words: &str) {
        let _ = write!(
            self.body,
            "<text class=\"{class}\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" \
             text-anchor=\"middle\">{}</text>",
            text(words)
        );
    }

    /// Words whose baseline is there; `anchor` is `start`, `middle` or `end`.
    pub(super) fn words(&mut self, class: &str, (x, y): (f64, f64), size: f64, anchor: &str, words: &str) {
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\">{}</text>",
            text(words)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        let check = |foreign: &str, expect: &str| assert_eq!(text(foreign), expect);
        check("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;");
        check("\u{1b}[31m\u{202e}", "\\u{1b}[31m\\u{202e}");
        check("</title><script>", "&lt;/title&gt;&lt;script&gt;");
        check("größer … 東京", "größer … 東京");
    }

    #[test]
    fn lines_break_at_spaces_or_where_they_must() {
        let check = |words: &str, expect: &[&str]| assert_eq!(lines(words, 10, 6), expect, "{words}");
        check("", &[""]);
        check("bind(s, 80)", &["bind(s,", "80)"]);
        check("bind(s, 8)", &["bind(s, 8)"]);
        check("/run/a/path/that/is/long", &["/run/a/pat", "h/that", "/is/lo", "ng"]);
        check("a /run/a/path", &["a", "/run/a", "/path"]);
    }
}
