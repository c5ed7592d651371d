//! What moves in Weir: the path of an event, from a fetched batch to a durable
//! history, and the supervision over it.
//!
//! The modules stand in the order in which an event meets them:
//!
//! ```text
//! source -> decode -> reader -> route -> shard -> pool -> store
//!                                         |-> alert, dead_letter
//! ```
//!
//! This crate knows no Kafka, no Cassandra and no environment. The outside
//! world stands behind four traits: [`source::Source`], [`store::Store`],
//! [`alert::AlertSink`] and [`dead_letter::DeadLetterSink`]. The node plugs the
//! real ones in, the simulation plugs in its own; the actors are the same.

pub mod position;
pub mod source;

pub mod decode;

pub mod event;

pub mod assignment;
pub mod budget;
pub mod reader;
pub mod route;

pub mod detection;
pub mod shard;

pub mod pool;
pub mod store;

pub mod history;

pub mod codec;

pub mod alert;
pub mod dead_letter;
pub mod relay;

pub mod node;
pub mod registry;
pub mod stats;
pub mod supervise;
