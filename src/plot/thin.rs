//! Thinning: of many values that stand close together, the least and the
//! greatest, and the anomalies that are furthest off.

use super::Point;

/// A series' values for a picture, in bounded memory: when there are too many,
/// neighbours are thinned to their extremes.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    points: Vec<Point>,
    /// So many of the first points have been thinned out once more than the rest.
    thinned: usize,
}

impl Trace {
    /// So many values are always kept.
    pub const POINTS_MIN: usize = 64;

    /// Adds a value; keeps about `points_max` values, at least
    /// [`Trace::POINTS_MIN`].
    pub fn push(&mut self, point: Point, points_max: usize) {
        self.points.push(point);
        if self.points.len() > points_max.max(Self::POINTS_MIN) {
            self.thin();
        }
    }

    /// The values that are kept, as they came.
    pub fn into_points(self) -> Vec<Point> {
        self.points
    }

    /// How many values are kept.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn thin(&mut self) {
        // Those that were thinned before stand for more values each: the newer
        // ones come down to their density first.
        const NEIGHBOURS: usize = 6;
        let from = if self.thinned < self.points.len() * 3 / 4 { self.thinned } else { 0 };
        let newer = self.points.split_off(from);
        for neighbours in newer.chunks(NEIGHBOURS) {
            extremes(neighbours, &mut self.points);
        }
        self.thinned = self.points.len();
    }
}

/// Values by pixel column: `column` says in which one a value stands. The points
/// are in the order of their columns.
pub(super) fn by_column(points: &[Point], column: impl Fn(&Point) -> i64) -> Vec<Point> {
    let mut out = Vec::new();
    for of_column in points.chunk_by(|a, b| column(a) == column(b)) {
        extremes(of_column, &mut out);
    }
    out
}

/// Appends the least and the greatest of the points, and of
/// the anomalies among them the one furthest off, in their order.
fn extremes(points: &[Point], out: &mut Vec<Point>) {
    if points.len() <= 2 {
        out.extend_from_slice(points);
        return;
    }
    let off = |p: &Point| if p.expected.is_nan() { 0.0 } else { (p.value - p.expected).abs() };
    let (mut least, mut greatest, mut anomaly) = (0, 0, None);
    for (n, point) in points.iter().enumerate() {
        if point.value < points[least].value {
            least = n;
        }
        if point.value > points[greatest].value {
            greatest = n;
        }
        if point.anomalous && anomaly.is_none_or(|a: usize| off(point) > off(&points[a])) {
            anomaly = Some(n);
        }
    }
    let mut kept = [Some(least), Some(greatest), anomaly];
    kept.sort_unstable();
    let mut before = None;
    for n in kept.into_iter().flatten() {
        if before != Some(n) {
            out.push(points[n]);
        }
        before = Some(n);
    }
}
