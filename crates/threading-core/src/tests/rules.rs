//! The rules of the domain pages, one by one, with their vectors.

use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS};
use rejoinder_wire::event::{Disposition, ThreadState};

use super::world::{Kind, Said, World, direct, post};
use crate::command::{Asked, Command, Done, Refusal};

const T: i64 = 1_700_000_000_000;

#[test]
fn direct_messages_of_days_0_6_12_are_one_thread_in_every_order() {
    let said = [0, 6, 12].map(|day| direct(&day.to_string(), "a", T + day * DAY_MS, "us"));
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let world = World::of(order.map(|i| &said[i]));
        assert_eq!(world.grouping(&said).threads.len(), 1, "{order:?}");
    }
}

#[test]
fn direct_messages_of_days_0_and_8_are_two_until_day_4_joins_them() {
    let said = [0, 8, 4].map(|day| direct(&day.to_string(), "a", T + day * DAY_MS, "us"));
    let mut world = World::of(&said[..2]);
    assert_eq!(world.grouping(&said[..2]).threads.len(), 2);
    let second = world.thread_of(&said[1]).unwrap();
    let continues = world.state.threads.get(&second).unwrap().continues;
    assert_eq!(continues, world.thread_of(&said[0]).unwrap().0);
    world.say(&said[2]);
    assert_eq!(world.grouping(&said).threads.len(), 1);
    assert_eq!(world.state.find(second.0).unwrap().0, world.thread_of(&said[0]).unwrap(), "the later one redirects");
}

#[test]
fn each_customer_has_a_thread_under_a_public_post() {
    let said = [
        post("q", "a", T, &[]),
        post("r", "us", T + 1, &["q"]),
        post("metoo", "b", T + 2, &["r"]),
        post("r2", "us", T + 3, &["metoo"]),
    ];
    let world = World::of(&said);
    assert_eq!(world.thread_of(&said[0]), world.thread_of(&said[1]));
    assert_eq!(world.thread_of(&said[2]), world.thread_of(&said[3]));
    assert_ne!(world.thread_of(&said[0]), world.thread_of(&said[2]));
    assert_eq!(world.grouping(&said).conversations.len(), 1);
}

#[test]
fn an_answer_waits_for_its_question_and_a_bystander_gets_a_thread_of_his_own() {
    let answer = post("r", "us", T + 1, &["q"]);
    let bystander = post("b", "b", T + 2, &["r"]);
    let mut world = World::of([&answer, &bystander]);
    assert_eq!(world.person_of(&answer), None);
    assert_ne!(world.thread_of(&answer), world.thread_of(&bystander));
    let question = post("q", "a", T, &[]);
    world.say(&question);
    assert_eq!(world.thread_of(&answer), world.thread_of(&question));
    assert!(world.person_of(&answer).is_some());
    assert_eq!(world.thread_state(&question), ThreadState::AwaitingCustomer, "it was answered all along");
}

#[test]
fn what_hung_on_our_own_opening_post_is_in_no_thread() {
    let more = post("more", "us", T + 1, &["opening"]);
    let opening = post("opening", "us", T, &[]);
    let mut world = World::of([&more]);
    assert!(world.thread_of(&more).is_some());
    world.say(&opening);
    assert_eq!(world.thread_of(&more), None);
    let comment = post("comment", "a", T + 2, &["more"]);
    world.say(&comment);
    assert!(world.thread_of(&comment).is_some());
}

#[test]
fn silence_of_seven_days_resolves_and_a_customer_reopens() {
    let said = [post("q", "a", T, &[]), post("r", "us", T + 1, &["q"]), post("again", "a", T + 20 * DAY_MS, &["r"])];
    let mut world = World::of(&said[..2]);
    world.now = T;
    world.wait(6 * DAY_MS);
    assert_eq!(world.thread_state(&said[0]), ThreadState::AwaitingCustomer);
    world.wait(2 * DAY_MS);
    assert_eq!(world.thread_state(&said[0]), ThreadState::Resolved);
    world.say(&said[2]);
    let thread = world.state.threads.get(&world.thread_of(&said[0]).unwrap()).unwrap();
    assert_eq!((thread.state(), thread.reopen_count), (ThreadState::AwaitingAgent, 1));
}

#[test]
fn a_hold_ends_at_its_time_and_a_resolve_keeps_its_disposition() {
    let question = post("q", "a", T, &[]);
    let mut world = World::of([&question]);
    let thread = world.thread_of(&question).unwrap();
    let until = Some(world.now + HOUR_MS);
    world.command(&Command::Hold { thread, reason: "parts".into(), until }).unwrap();
    assert_eq!(world.thread_state(&question), ThreadState::OnHold);
    world.wait(HOUR_MS);
    assert_eq!(world.thread_state(&question), ThreadState::AwaitingAgent);
    let resolve =
        Command::Resolve { thread, disposition: Disposition::Deflected, unconfirmed: true, reason: String::new() };
    world.command(&resolve).unwrap();
    let record = world.state.threads.get(&thread).unwrap();
    assert_eq!((record.disposition(), record.unconfirmed), (Disposition::Deflected, true));
    world.command(&Command::RecordOutcome { thread, confirmed: false }).unwrap();
    assert_eq!(world.thread_state(&question), ThreadState::AwaitingAgent);
}

#[test]
fn a_stale_etag_is_refused_and_a_repeated_request_does_nothing() {
    let question = post("q", "a", T, &[]);
    let mut world = World::of([&question]);
    let thread = world.thread_of(&question).unwrap();
    let note = Command::AddNote { thread, author: "eve".into(), text: "called".into() };
    let current = world.state.threads.get(&thread).unwrap().version;
    let stale = Asked { etag: current + 1, ..Asked::default() };
    assert_eq!(world.command_as(stale, &note), Err(Refusal::Stale { kind: "thread", id: thread.to_string(), current }));
    let asked = Asked { request_id: "r1", ..Asked::default() };
    assert_eq!(world.command_as(asked, &note), Ok(Done::Thread(thread)));
    let events = world.events.len();
    assert_eq!(world.command_as(asked, &note), Ok(Done::Thread(thread)));
    assert_eq!(world.events.len(), events);
}

#[test]
fn a_split_takes_messages_and_what_answers_them() {
    let said = [post("q", "a", T, &[]), post("other", "a", T + 1, &["q"]), post("r", "us", T + 2, &["other"])];
    let mut world = World::of(&said[..2]);
    let thread = world.thread_of(&said[0]).unwrap();
    let other = world.state.threads.get(&thread).unwrap().messages[1].interaction;
    let Ok(Done::Thread(split)) = world.command(&Command::SplitThread { thread, messages: vec![other] }) else {
        panic!("a split is possible");
    };
    world.say(&said[2]);
    assert_eq!(world.thread_of(&said[2]), Some(split));
    assert_eq!(world.thread_of(&said[0]), Some(thread));
    let all = Command::SplitThread { thread, messages: vec![1] };
    assert!(matches!(world.command(&all), Err(Refusal::Invalid { field: "messages", .. })));
}

#[test]
fn handles_link_and_unlink_with_their_threads() {
    let said = [post("q", "a", T, &[]), post("me", "b", T + 1, &["q"])];
    let mut world = World::of(&said);
    let person = world.person_of(&said[0]).unwrap();
    world.command(&Command::LinkHandle { person, channel: "x".into(), id: "b".into() }).unwrap();
    assert_eq!(world.thread_of(&said[0]), world.thread_of(&said[1]));
    world.command(&Command::UnlinkHandle { person, channel: "x".into(), id: "b".into() }).unwrap();
    assert_ne!(world.thread_of(&said[0]), world.thread_of(&said[1]));
    assert_ne!(world.person_of(&said[1]), Some(person));
}

#[test]
fn a_gap_of_more_than_thirty_minutes_starts_a_burst() {
    let times = [0, 30 * MINUTE_MS, 60 * MINUTE_MS + 1, 61 * MINUTE_MS];
    let said = times.map(|time| direct(&time.to_string(), "a", T + time, "us"));
    let world = World::of(&said);
    let thread = world.state.threads.get(&world.thread_of(&said[0]).unwrap()).unwrap();
    assert_eq!(thread.burst_starts(30 * MINUTE_MS), [0, 2]);
}

/// The ids of messages, thread by thread.
fn threads(world: &World, said: &[Said]) -> Vec<Vec<String>> {
    world.grouping(said).threads.into_iter().map(|thread| thread.into_iter().collect()).collect()
}

#[test]
fn all_that_hung_on_our_opening_post_leaves_a_merged_thread_with_it() {
    // The answer to an answer waits in a base thread of its own, reached through one that dissolves.
    let question = post("q", "a", T, &[]);
    let (first, second) = (post("r1", "us", T + 2, &["opening"]), post("r2", "us", T + 3, &["r1"]));
    let mut world = World::of([&question, &second]);
    let (into, from) = (world.thread_of(&question).unwrap(), world.thread_of(&second).unwrap());
    world.command(&Command::MergeThreads { into, from }).unwrap();
    world.say(&first);
    assert_eq!(world.thread_state(&question), ThreadState::AwaitingCustomer);
    world.say(&post("opening", "us", T, &[]));
    assert_eq!((world.thread_of(&first), world.thread_of(&second)), (None, None));
    assert_eq!(world.thread_state(&question), ThreadState::AwaitingAgent, "nobody answered the question");
}

#[test]
fn threads_merged_over_one_that_dissolved_part_again() {
    let said = [post("r", "us", T, &["opening"]), post("q", "a", T + 1, &[]), post("p", "b", T + 2, &[])];
    let mut world = World::of(&said);
    let [hanging, q, p] = [0, 1, 2].map(|n| world.thread_of(&said[n]).unwrap());
    world.command(&Command::MergeThreads { into: hanging, from: q }).unwrap();
    world.command(&Command::MergeThreads { into: hanging, from: p }).unwrap();
    world.say(&post("opening", "us", T, &[]));
    assert_eq!(threads(&world, &said), [["p", "q"]], "they stay one thread");
    world.command(&Command::UnmergeThreads { thread: q, from: p }).unwrap();
    assert_eq!(threads(&world, &said), [["p"], ["q"]]);
}

#[test]
fn threads_that_conversations_join_stay_one_when_their_persons_part() {
    // The link between persons comes first; the rule's own link must not be thought idle.
    let roots = [post("r1", "us", T, &[]), post("more", "us", T, &["r1"]), post("r2", "us", T, &[])];
    let more = post("c", "c", T, &["r1"]);
    let said = [post("b1", "b", T + 1, &["r1"]), post("a2", "a", T + 2, &["r2"]), post("b2", "b", T + 3, &["r2"])];
    let mut world = World::of(roots.iter().chain([&more]).chain(&said));
    let (into, from) = (world.person_of(&said[0]).unwrap(), world.person_of(&said[1]).unwrap());
    world.command(&Command::MergePersons { into, from }).unwrap();
    world.say(&post("both", "c", T + 5, &["r1", "r2"]));
    assert_eq!(threads(&world, &said).len(), 1);
    world.command(&Command::UnmergePersons { person: into, from }).unwrap();
    assert_eq!(threads(&world, &said), [vec!["a2"], vec!["b1", "b2"]]);
}

#[test]
fn merges_of_persons_are_undone_in_any_order() {
    let said = ["a", "b", "c"].map(|who| post(who, who, T, &[]));
    for order in [[0, 1], [1, 0]] {
        let mut world = World::of(&said);
        let [a, b, c] = [0, 1, 2].map(|n| world.person_of(&said[n]).unwrap());
        world.command(&Command::MergePersons { into: b, from: c }).unwrap();
        world.command(&Command::MergePersons { into: a, from: b }).unwrap();
        for from in order.map(|n| [b, c][n]) {
            world.command(&Command::UnmergePersons { person: if from == b { a } else { c }, from }).unwrap();
        }
        assert_eq!([0, 1, 2].map(|n| world.person_of(&said[n]).unwrap()), [a, b, c], "{order:?}");
    }
}

#[test]
fn who_answers_our_waiting_answer_joins_it_when_the_question_comes() {
    let question = direct("q", "a", T, "us");
    let answer = Said { parents: vec!["q".into()], to: None, ..direct("r", "us", T + 1, "a") };
    let late = Said { parents: vec!["r".into()], ..direct("late", "a", T + 30 * DAY_MS, "us") };
    let said = [question, answer, late];
    for order in [[0, 1, 2], [1, 2, 0], [2, 1, 0], [1, 0, 2]] {
        let world = World::of(order.map(|n| &said[n]));
        assert_eq!(world.grouping(&said).threads.len(), 1, "{order:?}");
    }
}

#[test]
fn an_answer_to_an_answer_that_waited_has_the_same_customer() {
    let said = [post("r2", "us", T + 2, &["r1"]), post("r1", "us", T + 1, &["q"]), post("q", "a", T, &[])];
    let world = World::of(&said);
    assert_eq!(threads(&world, &said).len(), 1);
    assert!(world.person_of(&said[0]).is_some());
}

#[test]
fn an_answer_to_automatic_mail_is_its_authors_in_any_order() {
    let mail = Said { kind: Kind::Mail, channel: "mail".into(), ..post("q", "a", T, &[]) };
    let away = Said { id: "away".into(), parents: vec!["q".into()], automatic: true, ..mail.clone() };
    let answer = Said { id: "r".into(), by: "us".into(), parents: vec!["away".into()], ..mail.clone() };
    let said = [mail, away, answer];
    for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1], [1, 0, 2]] {
        let world = World::of(order.map(|n| &said[n]));
        assert_eq!(threads(&world, &said), [["q", "r"]], "{order:?}");
        assert_eq!(world.thread_of(&said[1]), None);
    }
}

#[test]
fn answers_to_one_automatic_message_are_one_thread_in_any_order() {
    let away = Said { automatic: true, ..direct("away", "a", T, "us") };
    let answer = |id, day| Said { parents: vec!["away".into()], to: None, ..direct(id, "us", T + day * DAY_MS, "a") };
    let said = [away, answer("r", 1), answer("late", 20)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 2, 0], [1, 0, 2]] {
        let world = World::of(order.map(|n| &said[n]));
        assert_eq!(threads(&world, &said), [["late", "r"]], "{order:?}");
    }
}

#[test]
fn what_people_split_stays_apart_whatever_rules_say() {
    let said = [0, 1, 2].map(|day| direct(&day.to_string(), "a", T + day * DAY_MS, "us"));
    let mut world = World::of(&said[..2]);
    let thread = world.thread_of(&said[0]).unwrap();
    let second = world.state.threads.get(&thread).unwrap().messages[1].interaction;
    world.command(&Command::SplitThread { thread, messages: vec![second] }).unwrap();
    world.say(&said[2]);
    let quoting = Said { parents: vec!["1".into()], ..direct("3", "a", T + 3 * DAY_MS, "us") };
    world.say(&quoting);
    assert_ne!(world.thread_of(&said[1]), Some(thread));
    assert_eq!(world.thread_of(&said[1]), world.thread_of(&quoting));
    assert_eq!(world.thread_of(&said[2]), Some(thread));
}

#[test]
fn a_thread_that_an_agent_reopened_waits_for_an_agent_when_merged() {
    let said = [post("q", "a", T, &[]), post("r", "us", T + 1, &["q"]), post("other", "b", T, &[])];
    let mut world = World::of(&said);
    let (into, from) = (world.thread_of(&said[0]).unwrap(), world.thread_of(&said[2]).unwrap());
    world.command(&Command::Reopen { thread: into, reason: String::new() }).unwrap();
    world.command(&Command::MergeThreads { into, from }).unwrap();
    assert_eq!(world.thread_state(&said[0]), ThreadState::AwaitingAgent);
}

#[test]
fn a_part_that_waits_for_its_customer_is_resolved_by_silence() {
    let said = [post("q", "a", T, &[]), post("r", "us", T + 1, &["q"]), post("other", "b", T + 2, &[])];
    let mut world = World::of(&said);
    world.now = T;
    let (thread, from) = (world.thread_of(&said[0]).unwrap(), world.thread_of(&said[2]).unwrap());
    world.command(&Command::MergeThreads { into: thread, from }).unwrap();
    world.command(&Command::UnmergeThreads { thread, from }).unwrap();
    assert_eq!(world.thread_state(&said[0]), ThreadState::AwaitingCustomer);
    world.wait(8 * DAY_MS);
    assert_eq!(world.thread_state(&said[0]), ThreadState::Resolved);
    assert_eq!(world.thread_state(&said[2]), ThreadState::AwaitingAgent);
}
