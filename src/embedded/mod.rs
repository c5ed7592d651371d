//! What stands for Kafka and Cassandra where there are neither: a log and a
//! store on the local disk, and files of JSON lines for alerts and dead letters.
//!
//! ```text
//! log (frame, partition) -> source -> ... -> store
//!                                      |-> lines (alerts, dead letters)
//! ```

mod database;
mod frame;
mod history;
mod keys;
mod lines;
mod log;
mod partition;
mod source;
mod store;

pub use lines::{AlertLines, DeadLetterLines};
pub use log::{EmbeddedLog, LogError, LogOptions};
pub use partition::NewRecord;
pub use source::EmbeddedSource;
pub use store::EmbeddedStore;

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod store_tests;
