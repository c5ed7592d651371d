//! What a check asks of the cluster besides the store itself.

use std::collections::{BTreeMap, HashMap};

use scylla::client::session::Session;
use weir_actors::store::StoreError;

use super::config::CassandraConfig;
use super::error::{rows, store_error};
use super::tls;

/// The cluster as the driver knows it, and the keyspace in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Nodes by data centre.
    pub nodes: BTreeMap<String, usize>,
    /// The keyspace's copies by data centre, as it was made; `None` if it is not
    /// there. One that counts copies for the cluster as a whole has them under
    /// `replication_factor`.
    pub replication: Option<BTreeMap<String, u32>>,
    /// The version of the schema; `None` if there is none.
    pub schema_version: Option<i32>,
}

/// Asks for it.
pub async fn survey(session: &Session, config: &CassandraConfig) -> Result<Survey, StoreError> {
    let mut nodes = BTreeMap::new();
    for node in session.get_cluster_state().get_nodes_info() {
        *nodes.entry(node.datacenter.clone().unwrap_or_default()).or_default() += 1;
    }
    let query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = session.query_unpaged(query, (&config.keyspace,)).await;
    let found = found.map_err(|e| store_error("system_schema", e))?;
    let found: Vec<(HashMap<String, String>,)> = rows(found, "system_schema")?;
    let replication = found
        .into_iter()
        .next()
        .map(|(map,)| map.into_iter().filter_map(|(dc, n)| Some((dc, n.parse().ok()?))).collect());
    let schema_version = super::schema::version(session, config).await?;
    Ok(Survey { nodes, replication, schema_version })
}

/// What is wrong with the files of certificates, if something is; reads them.
pub fn certificate_fault(config: &CassandraConfig) -> Option<String> {
    config.tls.as_ref().and_then(|tls| tls::client_config(tls).err())
}

/// What is wrong with where the password is kept, if something is; reads it.
pub fn login_fault(config: &CassandraConfig) -> Option<String> {
    config.login().err()
}
