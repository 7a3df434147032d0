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
    let low = decade(all().map(|(_, ms)| ms).fold(f64::INFINITY, f64::min).clamp(0.1, 1e6)).floor();
    let high = decade(all().map(|(_, ms)| ms).fold(0.1, f64::max)).ceil().max(low + 1.0);
    let x = |fds: f64| LEFT + (RIGHT - LEFT) * fds / most_fds;
    let y = |ms: f64| BOTTOM - (BOTTOM - TOP) * (decade(ms.max(0.1)) - low) / (high - low);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Milliseconds until it is known who has a port, by the number of open descriptors\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<style>\n{}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"ink\" x=\"{LEFT}\" y=\"22\">Milliseconds until it is known who has a port</text>\n",
        styles()
    );
    for exponent in low as i32..=high as i32 {
        let value = 10_f64.powi(exponent);
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\"/>\n\
             <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for part in 0..=5 {
        let fds = most_fds * f64::from(part) / 5.0;
        let _ = writeln!(
            svg,
            "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            x(fds),
            BOTTOM + 20.0,
            fds
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

fn decade(milliseconds: f64) -> f64 {
    milliseconds.log10()
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
    fn every_line_is_there_and_named() {
        let line =
            |name: &str, ms: f64| Line { name: name.into(), points: vec![(1e4, ms), (1e5, ms * 10.0)] };
        let svg = draw(&[line("a <PORT>", 3.0), line("b", 170.0)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">a &lt;PORT&gt;</text>") && svg.contains(">b</text>"), "{svg}");
        assert!(
            svg.contains(">1</text>") && svg.contains(">10000</text>") && svg.contains(">100000</text>"),
            "{svg}"
        );
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(!draw(&[]).contains("NaN"));
    }
}
