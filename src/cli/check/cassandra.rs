//! The cluster, the keyspace, and what is recorded there.

use std::collections::BTreeMap;

use weir_actors::decode::Decoder;
use weir_actors::event::KeyEncoding;
use weir_actors::position::{PartitionId, TopicId};
use weir_actors::store::{Bucket, BucketTimes, Layout, Store};

use super::Report;
use crate::cassandra::survey::{self, Survey};
use crate::cassandra::{CassandraConfig, CassandraStore, connect_session, schema};
use crate::cli::Failure;
use crate::config::Config;
use crate::kafka::TopicInfo;

/// What is written to see whether it can be: a bucket's times of a partition that
/// no topic has. The same write each time.
const PROBED: PartitionId = PartitionId { topic: TopicId(0), number: -1 };
const PROBE: BucketTimes = BucketTimes { bucket: Bucket(0), earliest_us: 0, latest_us: 0 };

pub(super) async fn check(
    config: &Config,
    topics: &[TopicInfo],
    report: &mut Report,
) -> Result<(), Failure> {
    let cassandra = &config.cassandra;
    let files = [survey::certificate_fault(cassandra), survey::login_fault(cassandra)];
    let mut unusable = false;
    for fault in files.into_iter().flatten() {
        unusable = true;
        report.fault(&format!("cassandra: {fault}"))?;
    }
    if unusable {
        return Ok(());
    }
    if cassandra.tls.is_some() {
        report.ok("cassandra: the certificates can be read")?;
    }
    let session = match connect_session(cassandra).await {
        Ok(session) => session,
        Err(error) => {
            return report.fault(&format!(
                "cassandra at {}: {error}; start it, or correct cassandra.contact_points",
                cassandra.contact_points.join(", ")
            ));
        }
    };
    let found = match survey::survey(&session, cassandra).await {
        Ok(found) => found,
        Err(error) => return report.fault(&format!("cassandra: {error}")),
    };
    let nodes: usize = found.nodes.values().sum();
    report.ok(&format!("cassandra: {nodes} node(s), by data centre {:?}", found.nodes))?;
    for (is_fault, line) in replication(cassandra, &found) {
        if is_fault { report.fault(&line)? } else { report.note(&line)? }
    }
    if !check_schema(cassandra, &found, report)? {
        return Ok(());
    }
    check_store(config, topics, report).await
}

fn check_schema(
    config: &CassandraConfig,
    found: &Survey,
    report: &mut Report,
) -> Result<bool, Failure> {
    let keyspace = &config.keyspace;
    match found.schema_version {
        Some(schema::SCHEMA_VERSION) => {
            report.ok(&format!(
                "keyspace {keyspace:?}: version {} of the schema",
                schema::SCHEMA_VERSION
            ))?;
            return Ok(true);
        }
        Some(version) if version > schema::SCHEMA_VERSION => report.fault(&format!(
            "keyspace {keyspace:?} has version {version} of the schema, this program knows up to \
             {}; upgrade weir, or use another keyspace",
            schema::SCHEMA_VERSION
        ))?,
        _ if found.replication.is_none() => {
            report.fault(&format!("keyspace {keyspace:?} is not there; run `weir schema apply`"))?
        }
        version => report.fault(&format!(
            "keyspace {keyspace:?} has version {} of the schema, version {} is needed; run `weir \
             schema apply`",
            version.unwrap_or(0),
            schema::SCHEMA_VERSION
        ))?,
    }
    Ok(false)
}

/// Copies against nodes: whether it is a fault, and what.
fn replication(config: &CassandraConfig, found: &Survey) -> Vec<(bool, String)> {
    let mut lines = Vec::new();
    let keyspace = &config.keyspace;
    let wanted = found.replication.as_ref().unwrap_or(&config.replication);
    let total: usize = found.nodes.values().sum();
    for (dc, copies) in wanted {
        let whole = dc == "replication_factor";
        let place = if whole { "the cluster".to_owned() } else { format!("data centre {dc:?}") };
        let nodes = if whole { Some(total) } else { found.nodes.get(dc).copied() };
        match nodes {
            None => lines.push((
                true,
                format!(
                    "keyspace {keyspace:?}: there is no {place}; the cluster has {:?}; correct \
                     cassandra.replication",
                    found.nodes.keys().collect::<Vec<_>>()
                ),
            )),
            Some(nodes) if (*copies as usize) > nodes => lines.push((
                true,
                format!(
                    "keyspace {keyspace:?}: {copies} copies in {place}, which has {nodes} \
                     node(s); no quorum may ever answer: add nodes, or lower the replication"
                ),
            )),
            Some(_) if *copies == 1 => lines.push((
                false,
                format!(
                    "keyspace {keyspace:?}: one copy in {place}: what a node loses is lost; \
                     3 where that matters"
                ),
            )),
            Some(_) => {}
        }
    }
    if let Some(local) = &config.local_datacenter
        && !found.nodes.contains_key(local)
    {
        lines.push((
            true,
            format!(
                "cassandra.local_datacenter {local:?} is not in the cluster, which has {:?}",
                found.nodes.keys().collect::<Vec<_>>()
            ),
        ));
    }
    if let Some(made) = &found.replication
        && *made != config.replication
    {
        let shown = |map: &BTreeMap<String, u32>| format!("{map:?}");
        lines.push((
            false,
            format!(
                "keyspace {keyspace:?} was made with {}, the configuration says {}; the keyspace \
                 counts (ALTER KEYSPACE and a repair change it)",
                shown(made),
                shown(&config.replication)
            ),
        ));
    }
    lines
}

/// Reads, writes, and the layout of each topic.
async fn check_store(
    config: &Config,
    topics: &[TopicInfo],
    report: &mut Report,
) -> Result<(), Failure> {
    let keys = Decoder::new(&config.format, &config.limits)
        .map_or(KeyEncoding::Utf8, |decoder| decoder.key_encoding());
    let store = match CassandraStore::connect(&config.cassandra, &config.job, keys).await {
        Ok(store) => store,
        Err(error) => {
            return report.fault(&format!(
                "cassandra: {error}; the user needs SELECT and MODIFY on the keyspace"
            ));
        }
    };
    let probed = match store.note_bucket(PROBED, PROBE).await {
        Ok(()) => store.bucket_times(PROBED).await,
        Err(error) => Err(error),
    };
    match probed {
        Ok(times) if times.contains(&PROBE) => {
            report.ok("cassandra may be written and read")?;
        }
        Ok(_) => report.fault(
            "cassandra: what was written is not read back; read_consistency and \
             write_consistency must overlap (local_quorum for both)",
        )?,
        Err(error) => report.fault(&format!("cassandra: {error}"))?,
    }
    let wanted = Layout::from(&config.layout);
    for topic in topics {
        match store.recorded_layout(topic.id).await {
            Ok(None) => report.ok(&format!(
                "topic {:?}: new to job {:?}; it will be laid out as {}",
                topic.name,
                config.job,
                shown(wanted)
            ))?,
            Ok(Some(recorded)) if recorded == wanted => report.ok(&format!(
                "topic {:?}: laid out for job {:?} as {}",
                topic.name,
                config.job,
                shown(wanted)
            ))?,
            Ok(Some(recorded)) => report.fault(&format!(
                "topic {:?} was laid out for job {:?} as {}, the configuration says {}; set \
                 [layout] back, or start a new job (and group)",
                topic.name,
                config.job,
                shown(recorded),
                shown(wanted)
            ))?,
            Err(error) => report.fault(&format!("topic {:?}: {error}", topic.name))?,
        }
    }
    Ok(())
}

fn shown(layout: Layout) -> String {
    format!(
        "key_groups = {}, bucket_shift = {}, history = {:?}",
        layout.key_groups,
        layout.bucket_shift,
        format!("{:?}", layout.history).to_lowercase()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(nodes: &[(&str, usize)], replication: &[(&str, u32)]) -> Survey {
        Survey {
            nodes: nodes.iter().map(|(dc, n)| ((*dc).to_owned(), *n)).collect(),
            replication: Some(replication.iter().map(|(dc, n)| ((*dc).to_owned(), *n)).collect()),
            schema_version: None,
        }
    }

    #[test]
    fn more_copies_than_nodes_are_a_fault() {
        let config = CassandraConfig {
            replication: BTreeMap::from([("eu".into(), 3)]),
            ..CassandraConfig::default()
        };
        assert_eq!(replication(&config, &survey(&[("eu", 3)], &[("eu", 3)])), []);
        let lines = replication(&config, &survey(&[("eu", 2)], &[("eu", 3)]));
        assert!(lines[0].0 && lines[0].1.contains("3 copies"), "{lines:?}");
        let lines = replication(&config, &survey(&[("us", 3)], &[("eu", 3)]));
        assert!(lines[0].0 && lines[0].1.contains("there is no data centre \"eu\""), "{lines:?}");
        let lines = replication(&config, &survey(&[("eu", 2)], &[("replication_factor", 3)]));
        assert!(lines[0].0 && lines[0].1.contains("the cluster"), "{lines:?}");
    }

    #[test]
    fn one_copy_is_a_note() {
        let config = CassandraConfig::default();
        let lines = replication(&config, &survey(&[("datacenter1", 1)], &[("datacenter1", 1)]));
        assert!(lines.len() == 1 && !lines[0].0, "{lines:?}");
    }
}
