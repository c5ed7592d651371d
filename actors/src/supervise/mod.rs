//! Supervision as in Erlang/OTP, on actix.
//!
//! `actix::Supervisor` does not survive a panic: tokio catches it at the task's
//! edge, the actor is dead, its address closed and its queued messages lost.
//! Here each child's `ContextFut` is polled under `catch_unwind`; after a panic
//! the context is restarted in place, so the address and the queued messages
//! live on and only the message in hand fails (its sender sees a
//! `MailboxError`). [`actix::Supervised::restarting`] is where an actor puts
//! its state in order again.
//!
//! - [`Strategy`]: who is restarted when one child ends.
//! - [`Restart`]: which ends of a child are faults.
//! - [`Intensity`]: how many restarts within a period are borne before the
//!   supervisor itself gives up and its own supervisor decides.
//! - [`Backoff`]: how long it waits before a restart.
//!
//! An actor that cannot go on calls [`fail`]; it is a crash with a reason and
//! without a backtrace. Where no restart can help it calls [`give_up`], and its
//! supervisor gives up at once.

mod child;
mod policy;
mod supervisor;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;

pub use policy::{Backoff, Intensity, Restart, Strategy};
pub use supervisor::{ChildSpec, Supervisor, SupervisorConfig, SupervisorHandle};

/// How a child, or a whole supervisor, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself.
    Normal,
    /// It was told to stop.
    Shutdown,
    /// It panicked, or said that it cannot go on.
    Failed(String),
    /// It said that no restart can help. A supervisor passes it on as
    /// [`Exit::Failed`].
    GaveUp(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended"),
            Self::Shutdown => f.write_str("was stopped"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::GaveUp(why) => write!(f, "gave up: {why}"),
        }
    }
}

/// The payload of [`fail`].
struct Failure(String);

/// Ends the actor in hand with a reason: its supervisor decides what follows.
/// Unlike a panic it prints no backtrace.
pub fn fail(why: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(Failure(why.into())))
}

/// The payload of [`give_up`].
struct GivenUp(String);

/// Ends the actor in hand, and its supervisor with it, whatever restarts that
/// would bear: for errors that no restart can cure.
pub fn give_up(why: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(GivenUp(why.into())))
}

/// What a caught unwinding says.
pub fn reason(payload: &(dyn Any + Send)) -> String {
    if let Some(Failure(why)) = payload.downcast_ref() {
        why.clone()
    } else if let Some(GivenUp(why)) = payload.downcast_ref() {
        why.clone()
    } else if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// How an actor ended whose unwinding was caught.
fn exit_of(payload: &(dyn Any + Send)) -> Exit {
    match payload.downcast_ref() {
        Some(GivenUp(why)) => Exit::GaveUp(why.clone()),
        None => Exit::Failed(reason(payload)),
    }
}

/// Calls something that may panic; what it said if it did. State that it was
/// changing may be half changed: drop it.
///
/// # Errors
/// The panic's message.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
        .map_err(|payload| reason(&*payload))
}
