//! Properties that are passed through to librdkafka as they are: which are
//! refused, which are secret, and which concern consumers alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in for a secret wherever properties are shown.
const HIDDEN: &str = "(hidden)";

/// Properties of librdkafka by name. Secrets are never shown: neither by
/// `Debug`, nor when it is serialised.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, String>);

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), if is_secret(k) { HIDDEN } else { v.as_str() }))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

/// Whether a property's value must never be shown. Rather one too many than one
/// too few.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "key.pem", "token", "jaas", "oauthbearer.config", "ssl_key"]
        .iter()
        .any(|part| name.contains(part))
}

/// Why a property may not be set, if it may not.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "set kafka.brokers instead",
        "group.id" => "set kafka.group_id instead",
        "group.instance.id" => "set kafka.group_instance_id instead",
        "partition.assignment.strategy" => "set kafka.assignment instead",
        "session.timeout.ms" => "set kafka.session_timeout_ms instead",
        "isolation.level" => "set kafka.read_committed instead",
        "topic.metadata.refresh.interval.ms" => "set kafka.metadata_refresh_ms instead",
        "fetch.message.max.bytes" | "max.partition.fetch.bytes" => {
            "set kafka.fetch_bytes_max instead"
        }
        "enable.auto.commit" | "auto.commit.enable" | "auto.commit.interval.ms" => {
            "offsets are committed when everything before them is durable, never by the clock"
        }
        "enable.auto.offset.store" | "offset.store.method" | "offset.store.path" => {
            "offsets are kept by Weir: what is stored is what is durable"
        }
        "auto.offset.reset" => {
            "an offset that is out of range is a loss and stops the partition; where nothing is \
             committed, kafka.start decides"
        }
        "enable.partition.eof" => "the end of the log is how the lag becomes 0 behind markers",
        "group.protocol" | "group.remote.assignor" => {
            "the rebalance is written and tested for the classic protocol"
        }
        "enable.idempotence" | "acks" | "request.required.acks" | "transactional.id" => {
            "alerts and dead letters are written idempotently and acknowledged by all in-sync \
             replicas"
        }
        "log.queue" | "log_cb" | "rebalance_cb" | "opaque" => "it is used by Weir itself",
        "plugin.library.paths" => "it loads code into the process",
        _ => return None,
    })
}

/// Whether a property concerns consumers alone (a producer would warn of it).
pub(super) fn is_consumers(name: &str) -> bool {
    const PREFIXES: [&str; 11] = [
        "fetch.",
        "queued.",
        "group.",
        "session.",
        "heartbeat.",
        "max.poll.",
        "max.partition.fetch",
        "check.crcs",
        "coordinator.query",
        "consume.",
        "partition.assignment",
    ];
    PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Whether a property concerns producers alone.
pub(super) fn is_producers(name: &str) -> bool {
    const PREFIXES: [&str; 13] = [
        "linger.",
        "queue.buffering",
        "batch.",
        "compression.",
        "message.timeout",
        "message.max",
        "delivery.timeout",
        "delivery.report",
        "message.send",
        "retries",
        "partitioner",
        "sticky.partitioning",
        "request.timeout.ms",
    ];
    PREFIXES.iter().any(|p| name.starts_with(p))
}
