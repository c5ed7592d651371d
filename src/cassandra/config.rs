//! How the cluster is reached and how its keyspace is laid out. Pure values:
//! checked before anything starts, every mistake reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use scylla::statement::Consistency;
use serde::{Deserialize, Serialize};

/// Cassandra's own default of `batch_size_fail_threshold`. A batch into one
/// partition is exempt on Apache Cassandra, not on everything that speaks CQL.
const BATCH_FAIL_BYTES: usize = 50 * 1024;

/// Below this a write carries too little to be worth its round trip.
const WRITE_BYTES_MIN: usize = 1024;

/// Half of Cassandra's default commit-log segment is the largest mutation that
/// it takes; a write must stay well below.
const WRITE_BYTES_LIMIT: usize = 8 * 1024 * 1024;

/// Cassandra's limit on names of keyspaces.
const KEYSPACE_NAME_LEN_MAX: usize = 48;

/// Cassandra refuses a longer time to live: 20 years.
const TTL_DAYS_MAX: u32 = 20 * 365;

/// Where Cassandra is, and how Weir uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CassandraConfig {
    /// Nodes to ask first, `host:port` (9042 if there is no port). The others
    /// are found from them.
    pub contact_points: Vec<String>,
    /// The keyspace that holds Weir's tables.
    pub keyspace: String,
    /// The data centre to stay in; none asks the nodes of all alike.
    pub local_datacenter: Option<String>,
    /// Copies kept in each data centre, by its name. Used when the keyspace is
    /// made; a keyspace that is there already is left as it is.
    pub replication: BTreeMap<String, u32>,
    /// How many copies must have a write before it counts as durable.
    pub write_consistency: ConsistencyLevel,
    /// How many copies must answer a read.
    pub read_consistency: ConsistencyLevel,
    /// How long one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long opening a connection may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long history is kept, in days; 0 keeps it for good.
    pub ttl_days: u32,
    /// The window of time-window compaction, in hours. About a thirtieth of the
    /// time that history is kept is right.
    pub compaction_window_hours: u32,
    /// Who to log in as; none logs in as nobody.
    pub user: Option<String>,
    /// The password itself. Better: `password_env` or `password_file`.
    pub password: Option<Secret>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// The file that holds the password; a line feed at its end is dropped.
    pub password_file: Option<PathBuf>,
    /// Encryption towards the nodes; none is plain text.
    pub tls: Option<TlsConfig>,
    /// How many bytes one write may carry.
    pub write_bytes_max: usize,
}

impl Default for CassandraConfig {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".into()],
            keyspace: "weir".into(),
            local_datacenter: None,
            replication: BTreeMap::from([("datacenter1".into(), 1)]),
            write_consistency: ConsistencyLevel::LocalQuorum,
            read_consistency: ConsistencyLevel::LocalQuorum,
            request_timeout_ms: 5_000,
            connect_timeout_ms: 5_000,
            ttl_days: 0,
            compaction_window_hours: 24,
            user: None,
            password: None,
            password_env: None,
            password_file: None,
            tls: None,
            write_bytes_max: 40 * 1024,
        }
    }
}

impl CassandraConfig {
    /// Every mistake in it, each with what to do; empty if there is none. Reads
    /// no file and asks no network.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.validate_cluster(&mut faults);
        self.validate_keyspace(&mut faults);
        self.validate_limits(&mut faults);
        self.validate_login(&mut faults);
        if let Some(tls) = &self.tls {
            tls.validate(&mut faults);
        }
        faults
    }

    fn validate_cluster(&self, faults: &mut Vec<String>) {
        if self.contact_points.is_empty() {
            faults.push("contact_points is empty: name at least one node, as host:port".into());
        }
        for point in &self.contact_points {
            if point.trim().is_empty() || point.contains(char::is_whitespace) {
                faults.push(format!("contact_points: {point:?} is not host:port"));
            }
        }
        if self.local_datacenter.as_deref() == Some("") {
            faults.push("local_datacenter is empty: name one, or leave it out".into());
        }
        let per_dc = self.write_consistency.is_local() || self.read_consistency.is_local();
        if per_dc && self.replication.len() > 1 && self.local_datacenter.is_none() {
            faults.push(
                "replication names several data centres and the consistency is local: set \
                 local_datacenter, or reads may miss what another data centre wrote"
                    .into(),
            );
        }
        if self.write_consistency == ConsistencyLevel::Any {
            faults.push("write_consistency = \"any\" is not durable: use local_quorum".into());
        }
        if matches!(self.read_consistency, ConsistencyLevel::Any | ConsistencyLevel::EachQuorum) {
            faults.push(
                "read_consistency: any and each_quorum are for writes only: use local_quorum"
                    .into(),
            );
        }
    }

    fn validate_keyspace(&self, faults: &mut Vec<String>) {
        let name_ok = !self.keyspace.is_empty()
            && self.keyspace.len() <= KEYSPACE_NAME_LEN_MAX
            && self.keyspace.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !self.keyspace.starts_with(|c: char| c.is_ascii_digit() || c == '_');
        if !name_ok {
            faults.push(format!(
                "keyspace {:?} cannot be one: a lower-case letter, then lower-case letters, \
                 digits and _, at most {KEYSPACE_NAME_LEN_MAX}",
                self.keyspace
            ));
        }
        if self.replication.is_empty() {
            faults.push("replication is empty: say for example { datacenter1 = 3 }".into());
        }
        for (datacenter, copies) in &self.replication {
            if *copies == 0 {
                faults.push(format!("replication: {datacenter:?} keeps 0 copies: set 1 or more"));
            }
            if datacenter.is_empty() || datacenter.contains(['\'', '\n']) {
                faults.push(format!("replication: {datacenter:?} is not a data centre's name"));
            }
        }
        if let Some(local) = &self.local_datacenter
            && !self.replication.is_empty()
            && !self.replication.contains_key(local)
        {
            faults.push(format!(
                "local_datacenter {local:?} holds no copy: add it to replication, which names {:?}",
                self.replication.keys().collect::<Vec<_>>()
            ));
        }
    }

    fn validate_limits(&self, faults: &mut Vec<String>) {
        if self.request_timeout_ms == 0 {
            faults.push("request_timeout_ms is 0: nothing could ever be answered".into());
        }
        if self.connect_timeout_ms == 0 {
            faults.push("connect_timeout_ms is 0: no connection could ever be made".into());
        }
        if self.ttl_days > TTL_DAYS_MAX {
            faults.push(format!(
                "ttl_days is {}, Cassandra takes at most {TTL_DAYS_MAX} (20 years); 0 keeps \
                 history for good",
                self.ttl_days
            ));
        }
        if self.compaction_window_hours == 0 {
            faults.push("compaction_window_hours is 0: set 1 or more".into());
        }
        if !(WRITE_BYTES_MIN..=WRITE_BYTES_LIMIT).contains(&self.write_bytes_max) {
            faults.push(format!(
                "write_bytes_max is {}: it must be from {WRITE_BYTES_MIN} to {WRITE_BYTES_LIMIT}",
                self.write_bytes_max
            ));
        }
    }

    fn validate_login(&self, faults: &mut Vec<String>) {
        let ways =
            [self.password.is_some(), self.password_env.is_some(), self.password_file.is_some()];
        let ways = ways.into_iter().filter(|given| *given).count();
        if ways > 1 {
            faults.push("give one of password, password_env and password_file, not several".into());
        }
        if self.user.is_some() && ways == 0 {
            faults
                .push("user is given without a password: set password_env or password_file".into());
        }
        if self.user.is_none() && ways > 0 {
            faults.push("a password is given without a user: set user".into());
        }
    }

    /// Whether a single write at `write_bytes_max` stays under the threshold at
    /// which servers refuse batches by default.
    pub const fn is_under_default_batch_limit(&self) -> bool {
        self.write_bytes_max < BATCH_FAIL_BYTES
    }

    /// The user and the password, from wherever the password is kept; `Err`
    /// says what could not be read.
    pub(crate) fn login(&self) -> Result<Option<(String, Secret)>, String> {
        let Some(user) = &self.user else { return Ok(None) };
        let password = if let Some(secret) = &self.password {
            secret.clone()
        } else if let Some(name) = &self.password_env {
            Secret(std::env::var(name).map_err(|e| format!("password_env {name}: {e}"))?)
        } else if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("password_file {}: {e}", path.display()))?;
            Secret(text.trim_end_matches(['\r', '\n']).to_owned())
        } else {
            return Err("user is given without a password: set password_env".into());
        };
        Ok(Some((user.clone(), password)))
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

/// How many copies must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsistencyLevel {
    /// A hint suffices. Refused for Weir's writes.
    Any,
    /// One copy anywhere.
    One,
    /// Two copies.
    Two,
    /// Three copies.
    Three,
    /// Most of all copies.
    Quorum,
    /// All copies.
    All,
    /// Most copies of the local data centre.
    LocalQuorum,
    /// Most copies of each data centre.
    EachQuorum,
    /// One copy of the local data centre.
    LocalOne,
}

impl ConsistencyLevel {
    const fn is_local(self) -> bool {
        matches!(self, Self::LocalQuorum | Self::LocalOne)
    }
}

impl From<ConsistencyLevel> for Consistency {
    fn from(level: ConsistencyLevel) -> Self {
        match level {
            ConsistencyLevel::Any => Self::Any,
            ConsistencyLevel::One => Self::One,
            ConsistencyLevel::Two => Self::Two,
            ConsistencyLevel::Three => Self::Three,
            ConsistencyLevel::Quorum => Self::Quorum,
            ConsistencyLevel::All => Self::All,
            ConsistencyLevel::LocalQuorum => Self::LocalQuorum,
            ConsistencyLevel::EachQuorum => Self::EachQuorum,
            ConsistencyLevel::LocalOne => Self::LocalOne,
        }
    }
}

/// Encryption towards the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The authorities that the nodes' certificates must be signed by, PEM.
    pub ca_file: Option<PathBuf>,
    /// This client's own certificate, PEM, where the nodes ask for one.
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`, PEM.
    pub key_file: Option<PathBuf>,
    /// What is checked of a node's certificate.
    pub verify: TlsVerify,
}

impl TlsConfig {
    fn validate(&self, faults: &mut Vec<String>) {
        if self.ca_file.is_none() && self.verify != TlsVerify::None {
            faults.push(
                "tls.ca_file is missing: name the PEM file of the authorities (the system's own \
                 are often in /etc/ssl/certs/ca-certificates.crt)"
                    .into(),
            );
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            faults.push("tls.cert_file and tls.key_file go together: give both, or none".into());
        }
    }
}

/// What is checked of a node's certificate. Nodes are known by their addresses,
/// so [`TlsVerify::Full`] needs certificates that name the node's IP address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsVerify {
    /// Signed by the authority, and made for the node's address.
    #[default]
    Full,
    /// Signed by the authority; made for whatever name.
    Ca,
    /// Nothing. Encrypts, and does not keep anyone from standing in between.
    None,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    /// Writes `***`: a printed configuration does not give it away.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_fault() {
        let config = CassandraConfig::default();
        assert_eq!(config.validate(), Vec::<String>::new());
        assert!(config.is_under_default_batch_limit());
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let config = CassandraConfig {
            contact_points: vec![],
            keyspace: "Weir; DROP".into(),
            replication: BTreeMap::new(),
            request_timeout_ms: 0,
            write_bytes_max: 10,
            user: Some("weir".into()),
            write_consistency: ConsistencyLevel::Any,
            tls: Some(TlsConfig { cert_file: Some("a.pem".into()), ..TlsConfig::default() }),
            ..CassandraConfig::default()
        };
        let faults = config.validate();
        for field in [
            "contact_points",
            "keyspace",
            "replication",
            "request_timeout_ms",
            "write_bytes_max",
            "user",
            "write_consistency",
            "tls.ca_file",
            "tls.cert_file",
        ] {
            assert!(faults.iter().any(|f| f.starts_with(field)), "{field} is not in {faults:#?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = CassandraConfig {
            user: Some("weir".into()),
            password: Some(Secret::from("hunter2".to_owned())),
            ..CassandraConfig::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!toml::to_string(&config).unwrap().contains("hunter2"));
        assert_eq!(config.login().unwrap().unwrap().1.expose(), "hunter2");
    }

    #[test]
    fn a_password_file_loses_its_last_line_feed_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, " hunter2 \n").unwrap();
        let config = CassandraConfig {
            user: Some("weir".into()),
            password_file: Some(path),
            ..CassandraConfig::default()
        };
        assert_eq!(config.login().unwrap().unwrap().1.expose(), " hunter2 ");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let fault = toml::from_str::<CassandraConfig>("keyspce = \"weir\"").unwrap_err();
        assert!(fault.to_string().contains("keyspce"), "{fault}");
    }
}
