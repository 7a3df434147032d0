//! The measures of a ladder, for wide screens and for telephones, and words that have to fit.

use super::super::cast::Cast;
use super::super::svg::width;

/// What the longest state takes, and between columns an arrow with its flags.
const NARROWEST: f64 = 62.0;
const SHORTEST: f64 = 30.0;

/// The measures of a drawing.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Shape {
    /// The name in ids.
    pub(in super::super) name: &'static str,
    /// How much room the calls have at the side; none means bars across.
    pub(super) side: Option<f64>,
    pub(super) lane: f64,
    /// Between columns, where arrows have their words.
    pub(super) gap: f64,
    pub(super) margin: f64,
    /// Of states and of calls.
    pub(super) size: f64,
}

impl Shape {
    /// With the calls at the side.
    pub(in super::super) const WIDE: Shape =
        Shape { name: "w", side: Some(340.0), lane: 94.0, gap: 86.0, margin: 12.0, size: 11.0 };

    /// For telephones and paper.
    pub(in super::super) const NARROW: Shape =
        Shape { name: "n", side: None, lane: 64.0, gap: 40.0, margin: 3.0, size: 9.0 };
    /// How wide a narrow drawing may become without having to be scrolled on a telephone.
    pub(super) const ROOM: f64 = 345.0;
    /// How many lanes that are.
    pub(in super::super) const LANES: usize = 4;

    /// For that many columns and lanes.
    pub(super) fn fitted(self, cast: &Cast) -> Shape {
        if self.side.is_some() {
            return self;
        }
        let lanes = cast.lanes().max(1) as f64;
        let gaps = cast.columns.len().saturating_sub(1) as f64;
        let lane = (Shape::ROOM - 2.0 * self.margin - gaps * self.gap) / lanes;
        let gap = if lane < NARROWEST { SHORTEST } else { self.gap };
        let lane = (Shape::ROOM - 2.0 * self.margin - gaps * gap) / lanes;
        Shape { lane: lane.clamp(NARROWEST, 110.0), gap, ..self }
    }

    pub(super) fn left(&self) -> f64 {
        self.side.map_or(self.margin, |side| side + self.margin)
    }

    pub(super) fn line(&self) -> f64 {
        self.size + 3.0
    }
}

/// A size in which the words have room.
pub(super) fn fitting(words: &str, room: f64, size: f64) -> f64 {
    let full = width(words, size);
    if full <= room { size } else { ((size * room / full) * 10.0).floor() / 10.0 }
}
