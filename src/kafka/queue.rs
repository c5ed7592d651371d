//! librdkafka's queue of one partition, and its commit: the C calls that the
//! `rdkafka` crate does not offer.
//!
//! Messages are taken by `rd_kafka_consume_callback_queue`, not by
//! `rd_kafka_consume_batch_queue`, for two reasons found in librdkafka 2.12's
//! code. The batch call counts the end-of-partition event as if it were a record:
//! it sets the partition's position to one past the log's end, and librdkafka
//! goes on from that position after every rebalance, so that the next record is
//! skipped in silence. And the callback may stop at any message
//! (`rd_kafka_yield`): the rest goes back to the head of the queue, so that a
//! limit in bytes is held. The call is marked as deprecated in the header, in
//! favour of calls that take one message each.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafka, RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr};
use tokio::sync::Notify;

/// What comes off a partition's queue.
pub(super) enum Incoming<'a> {
    /// A record.
    Record(Record<'a>),
    /// The log ends here for now.
    End { offset: i64 },
    /// The partition cannot be read, or not for now.
    Failed { code: RDKafkaErrorCode, text: String, offset: i64 },
}

/// A record, in librdkafka's memory.
pub(super) struct Record<'a> {
    pub(super) offset: i64,
    /// Milliseconds since 1970; -1 if it has none.
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    message: &'a RDKafkaMessage,
}

impl Record<'_> {
    /// Calls `each` with every header, in order.
    pub(super) fn each_header(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is live while `self` borrows it; the headers belong
        // to it.
        let error = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is live as above; the out-pointers are valid, and
            // an index past the last is answered by an error.
            let error = unsafe {
                sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut len)
            };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: the name is NUL-terminated; both live as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, len)) };
            each(&name.to_string_lossy(), value);
        }
    }
}

/// # Safety
/// `start` is null, or `len` bytes from it are readable for `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// The queue of one partition, apart from the consumer's own.
pub(super) struct PartitionQueue<C: ConsumerContext> {
    queue: ptr::NonNull<RDKafkaQueue>,
    topic: CString,
    partition: i32,
    /// Told by librdkafka's threads whenever the queue is no longer empty.
    wake: Arc<Notify>,
    /// Keeps what `queue` belongs to.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues and clients are thread-safe by its documentation;
// `drain` takes `&mut self`, so one thread reads at a time.
unsafe impl<C: ConsumerContext> Send for PartitionQueue<C> {}

impl<C: ConsumerContext> PartitionQueue<C> {
    /// Takes the partition's messages out of the consumer's queue from now on. To
    /// be called before the partition is assigned. `None` if librdkafka does not
    /// know such a partition.
    pub(super) fn split(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        wake: Arc<Notify>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let rk = consumer.client().native_ptr();
        // SAFETY: `rk` is live (`consumer` is held), the name NUL-terminated.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition) };
        let queue = ptr::NonNull::new(queue)?;
        // SAFETY: the queue is live until `drop` destroys it. The opaque pointer is
        // to a `Notify` that `wake` holds until after `drop` has disabled the
        // callback; librdkafka calls and disables it under the queue's own lock.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(on_nonempty),
                Arc::as_ptr(&wake).cast_mut().cast(),
            );
        }
        Some(Self { queue, topic, partition, wake, consumer })
    }

    /// Hands over what is in the queue, in order, until `take` answers false.
    /// Does not wait.
    pub(super) fn drain<F: FnMut(Incoming<'_>) -> bool>(&mut self, take: F) {
        let mut drain = Drain { take, rk: self.consumer.client().native_ptr() };
        // SAFETY: the queue is live; `on_message::<F>` takes the opaque pointer for
        // the `Drain<F>` that it is, only within this call and on this thread.
        unsafe {
            sys::rd_kafka_consume_callback_queue(
                self.queue.as_ptr(),
                0,
                Some(on_message::<F>),
                ptr::from_mut(&mut drain).cast(),
            );
        }
    }

    /// How many messages wait in it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// The log's first offset and its end, as the last fetch told them; `None` for
    /// what is not known yet.
    pub(super) fn watermarks(&self) -> (Option<i64>, Option<i64>) {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is live, the name NUL-terminated, the out-pointers
        // valid; nothing is asked of a broker.
        unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                self.topic.as_ptr(),
                self.partition,
                &mut low,
                &mut high,
            );
        }
        (Some(low).filter(|o| *o >= 0), Some(high).filter(|o| *o >= 0))
    }
}

impl<C: ConsumerContext> Drop for PartitionQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is live until here, and `wake` and `consumer` until
        // after this.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
        // Whoever waits on it looks again, and finds that it is gone.
        self.wake.notify_one();
    }
}

/// Called on librdkafka's threads, under the queue's lock: it may only tell.
unsafe extern "C" fn on_nonempty(_: *mut RDKafka, wake: *mut c_void) {
    // SAFETY: the pointer given in `split`, whose `Notify` outlives the callback.
    unsafe { &*wake.cast::<Notify>() }.notify_one();
}

struct Drain<F> {
    take: F,
    rk: *mut RDKafka,
}

/// A panic in `take` cannot unwind through C: it aborts.
unsafe extern "C" fn on_message<F: FnMut(Incoming<'_>) -> bool>(
    message: *mut RDKafkaMessage,
    drain: *mut c_void,
) {
    // SAFETY: `drain` is `PartitionQueue::drain`'s, on its stack, used by nobody
    // else meanwhile; the message is live during this call.
    let (drain, message) = unsafe { (&mut *drain.cast::<Drain<F>>(), &*message) };
    if !(drain.take)(incoming(message)) {
        // SAFETY: the client is live: its queue is being read.
        unsafe { sys::rd_kafka_yield(drain.rk) };
    }
}

fn incoming(message: &RDKafkaMessage) -> Incoming<'_> {
    // SAFETY: payload and key are null or of the given lengths, and live as long
    // as the message.
    let (value, key) =
        unsafe { (bytes(message.payload, message.len), bytes(message.key, message.key_len)) };
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            // SAFETY: the message is live, the out-pointer valid.
            let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(message, &mut kind) };
            Incoming::Record(Record { offset: message.offset, timestamp_ms, key, value, message })
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
            Incoming::End { offset: message.offset }
        }
        error => Incoming::Failed {
            code: error.into(),
            // Of an error, the payload is its text.
            text: String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            offset: message.offset,
        },
    }
}

/// What became of a commit: of the request, and of each partition that failed.
pub(super) type CommitFailure = (RDKafkaErrorCode, Vec<(String, i32, RDKafkaErrorCode)>);

/// Commits and waits for the broker's answer. Blocks.
///
/// `rd_kafka_commit` tells of a failure only if every partition failed; this tells
/// of each.
pub(super) fn commit<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
) -> Result<(), CommitFailure> {
    let mut failed: Vec<(String, i32, RDKafkaErrorCode)> = Vec::new();
    // SAFETY: client and list are live during the call. With no queue given, the
    // callback is called once within it, on this thread, with `failed` as opaque.
    let error = unsafe {
        sys::rd_kafka_commit_queue(
            client.native_ptr(),
            offsets.ptr(),
            ptr::null_mut(),
            Some(on_committed),
            ptr::from_mut(&mut failed).cast(),
        )
    };
    if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && failed.is_empty() {
        return Ok(());
    }
    let first = failed.first().map(|(_, _, code)| *code);
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
            Err((first.unwrap_or(RDKafkaErrorCode::Unknown), failed))
        }
        error => Err((error.into(), failed)),
    }
}

unsafe extern "C" fn on_committed(
    _: *mut RDKafka,
    _: RDKafkaRespErr,
    offsets: *mut sys::rd_kafka_topic_partition_list_t,
    failed: *mut c_void,
) {
    if offsets.is_null() {
        return;
    }
    // SAFETY: `failed` is `commit`'s; the list is live during the call and has
    // `cnt` elements, each with a NUL-terminated topic.
    unsafe {
        let failed = &mut *failed.cast::<Vec<(String, i32, RDKafkaErrorCode)>>();
        let list = &*offsets;
        for element in slice::from_raw_parts(list.elems, list.cnt.max(0) as usize) {
            if element.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let topic = CStr::from_ptr(element.topic).to_string_lossy().into_owned();
                failed.push((topic, element.partition, element.err.into()));
            }
        }
    }
}
