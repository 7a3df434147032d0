//! The TCP state diagram with what was visited: each state names who was in it, and at which steps.
//!
//! Where a state stands and which ways there are is `play::diagram`'s; only what the kernel showed is marked.

use super::cast::{Cast, class};
use super::svg::{Drawing, length, width};
use crate::render::lab::text::is_tcp;
use inuse_lab::play::Moment;
use inuse_lab::play::diagram::{PLACES, Place, WAYS, Way};
use inuse_rules::socket::State;

/// The most parties that a state names.
const FEW: usize = 4;
/// The place of CLOSED at which everything ends; the first one is where it begins.
const END: usize = PLACES.len() - 1;
/// Who types a cure.
const YOU: &str = "you";

/// The measures of a drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    name: &'static str,
    width: f64,
    gap: f64,
    margin: f64,
    size: f64,
}

impl Shape {
    /// For a screen that is wide enough.
    pub(super) const WIDE: Shape = Shape { name: "w", width: 168.0, gap: 92.0, margin: 34.0, size: 11.0 };
    /// For telephones.
    pub(super) const NARROW: Shape = Shape { name: "n", width: 90.0, gap: 15.0, margin: 22.0, size: 9.5 };

    fn line(&self) -> f64 {
        self.size + 2.5
    }
}

/// Who was in a state, and when.
#[derive(Clone, Debug, Default)]
struct Visits(Vec<(String, Vec<usize>)>);

impl Visits {
    fn add(&mut self, who: &str, step: usize) {
        let at = self.0.iter().position(|(name, _)| name == who).unwrap_or_else(|| {
            self.0.push((who.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        let steps = &mut self.0[at].1;
        if steps.last() != Some(&step) {
            steps.push(step);
        }
    }

    /// "● server 1, 3-5", in at most so many lines.
    fn lines(&self, cast: &Cast) -> Vec<String> {
        let line = |(name, steps): &(String, Vec<usize>)| {
            let sign = if cast.is_client(name) { '■' } else { '●' };
            format!("{sign} {name} {}", ranges(steps))
        };
        let mut lines: Vec<String> = self.0.iter().map(line).collect();
        if lines.len() > FEW {
            let more = lines.len() + 1 - FEW;
            lines.truncate(FEW - 1);
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// "1, 3-5".
fn ranges(steps: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &step in steps {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == step => *last = step,
            _ => ranges.push((step, step)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What was seen of the diagram.
pub(super) struct Walked {
    visits: Vec<Visits>,
    ways: Vec<bool>,
}

impl Walked {
    /// `None` when no socket was in any of its states.
    pub(super) fn of(moments: &[Moment]) -> Option<Walked> {
        let mut walked =
            Walked { visits: vec![Visits::default(); PLACES.len()], ways: vec![false; WAYS.len()] };
        for moment in moments {
            for acted in &moment.acts {
                for seen in acted.ends.iter().filter(|seen| is_tcp(seen)) {
                    if seen.before != Some(seen.end.state) {
                        let to = Some(seen.end.state);
                        walked.come(to, &seen.whose, moment.number);
                        walked.go(seen.before, to);
                    }
                }
                for gone in acted.gone.iter().filter(|gone| gone.local.starts_with("tcp/")) {
                    walked.come(None, &gone.whose, moment.number);
                    // What somebody ends by hand takes none of the ways.
                    if acted.who != YOU {
                        walked.go(Some(gone.state), None);
                    }
                }
            }
        }
        walked.visits.iter().any(|visits| !visits.0.is_empty()).then_some(walked)
    }

    fn come(&mut self, to: Option<State>, who: &str, step: usize) {
        let place = |place: &Place| place.state == to;
        let at = if to.is_none() { Some(END) } else { PLACES.iter().position(place) };
        if let Some(at) = at {
            self.visits[at].add(who, step);
        }
    }

    fn go(&mut self, from: Option<State>, to: Option<State>) {
        if let Some(at) = WAYS.iter().position(|way| way.from == from && way.to == to) {
            self.ways[at] = true;
        }
    }

    /// In words, for who does not see it.
    pub(super) fn words(&self) -> String {
        let seen = PLACES.iter().zip(&self.visits).filter(|(_, visits)| !visits.0.is_empty());
        let all = seen.map(|(place, visits)| {
            let who: Vec<String> =
                visits.0.iter().map(|(who, steps)| format!("{who} at step {}", ranges(steps))).collect();
            format!("{}: {}.", place.state.map_or("CLOSED", State::name), who.join("; "))
        });
        all.collect::<Vec<_>>().join(" ")
    }

    /// The diagram.
    pub(super) fn draw(&self, shape: Shape, cast: &Cast) -> String {
        let lines: Vec<Vec<String>> = self.visits.iter().map(|visits| visits.lines(cast)).collect();
        let boxes = boxes(shape, &lines);
        let mut drawing = Drawing::default();
        // Those that were taken on top, and the words over all of them.
        let mut words = Drawing::default();
        for taken in [false, true] {
            for (way, _) in WAYS.iter().zip(&self.ways).filter(|(_, of)| **of == taken) {
                draw_way((&mut drawing, &mut words), shape, way, &boxes, taken);
            }
        }
        drawing.add(words);
        let begins = WAYS.iter().zip(&self.ways).any(|(way, taken)| way.from.is_none() && *taken);
        for (index, (place, at)) in PLACES.iter().zip(&boxes).enumerate() {
            let seen = !lines[index].is_empty() || (index == 0 && begins);
            at.draw(&mut drawing, shape, place, seen, &lines[index]);
        }
        let width = 2.0 * shape.margin + 3.0 * shape.width + 2.0 * shape.gap;
        let height = boxes.iter().map(|of| of.y + of.h).fold(0.0, f64::max) + 8.0;
        let title = "The TCP state diagram, with the states that were seen";
        drawing.finish((width, height), &format!("d{}", shape.name), title, &self.words())
    }
}

/// Where a state is drawn.
#[derive(Clone, Copy, Debug)]
struct Box {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// Rows are as high as their fullest state, with room for the words of ways between them.
fn boxes(shape: Shape, lines: &[Vec<String>]) -> Vec<Box> {
    let height = |lines: &Vec<String>| shape.size + 15.0 + lines.len() as f64 * shape.line();
    let rows = PLACES.iter().map(|place| place.row).max().unwrap_or(0);
    let mut tops = vec![18.0];
    for row in 0..rows {
        let of = PLACES.iter().zip(lines).filter(|(place, _)| place.row == row);
        let tallest = of.map(|(_, lines)| height(lines)).fold(0.0, f64::max);
        tops.push(tops.last().unwrap_or(&0.0) + tallest + 40.0);
    }
    let at = |(place, lines): (&Place, &Vec<String>)| Box {
        x: shape.margin + f64::from(place.column) * (shape.width + shape.gap),
        y: tops[usize::from(place.row)],
        w: shape.width,
        h: height(lines),
    };
    PLACES.iter().zip(lines).map(at).collect()
}

impl Box {
    fn middle(&self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Where the line from the middle to there leaves the box.
    fn border(&self, to: (f64, f64)) -> (f64, f64) {
        let (x, y) = self.middle();
        let (dx, dy) = (to.0 - x, to.1 - y);
        let reach = |half: f64, d: f64| if d == 0.0 { f64::INFINITY } else { half / d.abs() };
        let part = reach(self.w / 2.0 + 2.0, dx).min(reach(self.h / 2.0 + 2.0, dy)).min(1.0);
        (x + dx * part, y + dy * part)
    }

    fn draw(&self, drawing: &mut Drawing, shape: Shape, place: &Place, seen: bool, lines: &[String]) {
        let words = if seen { "state" } else { "dim" };
        let seen = if seen { " seen" } else { "" };
        let colour = place.state.map_or("closed", class);
        drawing.rect(&format!("place {colour}{seen}"), (self.x, self.y), (self.w, self.h), 7.0);
        let x = self.x + self.w / 2.0;
        let mut y = self.y + shape.size + 6.0;
        let name = place.state.map_or("CLOSED", State::name);
        drawing.words(words, (x, y), shape.size + 0.5, "middle", name);
        for line in lines {
            y += shape.line();
            let room = self.w - 8.0;
            let full = width(line, shape.size - 0.5);
            let size = (shape.size - 0.5) * (room / full).min(1.0);
            drawing.words("note", (x, y), (size * 10.0).floor() / 10.0, "middle", line);
        }
    }
}

fn draw_way(
    (drawing, over): (&mut Drawing, &mut Drawing),
    shape: Shape,
    way: &Way,
    boxes: &[Box],
    taken: bool,
) {
    let place = |state: Option<State>, closed: usize| {
        let of = PLACES.iter().position(|place| place.state == state && state.is_some());
        boxes[of.unwrap_or(closed)]
    };
    let (from, to) = (place(way.from, 0), place(way.to, END));
    let class = if taken { "way taken" } else { "way" };
    let by = if taken { "by taken" } else { "by" };
    let size = shape.size - 1.0;
    let (a, b) = (from.middle(), to.middle());
    if skips(way) {
        // Around the one between.
        let x = from.x - shape.margin * 0.45;
        drawing.path(class, &format!("M{:.1} {:.1}H{x:.1}V{:.1}H{:.1}", from.x - 2.0, a.1, b.1, to.x - 8.0));
        drawing.path(&format!("{class} head"), &format!("M{:.1} {:.1}l-7 -3.5v7Z", to.x - 2.0, b.1));
        over.upright(by, (x - 4.0, f64::midpoint(a.1, b.1)), size, way.by);
        return;
    }
    let (start, end) = (from.border(b), to.border(a));
    drawing.arrow(class, start, end);
    // Words of ways that cross keep out of each other's way.
    let part = if way.from == Some(State::SynSent) && way.to == Some(State::SynRecv) { 0.62 } else { 0.5 };
    let (x, y) = (start.0 + (end.0 - start.0) * part, start.1 + (end.1 - start.1) * part);
    let w = width(way.by, size);
    if (start.0 - end.0).abs() < 1.0 {
        over.words(by, (x + 6.0, y + 3.0), size, "start", way.by);
    } else if w + 24.0 > length(start, end) {
        // Too short to be interrupted: beside it, or above both states.
        match (start.1 - end.1).abs() < 12.0 {
            true => over.words(by, (x, from.y.min(to.y) - 5.0), size, "middle", way.by),
            false if end.0 < start.0 => over.words(by, (x - 7.0, y), size, "end", way.by),
            false => over.words(by, (x + 7.0, y), size, "start", way.by),
        }
    } else {
        over.rect("gap", (x - w / 2.0 - 3.0, y - size / 2.0 - 2.0), (w + 6.0, size + 4.0), 2.0);
        over.words(by, (x, y + size * 0.36), size, "middle", way.by);
    }
}

/// Whether a way leads past a state of its column.
fn skips(way: &Way) -> bool {
    let of = |state: Option<State>| PLACES.iter().find(|place| place.state == state && state.is_some());
    match (of(way.from), of(way.to)) {
        (Some(from), Some(to)) => from.column == to.column && to.row > from.row + 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_a_row_are_told_as_a_range() {
        let check = |steps: &[usize], expect: &str| assert_eq!(ranges(steps), expect);
        check(&[], "");
        check(&[3], "3");
        check(&[1, 2, 4, 5, 6, 9], "1, 2, 4-6, 9");
    }

    #[test]
    fn boxes_keep_apart() {
        let full = vec![vec!["● server 1".to_owned(); FEW]; PLACES.len()];
        for shape in [Shape::WIDE, Shape::NARROW] {
            let boxes = boxes(shape, &full);
            for (i, a) in boxes.iter().enumerate() {
                for b in &boxes[i + 1..] {
                    let apart = a.x + a.w < b.x || b.x + b.w < a.x || a.y + a.h < b.y || b.y + b.h < a.y;
                    assert!(apart, "{a:?} {b:?}");
                }
            }
        }
    }
}
