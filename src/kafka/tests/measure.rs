//! Measurements: `cargo test --release -p weir --lib -- --ignored --nocapture measure`.

use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use weir_actors::source::Source;

use super::rig::{Rig, assigned};

const RECORDS: u64 = 5_000_000;
const BATCH_BYTES: usize = 1 << 20;

/// Processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn fill(rig: &Rig, partitions: u64) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &rig.broker)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "2000000")
        .create()
        .unwrap();
    for i in 0..RECORDS {
        let (key, value) = ((i % 50_000).to_be_bytes(), [i as u8; 16]);
        let mut record = BaseRecord::to(&rig.topic)
            .partition((i % partitions) as i32)
            .key(&key[..])
            .payload(&value[..]);
        while let Err((_, same)) = producer.send(record) {
            std::thread::yield_now();
            record = same;
        }
    }
    producer.flush(std::time::Duration::from_secs(120)).unwrap();
}

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_records_through_next() {
    for partitions in [1, 12] {
        let Some(rig) = Rig::new(partitions).await else { return };
        fill(&rig, partitions as u64);
        for run in 0..3 {
            measure(&rig, run).await;
        }
    }
}

async fn measure(rig: &Rig, run: u32) {
    let mut config = rig.config.clone();
    config.group_id = format!("{}-{run}", config.group_id);
    let mut source = crate::kafka::KafkaSource::join(config).unwrap();
    let mut parts = assigned(&mut source).await;
    let (cpu, begun) = (cpu_s(), Instant::now());
    let per_partition = RECORDS as i64 / parts.len() as i64;
    let reads = parts.iter_mut().map(|part| async move {
        let (mut records, mut batches, mut offset) = (0u64, 0u64, 0);
        while offset < per_partition {
            let batch = part.reader.next(BATCH_BYTES).await.unwrap();
            records += batch.records.len() as u64;
            batches += 1;
            offset = batch.next_offset;
            tokio::task::yield_now().await;
        }
        (records, batches)
    });
    let read = futures::future::join_all(reads).await;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_s() - cpu);
    let records: u64 = read.iter().map(|(records, _)| records).sum();
    let batches: u64 = read.iter().map(|(_, batches)| batches).sum();
    println!(
        "{} partitions: {records} records in {seconds:.2} s, {:.2} M/s, {:.3} us of CPU each, {} \
         records a batch",
        parts.len(),
        records as f64 / seconds / 1e6,
        cpu / records as f64 * 1e6,
        records / batches
    );
    source.close().await;
}
