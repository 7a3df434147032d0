//! The ladder: a strip for each moment. Time runs downward; each party has lanes in which bands say the state
//! of its sockets, segments are arrows between them, and binds have their marks.
//!
//! It is drawn twice: wide, with the calls at the side, and narrow, with the calls on bars across.
//!
//! Not here: the measures (`shape`), and what a strip has from its first call to its last (`under`).

mod shape;
mod under;

use super::cast::{Cast, Content, Lane, Party};
use super::svg::Drawing;
use inuse_lab::play::{Moment, Seen, Told};
pub(super) use shape::Shape;
use shape::fitting;
use under::Under;

/// A band that goes on.
struct Band {
    party: String,
    lane: Lane,
    content: Content,
    from: f64,
    /// Whether it was there when the strip began.
    goes_on: bool,
}

/// The ladder of a play.
pub(super) struct Ladder<'a> {
    moments: &'a [Moment],
    cast: &'a Cast,
    shape: Shape,
    /// What the last strip ended with.
    ends: Vec<Seen>,
}

/// One moment's part of it.
pub(super) struct Strip {
    /// The drawing.
    pub(super) svg: String,
    /// What continues its bands as far as text beside it needs that.
    pub(super) more: String,
}

impl<'a> Ladder<'a> {
    pub(super) fn new(moments: &'a [Moment], cast: &'a Cast, shape: Shape) -> Ladder<'a> {
        Ladder { moments, cast, shape: shape.fitted(cast), ends: Vec::new() }
    }

    /// The next strip.
    pub(super) fn strip(&mut self, index: usize, title: &str, desc: &str) -> Strip {
        let moment = &self.moments[index];
        let mut strip = Under {
            ladder: self,
            index,
            top: Drawing::default(),
            under: Drawing::default(),
            bands: Vec::new(),
            y: 0.0,
        };
        strip.begin(is_short(moment));
        strip.acts(moment);
        let Under { top, mut under, bands, mut y, .. } = strip;
        y += 6.0;
        let (mut base, mut more) = (Drawing::default(), Drawing::default());
        for party in self.cast.present(index) {
            let x = self.middle(party);
            base.line("life", (x, 0.0), (x, y));
            more.line("life", (x, 0.0), (x, 10.0));
        }
        for band in &bands {
            self.band(&mut under, band, y, false);
            let x = self.lane(&band.party, band.lane);
            more.rect(&band.content.class_names(), (x, -5.0), (self.shape.lane - 4.0, 20.0), 0.0);
        }
        if let Some(last) = moment.acts.last() {
            self.ends.clone_from(&last.ends);
        }
        base.add(under);
        base.add(top);
        let size = (self.width(), y);
        let id = format!("s{}{}", moment.number, self.shape.name);
        Strip { svg: base.finish(size, &id, title, desc), more: more.stretched(self.width()) }
    }

    /// How wide every strip is.
    fn width(&self) -> f64 {
        let lanes = self.cast.lanes() as f64;
        let gaps = self.cast.columns.len().saturating_sub(1) as f64;
        let narrowest = if self.shape.side.is_some() { 0.0 } else { Shape::ROOM };
        (self.shape.left() + lanes * self.shape.lane + gaps * self.shape.gap + self.shape.margin)
            .max(narrowest)
    }

    fn column(&self, column: usize) -> f64 {
        let before = self.cast.columns[..column].iter().sum::<usize>() as f64;
        self.shape.left() + before * self.shape.lane + column as f64 * self.shape.gap
    }

    /// Where a lane begins.
    fn lane(&self, party: &str, lane: Lane) -> f64 {
        let Some(party) = self.cast.party(party) else { return self.shape.left() };
        let at = party.lanes.iter().position(|of| *of == lane).unwrap_or(0) as f64;
        self.column(party.column) + at * self.shape.lane + 2.0
    }

    /// The middle of a party's lanes.
    fn middle(&self, party: &Party) -> f64 {
        self.column(party.column) + party.lanes.len().max(1) as f64 * self.shape.lane / 2.0
    }

    fn band(&self, drawing: &mut Drawing, band: &Band, to: f64, ends: bool) {
        let x = self.lane(&band.party, band.lane);
        let w = self.shape.lane - 4.0;
        let (top, bottom) = (if band.goes_on { -8.0 } else { band.from }, if ends { to } else { to + 8.0 });
        drawing.rect(&band.content.class_names(), (x, top), (w, bottom - top), 5.0);
        let first = band.from + self.shape.size + 1.0;
        for (row, words) in band.content.words.iter().enumerate() {
            let class = if row == 0 { "state" } else { "note" };
            let y = first + row as f64 * self.shape.line();
            let size = fitting(words, w - 2.0, self.shape.size);
            drawing.words(class, (x + w / 2.0, y), size, "middle", words);
        }
    }

    fn rows(&self, content: &Content) -> f64 {
        content.words.len() as f64 * self.shape.line() + 7.0
    }
}

impl Content {
    fn class_names(&self) -> String {
        format!("band {}{}", self.class, if self.ghost { " ghost" } else { "" })
    }
}

/// A moment that is told in one row: a repetition, or a wait that goes on.
pub(super) fn is_short(moment: &Moment) -> bool {
    match moment.told {
        Told::Round { number, .. } => number > 1,
        Told::Waiting { .. } => moment.says.is_empty(),
        _ => false,
    }
}
