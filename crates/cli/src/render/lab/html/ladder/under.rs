//! A strip while it is drawn: names, calls, marks of binds, arrows, and bands that begin and end.
//!
//! Not here: what lies under it all, and its size (`ladder`).

use super::super::cast::{Content, Lane, cause, content};
use super::super::svg::{Drawing, lines, width};
use super::shape::fitting;
use super::{Band, Ladder, is_short};
use crate::render::lab::question;
use crate::render::lab::text::{carried, end_of};
use inuse_lab::play::{Acted, Moment, Seen, Told};
use inuse_lab::stage::Segment;

/// The most arrows that are drawn for one call.
const FEW: usize = 12;

/// A strip that is being drawn.
pub(super) struct Under<'l, 'a> {
    pub(super) ladder: &'l Ladder<'a>,
    pub(super) index: usize,
    pub(super) top: Drawing,
    pub(super) under: Drawing,
    pub(super) bands: Vec<Band>,
    pub(super) y: f64,
}

impl Under<'_, '_> {
    /// The names of who is there, and the bands that go on.
    pub(super) fn begin(&mut self, short: bool) {
        let shape = self.ladder.shape;
        if !short {
            for party in self.ladder.cast.present(self.index) {
                let x = self.ladder.middle(party);
                let room = shape.lane * party.lanes.len().max(1) as f64 + 0.7 * shape.gap;
                let size = fitting(&party.name, room, shape.size + 0.5);
                let w = width(&party.name, size) + 14.0;
                self.top.rect("pill", (x - w / 2.0, 2.0), (w, shape.size + 7.0), 8.0);
                self.top.words("name", (x, shape.size + 4.0), size, "middle", &party.name);
            }
            self.y = shape.size + 11.0;
        }
        let from = self.y;
        for (party, lane, content) in self.contents(&self.ladder.ends) {
            let content = if short { Content { words: Vec::new(), ..content } } else { content };
            self.bands.push(Band { party, lane, content, from, goes_on: true });
        }
        let tallest = self.bands.iter().map(|band| self.ladder.rows(&band.content)).fold(0.0, f64::max);
        if shape.side.is_none() && !short {
            self.y += tallest;
        }
    }

    /// What each lane has.
    fn contents(&self, ends: &[Seen]) -> Vec<(String, Lane, Content)> {
        let parties = self.ladder.cast.parties.iter();
        let lanes = parties.flat_map(|party| party.lanes.iter().map(|lane| (party.name.clone(), *lane)));
        let all = lanes.map(|(party, lane)| {
            let content = content(ends, &party, lane);
            (party, lane, content)
        });
        all.filter(|(_, _, content)| !content.words.is_empty()).collect()
    }

    pub(super) fn acts(&mut self, moment: &Moment) {
        let tallest = self.bands.iter().map(|band| self.ladder.rows(&band.content)).fold(0.0, f64::max);
        let under_words = self.y + tallest;
        let wide = self.ladder.shape.side.is_some();
        let mut bar: Vec<(String, String, &str)> = Vec::new();
        let acts = shown(moment);
        let short = is_short(moment);
        for acted in acts {
            let call = match moment.told {
                Told::Round { number, of } if short => format!("{}  {number}/{of}", acted.call),
                Told::Waiting { passed, .. } if short => {
                    format!("{}  {}s", acted.call, passed.as_secs())
                }
                _ => acted.call.clone(),
            };
            let class = match acted.bind {
                Some(Some(_)) => "call no",
                Some(None) => "call ok",
                None => "call",
            };
            bar.push((acted.who.clone(), call, class));
            let last = if short { moment.acts.last().unwrap_or(acted) } else { acted };
            let shows = self.shows(acted, last);
            if wide {
                if shows && !short {
                    self.y = self.y.max(under_words);
                }
                let told = self.at_side(&std::mem::take(&mut bar));
                if shows {
                    self.visuals(acted, last);
                }
                self.y = self.y.max(told);
            } else if shows {
                self.across(&std::mem::take(&mut bar));
                self.visuals(acted, last);
            }
        }
        if !bar.is_empty() {
            self.across(&bar);
        }
        if let Told::Why { report, .. } = &moment.told {
            let call = question(&report.diagnosis.attempt);
            let answer = vec![("you".to_owned(), call, "call ask")];
            self.y = if wide {
                self.at_side(&answer)
            } else {
                self.across(&answer);
                self.y
            };
        }
        if wide && !short {
            self.y = self.y.max(under_words);
        }
    }

    /// Whether there is more to it than its call.
    fn shows(&self, acted: &Acted, last: &Acted) -> bool {
        acted.bind.is_some() || !acted.segments.is_empty() || !self.changes(last).is_empty()
    }

    /// Calls at the side; where they end.
    fn at_side(&mut self, calls: &[(String, String, &str)]) -> f64 {
        let shape = self.ladder.shape;
        let room = (shape.side.unwrap_or_default() / width("x", shape.size)) as usize;
        self.calls(calls, 2.0, room)
    }

    /// Calls on a bar across everything.
    fn across(&mut self, calls: &[(String, String, &str)]) {
        let shape = self.ladder.shape;
        let all = self.ladder.width();
        let room = ((all - 16.0) / width("x", shape.size + 0.5)) as usize;
        let mut under = std::mem::take(&mut self.top);
        let from = self.y + 2.0;
        self.y = from + 2.0;
        let to = self.calls(calls, 8.0, room);
        let calls = std::mem::take(&mut self.top);
        under.rect("bar", (1.0, from), (all - 2.0, to - from + 2.0), 4.0);
        under.add(calls);
        self.top = under;
        self.y = to + 5.0;
    }

    fn calls(&mut self, calls: &[(String, String, &str)], x: f64, room: usize) -> f64 {
        let shape = self.ladder.shape;
        let size = if shape.side.is_some() { shape.size } else { shape.size + 0.5 };
        let mut y = self.y;
        for (who, call, class) in calls {
            let name = who.chars().count() + 1;
            for (row, line) in
                lines(call, room.saturating_sub(name), room.saturating_sub(2)).iter().enumerate()
            {
                y += size + 3.5;
                let indent = if row == 0 { name } else { 2 };
                if row == 0 {
                    self.top.words("who", (x, y), size, "start", who);
                }
                self.top.words(class, (x + width(&"x".repeat(indent), size), y), size, "start", line);
            }
        }
        y + 2.0
    }

    /// The mark of a bind, then arrows, then the states that it leads to.
    fn visuals(&mut self, acted: &Acted, last: &Acted) {
        if let Some(answer) = acted.bind {
            self.mark(acted, answer.map(|errno| errno.name()));
        }
        for segment in acted.segments.iter().take(FEW) {
            self.arrow(segment, acted);
        }
        if let Some(more) = acted.segments.len().checked_sub(FEW).filter(|more| *more > 0) {
            let x = (self.ladder.shape.left() + self.ladder.width()) / 2.0;
            self.y += self.ladder.shape.line() + 2.0;
            self.top.words(
                "flags",
                (x, self.y),
                self.ladder.shape.size,
                "middle",
                &format!("{more} more segments"),
            );
        }
        self.change(last);
    }

    fn mark(&mut self, acted: &Acted, errno: Option<&str>) {
        let Some(party) = self.ladder.cast.party(&acted.who) else { return };
        let shape = self.ladder.shape;
        let x = self.ladder.lane(&party.name, Lane::Own) + shape.lane / 2.0 - 2.0;
        match errno {
            None => {
                self.top.mark(true, (x, self.y + 10.0), 8.0);
                self.y += 20.0;
            }
            Some(errno) => {
                let words: Vec<&str> = std::iter::once(errno)
                    .chain(
                        cause(self.ladder.moments, self.index, acted)
                            .filter(|_| !is_short(&self.ladder.moments[self.index])),
                    )
                    .collect();
                let short = is_short(&self.ladder.moments[self.index]);
                let radius = if short { 7.0 } else { 11.0 };
                self.top.mark(false, (x, self.y + radius + 2.0), radius);
                self.y += 2.0 * radius + 3.0;
                if short {
                    return;
                }
                for (row, words) in words.into_iter().enumerate() {
                    self.y += shape.line();
                    let size = fitting(words, shape.lane + shape.gap * 0.8, shape.size);
                    // The last column has no room on its right.
                    let half = width(words, size) / 2.0 + 2.0;
                    let x = x.min(self.ladder.width() - half).max(half);
                    let class = if row == 0 { "errno" } else { "cause" };
                    self.top.words(class, (x, self.y), size, "middle", words);
                }
                self.y += 5.0;
            }
        }
    }

    fn arrow(&mut self, segment: &Segment, acted: &Acted) {
        let shape = self.ladder.shape;
        let side = |at, to| {
            let party = self.ladder.cast.party(end_of(at, to, acted)?)?;
            let lane = if party.lanes.contains(&Lane::Connections) { Lane::Connections } else { Lane::Own };
            Some((party.column, self.ladder.lane(&party.name, lane)))
        };
        let (Some(from), Some(to)) = (side(&segment.from, &segment.to), side(&segment.to, &segment.from))
        else {
            return;
        };
        let y = self.y + shape.size + 6.0;
        let w = shape.lane - 4.0;
        let words = if segment.bytes > 0 && shape.side.is_none() {
            format!("{} B", segment.bytes)
        } else if segment.bytes > 0 {
            format!("{} bytes", segment.bytes)
        } else {
            carried(segment)
        };
        let size = fitting(&words, shape.gap - 6.0, shape.size - 0.5);
        if from.0 == to.0 {
            // To itself.
            let x = from.1 + w;
            self.top.path("seg loop", &format!("M{x:.1} {:.1}h14v9h-9", y - 7.0));
            self.top.path("seg head", &format!("M{:.1} {:.1}l7 -3.5v7Z", x + 1.0, y + 2.0));
            self.top.words("flags", (x + 18.0, y + 2.0), size, "start", &words);
        } else {
            let right = from.1 < to.1;
            let (x1, x2) = if right { (from.1 + w, to.1) } else { (from.1, to.1 + w) };
            let sign = if right { 1.0 } else { -1.0 };
            self.top.arrow("seg", (x1 + sign, y), (x2 - sign, y));
            // Beside the band of who sends it, whatever lies between.
            let x = x1 + sign * ((x2 - x1).abs().min(shape.gap + 4.0) / 2.0);
            self.top.words("flags", (x, y - 4.0), size, "middle", &words);
        }
        self.y = y + 4.0;
    }

    /// The lanes whose content is another one now.
    fn changes(&self, acted: &Acted) -> Vec<(String, Lane, Option<Content>)> {
        let now = self.contents(&acted.ends);
        let mut changes: Vec<(String, Lane, Option<Content>)> = Vec::new();
        for (party, lane, content) in &now {
            let same = |band: &&Band| band.party == *party && band.lane == *lane;
            let before = self.bands.iter().find(same);
            // A band without its words is one of a short strip, which says nothing that goes on.
            let told = |band: &Band| band.content.words.is_empty() && band.content.class == content.class;
            if before.is_none_or(|band| band.content != *content && !told(band)) {
                changes.push((party.clone(), *lane, Some(content.clone())));
            }
        }
        for band in &self.bands {
            if !now.iter().any(|(party, lane, _)| *party == band.party && *lane == band.lane) {
                changes.push((band.party.clone(), band.lane, None));
            }
        }
        changes
    }

    fn change(&mut self, acted: &Acted) {
        let changes = self.changes(acted);
        if changes.is_empty() {
            return;
        }
        let from = self.y + 4.0;
        let mut height: f64 = 0.0;
        for (party, lane, content) in changes {
            if let Some(at) = self.bands.iter().position(|band| band.party == party && band.lane == lane) {
                let band = self.bands.remove(at);
                self.ladder.band(&mut self.under, &band, from - 2.0, true);
            }
            match content {
                Some(content) => {
                    height = height.max(self.ladder.rows(&content));
                    self.bands.push(Band { party, lane, content, from, goes_on: false });
                }
                None => {
                    let x = self.ladder.lane(&party, lane) + self.ladder.shape.lane / 2.0 - 2.0;
                    let size = self.ladder.shape.size;
                    self.under.words("closed", (x, from + size), size, "middle", "closed");
                    height = height.max(size + 5.0);
                }
            }
        }
        self.y = from + height;
    }
}

/// What a moment's strip shows of it.
fn shown(moment: &Moment) -> &[Acted] {
    if !is_short(moment) {
        return &moment.acts;
    }
    let at = moment.acts.iter().position(|acted| acted.bind.is_some());
    let at = at.unwrap_or(moment.acts.len().saturating_sub(1));
    moment.acts.get(at..=at).unwrap_or_default()
}
