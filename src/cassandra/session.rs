//! The driver's session: who to ask, how long to wait, how often to retry.

use std::collections::BTreeSet;
use std::sync::Arc;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::SerialConsistency;
use weir_actors::store::StoreError;

use super::config::CassandraConfig;
use super::error::session_error;
use super::tls;

/// Opens a session. It lives on the runtime that this is called on.
///
/// The driver asks the nodes that hold the data, of the local data centre
/// first, and never repeats a request by itself: the pool counts the requests
/// in flight, and a hidden retry would be one that it does not see.
pub async fn connect_session(config: &CassandraConfig) -> Result<Session, StoreError> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &config.local_datacenter {
        policy = policy.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .load_balancing_policy(policy.build())
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .speculative_execution_policy(None)
        .consistency(config.write_consistency.into())
        .serial_consistency(Some(serial_consistency(config)))
        .request_timeout(Some(config.request_timeout()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .connection_timeout(std::time::Duration::from_millis(config.connect_timeout_ms))
        .fetch_schema_metadata(true)
        .keyspaces_to_fetch([config.keyspace.as_str()])
        .default_execution_profile_handle(profile.into_handle());
    if let Some((user, password)) = config.login().map_err(StoreError::Invalid)? {
        builder = builder.user(user, password.expose());
    }
    if let Some(tls) = &config.tls {
        let client = tls::client_config(tls).map_err(StoreError::Invalid)?;
        builder = builder.tls_context(Some(client));
    }
    let session = builder.build().await.map_err(|e| session_error(&e))?;
    check_datacenter(&session, config)?;
    Ok(session)
}

/// A misspelt data centre would leave no node to ask, which looks like a
/// cluster that is away.
fn check_datacenter(session: &Session, config: &CassandraConfig) -> Result<(), StoreError> {
    let Some(local) = &config.local_datacenter else { return Ok(()) };
    let state = session.get_cluster_state();
    let there: BTreeSet<_> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    if there.is_empty() || there.contains(local.as_str()) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "local_datacenter {local:?} is none of the cluster's, which are {there:?}; set it to one \
         of them"
    )))
}

/// Without a local data centre the whole cluster must agree.
pub(crate) fn serial_consistency(config: &CassandraConfig) -> SerialConsistency {
    if config.local_datacenter.is_some() || config.replication.len() <= 1 {
        SerialConsistency::LocalSerial
    } else {
        SerialConsistency::Serial
    }
}
