//! How wide the columns of the table of `inuse ls` are, and how a row is set in them.
//!
//! Where it must fit, unix paths push the rest of their own lines aside first, then the widest name gives way. What
//! cannot be cut any further goes to the next line, so that nothing is left out. Not here: what a cell says.

use super::{ADDRESS, Cells, HEAD, HEADING, PID};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

/// Columns from here on may be cut: what stands before them is an address or a number.
const FIRST_NAME: usize = PID;
/// The longest IPv6 address with its port: a longer unix path pushes the rest of its own line aside.
const WIDEST_ADDRESS: usize = 47;
/// Spaces between columns.
const GAP: usize = 2;
/// What is left of a name at least.
const NARROWEST_NAME: usize = 8;
/// How far the second line of a row is set in, and each behind it.
const INDENT: usize = 4;
/// What stands for what is cut off a list of numbers: a comma and an ellipsis.
const MORE_NUMBERS: usize = 2;

/// The columns. They take the cells of every row first, then they are fitted, then they write.
#[derive(Default)]
pub(super) struct Layout {
    /// 0 for a column that is empty in every row.
    widths: [usize; HEAD.len()],
    /// What cannot be taken from a column without cutting an address or a number.
    least: [usize; HEAD.len()],
    /// The columns that begin another line.
    breaks: [bool; HEAD.len()],
}

impl Layout {
    /// Makes room for a row; `inet`: its address is no unix path.
    pub(super) fn take(&mut self, cells: &Cells<'_>, inet: bool) {
        for (column, (width, cell)) in self.widths.iter_mut().zip(cells).enumerate() {
            let cell = width_of(cell);
            *width = if column == ADDRESS && cell > WIDEST_ADDRESS { *width } else { cell.max(*width) };
        }
        let address = if inet { width_of(cells[ADDRESS]) } else { 0 };
        let number = cells[PID].split_once(',').map_or(0, |(first, _)| first.len() + MORE_NUMBERS);
        self.least[ADDRESS] = address.max(self.least[ADDRESS]);
        self.least[PID] = number.max(self.least[PID]);
    }

    /// Fits the rows to that many columns of a terminal, if there is a limit.
    pub(super) fn fit(&mut self, columns: Option<usize>) {
        for (column, head) in HEAD.iter().enumerate() {
            let (width, least) = (&mut self.widths[column], &mut self.least[column]);
            if *width > 0 || column == ADDRESS {
                *width = head.len().max(*width);
                *least = match column {
                    ADDRESS => head.len().max(*least),
                    ..FIRST_NAME => *width,
                    _ => NARROWEST_NAME.max(*least).min(*width),
                };
            }
        }
        let Some(columns) = columns else { return };
        let mut line = 0;
        let mut taken = 0;
        for column in 0..HEAD.len() {
            let least = self.least[column];
            if taken > 0 && least > 0 && taken + GAP + least > columns {
                self.breaks[column] = true;
                self.narrow(line..column, columns);
                (line, taken) = (column, INDENT + least);
            } else if least > 0 {
                taken += least + if taken > 0 { GAP } else { 0 };
            }
        }
        self.narrow(line..HEAD.len(), columns);
    }

    /// Takes from the columns of one line what is too much.
    fn narrow(&mut self, line: std::ops::Range<usize>, columns: usize) {
        let indent = if line.start == 0 { 0 } else { INDENT };
        let too_wide = |widths: &[usize; HEAD.len()]| {
            let filled = widths[line.clone()].iter().filter(|width| **width > 0);
            (indent + filled.map(|width| width + GAP).sum::<usize>()).saturating_sub(columns + GAP)
        };
        if line.contains(&ADDRESS) {
            let width = self.widths[ADDRESS].saturating_sub(too_wide(&self.widths));
            self.widths[ADDRESS] = width.max(self.least[ADDRESS]);
        }
        while too_wide(&self.widths) > 0 {
            let more = |column: &usize| self.widths[*column] > self.least[*column];
            match line.clone().filter(more).max_by_key(|&column| self.widths[column]) {
                Some(widest) => self.widths[widest] -= 1,
                None => return,
            }
        }
    }

    /// Writes a row, or the headings of all.
    pub(super) fn write(&self, cells: &Cells<'_>, heading: bool, out: &mut String) {
        let mut start = begin(heading, out);
        let mut aside = false;
        for (column, &cell) in cells.iter().enumerate().filter(|&(column, _)| self.widths[column] > 0) {
            if self.breaks[column] {
                end(heading, start, out);
                start = begin(heading, out);
                out.push_str(&" ".repeat(INDENT));
                aside = false;
            }
            let width = self.widths[column];
            let shown = if column < FIRST_NAME { cell } else { cut(cell, width, column == PID) };
            out.push_str(shown);
            let mut shown_width = width_of(shown);
            if shown.len() < cell.len() {
                out.push('…');
                shown_width += 1;
            }
            // Behind an address that is wider than its column the others follow without any.
            aside |= column == ADDRESS && shown_width > width;
            let pad = if aside { 0 } else { width.saturating_sub(shown_width) };
            out.extend(std::iter::repeat_n(' ', pad + GAP));
        }
        end(heading, start, out);
    }
}

/// Columns of a text. Nearly all is ASCII, without anything that takes no column.
fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { UnicodeWidthStr::width(text) }
}

/// Begins a line, and says where its text does.
fn begin(heading: bool, out: &mut String) -> usize {
    if heading {
        out.push_str(&HEADING.to_string());
    }
    out.len()
}

/// Ends a line without the spaces at its end; one that is empty is no line.
fn end(heading: bool, start: usize, out: &mut String) {
    out.truncate(start + out[start..].trim_end().len());
    if heading {
        out.push_str(&HEADING.render_reset().to_string());
    }
    if out.len() > start {
        out.push('\n');
    }
}

/// What of a cell fits into that many columns, with an ellipsis behind it where something is missing. Of a list of
/// numbers none is cut in the middle, and the first is always there.
fn cut(text: &str, width: usize, numbers: bool) -> &str {
    if width_of(text) <= width {
        return text;
    }
    let mut room = width.saturating_sub(1);
    let end = text.char_indices().find(|(_, c)| {
        let left = room.checked_sub(c.width().unwrap_or(0));
        room = left.unwrap_or(0);
        left.is_none()
    });
    let kept = &text[..end.map_or(text.len(), |(at, _)| at)];
    if !numbers {
        return kept;
    }
    kept.rfind(',').or(text.find(',')).map_or(text, |comma| &text[..=comma])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_anywhere_and_a_number_nowhere() {
        let check = |text: &str, width: usize, numbers: bool, expect: &str| {
            assert_eq!(cut(text, width, numbers), expect, "{text} {width}");
        };
        check("nginx", 5, false, "nginx");
        check("nginx.service", 5, false, "ngin");
        check("東京サーバ", 6, false, "東京");
        check("7,8,9", 5, true, "7,8,9");
        check("1001,1002", 8, true, "1001,");
        check("1000001,1000002", 8, true, "1000001,");
        check("1000001,1000002", 3, true, "1000001,");
        check("1000001", 3, true, "1000001");
        check("", 0, true, "");
    }
}
