//! The node: what plugs the world into [`weir_actors`].
//!
//! ```text
//! kafka, embedded      the log          (the port weir_actors::source)
//! cassandra, embedded  the store        (the port weir_actors::store)
//! config               what a node is told
//! history_reader       a key's history, from either store
//! suggest              a configuration from a sample of a topic
//! run                  a node from its configuration, with probes and metrics
//! detect               the same engine on files
//! plot, figure         pictures, and numbers as people read them
//! demo                 the node on an embedded log and store
//! cli                  the commands
//! ```

pub mod kafka;

pub mod cassandra;
pub mod embedded;

pub mod config;
pub mod history_reader;
pub mod run;
pub mod suggest;

pub mod detect;

pub mod figure;
pub mod plot;

pub mod demo;

pub mod cli;

#[cfg(test)]
mod store_contract;
