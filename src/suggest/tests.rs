use weir_actors::decode::{
    Column, CsvFormat, FormatConfig, JsonFormat, JsonValue, TimeFormat, compact,
};
use weir_detectors::DetectorSpec;

use super::*;
use crate::config::Config;

const START_MS: i64 = 1_767_225_600_000;

/// `count` messages of 10 keys, a second apart, made by `value` of the key's number
/// and the message's.
fn samples(
    count: usize,
    key: impl Fn(usize) -> Option<String>,
    value: impl Fn(usize, usize) -> String,
) -> Vec<Sample> {
    (0..count)
        .map(|n| Sample {
            partition: (n % 10 % 2) as i32,
            offset: n as i64,
            timestamp_ms: START_MS + n as i64 * 1_000,
            key: key(n % 10).map(String::into_bytes),
            value: Some(value(n % 10, n).into_bytes()),
        })
        .collect()
}

fn json_of(samples: &[Sample]) -> JsonFormat {
    match guess(samples).unwrap().format {
        FormatConfig::Json(json) => json,
        other => panic!("{other:?}"),
    }
}

/// What comes out can be read, and says what was guessed.
fn checked(samples: &[Sample]) -> (Guess, Measured) {
    let guess = guess(samples).unwrap();
    let measured = measure(samples, &guess.format, &DetectorSpec::default()).unwrap();
    let text = configuration("readings", Some(&["b:9092".to_owned()]), &guess, &measured);
    assert!(text.lines().all(|l| !l.starts_with('#') || l.chars().count() <= 80), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.toml");
    std::fs::write(&path, &text).unwrap();
    let config = Config::read(Some(&path), Vec::new()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(config.format, guess.format, "{text}");
    assert_eq!(config.validate(), Vec::<String>::new(), "{text}");
    assert_eq!(
        (config.kafka.topics, config.kafka.brokers),
        (vec!["readings".into()], vec!["b:9092".into()])
    );
    (guess, measured)
}

#[test]
fn json_with_the_key_outside() {
    let of = samples(
        400,
        |k| Some(format!("pump-{k}")),
        |k, n| {
            format!(
                r#"{{"value": {}, "time": "2026-01-01T00:{:02}:{:02}Z", "ok": true}}"#,
                k + n % 3,
                n / 60,
                n % 60
            )
        },
    );
    let (guess, measured) = checked(&of);
    let FormatConfig::Json(json) = guess.format else { panic!() };
    assert_eq!(
        (json.key, json.value.as_deref(), json.time.as_deref()),
        (None, Some("$.value"), Some("$.time"))
    );
    assert_eq!(json.time_format, None);
    assert_eq!((measured.events, measured.series, measured.scattered.0), (400, 10, 0));
    assert_eq!(measured.cadence_us, Some(10_000_000));
    let rate = measured.events_per_second.unwrap();
    assert!((0.9..1.1).contains(&rate), "{rate}");
}

#[test]
fn json_with_the_key_inside_and_several_values() {
    let of = samples(
        400,
        |_| None,
        |k, n| {
            let ts = START_MS + n as i64;
            format!(
                r#"{{"device": {{"id": "d{k}"}}, "ts": {ts}, "lat": 50.1, "lon": 8.6, "temp": 20.5, "hum": {}, "seq": {n}}}"#,
                n % 7
            )
        },
    );
    let (guess, measured) = checked(&of);
    let FormatConfig::Json(json) = guess.format else { panic!() };
    assert_eq!(json.key.as_deref(), Some("$.device.id"));
    assert_eq!(
        (json.time.as_deref(), json.time_format),
        (Some("$.ts"), Some(TimeFormat::Milliseconds))
    );
    let paths: Vec<_> = json.values.iter().map(JsonValue::path).collect();
    assert_eq!(paths, ["$.hum", "$.temp"]);
    assert_eq!(
        (json.latitude.as_deref(), json.longitude.as_deref()),
        (Some("$.lat"), Some("$.lon"))
    );
    assert_eq!((measured.events, measured.series), (800, 20));
}

#[test]
fn numbers_in_strings_and_missing_ones_are_noticed() {
    let of = samples(
        100,
        |k| Some(format!("k{k}")),
        |_, n| match n % 3 {
            0 => r#"{"a": "1.5"}"#.into(),
            _ => r#"{"a": "1.5", "b": "2"}"#.into(),
        },
    );
    let json = json_of(&of);
    assert!(json.numbers_in_strings && json.skip_missing);
    assert_eq!((json.values.len(), json.time), (2, None));
    checked(&of);
}

#[test]
fn a_bare_number_is_json() {
    let of = samples(100, |k| Some(format!("k{k}")), |_, n| n.to_string());
    assert_eq!(json_of(&of).value.as_deref(), Some("$"));
    assert_eq!(checked(&of).1.events, 100);
}

#[test]
fn csv_by_the_number_of_columns() {
    let of =
        samples(200, |_| None, |k, n| format!("{};s{k};{}.5", START_MS / 1000 + n as i64, n % 5));
    let (guess, measured) = checked(&of);
    let FormatConfig::Csv(csv) = guess.format else { panic!() };
    let expected = CsvFormat {
        delimiter: ';',
        key: Some(Column::Number(1)),
        value: Some(Column::Number(2)),
        time: Some(Column::Number(0)),
        time_format: Some(TimeFormat::Seconds),
        ..CsvFormat::default()
    };
    assert_eq!(csv, expected);
    assert_eq!((measured.events, measured.series), (200, 10));
}

#[test]
fn longs_and_the_compact_format_are_told_apart() {
    let mut of = samples(50, |_| None, |_, _| String::new());
    for (n, sample) in of.iter_mut().enumerate() {
        sample.key = Some((n as i64 % 7).to_be_bytes().to_vec());
        sample.value = Some((n as i64).to_be_bytes().to_vec());
    }
    assert!(matches!(checked(&of).0.format, FormatConfig::Long(_)));
    for (n, sample) in of.iter_mut().enumerate() {
        let mut bytes = Vec::new();
        compact::encode(START_MS * 1_000 + n as i64, 1.5, Some(b"key"), &mut bytes).unwrap();
        sample.value = Some(bytes);
    }
    let (guess, measured) = checked(&of);
    assert!(matches!(guess.format, FormatConfig::Compact(_)));
    assert_eq!(measured.series, 1);
}

#[test]
fn a_few_bad_messages_are_counted_and_do_not_mislead() {
    let mut of = samples(200, |k| Some(format!("k{k}")), |_, n| format!(r#"{{"value": {n}}}"#));
    of[7].value = Some(b"oops".to_vec());
    of[8].value = None;
    let (_, measured) = checked(&of);
    assert_eq!(measured.events, 198);
    assert_eq!(measured.rejects["malformed"].0, 1);
    assert_eq!(measured.rejects["tombstone"].0, 1);
}

#[test]
fn what_cannot_be_watched_says_why() {
    let of = samples(50, |_| None, |k, _| format!(r#"{{"name": "n{k}"}}"#));
    assert!(guess(&of).unwrap_err().contains("$.name"));
    let mut binary = of.clone();
    binary.iter_mut().for_each(|s| s.value = Some(vec![0xff, 0, 1, 2]));
    assert!(guess(&binary).unwrap_err().contains("neither JSON"));
    assert!(guess(&[]).is_err());
}

#[test]
fn a_key_in_two_partitions_is_told() {
    let mut of = samples(200, |k| Some(format!("k{k}")), |_, n| format!(r#"{{"value": {n}}}"#));
    of.iter_mut().for_each(|s| s.partition = (s.offset % 3) as i32);
    let (guess, measured) = checked(&of);
    assert_eq!(measured.scattered.0, 10);
    assert!(configuration("t", None, &guess, &measured).contains("CAUTION: 10 keys"));
}

#[test]
fn an_anomaly_in_the_sample_is_foretold_as_alerts() {
    let of = samples(
        2_000,
        |k| Some(format!("k{k}")),
        |k, n| {
            let wild = k == 3 && n > 1_500;
            let value = (n / 10 % 5) as f64 + if wild { 100.0 } else { 0.0 };
            format!(r#"{{"value": {value}}}"#)
        },
    );
    let (_, measured) = checked(&of);
    assert_eq!(measured.judged, 1_500);
    assert!((1..=3).contains(&measured.incidents), "{measured:?}");
    assert!(measured.alerts_per_day.unwrap() > 10.0);
}

#[test]
fn keys_that_are_met_once_tell_of_others_unseen() {
    let of: Vec<Sample> = samples(100, |_| None, |_, _| "{\"value\": 1}".into())
        .into_iter()
        .enumerate()
        .map(|(n, s)| Sample { key: Some(format!("k{}", n * 9 % 95).into_bytes()), ..s })
        .collect();
    let (_, measured) = checked(&of);
    assert!(measured.series_estimate > 500, "{measured:?}");
}
