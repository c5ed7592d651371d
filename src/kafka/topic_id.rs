//! Topics by their ids: `DescribeTopics`, which the `rdkafka` crate does not
//! offer. The id is what tells a topic that was made anew from the one before it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use weir_actors::position::TopicId;

/// A topic as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Asks the cluster for topics by name; blocks. `None` for a topic that is not
/// there, in the order of `names`.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<TopicInfo>>, RDKafkaErrorCode> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(*name).map_err(|_| RDKafkaErrorCode::InvalidTopic))
        .collect::<Result<_, _>>()?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let event = ask(client, &names, timeout_ms)?;
    let result = event.topics()?;
    Ok(names.iter().map(|name| result.iter().find(|(n, _)| n == name)?.1.clone()).collect())
}

/// The answer, and the queue that it came by.
struct Answer {
    event: *mut sys::rd_kafka_event_t,
    queue: *mut sys::rd_kafka_queue_t,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: both were made by `ask`, and are destroyed only here; destroying
        // a null event is allowed.
        unsafe {
            sys::rd_kafka_event_destroy(self.event);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

fn ask<C: ClientContext>(
    client: &Client<C>,
    names: &[CString],
    timeout_ms: i32,
) -> Result<Answer, RDKafkaErrorCode> {
    let rk = client.native_ptr();
    let mut pointers: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
    // SAFETY: the client is live; the names live during the call, which copies
    // them; what is made here is destroyed here, or by the answer's drop.
    let answer = unsafe {
        let queue = sys::rd_kafka_queue_new(rk);
        let topics =
            sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = sys::rd_kafka_AdminOptions_new(
            rk,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut text = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            text.as_mut_ptr(),
            text.len(),
        );
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        // The request has its own time-out; this one is only a backstop.
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        Answer { event, queue }
    };
    if answer.event.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    Ok(answer)
}

impl Answer {
    fn topics(&self) -> Result<Vec<(CString, Option<TopicInfo>)>, RDKafkaErrorCode> {
        let mut count = 0;
        // SAFETY: the event is not null; the result and its array belong to it.
        let (error, descriptions) = unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(self.event);
            if result.is_null() {
                return Err(RDKafkaErrorCode::Unknown);
            }
            let error = sys::rd_kafka_event_error(self.event);
            (error, sys::rd_kafka_DescribeTopics_result_topics(result, &mut count))
        };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        if descriptions.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: the array has `count` descriptions, live as long as the event.
        let descriptions = unsafe { std::slice::from_raw_parts(descriptions, count) };
        descriptions.iter().map(|d| description(*d)).collect()
    }
}

fn description(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<(CString, Option<TopicInfo>), RDKafkaErrorCode> {
    // SAFETY: the description is live; name and id belong to it; the name is
    // NUL-terminated. An error that is null means none.
    let (name, error, id, partitions) = unsafe {
        let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_owned();
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let error = if error.is_null() {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        } else {
            sys::rd_kafka_error_code(error)
        };
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        (name, error, uuid(sys::rd_kafka_TopicDescription_topic_id(topic)), partitions)
    };
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok((name, None)),
        error => return Err(error.into()),
    }
    // Brokers before 2.8 know no ids.
    if id.0 == 0 {
        return Err(RDKafkaErrorCode::UnsupportedVersion);
    }
    let info = TopicInfo {
        name: name.to_string_lossy().into_owned(),
        id,
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
    };
    Ok((name, Some(info)))
}

/// # Safety
/// `uuid` is null or live.
unsafe fn uuid(uuid: *const sys::rd_kafka_Uuid_t) -> TopicId {
    if ptr::eq(uuid, ptr::null()) {
        return TopicId(0);
    }
    // SAFETY: not null, and live by the caller's promise.
    let (high, low) = unsafe {
        (
            sys::rd_kafka_Uuid_most_significant_bits(uuid),
            sys::rd_kafka_Uuid_least_significant_bits(uuid),
        )
    };
    TopicId(u128::from(high as u64) << 64 | u128::from(low as u64))
}
