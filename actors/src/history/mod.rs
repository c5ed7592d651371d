//! History: how raw events are laid out in the store, in either layout.
//!
//! [`segment`] packs a run of one group's events into a block of bytes, and
//! reads it back; [`rows`] cuts rows into requests of bounded size. What stands
//! beside an event is in [`flags`].

pub mod flags;
pub mod rows;
pub mod segment;

mod columns;
mod dictionary;
mod floats;
mod input;
mod integers;
mod ordered;
mod packing;

pub use columns::{SegmentColumns, SegmentEvent};
pub use dictionary::Dictionary;
pub use ordered::rows_in_order;
pub use segment::{SegmentBuilder, SegmentError, SegmentHeader, SegmentReader, SegmentScratch};
