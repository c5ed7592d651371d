//! The tests between crates, in one binary.
//!
//! - `reference`: what a run must come to, computed in the most obvious way.
//! - `end_to_end`: `weir run` against a real Kafka and a real Cassandra.
//! - `simulation`: the real actors under virtual time, from a seed, with faults.

mod end_to_end;
mod reference;
mod simulation;
