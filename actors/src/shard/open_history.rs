//! The events of a group that are not yet on their way to the store, in the
//! layout that the store wants.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use crate::event::Location;
use crate::history::rows;
use crate::history::{SegmentBuilder, SegmentScratch};
use crate::position::Position;
use crate::store::{Bucket, History, HistoryLayout, Layout, Row};

/// How much is gathered before it is sent, and what packs it.
#[derive(Clone)]
pub(super) struct Sealing {
    pub(super) events: usize,
    pub(super) write_bytes_max: usize,
    /// One for all groups of a shard: it is used for one segment at a time.
    pub(super) scratch: Rc<RefCell<SegmentScratch>>,
}

/// Events gathered for one write.
pub(super) struct OpenHistory {
    layout: Layout,
    sealing: Sealing,
    events: Events,
    first: Option<Position>,
    opened: Option<Instant>,
    times_us: (i64, i64),
    sealed: Vec<Sealed>,
}

enum Events {
    Segment(Box<SegmentBuilder>),
    Rows(Vec<Row>),
}

/// A write that is ready: history of one group and bucket.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) bucket: Bucket,
    pub(super) first: Position,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// When the first of its events came in.
    pub(super) opened: Instant,
    /// The earliest and the latest event time, in microseconds since 1970.
    pub(super) times_us: (i64, i64),
    /// Each piece is one request.
    pub(super) pieces: Vec<History>,
}

impl OpenHistory {
    pub(super) fn new(layout: Layout, sealing: Sealing) -> Self {
        let events = match layout.history {
            HistoryLayout::Segments => Events::Segment(Box::default()),
            HistoryLayout::Rows => Events::Rows(Vec::new()),
        };
        Self {
            layout,
            sealing,
            events,
            first: None,
            opened: None,
            times_us: (i64::MAX, i64::MIN),
            sealed: Vec::new(),
        }
    }

    /// Another one of the same kind, empty.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.layout, self.sealing.clone())
    }

    pub(super) fn push(
        &mut self,
        series: &[u8],
        position: Position,
        time_us: i64,
        value: f64,
        flags: u8,
        location: Option<Location>,
    ) {
        if let Some(first) = self.first {
            let full = self.len() >= self.sealing.events || self.is_full();
            if full || self.layout.bucket(first.offset) != self.layout.bucket(position.offset) {
                self.seal();
            }
        }
        if self.first.is_none() {
            self.first = Some(position);
            self.opened = Some(Instant::now());
        }
        self.times_us = (self.times_us.0.min(time_us), self.times_us.1.max(time_us));
        let location = location.map(|l| [l.latitude, l.longitude, l.altitude_m]);
        match &mut self.events {
            Events::Segment(builder) => {
                builder.append(series, position, time_us, value, flags, location);
            }
            Events::Rows(rows) => rows.push(Row {
                series: series.to_vec(),
                position,
                time_us,
                value,
                flags,
                location,
            }),
        }
    }

    /// A segment's dictionary can be full before the segment is.
    fn is_full(&self) -> bool {
        matches!(&self.events, Events::Segment(builder) if builder.is_full())
    }

    fn len(&self) -> usize {
        match &self.events {
            Events::Segment(builder) => builder.len(),
            Events::Rows(rows) => rows.len(),
        }
    }

    /// The position of the oldest event that is not on its way.
    pub(super) fn first(&self) -> Option<Position> {
        self.sealed.first().map(|s| s.first).or(self.first)
    }

    /// When the oldest of them came in.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// Makes what is gathered ready to be sent.
    pub(super) fn seal(&mut self) {
        let (Some(first), Some(opened)) = (self.first.take(), self.opened.take()) else { return };
        let events = self.len() as u64;
        let (pieces, bytes) = match &mut self.events {
            Events::Segment(builder) => {
                let segment = builder
                    .finish(&mut self.sealing.scratch.borrow_mut())
                    .expect("something was gathered");
                let bytes = segment.bytes.len() as u64;
                (vec![History::Segments(vec![segment])], bytes)
            }
            Events::Rows(gathered) => {
                let gathered = std::mem::take(gathered);
                let bytes = gathered.iter().map(rows::row_bytes).sum::<usize>() as u64;
                let pieces = rows::split(gathered, self.sealing.write_bytes_max);
                (pieces.into_iter().map(History::Rows).collect(), bytes)
            }
        };
        self.sealed.push(Sealed {
            bucket: self.layout.bucket(first.offset),
            first,
            events,
            bytes,
            opened,
            times_us: std::mem::replace(&mut self.times_us, (i64::MAX, i64::MIN)),
            pieces,
        });
    }

    /// Takes what is ready.
    pub(super) fn take_sealed(&mut self) -> Vec<Sealed> {
        std::mem::take(&mut self.sealed)
    }
}
