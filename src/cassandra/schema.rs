//! The tables, as versioned migrations. Every table's partition key begins with
//! the job, so that one keyspace holds many jobs.
//!
//! Applying is idempotent. Only one process should apply at a time: nodes only
//! check the version, and say what to run when it is not there.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use scylla::client::session::Session;
use weir_actors::store::StoreError;

use super::config::CassandraConfig;
use super::error::store_error;

/// The newest schema that this program knows.
pub const SCHEMA_VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

const SECONDS_PER_DAY: u32 = 86_400;

/// The tables whose rows are written once and die of age.
const HISTORY_TABLES: [&str; 2] = ["history_segments", "history_rows"];

struct Migration {
    version: i32,
    /// Each statement is idempotent; `{keyspace}`, `{ttl_s}` and
    /// `{window_hours}` are filled in.
    statements: &'static [&'static str],
}

/// Never change one that was released: append the next.
const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    statements: &[
        LAYOUTS,
        HISTORY_SEGMENTS,
        HISTORY_ROWS,
        BUCKETS,
        CHECKPOINTS,
        EVICTED,
        ALERTS,
        ALERT_HOURS,
        ALERTS_BY_SERIES,
        ALERTS_BY_POSITION,
        DELIVERIES,
    ],
}];

const VERSIONS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.weir_schema (
    name text,
    version int,
    applied_at timestamp,
    PRIMARY KEY ((name), version)
) WITH comment = 'Which versions of the schema were applied.'";

const LAYOUTS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.layouts (
    job text,
    topic text,
    key_groups int,
    bucket_shift tinyint,
    history text,
    PRIMARY KEY ((job, topic))
) WITH comment = 'What was fixed when a job first met a topic (by its id).'";

// Last before first: a recovery reads what ends after its checkpoint, as a
// slice. Both ends are in the key, so a shorter replayed segment never takes the
// place of a longer one. The blobs are compressed already.
const HISTORY_SEGMENTS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.history_segments (
    job text,
    topic text,
    partition int,
    key_group int,
    bucket bigint,
    last_offset bigint,
    last_index int,
    first_offset bigint,
    first_index int,
    events int,
    data blob,
    PRIMARY KEY ((job, topic, partition, key_group, bucket),
                 last_offset, last_index, first_offset, first_index)
) WITH compression = {'enabled': 'false'}
  AND compaction = {'class': 'TimeWindowCompactionStrategy',
                    'compaction_window_unit': 'HOURS', 'compaction_window_size': '{window_hours}'}
  AND default_time_to_live = {ttl_s}
  AND comment = 'Packed runs of the events of one key group.'";

const HISTORY_ROWS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.history_rows (
    job text,
    topic text,
    partition int,
    key_group int,
    bucket bigint,
    series text,
    msg_offset bigint,
    msg_index int,
    time_us bigint,
    value double,
    flags tinyint,
    latitude double,
    longitude double,
    altitude_m double,
    PRIMARY KEY ((job, topic, partition, key_group, bucket), series, msg_offset, msg_index)
) WITH CLUSTERING ORDER BY (series ASC, msg_offset DESC, msg_index DESC)
  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 1}
  AND compaction = {'class': 'TimeWindowCompactionStrategy',
                    'compaction_window_unit': 'HOURS', 'compaction_window_size': '{window_hours}'}
  AND default_time_to_live = {ttl_s}
  AND comment = 'One row an event; time_us is microseconds since 1970.'";

const BUCKETS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.buckets (
    job text,
    topic text,
    partition int,
    bucket bigint,
    earliest_us bigint,
    latest_us bigint,
    PRIMARY KEY ((job, topic, partition), bucket)
) WITH comment = 'When the events of each bucket of offsets happened.'";

// The digest keeps the parts of two writers of one position apart: a version is
// whole when all parts of one digest are there.
const CHECKPOINTS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.checkpoints (
    job text,
    topic text,
    partition int,
    key_group int,
    position_offset bigint,
    position_index int,
    digest bigint,
    part int,
    parts int,
    data blob,
    PRIMARY KEY ((job, topic, partition, key_group),
                 position_offset, position_index, digest, part)
) WITH CLUSTERING ORDER BY (position_offset DESC, position_index DESC, digest ASC, part ASC)
  AND compaction = {'class': 'LeveledCompactionStrategy'}
  AND comment = 'States of whole key groups, in parts.'";

const EVICTED: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.evicted (
    job text,
    topic text,
    partition int,
    key_group int,
    series blob,
    state blob,
    PRIMARY KEY ((job, topic, partition, key_group), series)
) WITH compaction = {'class': 'LeveledCompactionStrategy'}
  AND comment = 'States of single series; write timestamps are positions, not times.'";

const ALERTS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.alerts (
    job text,
    hour timestamp,
    time_us bigint,
    id text,
    series text,
    kind text,
    alert text,
    PRIMARY KEY ((job, hour), time_us, id)
) WITH CLUSTERING ORDER BY (time_us DESC, id DESC)
  AND comment = 'Alerts by the hour of their event; alert is the JSON.'";

const ALERT_HOURS: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.alert_hours (
    job text,
    hour timestamp,
    PRIMARY KEY ((job), hour)
) WITH CLUSTERING ORDER BY (hour DESC)
  AND comment = 'The hours that have alerts.'";

const ALERTS_BY_SERIES: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.alerts_by_series (
    job text,
    series text,
    time_us bigint,
    id text,
    incident text,
    alert text,
    PRIMARY KEY ((job, series), time_us, id)
) WITH CLUSTERING ORDER BY (time_us DESC, id DESC)
  AND comment = 'Alerts by series, newest first.'";

// In the order of the log, so that a position says how far a sink has got.
const ALERTS_BY_POSITION: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.alerts_by_position (
    job text,
    topic text,
    partition int,
    span bigint,
    msg_offset bigint,
    msg_index int,
    id text,
    alert text,
    PRIMARY KEY ((job, topic, partition, span), msg_offset, msg_index, id)
) WITH comment = 'Alerts in the order of the log; span is msg_offset >> 22.'";

const DELIVERIES: &str = "\
CREATE TABLE IF NOT EXISTS {keyspace}.deliveries (
    job text,
    sink text,
    topic text,
    partition int,
    cursor blob,
    PRIMARY KEY ((job, sink), topic, partition)
) WITH comment = 'How far each sink has got with the alerts; timestamps are positions.'";

/// The whole schema as CQL, ready for `cqlsh -f`.
pub fn print(config: &CassandraConfig) -> String {
    let mut cql = String::new();
    let _ = writeln!(cql, "{};\n", create_keyspace(config));
    let _ = writeln!(cql, "{};\n", fill(VERSIONS, config));
    for migration in MIGRATIONS {
        let _ = writeln!(cql, "-- Version {}.", migration.version);
        for statement in migration.statements {
            let _ = writeln!(cql, "{};\n", fill(statement, config));
        }
        let _ = writeln!(cql, "{};\n", record_version(migration.version, config));
    }
    cql
}

/// Brings the keyspace to [`SCHEMA_VERSION`], and the history's time to live and
/// window to the configuration. Returns what it did, a line each; none if
/// nothing was to do. Refuses a newer schema than it knows.
pub async fn apply(session: &Session, config: &CassandraConfig) -> Result<Vec<String>, StoreError> {
    let mut done = Vec::new();
    apply_keyspace(session, config, &mut done).await?;
    execute(session, &fill(VERSIONS, config), "weir_schema").await?;
    let current = version(session, config).await?.unwrap_or(0);
    refuse_newer(current, config)?;
    for migration in MIGRATIONS.iter().filter(|m| m.version > current) {
        for statement in migration.statements {
            execute(session, &fill(statement, config), "schema").await?;
        }
        execute(session, &record_version(migration.version, config), "weir_schema").await?;
        done.push(format!(
            "keyspace {:?}: applied version {} of the schema",
            config.keyspace, migration.version
        ));
    }
    apply_options(session, config, &mut done).await?;
    Ok(done)
}

/// The newest version applied; `None` if there is no schema yet.
pub async fn version(
    session: &Session,
    config: &CassandraConfig,
) -> Result<Option<i32>, StoreError> {
    let known = "SELECT table_name FROM system_schema.tables \
                 WHERE keyspace_name = ? AND table_name = 'weir_schema'";
    let tables: Vec<(String,)> = select(session, known, (&config.keyspace,)).await?;
    if tables.is_empty() {
        return Ok(None);
    }
    let query = format!("SELECT version FROM {}.weir_schema WHERE name = 'weir'", config.keyspace);
    let versions: Vec<(i32,)> = select(session, &query, ()).await?;
    Ok(versions.into_iter().map(|(version,)| version).max())
}

/// `Err` unless the keyspace holds exactly the schema that this program needs.
pub(crate) async fn check(session: &Session, config: &CassandraConfig) -> Result<(), StoreError> {
    let current = version(session, config).await?.unwrap_or(0);
    refuse_newer(current, config)?;
    if current < SCHEMA_VERSION {
        return Err(StoreError::Invalid(format!(
            "keyspace {:?} has version {current} of the schema, version {SCHEMA_VERSION} is \
             needed; run `weir schema apply`",
            config.keyspace
        )));
    }
    Ok(())
}

fn refuse_newer(current: i32, config: &CassandraConfig) -> Result<(), StoreError> {
    if current <= SCHEMA_VERSION {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "keyspace {:?} has version {current} of the schema, this program knows up to \
         {SCHEMA_VERSION}; upgrade weir, or use another keyspace",
        config.keyspace
    )))
}

async fn apply_keyspace(
    session: &Session,
    config: &CassandraConfig,
    done: &mut Vec<String>,
) -> Result<(), StoreError> {
    let known = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found: Vec<(HashMap<String, String>,)> =
        select(session, known, (&config.keyspace,)).await?;
    if let [(replication,)] = found.as_slice() {
        let copies: BTreeMap<_, _> = replication
            .iter()
            .filter(|(name, _)| *name != "class")
            .map(|(name, copies)| (name.clone(), copies.parse().unwrap_or(0)))
            .collect();
        if copies != config.replication {
            // Changing it moves data: the operator's decision, with a repair after it.
            done.push(format!(
                "keyspace {:?}: is kept with {copies:?}, the configuration says {:?}; left as it \
                 is: ALTER KEYSPACE and a repair change it",
                config.keyspace, config.replication
            ));
        }
        return Ok(());
    }
    execute(session, &create_keyspace(config), "keyspace").await?;
    done.push(format!("keyspace {:?}: made, with {:?}", config.keyspace, config.replication));
    if config.replication.values().all(|copies| *copies == 1) {
        done.push(format!(
            "keyspace {:?}: only one copy of the data is kept; set replication to 3 where loss \
             matters",
            config.keyspace
        ));
    }
    Ok(())
}

/// The options of the history that follow the configuration.
async fn apply_options(
    session: &Session,
    config: &CassandraConfig,
    done: &mut Vec<String>,
) -> Result<(), StoreError> {
    let query = "SELECT table_name, default_time_to_live, compaction FROM system_schema.tables \
                 WHERE keyspace_name = ?";
    type Options = (String, i32, HashMap<String, String>);
    let tables: Vec<Options> = select(session, query, (&config.keyspace,)).await?;
    for (table, ttl_s, compaction) in tables {
        if !HISTORY_TABLES.contains(&table.as_str()) {
            continue;
        }
        let wanted_s = (config.ttl_days * SECONDS_PER_DAY) as i32;
        let window = config.compaction_window_hours.to_string();
        if ttl_s != wanted_s {
            let alter = format!(
                "ALTER TABLE {}.{table} WITH default_time_to_live = {wanted_s}",
                config.keyspace
            );
            execute(session, &alter, &table).await?;
            done.push(format!("{table}: rows written from now on live {wanted_s} s (0: for good)"));
        }
        if compaction.get("compaction_window_size") != Some(&window) {
            let alter = format!(
                "ALTER TABLE {}.{table} WITH compaction = {{'class': \
                 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS', \
                 'compaction_window_size': '{window}'}}",
                config.keyspace
            );
            execute(session, &alter, &table).await?;
            done.push(format!("{table}: compaction window is {window} h"));
        }
    }
    Ok(())
}

fn create_keyspace(config: &CassandraConfig) -> String {
    let copies: Vec<_> =
        config.replication.iter().map(|(dc, copies)| format!("'{dc}': {copies}")).collect();
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': \
         'NetworkTopologyStrategy', {}}}",
        config.keyspace,
        copies.join(", ")
    )
}

fn record_version(version: i32, config: &CassandraConfig) -> String {
    format!(
        "INSERT INTO {}.weir_schema (name, version, applied_at) \
         VALUES ('weir', {version}, toTimestamp(now()))",
        config.keyspace
    )
}

fn fill(statement: &str, config: &CassandraConfig) -> String {
    statement
        .replace("{keyspace}", &config.keyspace)
        .replace("{ttl_s}", &(config.ttl_days * SECONDS_PER_DAY).to_string())
        .replace("{window_hours}", &config.compaction_window_hours.to_string())
}

async fn execute(session: &Session, cql: &str, table: &str) -> Result<(), StoreError> {
    session.query_unpaged(cql, ()).await.map_err(|e| store_error(table, e))?;
    Ok(())
}

async fn select<R>(
    session: &Session,
    cql: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, StoreError>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    let result = session.query_unpaged(cql, values).await.map_err(|e| store_error("schema", e))?;
    super::error::rows(result, "schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_schema_has_no_hole() {
        let cql = print(&CassandraConfig { ttl_days: 30, ..CassandraConfig::default() });
        for hole in ["{keyspace}", "{ttl_s}", "{window_hours}"] {
            assert!(!cql.contains(hole), "{hole} is left in:\n{cql}");
        }
        assert!(cql.contains("default_time_to_live = 2592000"));
        assert!(cql.contains("'NetworkTopologyStrategy', 'datacenter1': 1}"));
    }

    #[test]
    fn versions_rise_by_one() {
        for (i, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, i as i32 + 1);
        }
    }
}
