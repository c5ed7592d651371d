//! What a check, a start and the tests ask of the cluster about topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{self, LogContext};
use super::config::{KafkaConfig, SinkTopic};
use super::topic_id::{self, TopicInfo};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic that was made may take to be seen.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);
const VISIBLE_PAUSE: Duration = Duration::from_millis(100);

/// Why the cluster did not answer, or not as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdminError {
    /// The configuration, a permission: trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// No broker answered in time: it may work when tried again.
    #[error("{0}")]
    Unavailable(String),
    /// The topic is not there and is not to be made.
    #[error("the topic \"{0}\" is not there; make it, or set create = true")]
    NoSuchTopic(String),
}

impl AdminError {
    fn of(what: &str, code: RDKafkaErrorCode) -> Self {
        let text = format!("{what}: {code}");
        if client::is_fatal(code) { Self::Refused(text) } else { Self::Unavailable(text) }
    }

    pub(super) fn of_error(what: &str, error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::of(what, code),
            None => Self::Refused(format!("{what}: {}", client::fault_text(error))),
        }
    }
}

/// Asks the cluster about topics, and makes them.
#[derive(Clone)]
pub struct KafkaAdmin(Arc<AdminClient<LogContext>>);

impl KafkaAdmin {
    /// A client for these brokers. Asks nothing yet.
    pub fn new(config: &KafkaConfig) -> Result<Self, AdminError> {
        let client = client::admin(config).map_err(AdminError::Refused)?;
        let client = client
            .create_with_context(LogContext)
            .map_err(|e| AdminError::of_error("the client cannot be made", &e))?;
        Ok(Self(Arc::new(client)))
    }

    /// The topic, if it is there.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicInfo>, AdminError> {
        Ok(self.topics(&[name.to_owned()]).await?.pop().flatten())
    }

    /// Several topics, in order; `None` for one that is not there.
    pub async fn topics(&self, names: &[String]) -> Result<Vec<Option<TopicInfo>>, AdminError> {
        let names = names.to_vec();
        self.ask("the topics cannot be described", move |admin| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            topic_id::describe(admin.inner(), &names, ASK_TIMEOUT)
        })
        .await
    }

    /// The names of the topics that `topics` of a configuration stands for, sorted:
    /// those named that are there, and those that match a pattern.
    pub async fn matching(&self, topics: &[String]) -> Result<Vec<String>, AdminError> {
        let patterns = topics
            .iter()
            .filter(|t| t.starts_with('^'))
            .map(|t| {
                regex_lite::Regex::new(t)
                    .map_err(|e| AdminError::Refused(format!("{t:?} is not a pattern: {e}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let all = self
            .ask("the topics cannot be listed", |admin| {
                let metadata = admin
                    .inner()
                    .fetch_metadata(None, ASK_TIMEOUT)
                    .map_err(|e| e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown))?;
                Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect::<Vec<_>>())
            })
            .await?;
        let wanted = |name: &String| {
            topics.contains(name) || patterns.iter().any(|pattern| pattern.is_match(name))
        };
        let mut names: Vec<String> = all.into_iter().filter(wanted).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The topic, made first if it is not there and may be made.
    pub async fn ensure(&self, topic: &SinkTopic) -> Result<TopicInfo, AdminError> {
        if let Some(info) = self.topic(&topic.topic).await? {
            return Ok(info);
        }
        if !topic.create {
            return Err(AdminError::NoSuchTopic(topic.topic.clone()));
        }
        self.create(topic).await
    }

    /// Makes the topic, and waits until it is seen. One that another node made
    /// meanwhile is as good.
    pub async fn create(&self, topic: &SinkTopic) -> Result<TopicInfo, AdminError> {
        let what = format!("the topic \"{}\" cannot be made", topic.topic);
        let replication = TopicReplication::Fixed(topic.replication_factor);
        let new = NewTopic::new(&topic.topic, topic.partitions, replication);
        let made = self.0.create_topics([&new], &options()).await;
        let made = made.map_err(|e| AdminError::of_error(&what, &e))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(AdminError::of(&what, code)),
            }
        }
        let until = Instant::now() + VISIBLE_TIMEOUT;
        loop {
            if let Some(info) = self.topic(&topic.topic).await? {
                return Ok(info);
            }
            if Instant::now() >= until {
                let text = format!("the topic \"{}\" was made, but is not seen yet", topic.topic);
                return Err(AdminError::Unavailable(text));
            }
            tokio::time::sleep(VISIBLE_PAUSE).await;
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        question: impl FnOnce(&AdminClient<LogContext>) -> Result<T, RDKafkaErrorCode> + Send + 'static,
    ) -> Result<T, AdminError> {
        let admin = self.0.clone();
        let answer = tokio::task::spawn_blocking(move || question(&admin)).await;
        let answer = answer.map_err(|e| AdminError::Unavailable(format!("{what}: {e}")))?;
        answer.map_err(|code| AdminError::of(what, code))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT))
}
