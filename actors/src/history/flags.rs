//! What was noticed about an event when it was applied: one byte of bits beside
//! its value. The bits are stored, so they do not change; a reader ignores those
//! that it does not know.

/// Its time lies before its series' clock: it came late.
pub const LATE: u8 = 1;

/// Its time is the same as the newest of its series.
pub const REPEATED: u8 = 2;
