use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, Arbiter, Context, Handler, Message, Supervised, System};

use super::*;

/// What happened to the children, in order.
type Diary = Arc<Mutex<Vec<String>>>;

struct Child {
    name: &'static str,
    diary: Diary,
}

impl Child {
    fn note(&self, what: &str) {
        self.diary.lock().expect("no test thread panicked").push(format!("{} {what}", self.name));
    }
}

impl Actor for Child {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.note("stopped");
    }
}

impl Supervised for Child {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.note("restarted");
    }
}

#[derive(Message, Clone, Copy)]
#[rtype(result = "u32")]
enum Say {
    Number(u32),
    Panic,
    Fail,
    GiveUp,
    End,
}

impl Handler<Say> for Child {
    type Result = u32;

    fn handle(&mut self, say: Say, ctx: &mut Self::Context) -> u32 {
        match say {
            Say::Number(n) => return n,
            // Like a panic!, without its lines in the test's output.
            Say::Panic => std::panic::resume_unwind(Box::new("a panic")),
            Say::Fail => fail("a failure"),
            Say::GiveUp => give_up("nothing helps"),
            Say::End => ctx.stop(),
        }
        0
    }
}

struct Family {
    handle: SupervisorHandle,
    exit: tokio::task::JoinHandle<Exit>,
    children: Vec<Addr<Child>>,
    diary: Diary,
}

const RESTARTS_MAX: usize = 3;

impl Family {
    /// Three children, a, b and c, under one supervisor.
    fn of(strategy: Strategy) -> Self {
        let (supervisor, handle) = Supervisor::new(SupervisorConfig {
            name: "family".into(),
            strategy,
            intensity: Intensity { restarts_max: RESTARTS_MAX, within: Duration::from_secs(60) },
            backoff: Backoff {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(1),
                seed: 1,
            },
        });
        let exit = actix::spawn(supervisor.run());
        let diary = Diary::default();
        let children = ["a", "b", "c"].map(|name| {
            let diary = Arc::clone(&diary);
            let spec = ChildSpec::permanent(name);
            handle.start(&Arbiter::current(), spec, move |_| Child { name, diary })
        });
        Self { handle, exit, children: children.into(), diary }
    }

    fn diary(&self) -> Vec<String> {
        self.diary.lock().expect("no test thread panicked").clone()
    }

    /// How the supervisor ends, which it does by itself.
    async fn exit(self) -> (Exit, Vec<String>) {
        let exit = tokio::time::timeout(Duration::from_secs(600), self.exit).await;
        let exit = exit.expect("the supervisor ends").expect("it does not panic");
        (exit, self.diary.lock().expect("no test thread panicked").clone())
    }
}

/// Runs under virtual time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime needs nothing")
    });
    system.block_on(test)
}

async fn a_while() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[test]
fn a_panic_restarts_the_child_whose_address_and_queued_messages_live_on() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        let child = &family.children[1];
        let (lost, kept) = (child.send(Say::Panic), child.send(Say::Number(7)));
        assert!(lost.await.is_err(), "the message in hand fails");
        assert_eq!(kept.await.expect("it was queued"), 7);
        assert_eq!(child.send(Say::Number(8)).await.expect("the address works"), 8);
        assert_eq!(family.diary(), ["b restarted"]);
    });
}

#[test]
fn giving_up_ends_the_supervisor_at_once_with_the_reason() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        family.children[1].do_send(Say::GiveUp);
        let (exit, diary) = family.exit().await;
        assert_eq!(exit, Exit::Failed("nothing helps".into()));
        // The one that gave up is not stopped: it had ended.
        assert_eq!(diary, ["c stopped", "a stopped"]);
    });
}

#[test]
fn too_many_restarts_end_the_supervisor() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        for _ in 0..=RESTARTS_MAX {
            family.children[0].do_send(Say::Fail);
            a_while().await;
        }
        let (exit, diary) = family.exit().await;
        let Exit::Failed(why) = exit else { panic!("it {exit}") };
        assert!(why.contains("a failed: a failure; 3 restarts"), "{why}");
        assert_eq!(diary[..3], ["a restarted"; 3]);
        assert_eq!(diary[3..], ["c stopped", "b stopped"]);
    });
}

#[test]
fn restarts_that_are_far_apart_are_borne() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        for _ in 0..=2 * RESTARTS_MAX {
            family.children[0].do_send(Say::Fail);
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        assert_eq!(family.diary().len(), 2 * RESTARTS_MAX + 1);
        assert!(!family.exit.is_finished());
    });
}

#[test]
fn one_for_all_restarts_every_child() {
    run(async {
        let family = Family::of(Strategy::OneForAll);
        family.children[1].do_send(Say::Panic);
        a_while().await;
        assert_eq!(family.diary(), ["a restarted", "b restarted", "c restarted"]);
    });
}

#[test]
fn rest_for_one_restarts_the_child_and_those_started_after_it() {
    run(async {
        let family = Family::of(Strategy::RestForOne);
        family.children[1].do_send(Say::Panic);
        a_while().await;
        assert_eq!(family.diary(), ["b restarted", "c restarted"]);
    });
}

#[test]
fn a_permanent_child_that_ends_by_itself_is_restarted() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        family.children[2].do_send(Say::End);
        a_while().await;
        assert_eq!(family.diary(), ["c stopped", "c restarted"]);
    });
}

#[test]
fn children_are_stopped_in_the_reverse_of_their_order() {
    run(async {
        let family = Family::of(Strategy::OneForOne);
        a_while().await;
        family.handle.stop().await;
        let (exit, diary) = family.exit().await;
        assert_eq!(exit, Exit::Shutdown);
        assert_eq!(diary, ["c stopped", "b stopped", "a stopped"]);
    });
}
