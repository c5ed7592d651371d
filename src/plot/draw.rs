//! The picture as SVG.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use super::png::FONT_FAMILY;
use super::{HEIGHT, Plot, Point, WIDTH, axis, thin};

/// The space around the field in which values are drawn, in pixels.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 46.0;

const FIELD_WIDTH: f64 = WIDTH as f64 - LEFT - RIGHT;
const FIELD_HEIGHT: f64 = HEIGHT as f64 - TOP - BOTTOM;

/// Marks on the axes, at most about so many.
const TIME_MARKS: i64 = 10;
const VALUE_MARKS: f64 = 6.0;
/// A title longer than this runs into the legend.
const TITLE_CHARS_MAX: usize = 84;
/// Values that are so many times their usual distance apart are not joined.
const GAP_TIMES: i64 = 12;

const INK: &str = "#1c2733";
const QUIET: &str = "#5b6875";
const GRID: &str = "#e6eaef";
const FRAME: &str = "#c3cbd4";
const SERIES: &str = "#2b4a6f";
const BAND: &str = "#cfe3f6";
const EXPECTED: &str = "#7fb0dd";
const ANOMALY: &str = "#d7263d";
const WINDOWS: [&str; 3] = ["#f6b73c", "#8bc34a", "#b388eb"];

/// From times and values to pixels.
struct Scale {
    from_us: i64,
    to_us: i64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(points: &[Point]) -> Self {
        let from_us = points.first().map_or(0, |p| p.time_us);
        let to_us = points.last().map_or(1, |p| p.time_us).max(from_us + 1);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for point in points {
            (low, high) = (low.min(point.value), high.max(point.value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Less than this is the rounding of the numbers.
        let least = (low.abs().max(high.abs()) * 1e-9).max(f64::MIN_POSITIVE);
        if high - low < least {
            let around = if low == 0.0 { 1.0 } else { low.abs() * 0.05 };
            (low, high) = (low - around, high + around);
        }
        let span = high - low;
        // The band is shown where it does not press the series flat.
        let (mut band_low, mut band_high) = (low, high);
        for point in points {
            (band_low, band_high) = (band_low.min(point.low), band_high.max(point.high));
        }
        low = band_low.max(low - 0.25 * span) - 0.04 * span;
        high = band_high.min(high + 0.25 * span) + 0.06 * span;
        Self { from_us, to_us, low, high }
    }

    fn x(&self, time_us: i64) -> f64 {
        let part =
            (time_us as f64 - self.from_us as f64) / (self.to_us as f64 - self.from_us as f64);
        LEFT + part.clamp(0.0, 1.0) * FIELD_WIDTH
    }

    /// Also of values outside of the field, but not of those so far outside that
    /// a viewer may fail on them.
    fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        TOP + (1.0 - part.clamp(-5.0, 6.0)) * FIELD_HEIGHT
    }
}

pub(super) fn draw(plot: &Plot) -> String {
    let mut points: Vec<Point> = plot.points.iter().map(drawable).collect();
    points.sort_by_key(|p| p.time_us);
    let scale = Scale::of(&points);
    let anomalies = points.iter().filter(|p| p.anomalous).count();
    let points = thin::by_column(&points, |p| (scale.x(p.time_us) * 1.5) as i64);
    let runs = runs(&points);

    let mut svg = Svg::begin();
    svg.shade(plot, &scale);
    svg.axes(&scale);
    svg.line("<g clip-path=\"url(#field)\">");
    for run in &runs {
        svg.band(run, &scale);
    }
    for run in &runs {
        svg.expected(run, &scale);
    }
    for run in &runs {
        svg.values(run, &scale);
    }
    svg.line("</g>");
    svg.anomalies(&points, &scale);
    svg.frame();
    svg.title(&plot.title);
    svg.legend(plot, &points, anomalies);
    svg.end()
}

/// A point whose differences from others do not overflow.
fn drawable(point: &Point) -> Point {
    const VALUE_ABS_MAX: f64 = 1e300;
    let within = |v: f64| v.clamp(-VALUE_ABS_MAX, VALUE_ABS_MAX);
    Point {
        value: within(point.value),
        expected: within(point.expected),
        low: within(point.low),
        high: within(point.high),
        ..*point
    }
}

/// The series cut where data is missing.
fn runs(points: &[Point]) -> Vec<&[Point]> {
    let mut distances: Vec<i64> =
        points.windows(2).map(|w| w[1].time_us.saturating_sub(w[0].time_us)).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() * 3 / 4).copied().unwrap_or(0);
    let gap = usual.max(1).saturating_mul(GAP_TIMES);
    points.chunk_by(|a, b| b.time_us.saturating_sub(a.time_us) <= gap).collect()
}

struct Svg(String);

impl Svg {
    fn begin() -> Self {
        let mut svg = Self(String::with_capacity(64 << 10));
        svg.line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"{FONT_FAMILY}, Verdana, sans-serif\" \
             font-size=\"11.5\">"
        ));
        svg.line(format_args!(
            "<defs><clipPath id=\"field\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{FIELD_WIDTH}\" \
             height=\"{FIELD_HEIGHT}\"/></clipPath></defs>"
        ));
        svg.line(format_args!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>"));
        svg
    }

    fn end(mut self) -> String {
        self.line("</svg>");
        self.0
    }

    fn line(&mut self, text: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, fill: &str, text: &str) {
        let text = escaped(text);
        self.line(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
        ));
    }

    fn shade(&mut self, plot: &Plot, scale: &Scale) {
        let colours = window_colours(plot);
        for window in &plot.windows {
            if window.to_us < scale.from_us || window.from_us > scale.to_us {
                continue;
            }
            let from = scale.x(window.from_us);
            // At least so wide that it is seen.
            let width = (scale.x(window.to_us) - from).max(3.0);
            let colour = colours[window.name.as_str()];
            self.line(format_args!(
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{FIELD_HEIGHT}\" \
                 fill=\"{colour}\" fill-opacity=\"0.22\"/>"
            ));
        }
    }

    fn axes(&mut self, scale: &Scale) {
        let (right, bottom) = (LEFT + FIELD_WIDTH, TOP + FIELD_HEIGHT);
        for (value, text) in axis::values(scale.low, scale.high, VALUE_MARKS) {
            let y = scale.y(value);
            self.line(format_args!(
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{GRID}\" fill=\"none\"/>"
            ));
            self.text(LEFT - 8.0, y + 4.0, "end", QUIET, &text);
        }
        for mark in axis::times(scale.from_us, scale.to_us, TIME_MARKS) {
            let x = scale.x(mark.time_us);
            self.line(format_args!(
                "<path d=\"M{x:.1} {TOP}V{:.1}\" stroke=\"{GRID}\" fill=\"none\"/>",
                bottom + 4.0
            ));
            self.text(x, bottom + 18.0, "middle", QUIET, &mark.text);
            if let Some(below) = mark.below {
                self.text(x, bottom + 34.0, "middle", INK, &below);
            }
        }
    }

    fn band(&mut self, run: &[Point], scale: &Scale) {
        for known in run.chunk_by(|a, b| a.low.is_nan() == b.low.is_nan()) {
            if known[0].low.is_nan() || known[0].high.is_nan() {
                continue;
            }
            let mut path = String::from("M");
            for point in known {
                let _ = write!(path, "{:.1} {:.1} ", scale.x(point.time_us), scale.y(point.high));
            }
            for point in known.iter().rev() {
                let _ = write!(path, "{:.1} {:.1} ", scale.x(point.time_us), scale.y(point.low));
            }
            self.line(format_args!("<path d=\"{path}Z\" fill=\"{BAND}\" fill-opacity=\"0.85\"/>"));
        }
    }

    fn expected(&mut self, run: &[Point], scale: &Scale) {
        for known in run.chunk_by(|a, b| a.expected.is_nan() == b.expected.is_nan()) {
            if !known[0].expected.is_nan() {
                self.polyline(known, |p| p.expected, scale, EXPECTED, 1.2);
            }
        }
    }

    fn values(&mut self, run: &[Point], scale: &Scale) {
        if let [point] = run {
            let (x, y) = (scale.x(point.time_us), scale.y(point.value));
            self.line(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.3\" fill=\"{SERIES}\"/>"
            ));
            return;
        }
        self.polyline(run, |p| p.value, scale, SERIES, 1.1);
    }

    fn polyline(
        &mut self,
        points: &[Point],
        of: impl Fn(&Point) -> f64,
        scale: &Scale,
        colour: &str,
        width: f64,
    ) {
        let mut path = String::new();
        for point in points {
            let _ = write!(path, "{:.1},{:.1} ", scale.x(point.time_us), scale.y(of(point)));
        }
        self.line(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            path.trim_end()
        ));
    }

    fn anomalies(&mut self, points: &[Point], scale: &Scale) {
        for point in points.iter().filter(|p| p.anomalous) {
            self.anomaly(scale.x(point.time_us), scale.y(point.value));
        }
    }

    fn anomaly(&mut self, x: f64, y: f64) {
        self.line(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{ANOMALY}\" stroke=\"#ffffff\" \
             stroke-width=\"1\"/>"
        ));
    }

    fn frame(&mut self) {
        self.line(format_args!(
            "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{FIELD_WIDTH}\" height=\"{FIELD_HEIGHT}\" \
             fill=\"none\" stroke=\"{FRAME}\"/>"
        ));
    }

    fn title(&mut self, title: &str) {
        let mut shown: String = title.chars().take(TITLE_CHARS_MAX).collect();
        if shown.len() < title.len() {
            shown.push('…');
        }
        let shown = escaped(&shown);
        self.line(format_args!(
            "<text x=\"{LEFT}\" y=\"31\" font-size=\"15\" fill=\"{INK}\">{shown}</text>"
        ));
    }

    /// From the right to the left.
    fn legend(&mut self, plot: &Plot, points: &[Point], anomalies: usize) {
        /// About the width of a letter.
        const LETTER: f64 = 6.9;
        const Y: f64 = 27.0;
        let mut entries: Vec<(&str, &str)> = vec![(SERIES, "value")];
        if points.iter().any(|p| !p.expected.is_nan()) {
            entries.push((BAND, "expected"));
        }
        if anomalies > 0 {
            entries.push((ANOMALY, if anomalies == 1 { "anomaly" } else { "anomalies" }));
        }
        let windows = window_colours(plot);
        entries.extend(windows.iter().map(|(name, colour)| (*colour, *name)));
        let mut x = LEFT + FIELD_WIDTH;
        for (colour, name) in entries.into_iter().rev() {
            x -= name.chars().count() as f64 * LETTER;
            self.text(x, Y + 4.0, "start", QUIET, name);
            match colour {
                ANOMALY => self.anomaly(x - 10.0, Y),
                SERIES => self.line(format_args!(
                    "<path d=\"M{:.1} {Y}h16\" stroke=\"{SERIES}\" stroke-width=\"1.6\"/>",
                    x - 21.0
                )),
                BAND => self.line(format_args!(
                    "<rect x=\"{0:.1}\" y=\"{1}\" width=\"16\" height=\"10\" fill=\"{BAND}\"/>\
                     <path d=\"M{0:.1} {Y}h16\" stroke=\"{EXPECTED}\" stroke-width=\"1.6\"/>",
                    x - 21.0,
                    Y - 5.0
                )),
                _ => self.line(format_args!(
                    "<rect x=\"{:.1}\" y=\"{}\" width=\"16\" height=\"10\" fill=\"{colour}\" \
                     fill-opacity=\"0.35\"/>",
                    x - 21.0,
                    Y - 5.0
                )),
            }
            x -= 38.0;
        }
    }
}

/// The colour of each name of a window.
fn window_colours(plot: &Plot) -> BTreeMap<&str, &'static str> {
    let mut colours = BTreeMap::new();
    for window in &plot.windows {
        let next = WINDOWS[colours.len() % WINDOWS.len()];
        colours.entry(window.name.as_str()).or_insert(next);
    }
    colours
}

/// Text as it may stand in SVG: of control characters nothing is left.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
