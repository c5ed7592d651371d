//! JSON: paths, keys, values, times, and what is not JSON.

use super::*;

#[test]
fn json_with_fields_is_an_event() {
    let decoder = json(serde_json::json!({
        "key": "$.sensor.id", "value": "reading", "time": "$.at", "time_format": "rfc3339"
    }));
    let text = br#" {"sensor":{"id":"pump-7","site":[1,{"id":"x"}]},"reading":21.5,"at":"2023-11-14T22:13:20.25Z"} "#;
    let expected = ("pump-7".to_owned(), AT_MS * 1_000 + 250_000, 21.5);
    assert_eq!(one(&decoder, text).unwrap(), expected);
    assert_eq!(decoder.key_encoding(), KeyEncoding::Utf8);
}

#[test]
fn json_takes_key_and_time_from_the_message_unless_told() {
    let decoder = json(serde_json::json!({ "value": "v" }));
    assert_eq!(one(&decoder, br#"{"v":-1.5e2}"#).unwrap(), ("k".into(), AT_MS * 1_000, -150.0));
}

#[test]
fn several_values_of_a_message_are_several_series() {
    let decoder = json(serde_json::json!({
        "key": "id", "values": ["$.t", { "path": "$.h.v", "name": "humidity" }]
    }));
    let decoded = decoder.decode(batch(&[
        (None, Some(br#"{"id":"a","t":1,"h":{"v":2}}"#)),
        (None, Some(br#"{"id":"b\u0021","t":3,"h":{"v":4}}"#)),
    ]));
    let at = AT_MS * 1_000;
    assert_eq!(
        events(&decoded),
        [
            ("a/t".into(), 0, at, 1.0),
            ("a/humidity".into(), 1, at, 2.0),
            ("b!/t".into(), 0, at, 3.0),
            ("b!/humidity".into(), 1, at, 4.0)
        ]
    );
    assert_eq!(decoded.events.iter().map(|e| e.record).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(decoded.events.iter().map(|e| e.offset).collect::<Vec<_>>(), [100, 100, 101, 101]);
}

#[test]
fn one_bad_value_of_several_is_refused_once_and_the_others_are_events() {
    let decoder = json(serde_json::json!({ "values": ["a", "b", "c", "d"] }));
    let decoded = decoder.decode(batch(&[(Some(b"k"), Some(br#"{"a":1,"b":"x","d":4}"#))]));
    let found: Vec<_> = events(&decoded).into_iter().map(|(s, n, _, v)| (s, n, v)).collect();
    assert_eq!(found, [("k/a".into(), 0, 1.0), ("k/d".into(), 3, 4.0)]);
    assert_eq!(decoded.rejects.len(), 1);
    assert_eq!(decoded.rejects[0].reason, NotANumber);
    assert!(decoded.rejects[0].detail.contains("field `b`"), "{}", decoded.rejects[0].detail);
}

#[test]
fn missing_values_are_skipped_where_that_is_configured() {
    let decoder = json(serde_json::json!({ "values": ["a", "b"], "skip_missing": true }));
    assert_eq!(value_of(&decoder, br#"{"b":2,"a":null}"#), 2.0);
    assert_eq!(reason(&decoder, br#"{"a":null}"#), MissingField);
}

#[test]
fn a_json_key_is_unescaped_and_may_be_a_number() {
    let decoder = json(serde_json::json!({ "key": "id", "value": "v" }));
    let key = |text: &str| one(&decoder, text.as_bytes()).unwrap().0;
    assert_eq!(key(r#"{"id":"a\"b\\\/\n\u00e9\ud83d\ude00","v":1}"#), "a\"b\\/\né😀");
    assert_eq!(key(r#"{"id":"größe","v":1}"#), "größe");
    assert_eq!(key(r#"{"id":17,"v":1}"#), "17");
    assert_eq!(reason(&decoder, br#"{"id":"\ud83d","v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":"\ud83d\u0041","v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":"\ud83d\ue000","v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":"\ude00","v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":{},"v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":true,"v":1}"#), BadKey);
    assert_eq!(reason(&decoder, br#"{"id":null,"v":1}"#), MissingKey);
    assert_eq!(reason(&decoder, br#"{"id":"","v":1}"#), MissingKey);
    assert_eq!(reason(&decoder, br#"{"v":1}"#), MissingField);
    let long = format!(r#"{{"id":"{}","v":1}}"#, "x".repeat(513));
    assert_eq!(reason(&decoder, long.as_bytes()), BadKey);
    assert!(one(&decoder, long.replacen('x', "", 1).as_bytes()).is_ok());
}

#[test]
fn escaped_names_and_repeated_names_lead_where_they_should() {
    let decoder = json(serde_json::json!({ "value": "$.a.b" }));
    assert_eq!(value_of(&decoder, br#"{"\u0061":{"b":1}}"#), 1.0);
    assert_eq!(value_of(&decoder, br#"{"a":{"b":1,"b":2}}"#), 2.0);
    assert_eq!(value_of(&decoder, br#"{"a":{"b":1},"a":{"b":3}}"#), 3.0);
    // The last one counts, and it has no b.
    assert_eq!(reason(&decoder, br#"{"a":{"b":1},"a":{}}"#), MissingField);
    assert_eq!(reason(&decoder, br#"{"a":{"b":1},"a":5}"#), MissingField);
    assert_eq!(reason(&decoder, br#"{"a.b":1}"#), MissingField);
    assert_eq!(reason(&decoder, br#"{"x":{"a":{"b":1}}}"#), MissingField);
}

#[test]
fn paths_lead_into_lists_and_to_the_whole_message() {
    assert_eq!(
        value_of(&json(serde_json::json!({ "value": "a[1].v" })), br#"{"a":[{"v":1},{"v":2}]}"#),
        2.0
    );
    assert_eq!(value_of(&json(serde_json::json!({ "value": "$" })), b" 17 "), 17.0);
    assert_eq!(value_of(&json(serde_json::json!({ "value": "['a.b']" })), br#"{"a.b":3}"#), 3.0);
}

#[test]
fn what_is_not_json_is_malformed() {
    let decoder = json(serde_json::json!({ "value": "v" }));
    for text in [
        "{",
        "}",
        "x",
        "{\"v\":1",
        "{\"v\":1}}",
        "{\"v\":1} x",
        "{\"v\":1,}",
        "{,\"v\":1}",
        "{\"v\" 1}",
        "{v:1}",
        "{'v':1}",
        "{\"v\":01}",
        "{\"v\":1.}",
        "{\"v\":.5}",
        "{\"v\":+1}",
        "{\"v\":1e}",
        "{\"v\":-}",
        "{\"v\":tru}",
        "{\"v\":\"\\x\"}",
        "{\"v\":\"\\u12g4\"}",
        "{\"v\":\"a\nb\"}",
        "{\"v\":\"a}",
        "[1,]",
        "[1 2]",
        "{\"v\":1 \"w\":2}",
        " ",
        "\u{feff}{\"v\":1}",
        "{\"w\":NaN,\"v\":1}",
        "{\"v\":nan}",
        "{\"v\":1}\0",
        "{\"v\":--1}",
        "{\"v\":Infinit}",
    ] {
        assert_eq!(reason(&decoder, text.as_bytes()), Malformed, "{text}");
    }
    assert_eq!(reason(&decoder, b"{\"v\":1,\"w\":\"\xff\"}"), Malformed);
    let deep = |n: usize| format!("{{\"v\":1,\"w\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(reason(&decoder, deep(128).as_bytes()), Malformed);
    assert_eq!(reason(&decoder, deep(1_000_000 / 3).as_bytes()), Malformed);
    assert_eq!(value_of(&decoder, deep(127).as_bytes()), 1.0);
}

#[test]
fn json_values_that_are_no_numbers_are_refused_as_what_they_are() {
    let decoder = json(serde_json::json!({ "value": "v" }));
    for (text, expected) in [
        (r#"{"w":1}"#, MissingField),
        (r#"{"v":null}"#, MissingField),
        (r#"{"v":"1"}"#, NotANumber),
        (r#"{"v":true}"#, NotANumber),
        (r#"{"v":{}}"#, NotANumber),
        (r#"{"v":[1]}"#, NotANumber),
        (r#"{"v":1e999}"#, NotFinite),
        (r#"{"v":-1e999}"#, NotFinite),
        (r#"{"v":NaN}"#, NotFinite),
        (r#"{"v":-Infinity}"#, NotFinite),
    ] {
        assert_eq!(reason(&decoder, text.as_bytes()), expected, "{text}");
    }
    assert_eq!(
        value_of(&decoder, br#"{"v":123456789012345678901234567890}"#),
        1.2345678901234568e29
    );
    assert_eq!(value_of(&decoder, br#"{"v":0.1}"#), 0.1);
    assert_eq!(value_of(&decoder, br#"{"v":-0}"#).to_bits(), (-0.0f64).to_bits());
}

#[test]
fn numbers_in_strings_are_numbers_only_where_that_is_configured() {
    let decoder = json(serde_json::json!({
        "value": "v", "time": "t", "time_format": "s", "numbers_in_strings": true
    }));
    let text = br#"{"v":" 21.5","t":"1700000000.5"}"#;
    assert_eq!(one(&decoder, text).unwrap(), ("k".into(), AT_MS * 1_000 + 500_000, 21.5));
    assert_eq!(reason(&decoder, br#"{"v":"x","t":1700000000}"#), NotANumber);
    assert_eq!(reason(&decoder, br#"{"v":"","t":1700000000}"#), NotANumber);
    assert_eq!(reason(&decoder, br#"{"v":"NaN","t":1700000000}"#), NotFinite);
    let strict = json(serde_json::json!({ "value": "v", "time": "t", "time_format": "s" }));
    let refused = one(&strict, br#"{"v":1,"t":"1700000000"}"#).unwrap_err();
    assert_eq!(refused.reason, BadTime);
    assert!(refused.detail.contains("numbers_in_strings"), "{}", refused.detail);
}

#[test]
fn times_that_cannot_be_are_refused() {
    let decoder = json(serde_json::json!({ "value": "v", "time": "t" }));
    for (time, expected) in [
        ("\"2023-11-14\"", BadTime),
        ("\"\"", BadTime),
        ("1700000000", BadTime),
        ("{}", BadTime),
        ("null", MissingField),
        ("\"1969-12-31T23:59:59Z\"", TimeOutOfRange),
        ("\"2200-01-01T00:00:00Z\"", TimeOutOfRange),
    ] {
        let text = format!("{{\"v\":1,\"t\":{time}}}");
        assert_eq!(reason(&decoder, text.as_bytes()), expected, "{text}");
    }
    assert_eq!(reason(&decoder, br#"{"v":1}"#), MissingField);
    let epoch = json(serde_json::json!({ "value": "v", "time": "t", "time_format": "ms" }));
    assert_eq!(reason(&epoch, br#"{"v":1,"t":1e300}"#), TimeOutOfRange);
    assert_eq!(reason(&epoch, br#"{"v":1,"t":-1}"#), TimeOutOfRange);
    assert_eq!(one(&epoch, br#"{"v":1,"t":1.7e12}"#).unwrap().1, AT_MS * 1_000);
}
