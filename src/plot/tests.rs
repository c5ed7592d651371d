use std::fs;

use super::*;

const MINUTE_US: i64 = 60_000_000;
/// 2026-01-31 00:00:00.
const START_US: i64 = 1_769_817_600_000_000;

fn point(n: i64, value: f64) -> Point {
    Point {
        time_us: START_US + n * MINUTE_US,
        value,
        expected: 5.0,
        low: 4.0,
        high: 6.0,
        anomalous: false,
    }
}

fn plot(points: Vec<Point>) -> Plot {
    Plot { title: "a".into(), points, windows: vec![] }
}

fn markers(svg: &str) -> usize {
    svg.matches("r=\"3.6\"").count()
}

#[test]
fn a_picture_shows_title_anomalies_windows_and_band() {
    let mut points: Vec<_> = (0..200).map(|n| point(n, 5.0 + (n % 7) as f64 / 10.0)).collect();
    points[50] = Point { value: 12.0, anomalous: true, ..points[50] };
    let window = |from: i64, name: &str| Window {
        from_us: START_US + from * MINUTE_US,
        to_us: START_US + (from + 20) * MINUTE_US,
        name: name.into(),
    };
    let windows = vec![window(40, "labelled"), window(120, "labelled"), window(900, "outside")];
    let svg = Plot { title: "pump <7> & \"8\"\u{1}".into(), points, windows }.to_svg();
    assert!(svg.contains("pump &lt;7&gt; &amp; &quot;8&quot;\u{fffd}"));
    // One in the field, one in the legend.
    assert_eq!(markers(&svg), 2);
    assert_eq!(svg.matches("fill-opacity=\"0.22\"").count(), 2);
    assert_eq!(svg.matches(">labelled<").count(), 1);
    assert!(svg.contains(">expected<") && svg.contains(">2026-01-31<"));
}

#[test]
fn a_million_values_are_drawn_as_the_extremes_of_each_column() {
    let mut points: Vec<_> = (0..1_000_000).map(|n| point(n, (n % 10) as f64)).collect();
    points[500_001].value = 99.0;
    points[700_003] = Point { value: 5.5, anomalous: true, ..points[700_003] };
    let svg = plot(points).to_svg();
    assert!(svg.len() < 300_000, "{} bytes", svg.len());
    assert_eq!(markers(&svg), 2);
    // The one large value makes the scale, and is drawn at its top.
    assert!(svg.contains(">100<"), "the axis goes up to the spike");
}

#[test]
fn a_trace_keeps_spikes_and_anomalies_in_bounded_memory() {
    let mut trace = Trace::default();
    for n in 0..100_000 {
        let mut p = point(n, 5.0 + (n % 3) as f64);
        p.value = if n == 70_001 { 50.0 } else { p.value };
        p.anomalous = n == 1_234 || n == 99_990;
        trace.push(p, 500);
        assert!(trace.len() <= 501);
    }
    let points = trace.into_points();
    assert!(points.len() > 100);
    assert!(points.iter().any(|p| p.value == 50.0));
    assert_eq!(points.iter().filter(|p| p.anomalous).count(), 2);
    assert!(points.is_sorted_by_key(|p| p.time_us));
}

#[test]
fn a_gap_in_the_data_is_a_gap_in_the_line() {
    let with_gap = (0..200).filter(|n| !(80..120).contains(n)).map(|n| point(n, 5.0)).collect();
    let lines = |plot: &Plot| plot.to_svg().matches("<polyline").count();
    assert_eq!(lines(&plot(with_gap)), 2 * lines(&plot((0..200).map(|n| point(n, 5.0)).collect())));
}

#[test]
fn hard_series_are_drawn_all_the_same() {
    let nan = f64::NAN;
    let unknown = |n, value| Point { expected: nan, low: nan, high: nan, ..point(n, value) };
    for points in [
        vec![],
        vec![point(0, 5.0)],
        vec![unknown(0, 0.0), unknown(1, 0.0)],
        vec![point(0, 5.0), point(0, 5.0)],
        vec![unknown(0, -1e300), unknown(1, 1e300)],
        vec![unknown(0, f64::MIN), unknown(1, f64::MAX)],
        vec![unknown(0, 1e-300), unknown(1, 2e-300)],
        vec![unknown(0, 1e15), unknown(1, 1e15 + 0.125)],
        vec![
            Point { time_us: i64::MIN, ..point(0, 1.0) },
            Point { time_us: i64::MAX, ..point(0, 2.0) },
        ],
        vec![Point { low: f64::NEG_INFINITY, high: f64::INFINITY, ..point(0, 1.0) }, point(1, 2.0)],
    ] {
        let plot = plot(points);
        let svg = plot.to_svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        plot.to_png().unwrap();
    }
}

#[test]
fn text_is_drawn_with_the_built_in_font() {
    let of =
        |title: &str| Plot { title: title.into(), ..plot(vec![point(0, 5.0)]) }.to_png().unwrap();
    assert_ne!(of("one"), of("two"));
}

#[test]
fn the_name_of_the_file_says_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let plot = plot((0..50).map(|n| point(n, 5.0)).collect());
    let written = |name: &str| {
        plot.write(&dir.path().join(name)).map(|()| fs::read(dir.path().join(name)).unwrap())
    };
    assert!(written("a.svg").unwrap().starts_with(b"<svg"));
    assert!(written("a.PNG").unwrap().starts_with(b"\x89PNG"));
    assert!(written("a.gif").unwrap_err().to_string().contains(".svg or .png"));
    assert!(written("none/a.svg").unwrap_err().to_string().contains("cannot write"));
}

#[test]
fn marks_of_time_are_what_people_count_in() {
    let marks = |from_us: i64, span_us: i64| {
        let marks = axis::times(from_us, from_us + span_us, 10);
        assert!((1..=13).contains(&marks.len()), "{span_us}: {}", marks.len());
        (marks[0].text.clone(), marks[0].below.clone(), marks[1].text.clone(), marks.len())
    };
    let day_us = 1_440 * MINUTE_US;
    let some = |t: &str| Some(t.to_owned());
    assert_eq!(marks(START_US, day_us), ("00:00".into(), some("2026-01-31"), "03:00".into(), 9));
    assert_eq!(
        marks(START_US, 9_000),
        ("00:00:00.000".into(), some("2026-01-31"), "00:00:00.001".into(), 10)
    );
    assert_eq!(marks(START_US, 80 * day_us).1, some("2026"));
    assert_eq!(marks(START_US, 365 * day_us).0, "Mar");
    assert_eq!(marks(START_US, 3_650 * day_us).0, "2028");
    for exponent in 3..17 {
        let marks = axis::times(START_US, START_US + 10i64.pow(exponent), 10);
        assert!((2..=13).contains(&marks.len()), "{exponent}: {}", marks.len());
    }
}

#[test]
fn marks_of_values_are_round_numbers() {
    let texts = |low, high| -> Vec<String> {
        axis::values(low, high, 6.0).into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(-0.2, 0.9), ["-0.2", "0", "0.2", "0.4", "0.6", "0.8"]);
    assert_eq!(texts(17.0, 82.0), ["20", "40", "60", "80"]);
    assert_eq!(texts(0.0, 3e9), ["0", "500M", "1.0G", "1.5G", "2.0G", "2.5G", "3.0G"]);
}
