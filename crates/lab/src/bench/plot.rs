//! A plot as SVG: descriptors to the right, milliseconds upwards (logarithmic), each line labelled at its end.
//!
//! Colours follow `prefers-color-scheme`, and the picture has a background of its own, so that it can be read
//! on a light and on a dark page. Lines differ by their dashes as well.

use std::fmt::Write as _;

/// One program's line: descriptors and milliseconds.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
/// The area of the lines.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 610.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 380.0;
/// The shortest and the longest time that the plot has room for, in milliseconds.
const LEAST: f64 = 0.1;
const MOST: f64 = 1e6;
/// What a label needs in height.
const LABEL: f64 = 18.0;

/// On a light page, on a dark one, and the dashes.
const STYLES: [(&str, &str, &str); 7] = [
    ("#0a5fd0", "#6cb2ff", "none"),
    ("#b3261e", "#ff8f86", "8 3"),
    ("#7a4b00", "#e7b35c", "2 3"),
    ("#5b2a9d", "#c7a4ff", "10 3 2 3"),
    ("#00695c", "#5fd6c3", "4 4"),
    ("#8a1f63", "#ff9ad5", "1 4"),
    ("#4a4a4a", "#c0c0c0", "6 2 1 2"),
];

/// The picture.
pub(super) fn draw(lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let most_fds = all().map(|(fds, _)| fds).fold(1.0, f64::max);
    let heights = heights(
        all().map(|(_, ms)| ms).fold(f64::INFINITY, f64::min),
        all().map(|(_, ms)| ms).fold(LEAST, f64::max),
    );
    let low = heights.first().copied().unwrap_or(LEAST).log10();
    let high = heights.last().copied().unwrap_or(LEAST).log10().max(low + 0.1);
    let x = |fds: f64| LEFT + (RIGHT - LEFT) * fds / most_fds;
    let y = |ms: f64| BOTTOM - (BOTTOM - TOP) * (ms.max(LEAST).log10() - low) / (high - low);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Milliseconds until it is known who has a port, by the number of open descriptors\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<style>\n{}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"ink\" x=\"{LEFT}\" y=\"22\">Milliseconds until it is known who has a port (logarithmic)</text>\n",
        styles()
    );
    for value in heights {
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\"/>\n\
             <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for fds in marks(most_fds) {
        let _ = writeln!(
            svg,
            "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(fds),
            BOTTOM + 20.0,
            grouped(fds)
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">open descriptors on the host</text>",
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 44.0
    );
    for (at, line) in lines.iter().enumerate() {
        let style = at % STYLES.len();
        let path: Vec<String> =
            line.points.iter().map(|&(fds, ms)| format!("{:.1},{:.1}", x(fds), y(ms))).collect();
        let _ = writeln!(svg, "<polyline class=\"line l{style}\" points=\"{}\"/>", path.join(" "));
    }
    let ends = lines.iter().map(|line| line.points.last().map_or(BOTTOM, |&(_, ms)| y(ms)));
    for ((at, line), height) in lines.iter().enumerate().zip(apart(ends.collect())) {
        let end = line.points.last().map_or(BOTTOM, |&(_, ms)| y(ms));
        let style = at % STYLES.len();
        let _ = writeln!(
            svg,
            "<line class=\"lead l{style}\" x1=\"{RIGHT}\" y1=\"{end:.1}\" x2=\"{:.1}\" y2=\"{height:.1}\"/>\n\
             <text class=\"t{style}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            RIGHT + 14.0,
            RIGHT + 18.0,
            height + 4.0,
            escaped(&line.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The heights that have a line: 1, 2 and 5 in each decade, from the last below the lowest value to the first above
/// the highest.
fn heights(lowest: f64, highest: f64) -> Vec<f64> {
    let (lowest, highest) = (lowest.clamp(LEAST, MOST), highest.clamp(LEAST, MOST));
    let all = (-1..=6).flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(exponent)));
    let all: Vec<f64> = all.collect();
    let from = all.iter().rposition(|&value| value <= lowest).unwrap_or(0);
    let to = all.iter().position(|&value| value >= highest).unwrap_or(all.len() - 1);
    all.into_iter().take(to.max(from + 1) + 1).skip(from).collect()
}

/// Round numbers from nothing up to the most, at most six of them.
fn marks(most: f64) -> Vec<f64> {
    let decade = 10_f64.powf((most / 5.0).max(1.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| most / step < 6.0);
    let step = step.unwrap_or(most);
    (0..6).map(|count| step * f64::from(count)).take_while(|&mark| mark <= most).collect()
}

/// `100 000`, with a space that does not break.
fn grouped(number: f64) -> String {
    let plain = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

fn styles() -> String {
    let mut css = ".page { fill: #ffffff } .ink { fill: #1f2328 } .grid { stroke: #d0d7de }\n\
                   .line { fill: none; stroke-width: 2.2 } .lead { stroke-width: 1 }\n"
        .to_owned();
    for (at, (light, _, dashes)) in STYLES.iter().enumerate() {
        let _ = writeln!(
            css,
            ".l{at} {{ stroke: {light} }} .line.l{at} {{ stroke-dasharray: {dashes} }} .t{at} {{ fill: {light} }}"
        );
    }
    css.push_str("@media (prefers-color-scheme: dark) {\n.page { fill: #0d1117 } .ink { fill: #e6edf3 } .grid { stroke: #30363d }\n");
    for (at, (_, dark, _)) in STYLES.iter().enumerate() {
        let _ = writeln!(css, ".l{at} {{ stroke: {dark} }} .t{at} {{ fill: {dark} }}");
    }
    css.push_str("}\n");
    css
}

/// Heights of labels, moved so that none covers another, in the order of the lines' ends.
fn apart(wanted: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut heights = wanted.clone();
    let mut least = f64::NEG_INFINITY;
    for &at in &order {
        heights[at] = wanted[at].max(least);
        least = heights[at] + LABEL;
    }
    // What came to lie below the area moves up again.
    let mut most = BOTTOM;
    for &at in order.iter().rev() {
        heights[at] = heights[at].min(most);
        most = heights[at] - LABEL;
    }
    heights
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_cover_each_other() {
        for wanted in [vec![100.0, 101.0, 99.0], vec![380.0, 379.0, 380.0, 378.0], vec![50.0, 200.0]] {
            let mut heights = apart(wanted.clone());
            heights.sort_by(f64::total_cmp);
            assert!(
                heights.windows(2).all(|pair| pair[1] - pair[0] >= LABEL - 0.01),
                "{wanted:?} {heights:?}"
            );
            assert!(heights.iter().all(|&height| height <= BOTTOM), "{heights:?}");
        }
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(heights(33.9, 1460.2), [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]);
        assert_eq!(heights(5.0, 5.0), [5.0, 10.0]);
        assert_eq!(heights(f64::INFINITY, 0.1).len(), 2);
        assert_eq!(marks(100_698.0), [0.0, 2e4, 4e4, 6e4, 8e4, 1e5]);
        assert_eq!(marks(144_000.0), [0.0, 5e4, 1e5]);
        assert_eq!(marks(1.0), [0.0, 1.0]);
        assert_eq!(grouped(100_000.0), "100\u{a0}000");
        assert_eq!(grouped(20.0), "20");
    }

    #[test]
    fn every_line_is_there_and_named() {
        let line =
            |name: &str, ms: f64| Line { name: name.into(), points: vec![(1e4, ms), (1e5, ms * 10.0)] };
        let svg = draw(&[line("a <PORT>", 3.0), line("b", 170.0)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">a &lt;PORT&gt;</text>") && svg.contains(">b</text>"), "{svg}");
        assert!(
            svg.contains(">2</text>") && svg.contains(">2000</text>") && svg.contains(">100\u{a0}000</text>"),
            "{svg}"
        );
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(!draw(&[]).contains("NaN"));
    }
}
