//! What is sent: real series, generated ones, and messages that are no events.

use std::ops::AddAssign;
use std::path::Path;

use super::topic::Topic;

#[derive(Clone)]
pub struct Message {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// How many events it must become.
    pub events: u64,
}

#[derive(Clone, Default)]
pub struct Input {
    messages: Vec<Message>,
}

/// How much was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub events: u64,
    pub bad: u64,
}

impl AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bad += other.bad;
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

const START_S: i64 = 1_700_000_000;

impl Input {
    /// The real series of the repository, beside `keys` generated ones of
    /// `events_each` readings some of which jump, and a bad message in about
    /// every 500.
    pub fn real_and_generated(keys: u64, events_each: u64) -> Self {
        let mut rng = Rng(keys ^ events_each);
        let mut input = Self::default();
        let mut real = real_series().into_iter().peekable();
        for tick in 0..events_each {
            for key in 0..keys {
                let jump = if key % 20 == 0 && tick > events_each * 3 / 4 { 25.0 } else { 0.0 };
                let value = ((20.0 + jump + rng.normal()) * 100.0).round() / 100.0;
                let time = START_S + tick as i64 * 60;
                let json = format!(r#"{{"time":"{}","value":{value}}}"#, rfc3339(time));
                input.push(Some(format!("sensor-{key}")), Some(json), 1);
                if rng.next().is_multiple_of(500) {
                    input.push_bad(&mut rng);
                }
                // A real reading now and then, in their own order.
                if rng.next().is_multiple_of(10)
                    && let Some((name, json)) = real.next()
                {
                    input.push(Some(name), Some(json), 1);
                }
            }
        }
        for (name, json) in real {
            input.push(Some(name), Some(json), 1);
        }
        input
    }

    fn push(&mut self, key: Option<String>, value: Option<String>, events: u64) {
        let bytes = |s: Option<String>| s.map(String::into_bytes);
        self.messages.push(Message { key: bytes(key), value: bytes(value), events });
    }

    fn push_bad(&mut self, rng: &mut Rng) {
        let key = Some("bad".to_owned());
        let bad: [(Option<String>, Option<&str>); 8] = [
            (key.clone(), None),
            (key.clone(), Some("")),
            (key.clone(), Some("not json")),
            (key.clone(), Some(r#"{"time":"2024-01-01T00:00:00Z"}"#)),
            (key.clone(), Some(r#"{"time":"yesterday","value":1}"#)),
            (key.clone(), Some(r#"{"time":"2024-01-01T00:00:00Z","value":"high"}"#)),
            (key, Some(r#"{"time":"2024-01-01T00:00:00Z","value":1e999}"#)),
            (None, Some(r#"{"time":"2024-01-01T00:00:00Z","value":1}"#)),
        ];
        let (key, value) = bad[(rng.next() % bad.len() as u64) as usize].clone();
        self.push(key, value.map(str::to_owned), 0);
    }

    /// Its first half, and its second.
    pub fn halves(mut self) -> (Self, Self) {
        let second = self.messages.split_off(self.messages.len() / 2);
        (self, Self { messages: second })
    }

    pub fn send(&self, topic: &Topic) -> Sent {
        topic.send_all(&self.messages);
        self.sent()
    }

    /// Sends everything in transactions, with others between them that are
    /// aborted.
    pub fn send_in_transactions(&self, topic: &Topic) -> Sent {
        topic.send_in_transactions(&self.messages);
        self.sent()
    }

    fn sent(&self) -> Sent {
        let bad = self.messages.iter().filter(|m| m.events == 0).count() as u64;
        Sent { events: self.messages.iter().map(|m| m.events).sum(), bad }
    }
}

/// Messages of two values each; every third one's message key is null.
pub fn several_values(keys: u64, messages_each: u64) -> Input {
    let mut rng = Rng(7);
    let mut input = Input::default();
    for tick in 0..messages_each {
        for key in 0..keys {
            let jump = if key % 10 == 0 && tick > messages_each * 3 / 4 { 30.0 } else { 0.0 };
            let time = rfc3339(START_S + tick as i64 * 60);
            let (t, h) = (20.0 + rng.normal() + jump, 50.0 + rng.normal());
            let json = format!(r#"{{"sensor":"s{key}","time":"{time}","t":{t:.2},"h":{h:.2}}}"#);
            let message_key = (key % 3 != 0).then(|| format!("s{key}"));
            input.push(message_key, Some(json), 2);
        }
    }
    input
}

/// Key and message of each reading of the repository's real series, interleaved.
fn real_series() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("load/data/nab");
    let mut series: Vec<Vec<(String, String)>> = Vec::new();
    for name in ["nyc_taxi", "ec2_cpu_utilization_5f5533", "speed_7578", "art_daily_jumpsup"] {
        let text = std::fs::read_to_string(dir.join(format!("{name}.csv"))).expect("it is there");
        let readings = text.lines().skip(1).map(|line| {
            let (time, value) = line.split_once(',').expect("two columns");
            (name.to_owned(), format!(r#"{{"time":"{time}","value":{value}}}"#))
        });
        series.push(readings.collect());
    }
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|i| series.iter().filter_map(move |s| s.get(i).cloned())).collect()
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).expect("a plain year").to_string()
}
