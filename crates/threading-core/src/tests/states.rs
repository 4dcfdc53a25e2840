//! The state table against a model of one thread, with time; and which thread a direct message reopens.

use proptest::prelude::*;
use rejoinder_model::{DAY_MS, Millis};
use rejoinder_wire::event::{Disposition, ThreadState};

use super::world::{World, direct, post};
use crate::command::Command;

const SILENCE: Millis = 7 * DAY_MS;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The customer writes; it comes this late.
    Customer(Millis),
    /// We answer; it comes this late.
    Reply(Millis),
    /// Nobody need act for so long, or until told.
    Hold(Option<Millis>),
    Resolve(bool),
    Reopen,
    Outcome(bool),
    Wait(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    let late = || prop_oneof![2 => Just(0), 1 => 1..3 * DAY_MS];
    prop_oneof![
        3 => late().prop_map(Step::Customer),
        3 => late().prop_map(Step::Reply),
        2 => proptest::option::of(-DAY_MS..5 * DAY_MS).prop_map(Step::Hold),
        2 => any::<bool>().prop_map(Step::Resolve),
        1 => Just(Step::Reopen),
        1 => any::<bool>().prop_map(Step::Outcome),
        4 => (1..9 * DAY_MS).prop_map(Step::Wait),
    ]
}

/// What the table says of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    state: ThreadState,
    asked: Millis,
    answered: Millis,
    until: Millis,
    silent_at: Millis,
    reopened: u32,
    unconfirmed: bool,
    disposition: Disposition,
}

impl Model {
    fn go(&mut self, to: ThreadState) {
        self.reopened += u32::from(self.state == ThreadState::Resolved && to != ThreadState::Resolved);
        (self.until, self.silent_at, self.unconfirmed, self.disposition) = (0, 0, false, Disposition::Unspecified);
        self.state = to;
    }

    /// Takes a step; `false` when it is to be refused.
    fn step(&mut self, now: Millis, step: Step) -> bool {
        use ThreadState::{AwaitingAgent, AwaitingCustomer, OnHold, Resolved};
        match (step, self.state) {
            (Step::Customer(late), state) => {
                self.asked = self.asked.max(now - late);
                if now - late >= self.answered && state != AwaitingAgent {
                    self.go(AwaitingAgent);
                }
            }
            (Step::Reply(late), state) => {
                self.answered = self.answered.max(now - late);
                if state == AwaitingCustomer || state == AwaitingAgent && self.answered >= self.asked {
                    self.go(AwaitingCustomer);
                    self.silent_at = now + SILENCE;
                }
            }
            (Step::Hold(wait), AwaitingAgent | AwaitingCustomer | OnHold) if wait.is_none_or(|wait| wait > 0) => {
                self.go(OnHold);
                self.until = wait.map_or(0, |wait| now + wait);
            }
            (Step::Resolve(unconfirmed), _) => {
                self.go(Resolved);
                (self.unconfirmed, self.disposition) = (unconfirmed, Disposition::Answered);
            }
            (Step::Reopen, Resolved | OnHold | AwaitingCustomer) => self.go(AwaitingAgent),
            (Step::Outcome(true), Resolved) => self.unconfirmed = false,
            (Step::Outcome(false), Resolved) => self.go(AwaitingAgent),
            (Step::Wait(_), OnHold) if self.until != 0 && self.until <= now => self.go(AwaitingAgent),
            (Step::Wait(_), AwaitingCustomer) if self.silent_at <= now => {
                self.go(Resolved);
                self.disposition = Disposition::Silent;
            }
            (Step::Wait(_), _) => {}
            (Step::Hold(_) | Step::Reopen | Step::Outcome(_), _) => return false,
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_000), ..ProptestConfig::default() })]

    #[test]
    fn a_thread_goes_through_its_life_as_the_table_says(steps in proptest::collection::vec(step(), 1..25)) {
        let mut world = World::new();
        let first = world.now;
        let question = post("q", "a", first, &[]);
        world.say(&question);
        let thread = world.thread_of(&question).expect("placed");
        let (state, disposition) = (ThreadState::AwaitingAgent, Disposition::Unspecified);
        let (asked, answered) = (first, Millis::MIN);
        let mut model =
            Model { state, asked, answered, until: 0, silent_at: 0, reopened: 0, unconfirmed: false, disposition };
        for (n, step) in steps.into_iter().enumerate() {
            let (now, reason) = (world.now, String::new());
            let (mut refused, mut late) = (None, 0);
            match step {
                // Nothing of this thread was written before its first message.
                Step::Customer(by) => late = by.min(now - first),
                Step::Reply(by) => late = by.min(now - first),
                Step::Wait(ms) => world.wait(ms),
                Step::Hold(wait) => {
                    refused = Some(world.command(&Command::Hold { thread, reason, until: wait.map(|wait| now + wait) }));
                }
                Step::Resolve(unconfirmed) => {
                    let disposition = Disposition::Answered;
                    refused = Some(world.command(&Command::Resolve { thread, disposition, unconfirmed, reason }));
                }
                Step::Reopen => refused = Some(world.command(&Command::Reopen { thread, reason })),
                Step::Outcome(confirmed) => refused = Some(world.command(&Command::RecordOutcome { thread, confirmed })),
            }
            let step = match step {
                Step::Customer(_) => { world.say(&post(&format!("m{n}"), "a", now - late, &["q"])); Step::Customer(late) }
                Step::Reply(_) => { world.say(&post(&format!("m{n}"), "us", now - late, &["q"])); Step::Reply(late) }
                other @ (Step::Hold(_) | Step::Resolve(_) | Step::Reopen | Step::Outcome(_) | Step::Wait(_)) => other,
            };
            let fits = model.step(world.now, step);
            if let Some(answer) = refused {
                prop_assert_eq!(answer.is_ok(), fits, "{:?} {:?}", step, answer);
            }
            let record = world.state.threads.get(&thread).expect("it has no end");
            let now_is = Model {
                state: record.state(),
                asked: record.last_in.expect("asked"),
                answered: record.last_out.unwrap_or(Millis::MIN),
                until: record.hold_until,
                silent_at: record.silent_at,
                reopened: record.reopen_count,
                unconfirmed: record.unconfirmed,
                disposition: record.disposition(),
            };
            prop_assert_eq!(now_is, model, "after {:?}", step);
        }
    }

    #[test]
    fn a_direct_message_reopens_by_the_nearest_message_never_by_the_resolve(
        steps in proptest::collection::vec((0..20_i64, any::<bool>(), any::<bool>()), 1..15)
    ) {
        let mut world = World::new();
        let mut before: Option<(rejoinder_model::ThreadId, Millis)> = None;
        for (n, (half_days, resolve, silence)) in steps.into_iter().enumerate() {
            // A resolve long after the last message does not keep its window open.
            world.now += half_days * DAY_MS / 2;
            if let Some((thread, _)) = before.filter(|_| resolve) {
                let (disposition, reason) = (Disposition::Answered, String::new());
                world.command(&Command::Resolve { thread, disposition, unconfirmed: false, reason }).expect("resolved");
            }
            let wait = if silence { DAY_MS } else { 0 };
            world.wait(wait);
            let said = direct(&format!("d{n}"), "a", world.now, "us");
            let was = before.and_then(|(thread, _)| world.state.threads.get(&thread));
            world.say(&said);
            let thread = world.thread_of(&said).expect("placed");
            let record = world.state.threads.get(&thread).expect("known");
            prop_assert_eq!(record.state(), ThreadState::AwaitingAgent);
            if let (Some((previous, last)), Some(was)) = (before, was) {
                prop_assert_eq!(thread == previous, world.now - last <= 7 * DAY_MS, "{}", said.id);
                if thread == previous {
                    let reopened = u32::from(was.state() == ThreadState::Resolved);
                    prop_assert_eq!(record.reopen_count, was.reopen_count + reopened);
                } else {
                    prop_assert_eq!((record.continues, record.reopen_count), (previous.0, 0));
                }
            }
            before = Some((thread, world.now));
        }
    }
}
