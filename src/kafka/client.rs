//! librdkafka's clients, made from the configuration.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::config::KafkaConfig;
use super::properties;

/// What librdkafka may keep ahead of a partition's reader, in fetches.
const FETCHES_AHEAD: usize = 4;
/// And in messages: each takes some 350 bytes of memory there (measured).
const MESSAGES_AHEAD: usize = 20_000;
/// What one response may bring of all partitions, in fetches of one; librdkafka
/// allows no more than its response buffer.
const FETCHES_IN_RESPONSE: usize = 16;
const RESPONSE_BYTES_MAX: usize = 50 << 20;
/// Nor fewer than its own `message.max.bytes` of 1,000,000.
const RESPONSE_BYTES_MIN: usize = 1 << 20;
/// A member hears of a rebalance with its next heartbeat; librdkafka's default of
/// 3 seconds would leave partitions unread for as long.
const HEARTBEAT_MS_MAX: u64 = 1_000;
/// A producer gives a message up after this, and the sink says so: it is tried
/// again with backoff where the ports say so, and what waits stays visible.
const DELIVERY_TIMEOUT_MS: u64 = 30_000;
/// The largest message that a producer takes; what the topic takes is the
/// broker's to say.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Hands librdkafka's log lines to `tracing`.
#[derive(Clone, Debug, Default)]
pub(super) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

/// One log line of librdkafka.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as L;
    match level {
        L::Emerg | L::Alert | L::Critical | L::Error => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        L::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        L::Notice | L::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
        L::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// One error of a client as a whole. librdkafka goes on by itself after these,
/// unless they are fatal, which is looked at where the client is polled.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", error = ?error.rdkafka_error_code(), "{reason}");
}

/// Whether trying again cannot help: permission, or configuration.
pub(super) fn is_fatal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::SaslAuthenticationFailed
            | E::Authentication
            | E::UnsupportedSASLMechanism
            | E::InvalidGroupId
            | E::InvalidSessionTimeout
            | E::InconsistentGroupProtocol
            | E::FencedInstanceId
            | E::Fatal
            | E::UnsupportedVersion
            | E::PolicyViolation
            | E::InvalidTopic
    )
}

/// What is wrong with one property, by librdkafka's own judgement.
pub(super) fn property_fault(name: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    config.create_native_config().err().map(|e| format!("kafka.properties: {}", fault_text(&e)))
}

/// An error without a secret in it: librdkafka quotes the value that it refuses.
pub(super) fn fault_text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, text, name, value) if properties::is_secret(name) => {
            let text = if value.is_empty() { text.clone() } else { text.replace(value, "...") };
            format!("{name}: {text}")
        }
        KafkaError::ClientConfig(_, text, name, _) => format!("{name}: {text}"),
        other => other.to_string(),
    }
}

fn base(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", "weir")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", config.metadata_refresh_ms.to_string())
        .set_log_level(RDKafkaLogLevel::Info);
    client
}

fn with_properties(
    mut client: ClientConfig,
    config: &KafkaConfig,
    skip: impl Fn(&str) -> bool,
) -> Result<ClientConfig, String> {
    for (name, value) in config.passed_through()? {
        if let Some(why) = properties::refusal(&name) {
            return Err(format!("kafka.properties: {name} cannot be set: {why}"));
        }
        if !skip(&name) {
            client.set(name, value);
        }
    }
    Ok(client)
}

fn response_bytes_max(fetch_bytes_max: usize) -> usize {
    (fetch_bytes_max * FETCHES_IN_RESPONSE).clamp(RESPONSE_BYTES_MIN, RESPONSE_BYTES_MAX)
}

/// The consumer's configuration.
pub(super) fn consumer(config: &KafkaConfig) -> Result<ClientConfig, String> {
    let mut client = base(config);
    let fetch = config.fetch_bytes_max;
    let isolation = if config.read_committed { "read_committed" } else { "read_uncommitted" };
    let heartbeat_ms = (config.session_timeout_ms / 3).clamp(1, HEARTBEAT_MS_MAX);
    client
        .set("group.id", &config.group_id)
        .set("partition.assignment.strategy", &config.assignment)
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", heartbeat_ms.to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        // Its default of a second caps a fast reader at a third of its speed. At 2 ms
        // twelve full queues cost 1.6 % of a core while nobody reads, at 1 ms 3 %.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.message.max.bytes", fetch.to_string())
        .set("fetch.max.bytes", response_bytes_max(fetch).to_string())
        .set("queued.min.messages", MESSAGES_AHEAD.to_string())
        .set("queued.max.messages.kbytes", (fetch * FETCHES_AHEAD).div_ceil(1024).to_string());
    if let Some(id) = &config.group_instance_id {
        client.set("group.instance.id", id);
    }
    with_properties(client, config, properties::is_producers)
}

/// The configuration of a producer that loses and repeats nothing by itself.
pub(super) fn producer(config: &KafkaConfig) -> Result<ClientConfig, String> {
    let mut client = base(config);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        // As Java's producers do, so that keyed topics can be joined.
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS.to_string());
    with_properties(client, config, properties::is_consumers)
}

/// The configuration of a client that only asks.
pub(super) fn admin(config: &KafkaConfig) -> Result<ClientConfig, String> {
    with_properties(base(config), config, |name| {
        properties::is_consumers(name) || properties::is_producers(name)
    })
}
