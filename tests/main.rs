//! The tests between crates, in one binary.
//!
//! - `reference`: what a run must come to, computed in the most obvious way.
//! - `simulation`: the real actors under virtual time, from a seed, with faults.

mod reference;
mod simulation;
