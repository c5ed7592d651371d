//! Against a real broker, whose address is `WEIR_TEST_KAFKA`. Every test has
//! topics and a group of its own.

mod rig;

mod group;
mod measure;
mod reading;
mod sinks;
