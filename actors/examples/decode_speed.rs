//! Measures the decoders: nanoseconds an event, on one thread.
//!
//! `cargo run --release -p weir-actors --example decode_speed`

use std::sync::Arc;
use std::time::Instant;

use weir_actors::decode::{
    Column, CompactFormat, CsvFormat, DecodeBuffers, Decoder, FormatConfig, JsonFormat, JsonValue,
    LimitsConfig, LongFormat, TimeFormat, compact,
};
use weir_actors::position::{PartitionId, TopicId, TopicPartition};
use weir_actors::source::{RawBatch, RawRecord, Span};

const MESSAGES: usize = 1_000;
const ROUNDS: usize = 500;
const AT_MS: i64 = 1_700_000_000_000;

fn batch(message: impl Fn(usize) -> (Vec<u8>, Vec<u8>)) -> RawBatch {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    for n in 0..MESSAGES {
        let (key, value) = message(n);
        let mut put = |part: &[u8]| {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(part);
            Span { start, len: part.len() as u32 }
        };
        records.push(RawRecord {
            offset: n as i64,
            timestamp_ms: AT_MS,
            key: put(&key),
            value: put(&value),
            headers: Span::NULL,
        });
    }
    let id = PartitionId { topic: TopicId(1), number: 0 };
    let partition = Arc::new(TopicPartition { topic: "t".into(), id });
    RawBatch { partition, bytes, records, next_offset: MESSAGES as i64, log_end_offset: 0 }
}

fn measure(name: &str, format: FormatConfig, message: impl Fn(usize) -> (Vec<u8>, Vec<u8>)) {
    let size = message(0).1.len();
    let decoder = Decoder::new(&format, &LimitsConfig::default()).expect("a right configuration");
    let mut raw = batch(message);
    let mut buffers = DecodeBuffers::default();
    let (mut best, mut events) = (f64::MAX, 0);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let decoded = decoder.decode_with(raw, &mut buffers);
        best = best.min(begun.elapsed().as_secs_f64());
        assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects[0]);
        events = decoded.events.len();
        raw = buffers.recycle(decoded);
    }
    let ns = |count: usize| best * 1e9 / count as f64;
    println!(
        "{name:36} {size:4} bytes {:6.1} ns a message {:6.1} ns an event",
        ns(MESSAGES),
        ns(events)
    );
}

fn json_message(n: usize) -> (Vec<u8>, Vec<u8>) {
    let id = n * 7_919 % 100_000;
    let (value, other) = (20.0 + (n % 977) as f64 / 100.0, n % 100);
    let at = AT_MS + n as i64;
    let text = format!(
        r#"{{"sensor":{{"id":"pump-{id:05}","site":"basel-{other:02}"}},"t":{value:05.2},"h":{other}.5,"at":{at},"ok":true,"v":"1.0.0"}}"#
    );
    (format!("pump-{id:05}").into_bytes(), text.into_bytes())
}

fn main() {
    let path = |text: &str| Some(text.to_owned());
    let json = JsonFormat {
        key: path("$.sensor.id"),
        value: path("$.t"),
        time: path("$.at"),
        time_format: Some(TimeFormat::Milliseconds),
        ..JsonFormat::default()
    };
    measure("json, key, value and time", FormatConfig::Json(json.clone()), json_message);
    let own = JsonFormat { value: path("$.t"), ..JsonFormat::default() };
    measure("json, value only", FormatConfig::Json(own), json_message);
    let values = ["$.t", "$.h"].map(|p| JsonValue::Path(p.into())).to_vec();
    let several = JsonFormat { value: None, values, ..json };
    measure("json, two values", FormatConfig::Json(several), json_message);
    let csv = CsvFormat {
        key: Some(Column::Number(1)),
        value: Some(Column::Number(2)),
        time: Some(Column::Number(0)),
        ..CsvFormat::default()
    };
    measure("csv, RFC 3339", FormatConfig::Csv(csv), |n| {
        let text = format!("2026-01-31T23:59:{:02}.125Z,pump-{:05},{:05.2}", n % 60, n, 20.25);
        (Vec::new(), text.into_bytes())
    });
    measure("long", FormatConfig::Long(LongFormat {}), |n| {
        ((n as i64).to_be_bytes().to_vec(), 42i64.to_be_bytes().to_vec())
    });
    measure("compact", FormatConfig::Compact(CompactFormat {}), |n| {
        let mut out = Vec::new();
        let key = format!("pump-{n:05}");
        compact::encode(AT_MS * 1_000, 1.5, Some(key.as_bytes()), &mut out).expect("a short key");
        (Vec::new(), out)
    });
}
