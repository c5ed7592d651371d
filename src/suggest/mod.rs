//! What a sample of a topic's messages says of its format, keys and cadence, and
//! the configuration that follows. Pure: it is given the sample.
//!
//! Whatever is guessed is tried: the sample is decoded with the configuration
//! that comes out, by the decoder of a node, and all figures are taken from what
//! that finds.

mod fields;
mod format;
mod measure;
mod report;

pub use format::{Guess, guess};
pub use measure::{Measured, measure};
pub use report::configuration;

/// A message of the sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970; -1 if it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests;
