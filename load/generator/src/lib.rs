//! Generated fleets of series with labelled anomalies, from a seed. Pure: no
//! I/O, no clock, and the same events on every machine.
//!
//! The value of a key at a tick is a function of the seed, the key and the tick
//! alone. So a fleet can be played from any tick, split among senders by key, or
//! played again, and always gives the same events; and the labels are known
//! without playing it. What is remembered of a key (32 bytes) only saves working
//! it out anew for each event.
//!
//! ```
//! use weir_generator::{Fleet, FleetConfig};
//!
//! let mut fleet = Fleet::new(FleetConfig { keys: 1_000, ..FleetConfig::default() });
//! for tick in 0..100 {
//!     for event in fleet.events(tick) {
//!         let (_key, _time_us, _value) = (event.key, event.time_us, event.value);
//!     }
//! }
//! for label in fleet.labels(0..100_000) {
//!     assert!(label.from_us <= label.to_us);
//! }
//! ```

mod anomaly;
mod archetype;
mod fleet;
mod noise;

pub use anomaly::{AnomalyKind, Label};
pub use archetype::{Archetype, Mix};
pub use fleet::{Event, Events, Fleet, FleetConfig};

#[cfg(test)]
mod tests;
