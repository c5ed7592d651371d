//! The brokers, the topics that are read, and those that are written.

use std::time::Duration;

use anyhow::anyhow;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Report;
use crate::cli::Failure;
use crate::config::Config;
use crate::kafka::{AdminError, KafkaAdmin, Peek, SinkTopic, TopicInfo};

/// How long a broker may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The topics to be read, as far as they are there.
pub(super) async fn check(config: &Config, report: &mut Report) -> Result<Vec<TopicInfo>, Failure> {
    if !check_brokers(config, report).await? {
        report.note("topics and permissions were not looked at: no broker answers")?;
        return Ok(Vec::new());
    }
    let admin = match KafkaAdmin::new(&config.kafka) {
        Ok(admin) => admin,
        Err(error) => {
            report.fault(&format!("kafka: {error}"))?;
            return Ok(Vec::new());
        }
    };
    if !check_cluster(config, report).await? {
        return Ok(Vec::new());
    }
    let topics = check_topics(config, &admin, report).await?;
    check_offsets(config, &topics, report).await?;
    let sinks = [
        ("alerts.kafka", &config.alerts.kafka),
        ("dead_letters.kafka", &config.dead_letters.kafka),
    ];
    for (name, sink) in sinks {
        check_sink(name, sink, &admin, report).await?;
    }
    Ok(topics)
}

/// Whether one of those named accepts connections; each that does not is a fault.
async fn check_brokers(config: &Config, report: &mut Report) -> Result<bool, Failure> {
    let asked = config.kafka.brokers.iter().map(|broker| async move {
        let why = match timeout(CONNECT_TIMEOUT, TcpStream::connect(broker)).await {
            Ok(Ok(_)) => return (broker, None),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        };
        (broker, Some(why))
    });
    let mut any = false;
    for (broker, fault) in futures::future::join_all(asked).await {
        match fault {
            None => {
                any = true;
                report.ok(&format!("kafka broker {broker} accepts connections"))?;
            }
            Some(why) => report.fault(&format!(
                "kafka broker {broker}: {why}; start it, or correct kafka.brokers"
            ))?,
        }
    }
    Ok(any)
}

/// Whether the brokers answer as Kafka does, with the configured security.
async fn check_cluster(config: &Config, report: &mut Report) -> Result<bool, Failure> {
    match blocking(config, |peek| peek.brokers()).await? {
        Ok(brokers) => {
            report.ok(&format!(
                "kafka cluster: {} broker(s): {}",
                brokers.len(),
                brokers.join(", ")
            ))?;
            Ok(true)
        }
        Err(error) => {
            report.fault(&format!(
                "kafka: {error}; it accepts connections, so look at kafka.properties \
                 (security.protocol, ssl.*, sasl.*)"
            ))?;
            Ok(false)
        }
    }
}

async fn check_topics(
    config: &Config,
    admin: &KafkaAdmin,
    report: &mut Report,
) -> Result<Vec<TopicInfo>, Failure> {
    let mut found: Vec<TopicInfo> = Vec::new();
    for wanted in &config.kafka.topics {
        let names = match wanted.starts_with('^') {
            false => Ok(vec![wanted.clone()]),
            true => admin.matching(std::slice::from_ref(wanted)).await,
        };
        let infos = match names {
            Ok(names) => admin.topics(&names).await,
            Err(error) => Err(error),
        };
        let infos: Vec<TopicInfo> = match infos {
            Ok(infos) => infos.into_iter().flatten().collect(),
            Err(error) => {
                report.fault(&format!(
                    "topic {wanted:?}: {error}; the user needs DESCRIBE and READ on it"
                ))?;
                continue;
            }
        };
        if infos.is_empty() && wanted.starts_with('^') {
            report.note(&format!("pattern {wanted:?}: no topic matches it yet"))?;
        } else if infos.is_empty() {
            report.fault(&format!(
                "topic {wanted:?} is not there; make it, or correct kafka.topics"
            ))?;
        }
        for info in infos {
            report.ok(&format!("topic {:?}: {} partition(s)", info.name, info.partitions))?;
            let sinks = [&config.alerts.kafka.topic, &config.dead_letters.kafka.topic];
            if sinks.contains(&&info.name) && wanted.starts_with('^') {
                report.fault(&format!(
                    "pattern {wanted:?} matches {:?}, which Weir writes to; make it narrower",
                    info.name
                ))?;
            }
            if !found.contains(&info) {
                found.push(info);
            }
        }
    }
    Ok(found)
}

/// What the group has committed: whether it may be read, and whether it is still
/// in the log.
async fn check_offsets(
    config: &Config,
    topics: &[TopicInfo],
    report: &mut Report,
) -> Result<(), Failure> {
    let group = &config.kafka.group_id;
    for TopicInfo { name, partitions, .. } in topics {
        let (topic, count) = (name.clone(), *partitions);
        let asked = blocking(config, move |peek| {
            Ok((peek.committed(&topic, count)?, peek.bounds(&topic, count)?))
        });
        let (committed, bounds) = match asked.await? {
            Ok(answer) => answer,
            Err(error) => {
                report.fault(&format!(
                    "{error}; the user needs READ on group {group:?} and on the topic"
                ))?;
                continue;
            }
        };
        let (mut known, mut lag) = (0, 0);
        for (offset, bounds) in committed.iter().zip(&bounds) {
            let at = offset.unwrap_or(bounds.low);
            known += usize::from(offset.is_some());
            lag += (bounds.high - at).max(0);
            let gone = bounds.low - at;
            if gone > 0 {
                report.fault(&format!(
                    "topic {name:?}, partition {}: group {group:?} stands at {at}, the log begins \
                     at {}: {gone} offsets are gone; a node will not go on there until the group \
                     is moved by hand",
                    bounds.partition, bounds.low
                ))?;
            } else if at > bounds.high {
                report.fault(&format!(
                    "topic {name:?}, partition {}: group {group:?} stands at {at}, past the log's \
                     end {}: the log was truncated, or the topic made anew; take a new job and \
                     group",
                    bounds.partition, bounds.high
                ))?;
            }
        }
        report.ok(&format!(
            "group {group:?} may be read: committed in {known} of {} partition(s) of {name:?}; \
             {lag} offsets are to be read",
            committed.len()
        ))?;
    }
    Ok(())
}

async fn check_sink(
    name: &str,
    sink: &SinkTopic,
    admin: &KafkaAdmin,
    report: &mut Report,
) -> Result<(), Failure> {
    if sink.topic.is_empty() {
        return report.note(&format!("{name}: no topic is named; alerts go to the table only"));
    }
    let topic = &sink.topic;
    match admin.topic(topic).await {
        Ok(Some(info)) => report
            .ok(&format!("{name}: topic {topic:?} is there, {} partition(s)", info.partitions)),
        Ok(None) if sink.create => {
            report.ok(&format!("{name}: topic {topic:?} is not there yet; the node will make it"))
        }
        Ok(None) => report.fault(&format!(
            "{name}: topic {topic:?} is not there; make it, or set {name}.create = true"
        )),
        Err(error) => report.fault(&format!("{name}: topic {topic:?}: {error}")),
    }
}

/// Asks on a thread that may block.
async fn blocking<T: Send + 'static>(
    config: &Config,
    question: impl FnOnce(&Peek) -> Result<T, AdminError> + Send + 'static,
) -> Result<Result<T, AdminError>, Failure> {
    let kafka = config.kafka.clone();
    let asked = tokio::task::spawn_blocking(move || question(&Peek::new(&kafka)?));
    Ok(asked.await.map_err(|e| anyhow!("{e}"))?)
}
