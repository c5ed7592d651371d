//! What waits for the store. Writes into one place are joined on their way out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Job, Request};
use crate::store::{History, Segment};

/// The waiting requests, first come, first served.
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    write_bytes_max: usize,
}

impl Queue {
    pub(super) fn new(write_bytes_max: usize) -> Self {
        Self { jobs: VecDeque::new(), write_bytes_max }
    }

    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    /// Puts back what is to be tried again, before all others.
    pub(super) fn push_front(&mut self, job: Job) {
        self.jobs.push_front(job);
    }

    /// The next request, joined with the directly following ones that write
    /// into the same place, as far as one request may carry them.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let mut job = self.jobs.pop_front()?;
        while let Some(next) = self.jobs.front() {
            let Some(joined) = join(&job.request, &next.request, self.write_bytes_max) else {
                break;
            };
            job.request = joined;
            job.waiting.extend(self.jobs.pop_front().into_iter().flat_map(|j| j.waiting));
        }
        Some(job)
    }
}

fn join(a: &Request, b: &Request, bytes_max: usize) -> Option<Request> {
    let (
        Request::Append { group, bucket, history: first },
        Request::Append { group: group_b, bucket: bucket_b, history: second },
    ) = (a, b)
    else {
        return None;
    };
    if group != group_b || bucket != bucket_b || size(first) + size(second) > bytes_max {
        return None;
    }
    let history = match (&**first, &**second) {
        (History::Segments(a), History::Segments(b)) => History::Segments([&a[..], b].concat()),
        (History::Rows(a), History::Rows(b)) => History::Rows([&a[..], b].concat()),
        _ => return None,
    };
    Some(Request::Append { group: *group, bucket: *bucket, history: Arc::new(history) })
}

fn size(history: &History) -> usize {
    match history {
        History::Segments(segments) => {
            segments.iter().map(|s| s.bytes.len() + size_of::<Segment>()).sum()
        }
        History::Rows(rows) => rows.iter().map(crate::history::rows::row_bytes).sum(),
    }
}
