//! One supervised actor: its context, polled under `catch_unwind`.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Context, Supervised};
use tokio::sync::mpsc;

use super::{Exit, exit_of};

/// What a supervisor tells a child.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// Start again, whether it runs or has ended.
    Restart,
    /// Stop, within the deadline.
    Stop {
        /// Then it is dropped.
        deadline: Duration,
    },
}

/// What a child tells its supervisor.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which child.
    pub(super) child: u64,
    /// How.
    pub(super) exit: Exit,
}

/// Runs one actor until it is told to stop. After each end it says how, and
/// waits for what its supervisor decides.
pub(super) async fn run<A>(
    child: u64,
    mut context: ContextFut<A, Context<A>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    ended: mpsc::UnboundedSender<Ended>,
) where
    A: Actor<Context = Context<A>> + Supervised,
{
    let mut alive = true;
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            exit = poll_caught(&mut context), if alive => {
                alive = false;
                // A context that is dropped live polls its actor once more.
                context.ctx().terminate();
                if ended.send(Ended { child, exit }).is_err() {
                    return;
                }
                continue;
            }
        };
        match command {
            Some(Command::Restart) => {
                let restarted = catch_unwind(AssertUnwindSafe(|| context.restart()));
                alive = true;
                let exit = match restarted {
                    Ok(true) => continue,
                    // Nobody holds its address any more: there is no work for it.
                    Ok(false) => Exit::Normal,
                    Err(payload) => exit_of(&*payload),
                };
                alive = false;
                context.ctx().terminate();
                if ended.send(Ended { child, exit }).is_err() {
                    return;
                }
            }
            Some(Command::Stop { deadline }) => {
                if alive {
                    context.ctx().stop();
                    let stopping = poll_caught(&mut context);
                    if tokio::time::timeout(deadline, stopping).await.is_err() {
                        tracing::warn!(child, ?deadline, "an actor did not stop in time");
                    }
                }
                context.ctx().terminate();
                let _supervisor_may_be_gone = ended.send(Ended { child, exit: Exit::Shutdown });
                return;
            }
            None => {
                context.ctx().terminate();
                return;
            }
        }
    }
}

async fn poll_caught<A>(context: &mut ContextFut<A, Context<A>>) -> Exit
where
    A: Actor<Context = Context<A>>,
{
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *context).poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Exit::Normal),
        Err(payload) => Poll::Ready(exit_of(&*payload)),
    })
    .await
}
