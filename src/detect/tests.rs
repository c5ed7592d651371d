use std::fs;

use weir_actors::shard::timing::Policy;

use super::*;

struct Ran {
    done: Result<(), DetectError>,
    out: String,
    err: String,
    summary: Summary,
}

fn options(inputs: &[&Path]) -> Options {
    Options {
        inputs: inputs.iter().map(|p| p.to_path_buf()).collect(),
        columns: ColumnOptions::default(),
        detection: DetectionConfig::default(),
        format: Format::Table,
        each: false,
        colour: false,
        plot: None,
        scores: None,
        root: None,
        strict: false,
    }
}

fn ran(options: &Options, stdin: &str) -> Ran {
    let (mut out, mut err, mut summary) = (Vec::new(), Vec::new(), Summary::default());
    let mut stdin = stdin.as_bytes();
    let mut ends = Ends { stdin: &mut stdin, out: &mut out, err: &mut err };
    let done = run(options, &mut ends, &mut summary);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { done, out: text(out), err: text(err), summary }
}

/// A row every five minutes, quiet but for a spike and, later, a new level.
fn series(rows: i64) -> String {
    let mut text = String::from("timestamp,value\n");
    for n in 0..rows {
        let value = match n {
            120 => 95.25,
            300.. => 4.0,
            n => 20.0 + ((n * 7) % 11) as f64 / 10.0,
        };
        let time = figure_time(n);
        text += &format!("{time},{value}\n");
    }
    text
}

fn figure_time(n: i64) -> String {
    crate::figure::time(1_392_388_200_000_000 + n * 300_000_000)
}

const STDIN_PATH: &str = STDIN;

#[test]
fn a_table_names_each_incident_in_a_line() {
    let ran = ran(&options(&[Path::new(STDIN_PATH)]), &series(400));
    ran.done.unwrap();
    assert_eq!(
        ran.out,
        "\
key               since               anomalies     value  expected       off by
stdin             2014-02-15 00:30:00         1     95.25      20.5   +235 sigma
stdin             2014-02-15 15:30:00        18         4      20.5  -44.0 sigma
"
    );
    assert!(ran.out.lines().all(|l| l.len() == 80), "{}", ran.out);
    assert!(ran.err.contains("stdin: CSV with a header; time = timestamp"), "{}", ran.err);
    assert_eq!((ran.summary.rows, ran.summary.series, ran.summary.faulty), (400, 1, 0));
}

#[test]
fn json_lines_say_it_to_programs() {
    let mut options = options(&[Path::new(STDIN_PATH)]);
    options.format = Format::Json;
    let ran = ran(&options, &series(200));
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["key"], "stdin");
    assert_eq!(line["detector"], "cusum");
    assert_eq!((&line["line"], &line["value"]), (&122.into(), &95.25.into()));
    assert_eq!((&line["time"], &line["since"]), (&line["since"], &line["until"]));
    assert_eq!(line["time"], "2014-02-15T00:30:00Z");
    assert_eq!((&line["direction"], &line["anomalies"]), (&"up".into(), &1.into()));
}

#[test]
fn each_anomaly_can_be_shown_at_once() {
    let mut options = options(&[Path::new(STDIN_PATH)]);
    options.each = true;
    let ran = ran(&options, &series(400));
    assert_eq!(ran.out.lines().count() as u64, 1 + ran.summary.anomalies);
    assert!(ran.summary.anomalies > ran.summary.incidents);
}

#[test]
fn faulty_lines_are_reported_by_number_and_skipped() {
    let text = series(200).replace("2014-02-14 14:40:00,20.3", "2014-02-14 14:40:00,n/a");
    let text = text.replacen("\n2014-02-14 15:00:00,", "\n\nyesterday,", 1);
    let ran = ran(&options(&[Path::new(STDIN_PATH)]), &text);
    ran.done.unwrap();
    assert!(
        ran.err.contains("weir: stdin:4: not_a_number: column 1 (`value`) is `n/a`"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("weir: stdin:9: bad_time: the time, column 0 (`timestamp`)"),
        "{}",
        ran.err
    );
    assert_eq!((ran.summary.rows, ran.summary.checks, ran.summary.faulty), (200, 198, 2));
    assert_eq!(ran.summary.incidents, 1);
}

#[test]
fn many_faulty_lines_are_shown_up_to_a_limit_and_all_counted() {
    let text = format!("{}{}", series(60), "nonsense,1\n".repeat(500));
    let ran = ran(&options(&[Path::new(STDIN_PATH)]), &text);
    assert_eq!(ran.summary.faulty, 500);
    assert!(ran.err.lines().count() < 110 && ran.err.contains("only counted"));
}

#[test]
fn strict_stops_at_the_first_faulty_line() {
    let text = series(200).replacen("14:40:00,20.3", "14:40:00,", 1);
    let mut options = options(&[Path::new(STDIN_PATH)]);
    options.strict = true;
    let ran = ran(&options, &text);
    let Err(DetectError::Faulty(what)) = ran.done else { panic!("{:?}", ran.done) };
    assert_eq!(what, "stdin:4: missing_field: column 1 (`value`) is missing");
    assert_eq!(ran.summary.checks, 2);
}

#[test]
fn lines_too_late_by_the_rules_are_faulty() {
    let mut options = options(&[Path::new(STDIN_PATH)]);
    options.detection.timing.late = Policy::DeadLetter;
    let text = series(100) + "2014-02-01 00:00:00,20\n";
    let ran = ran(&options, &text);
    assert!(ran.err.contains("stdin:102: too_late"), "{}", ran.err);
    assert_eq!((ran.summary.checks, ran.summary.faulty), (100, 1));
}

#[test]
fn scores_have_a_row_for_every_row_of_the_input() {
    let dir = tempfile::tempdir().unwrap();
    let (root, scores) = (dir.path().join("data"), dir.path().join("scores"));
    fs::create_dir_all(root.join("real")).unwrap();
    let input = root.join("real/pump.csv");
    fs::write(&input, series(200).replace("14:40:00,20.3", "14:40:00,x")).unwrap();
    let mut options = options(&[&input]);
    options.scores = Some(scores.clone());
    options.root = Some(root);
    let ran = ran(&options, "");
    ran.done.unwrap();
    assert!(ran.out.contains("real/pump"), "{}", ran.out);
    let written = fs::read_to_string(scores.join("real/pump.csv")).unwrap();
    let rows: Vec<&str> = written.lines().collect();
    assert_eq!(rows.len(), 201);
    assert_eq!(rows[0], "timestamp,value,anomaly_score");
    assert_eq!(rows[1], "2014-02-14 14:30:00,20,0.000000");
    assert_eq!(rows[3], ",,0");
    let score = |n: usize| rows[n].rsplit(',').next().unwrap().parse::<f64>().unwrap();
    assert!(score(121) > 0.5 && (1..=120).all(|n| score(n) < 0.5));
    assert_eq!(fs::read_dir(scores.join("real")).unwrap().count(), 1);
}

#[test]
fn scores_never_overwrite_their_input() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.csv");
    fs::write(&input, series(60)).unwrap();
    let mut options = options(&[&input]);
    options.scores = Some(dir.path().to_owned());
    assert!(ran(&options, "").done.unwrap_err().to_string().contains("another directory"));
    assert_eq!(fs::read_to_string(&input).unwrap(), series(60));
}

#[test]
fn each_series_is_drawn_and_of_many_the_most_telling() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("time,sensor,value\n");
    for n in 0..100 {
        for sensor in 0..30 {
            let spike = n == 90 && sensor >= 25;
            let value = if spike { 900 } else { (n * 7 + sensor) % 13 };
            text += &format!("{},s{sensor},{value}\n", figure_time(n));
        }
    }
    let mut options = options(&[Path::new(STDIN_PATH)]);
    options.plot = Some(dir.path().join("out.svg"));
    let all = ran(&options, &text);
    all.done.unwrap();
    assert!(all.err.contains("20 pictures") && all.err.contains("of 30 series"), "{}", all.err);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 20);
    assert!((25..30).all(|n| dir.path().join(format!("out-s{n}.svg")).exists()));

    options.plot = Some(dir.path().join("one.png"));
    ran(&options, &series(200)).done.unwrap();
    assert!(fs::read(dir.path().join("one.png")).unwrap().starts_with(b"\x89PNG"));
    options.plot = Some(dir.path().join("one.gif"));
    assert!(ran(&options, "").done.unwrap_err().to_string().contains(".svg or .png"));
}

#[test]
fn several_values_of_a_line_are_several_series() {
    let line = |n: i64| {
        let hot = if n == 80 { 99.0 } else { 20.0 + (n % 3) as f64 };
        format!("{{\"ts\":{},\"id\":\"a\",\"t\":{hot},\"h\":{}}}\n", 1_700_000_000 + n, n % 5)
    };
    let text: String = (0..100).map(line).collect();
    let ran = ran(&options(&[Path::new(STDIN_PATH)]), &text);
    ran.done.unwrap();
    assert_eq!((ran.summary.rows, ran.summary.series, ran.summary.checks), (100, 2, 200));
    assert!(ran.out.contains("a/t ") && !ran.out.contains("a/h "), "{}", ran.out);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = ran(&options(&[Path::new("/nowhere/a.csv")]), "");
    let error = missing.done.unwrap_err();
    let DetectError::Failed(error) = error else { panic!("{error}") };
    assert!(format!("{error:#}").starts_with("cannot open /nowhere/a.csv: No such file"));
}

#[test]
fn the_same_file_gives_the_same_lines() {
    let options = options(&[Path::new(STDIN_PATH)]);
    assert_eq!(ran(&options, &series(2_000)).out, ran(&options, &series(2_000)).out);
}
