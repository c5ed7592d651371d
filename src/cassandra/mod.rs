//! The store on Cassandra: durable history, checkpoints, alerts.
//!
//! ```text
//! config -> tls -> session -> schema -> statements -> store
//! ```
//!
//! Correctness rests on keys and timestamps that derive from positions, never
//! on the order in which requests arrive: a repeated or late write changes
//! nothing. Cassandra acknowledges a write before it is synced to its disk
//! (`commitlog_sync: periodic`, 10 s, unless set to `group` or `batch`), so
//! durability is by replication.

mod alerts;
mod checkpoint;
mod config;
mod error;
mod history;
pub mod schema;
mod series_state;
mod session;
mod statements;
mod store;
pub mod survey;
mod tls;

pub use config::{CassandraConfig, ConsistencyLevel, Secret, TlsConfig, TlsVerify};
pub use session::connect_session;
pub use store::CassandraStore;

#[cfg(test)]
mod tests;
