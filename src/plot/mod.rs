//! Pictures of series: the values, the band of what was expected, the anomalies
//! marked, windows shaded. As SVG, or as PNG drawn from it; the font is built in,
//! so a picture is the same on every machine.
//!
//! ```
//! use weir::plot::{Plot, Point};
//!
//! let point = |minute: i64| Point {
//!     time_us: minute * 60_000_000,
//!     value: if minute == 40 { 9.0 } else { 5.0 },
//!     expected: 5.0,
//!     low: 4.0,
//!     high: 6.0,
//!     anomalous: minute == 40,
//! };
//! let points = (0..100).map(point).collect();
//! let plot = Plot { title: "pump-7".into(), points, windows: vec![] };
//! assert!(plot.to_svg().starts_with("<svg"));
//! ```

mod axis;
mod draw;
mod png;
mod thin;

use std::path::Path;

use anyhow::{Context, bail};

pub use thin::Trace;

/// The width of a picture, in pixels.
pub const WIDTH: u32 = 1200;
/// The height of a picture, in pixels.
pub const HEIGHT: u32 = 400;

/// One value of the series, and what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The value; finite.
    pub value: f64,
    /// What was expected; NaN if nothing was.
    pub expected: f64,
    /// The lower end of the band of the expected; NaN if there is none.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Whether it is marked.
    pub anomalous: bool,
}

/// A part of the time that is shaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Where it begins, in microseconds since 1970.
    pub from_us: i64,
    /// Where it ends.
    pub to_us: i64,
    /// What it is, in a word; the legend shows each name once.
    pub name: String,
}

/// A picture of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Stands above it.
    pub title: String,
    /// The values, in any order and number; what falls on the same pixels is
    /// drawn as its least and greatest.
    pub points: Vec<Point>,
    /// What is shaded.
    pub windows: Vec<Window>,
}

impl Plot {
    /// The picture as an SVG document.
    pub fn to_svg(&self) -> String {
        draw::draw(self)
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// If it cannot be drawn; with the built-in font and size it can.
    pub fn to_png(&self) -> anyhow::Result<Vec<u8>> {
        png::from_svg(&self.to_svg())
    }

    /// Writes the picture; the name's end says as what.
    ///
    /// # Errors
    /// If the name does not end in `.svg` or `.png`, or cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let bytes = match kind_of(path)? {
            Kind::Svg => self.to_svg().into_bytes(),
            Kind::Png => self.to_png()?,
        };
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What a picture is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines and text.
    Svg,
    /// Pixels.
    Png,
}

/// What the name of a picture says that it is.
///
/// # Errors
/// If it is neither.
pub fn kind_of(path: &Path) -> anyhow::Result<Kind> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "svg" => Ok(Kind::Svg),
        "png" => Ok(Kind::Png),
        _ => bail!("{}: a picture's name ends in .svg or .png", path.display()),
    }
}

#[cfg(test)]
mod tests;
