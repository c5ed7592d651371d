use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::Reject;
use crate::position::{PartitionId, TopicId, TopicPartition};
use crate::route::series_hash;
use crate::source::RawRecord;

const AT_MS: i64 = 1_700_000_000_000;

type Given<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A batch of messages, offsets from 100, all at [`AT_MS`].
fn batch(messages: &[Given<'_>]) -> RawBatch {
    let id = PartitionId { topic: TopicId(1), number: 0 };
    let mut bytes = b"before".to_vec();
    let mut put = |part: Option<&[u8]>| match part {
        None => Span::NULL,
        Some(part) => {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(part);
            Span { start, len: part.len() as u32 }
        }
    };
    let records = (100..)
        .zip(messages)
        .map(|(offset, (key, value))| RawRecord {
            offset,
            timestamp_ms: AT_MS,
            key: put(*key),
            value: put(*value),
            headers: Span::NULL,
        })
        .collect();
    RawBatch {
        partition: Arc::new(TopicPartition { topic: "t".into(), id }),
        bytes,
        records,
        next_offset: 100 + messages.len() as i64,
        log_end_offset: 1_000,
    }
}

fn decoder(toml_like: serde_json::Value) -> Decoder {
    let format: FormatConfig = serde_json::from_value(toml_like).unwrap();
    Decoder::new(&format, &LimitsConfig::default()).unwrap()
}

fn json(options: serde_json::Value) -> Decoder {
    let mut options = options;
    options["type"] = "json".into();
    decoder(options)
}

fn csv(options: serde_json::Value) -> Decoder {
    let mut options = options;
    options["type"] = "csv".into();
    decoder(options)
}

/// Series, index, time and value of each event.
fn events(batch: &DecodedBatch) -> Vec<(String, u16, i64, f64)> {
    let shown = |e: &crate::event::Event| {
        let series = batch.series(e);
        assert_eq!(e.series_hash, series_hash(series));
        (String::from_utf8(series.to_vec()).unwrap(), e.index, e.time_us, e.value)
    };
    batch.events.iter().map(shown).collect()
}

/// One message with the key `k`; its only event, or why it is none.
fn one(decoder: &Decoder, value: &[u8]) -> Result<(String, i64, f64), Reject> {
    let mut decoded = decoder.decode(batch(&[(Some(b"k"), Some(value))]));
    match decoded.rejects.pop() {
        Some(reject) => {
            assert!(decoded.events.is_empty() && decoded.rejects.is_empty());
            assert!(!reject.detail.is_empty() && reject.detail.len() <= DETAIL_BYTES_MAX);
            Err(reject)
        }
        None => {
            assert_eq!(decoded.events.len(), 1);
            let (series, _, time_us, value) = events(&decoded).remove(0);
            Ok((series, time_us, value))
        }
    }
}

fn reason(decoder: &Decoder, value: &[u8]) -> RejectReason {
    match one(decoder, value) {
        Err(reject) => reject.reason,
        Ok(event) => panic!("{} is an event: {event:?}", String::from_utf8_lossy(value)),
    }
}

fn value_of(decoder: &Decoder, value: &[u8]) -> f64 {
    one(decoder, value).unwrap_or_else(|r| panic!("{r:?}")).2
}

use RejectReason::*;

mod json_text;

#[test]
fn a_time_far_ahead_of_its_message_is_refused_where_that_is_configured() {
    let format: FormatConfig = serde_json::from_value(
        serde_json::json!({ "type": "json", "value": "v", "time": "t", "time_format": "ms" }),
    )
    .unwrap();
    let limits = LimitsConfig { time_ahead_max_ms: Some(60_000), ..LimitsConfig::default() };
    let decoder = Decoder::new(&format, &limits).unwrap();
    let at = |ms: i64| format!("{{\"v\":1,\"t\":{ms}}}");
    assert!(one(&decoder, at(AT_MS + 60_000).as_bytes()).is_ok());
    assert_eq!(reason(&decoder, at(AT_MS + 60_001).as_bytes()), TimeOutOfRange);
}

#[test]
fn a_message_without_time_or_key_is_refused_where_they_are_its_own() {
    let decoder = json(serde_json::json!({ "value": "v" }));
    let mut raw = batch(&[
        (Some(b"k"), Some(b"{\"v\":1}")),
        (None, Some(b"{\"v\":1}")),
        (Some(b"\xff"), Some(b"{\"v\":1}")),
        (Some(&[b'x'; 600]), Some(b"{\"v\":1}")),
    ]);
    raw.records[0].timestamp_ms = -1;
    let decoded = decoder.decode(raw);
    assert!(decoded.events.is_empty());
    let reasons: Vec<_> = decoded.rejects.iter().map(|r| (r.record, r.reason)).collect();
    assert_eq!(reasons, [(0, BadTime), (1, MissingKey), (2, BadKey), (3, BadKey)]);
}

#[test]
fn null_empty_and_oversized_messages_are_refused_in_every_format() {
    let big = vec![b' '; (1 << 20) + 1];
    for decoder in all_decoders() {
        let decoded = decoder.decode(batch(&[
            (Some(b"k"), None),
            (Some(b"k"), Some(b"")),
            (Some(b"k"), Some(&big)),
        ]));
        assert!(decoded.events.is_empty());
        let reasons: Vec<_> = decoded.rejects.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [Tombstone, Empty, TooLarge]);
    }
}

#[test]
fn locations_are_read_beside_the_events() {
    let decoder = json(serde_json::json!({
        "value": "v", "latitude": "p.lat", "longitude": "p.lon", "altitude": "p.alt"
    }));
    let decoded = decoder.decode(batch(&[
        (Some(b"k"), Some(br#"{"v":1,"p":{"lat":47.5,"lon":-180,"alt":430}}"#)),
        (Some(b"k"), Some(br#"{"v":2}"#)),
        (Some(b"k"), Some(br#"{"v":3,"p":{"lat":90,"lon":0}}"#)),
        (Some(b"k"), Some(br#"{"v":4,"p":{"lat":90.1,"lon":0}}"#)),
        (Some(b"k"), Some(br#"{"v":5,"p":{"lat":1,"lon":181}}"#)),
        (Some(b"k"), Some(br#"{"v":6,"p":{"lat":1}}"#)),
        (Some(b"k"), Some(br#"{"v":7,"p":{"lat":"1","lon":1}}"#)),
        (Some(b"k"), Some(br#"{"v":8,"p":{"lat":1,"lon":1,"alt":1e999}}"#)),
    ]));
    assert_eq!(decoded.locations.len(), decoded.events.len());
    assert_eq!(
        decoded.locations[0],
        Location { latitude: 47.5, longitude: -180.0, altitude_m: 430.0 }
    );
    assert!(decoded.locations[1].latitude.is_nan());
    assert!(decoded.locations[2].altitude_m.is_nan());
    let reasons: Vec<_> = decoded.rejects.iter().map(|r| (r.record, r.reason)).collect();
    assert_eq!(reasons, [3, 4, 5, 6, 7].map(|n| (n, BadLocation)));
}

#[test]
fn csv_reads_columns_by_number_and_by_name() {
    let by_name = csv(serde_json::json!({
        "header": ["at", "sensor", "t"], "key": "sensor", "value": "t", "time": "at",
        "time_format": "rfc3339_or_utc"
    }));
    let expected = ("p 1".to_owned(), AT_MS * 1_000, 21.5);
    assert_eq!(one(&by_name, b"2023-11-14 22:13:20, p 1 ,21.5\r\n").unwrap(), expected);
    let by_number = csv(serde_json::json!({
        "delimiter": ";", "key": 1, "value": 2, "time": 0, "time_format": "s"
    }));
    assert_eq!(one(&by_number, b"1700000000;\"p 1\";\"21.5\";more").unwrap(), expected);
    let several = csv(serde_json::json!({
        "header": ["t", "h"], "values": ["t", { "column": 1, "name": "humidity" }]
    }));
    let decoded = several.decode(batch(&[(Some(b"k"), Some(b"1,2"))]));
    let names: Vec<_> = events(&decoded).into_iter().map(|e| e.0).collect();
    assert_eq!(names, ["k/t", "k/humidity"]);
}

#[test]
fn csv_quotes_are_undone() {
    let decoder = csv(serde_json::json!({ "key": 0, "value": 1 }));
    let key = |line: &[u8]| one(&decoder, line).unwrap().0;
    assert_eq!(key(b"\"a,b\",1"), "a,b");
    assert_eq!(key(b"\"a\"\"b\"\"\",1"), "a\"b\"");
    assert_eq!(key(b"\"a\nb\",1"), "a\nb");
}

#[test]
fn csv_lines_that_are_no_events_are_refused_as_what_they_are() {
    let decoder = csv(serde_json::json!({ "key": 0, "value": 1 }));
    for (line, expected) in [
        (b"a".as_slice(), MissingField),
        (b"a,", MissingField),
        (b"a, ", MissingField),
        (b",1", MissingField),
        (b"a,x", NotANumber),
        (b"a,1x", NotANumber),
        (b"a,nan", NotFinite),
        (b"a,-inf", NotFinite),
        (b"a,1e999", NotFinite),
        (b"\"a,1", Malformed),
        (b"\"a\"b,1", Malformed),
        (b"a\"b,1", Malformed),
        (b"a,1\nb,2", Malformed),
        (b"\xff,1", BadKey),
        (b"a,\xff", NotANumber),
        (b"\n", MissingField),
    ] {
        assert_eq!(reason(&decoder, line), expected, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn long_reads_eight_bytes_each() {
    let decoder = decoder(serde_json::json!({ "type": "long" }));
    let key = (-5i64).to_be_bytes();
    let decoded = decoder.decode(batch(&[
        (Some(&key), Some(&42i64.to_be_bytes())),
        (Some(&key), Some(b"1234567")),
        (Some(b"short"), Some(&42i64.to_be_bytes())),
        (None, Some(&42i64.to_be_bytes())),
    ]));
    assert_eq!(decoded.events.len(), 1);
    let event = decoded.events[0];
    assert_eq!((event.value, event.time_us), (42.0, AT_MS * 1_000));
    assert_eq!(decoder.key_encoding().render(decoded.series(&event)), "-5");
    let reasons: Vec<_> = decoded.rejects.iter().map(|r| (r.record, r.reason)).collect();
    assert_eq!(reasons, [(1, Malformed), (2, BadKey), (3, MissingKey)]);
}

fn compact_of(value: f64, key: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    compact::encode(AT_MS * 1_000 + 7, value, key, &mut out).unwrap();
    out
}

#[test]
fn compact_reads_what_it_wrote() {
    let decoder = decoder(serde_json::json!({ "type": "compact" }));
    let own = one(&decoder, &compact_of(-0.5, Some(b"pump"))).unwrap();
    assert_eq!(own, ("pump".into(), AT_MS * 1_000 + 7, -0.5));
    assert_eq!(one(&decoder, &compact_of(1.5, None)).unwrap().0, "k");
    assert_eq!(reason(&decoder, &compact_of(f64::NAN, None)), NotFinite);
    assert_eq!(reason(&decoder, &compact_of(1.0, Some(b"\xff"))), BadKey);
    assert_eq!(reason(&decoder, &compact_of(1.0, Some(&[b'x'; 513]))), BadKey);
    let good = compact_of(1.0, Some(b"key"));
    for len in 1..good.len() {
        assert_eq!(reason(&decoder, &good[..len]), Malformed, "{len}");
    }
    assert_eq!(reason(&decoder, &[good.as_slice(), b"x"].concat()), Malformed);
    assert_eq!(reason(&decoder, &[&[2], &good[1..]].concat()), Malformed);
    assert!(compact::encode(0, 0.0, Some(&vec![0; 65_536]), &mut Vec::new()).is_none());
}

/// Other languages write these bytes.
#[test]
fn compact_is_laid_out_as_documented() {
    let mut out = Vec::new();
    compact::encode(0x0102_0304_0506_0708, 1.0, Some(b"ab"), &mut out).unwrap();
    let expected = [1, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 2, 0, b'a', b'b'];
    assert_eq!(out, expected);
}

#[test]
fn buffers_are_used_again_and_hold_nothing_of_the_batch_before() {
    let decoder = json(serde_json::json!({ "values": ["a", "b"] }));
    let mut buffers = DecodeBuffers::default();
    let messages: &[Given<'_>] = &[(Some(b"k"), Some(br#"{"a":1,"b":2}"#)), (None, None)];
    let first = decoder.decode_with(batch(messages), &mut buffers);
    let (expected, capacity) = (events(&first), first.events.capacity());
    let raw = buffers.recycle(first);
    assert_eq!(raw.records.len(), 2);
    let second = decoder.decode_with(batch(messages), &mut buffers);
    assert_eq!(events(&second), expected);
    assert_eq!(second.rejects.len(), 1);
    assert_eq!(second.events.capacity(), capacity);
}

#[test]
fn a_wrong_configuration_is_told_in_full() {
    let faults = |format: serde_json::Value| {
        let format: FormatConfig = serde_json::from_value(format).unwrap();
        format.validate()
    };
    let found = faults(serde_json::json!({
        "type": "json", "key": "a..b", "value": "v", "values": ["x", "x", { "path": "y", "name": "a/b" }],
        "time_format": "s", "latitude": "lat", "altitude": "alt"
    }));
    assert_eq!(found.len(), 7, "{found:#?}");
    assert_eq!(faults(serde_json::json!({ "type": "json" })).len(), 1);
    let found = faults(serde_json::json!({
        "type": "csv", "delimiter": "\"", "key": "who", "values": [3, 4]
    }));
    assert_eq!(found.len(), 4, "{found:#?}");
    let limits = LimitsConfig {
        key_bytes_max: 0,
        message_bytes_max: 0,
        time_earliest: "now".into(),
        time_latest: "1960-01-01T00:00:00Z".into(),
        time_ahead_max_ms: None,
    };
    assert_eq!(limits.validate().len(), 3);
    assert!(LimitsConfig::default().validate().is_empty());
    let unknown = serde_json::json!({ "type": "json", "value": "v", "valeu": "w" });
    assert!(serde_json::from_value::<FormatConfig>(unknown).is_err());
}

fn all_decoders() -> Vec<Decoder> {
    vec![
        json(serde_json::json!({
            "key": "id", "values": ["v", { "path": "w[0]", "name": "w" }], "time": "t", "time_format": "rfc3339",
            "latitude": "p.lat", "longitude": "p.lon", "altitude": "p.alt", "numbers_in_strings": true
        })),
        json(serde_json::json!({ "value": "v" })),
        csv(serde_json::json!({ "key": 0, "value": 1, "time": 2, "time_format": "ns" })),
        decoder(serde_json::json!({ "type": "long" })),
        decoder(serde_json::json!({ "type": "compact" })),
    ]
}

fn valid_messages() -> Vec<Vec<u8>> {
    vec![
        br#"{"id":"a\u00e9","v":1.5,"w":["2",3],"t":"2023-11-14T22:13:20Z","p":{"lat":1,"lon":2,"alt":3}}"#.to_vec(),
        b"{\"x\":[{}, null, true, false, \"\\ud83d\\ude00\"], \"v\": -1.25e-3}".to_vec(),
        b"key,\"1.5\",1700000000000000000".to_vec(),
        17i64.to_be_bytes().to_vec(),
        compact_of(3.5, Some(b"key")),
    ]
}

/// Events or a reject; every span lies within; nothing not finite.
fn check(decoder: &Decoder, key: Option<&[u8]>, value: &[u8]) {
    let decoded = decoder.decode(batch(&[(key, Some(value))]));
    assert!(!decoded.events.is_empty() || !decoded.rejects.is_empty());
    assert!(decoded.rejects.len() <= 1);
    for reject in &decoded.rejects {
        assert!(reject.detail.len() <= DETAIL_BYTES_MAX && !reject.detail.is_empty());
    }
    for event in &decoded.events {
        assert_eq!(event.series_hash, series_hash(decoded.series(event)));
        assert!(event.value.is_finite());
        if decoder.key_encoding() == KeyEncoding::Utf8 {
            assert!(std::str::from_utf8(decoded.series(event)).is_ok());
        }
    }
}

/// What another library makes of the same text, where the two are meant to agree.
fn agrees_with_serde(text: &[u8]) {
    let own_only = |part: &str| String::from_utf8_lossy(text).contains(part);
    // Let through to be refused as not finite; half surrogates in skipped text.
    if own_only("NaN") || own_only("Infinity") || own_only("\\u") {
        return;
    }
    let decoder = json(serde_json::json!({ "value": "v" }));
    let decoded = decoder.decode(batch(&[(Some(b"k"), Some(text))]));
    let is_malformed = decoded.rejects.iter().any(|r| r.reason == Malformed);
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(value) => {
            assert!(!is_malformed, "{}", String::from_utf8_lossy(text));
            let expected = value.get("v").and_then(serde_json::Value::as_f64);
            assert_eq!(decoded.events.first().map(|e| e.value), expected);
        }
        Err(e) => {
            let out_of_range = e.to_string().contains("out of range");
            assert!(is_malformed || out_of_range, "{e}: {}", String::from_utf8_lossy(text));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_events_or_rejects_in_every_format(
        value in prop::collection::vec(any::<u8>(), 1..200), key: Option<Vec<u8>>
    ) {
        for decoder in all_decoders() {
            check(&decoder, key.as_deref(), &value);
        }
    }

    #[test]
    fn mutated_messages_are_events_or_rejects_in_every_format(
        which in 0usize..5, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..5)
    ) {
        let mut value = valid_messages().swap_remove(which);
        for (at, byte, kind) in edits {
            let at = at.index(value.len());
            match kind {
                0 => value[at] = byte,
                1 => value.insert(at, byte),
                _ if value.len() > 1 => { value.remove(at); }
                _ => {}
            }
        }
        for decoder in all_decoders() {
            check(&decoder, Some(b"k"), &value);
        }
        agrees_with_serde(&value);
    }

    #[test]
    fn json_is_accepted_as_another_library_does(
        text in r#"[ \{\}\[\]:,"v0-9eE.+\-\\ntrufals]{1,12}|\{"v":[-0-9.eE+]{1,8}\}|\{ ?"v" ?:.{0,4}, ?"v":[0-9]{1,20}\}"#
    ) {
        agrees_with_serde(text.as_bytes());
    }

    #[test]
    fn long_keys_and_values_come_back(key: i64, value: i64) {
        let decoder = decoder(serde_json::json!({ "type": "long" }));
        let decoded = decoder.decode(batch(&[(Some(&key.to_be_bytes()), Some(&value.to_be_bytes()))]));
        prop_assert_eq!(decoded.events[0].value, value as f64);
        prop_assert_eq!(KeyEncoding::LongBe.render(decoded.series(&decoded.events[0])), key.to_string());
    }
}
