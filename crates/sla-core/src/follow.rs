//! What happened to a thread, kept as far as its clocks go by it.
//!
//! Messages may come in any order and are kept by their own times. What people and timers do acts
//! where it stands in the log: a resolve settles what had come before it, a hold what waited then.

use std::collections::BTreeMap;

use rejoinder_model::{MessageKey, Millis};
use rejoinder_wire::event::{ThreadState, thread_followed as followed, thread_followed::Phase};

use crate::record::{By, Call, Hold, Resolve, Said, Thread, Wait};

/// The 128-bit key of some bytes; 0: none.
pub(crate) fn key(bytes: &[u8]) -> u128 {
    MessageKey::from_wire(bytes).map_or(0, |key| key.0)
}

/// Follows what concerns one thread alone. `root` is its number, `base` that of the message.
pub(crate) fn follow(thread: &mut Thread, root: u64, base: u64, seq: u64, what: &followed::What) {
    match what {
        followed::What::Said(said) => say(thread, base, seq, said),
        followed::What::Revoked(revoked) => revoke(thread, key(&revoked.message)),
        followed::What::Changed(changed) => change(thread, root, seq, changed),
        followed::What::Confirmed(confirmed) => {
            if let Some(last) = thread.resolves.last_mut() {
                last.confirmed_at = Some(confirmed.clock_time);
            }
        }
        followed::What::Awaited(awaited) => await_agent(thread, root, seq, awaited),
        followed::What::Ruled(ruled) => rule(thread, seq, &ruled.metrics),
        followed::What::Merged(_)
        | followed::What::Unmerged(_)
        | followed::What::Split(_)
        | followed::What::Dissolved(_) => {}
    }
}

fn say(thread: &mut Thread, base: u64, seq: u64, said: &followed::Said) {
    let key = key(&said.message);
    if thread.said.iter().any(|other| other.key == key) {
        return;
    }
    let by = match (said.by_company, said.by_bot) {
        (false, _) => By::Customer,
        (true, false) => By::Agent,
        (true, true) => By::Bot,
    };
    let channel = channel_number(thread, &said.channel);
    // In a resolved thread it is settled as well; where it reopens the thread, the change says so.
    let resolved = if thread.resolved { thread.resolves.last().map_or(0, |last| last.seq) } else { 0 };
    let parent = self::key(&said.parent);
    let (quiet, mute) = (said.quiet, said.mute);
    insert(thread, Said { time: said.clock_time, key, parent, base, seq, by, quiet, mute, channel, resolved });
}

fn channel_number(thread: &mut Thread, channel: &str) -> u8 {
    let at = thread.channels.iter().position(|known| known == channel).unwrap_or_else(|| {
        thread.channels.push(channel.to_owned());
        thread.channels.len() - 1
    });
    u8::try_from(at).unwrap_or(u8::MAX)
}

fn insert(thread: &mut Thread, said: Said) {
    let at = thread.said.partition_point(|other| (other.time, other.key) < (said.time, said.key));
    thread.said.insert(at, said);
}

/// A message that still waits for an answer does so no more; what was answered stays history.
fn revoke(thread: &mut Thread, key: u128) {
    let Some(at) = thread.said.iter().position(|said| said.key == key) else { return };
    let said = thread.said[at];
    let answered = thread.said.iter().any(|reply| reply.by != By::Customer && !reply.mute && reply.time >= said.time);
    if said.by == By::Customer && !answered && said.resolved == 0 {
        thread.said[at].mute = true;
    }
}

fn change(thread: &mut Thread, root: u64, seq: u64, changed: &followed::Changed) {
    let is = |state: i32, wanted: ThreadState| state == wanted as i32;
    let at = changed.clock_time;
    if !is(changed.to, ThreadState::OnHold) {
        end_holds(thread, at);
    }
    if is(changed.to, ThreadState::Resolved) {
        if thread.resolved {
            if let Some(last) = thread.resolves.last_mut() {
                last.unconfirmed = changed.unconfirmed;
            }
            return;
        }
        thread.resolved = true;
        thread.resolves.push(Resolve { seq, at, unconfirmed: changed.unconfirmed, confirmed_at: None });
        let said = thread.said.iter_mut().map(|said| &mut said.resolved);
        let calls = thread.calls.iter_mut().map(|call| &mut call.resolved);
        said.chain(calls).filter(|resolved| **resolved == 0).for_each(|resolved| *resolved = seq);
        return;
    }
    let reopened = std::mem::take(&mut thread.resolved);
    let called = Call { seq, base: root, at, reopened, resolved: 0 };
    if is(changed.to, ThreadState::OnHold) {
        let held = std::iter::once(root).chain(thread.bases.iter().copied()).collect();
        if thread.holds.iter().all(|hold| hold.to.is_some()) {
            thread.holds.push(Hold { seq, bases: held, from: at, to: None });
        }
    } else if changed.by_customer {
        let newest = thread.said.iter_mut().filter(|said| said.by == By::Customer).max_by_key(|said| said.seq);
        if let Some(newest) = newest.filter(|_| reopened) {
            newest.resolved = 0;
        }
    } else if is(changed.to, ThreadState::AwaitingAgent)
        && (is(changed.from, ThreadState::AwaitingCustomer) || is(changed.from, ThreadState::OnHold) || reopened)
    {
        thread.calls.push(called);
    }
}

fn end_holds(thread: &mut Thread, at: Millis) {
    for hold in thread.holds.iter_mut().filter(|hold| hold.to.is_none()) {
        hold.to = Some(at.max(hold.from));
    }
}

fn await_agent(thread: &mut Thread, root: u64, seq: u64, awaited: &followed::Awaited) {
    for (known, told) in [(&mut thread.queue, &awaited.queue), (&mut thread.band, &awaited.band)] {
        if !told.is_empty() {
            known.clone_from(told);
        }
    }
    let (phase, at) = (awaited.phase(), awaited.clock_time);
    let (metric, subject) = (awaited.metric, awaited.subject);
    let same = |wait: &&mut Wait| (wait.metric, wait.subject, wait.to) == (metric, subject, None);
    match (thread.waits.iter_mut().rev().find(same), phase) {
        (None, Phase::Begun) => {
            let wait = Wait { seq, base: root, metric, subject, from: at, to: None, accepted: false };
            thread.waits.push(wait);
        }
        (Some(wait), Phase::Fulfilled | Phase::Over) => {
            wait.to = Some(at.max(wait.from));
            wait.accepted = phase == Phase::Fulfilled;
        }
        _ => {}
    }
}

fn rule(thread: &mut Thread, seq: u64, metrics: &[i32]) {
    let now = bits(metrics.iter().copied());
    let before = thread.metrics.unwrap_or(now);
    for metric in metrics.iter().filter(|metric| before & (1 << **metric) == 0) {
        thread.since.insert(*metric, seq);
    }
    thread.metrics = Some(now);
}

/// Metrics as one bit each.
pub(crate) fn bits(metrics: impl Iterator<Item = i32>) -> u32 {
    metrics.fold(0, |bits, metric| bits | 1_u32.checked_shl(metric.cast_unsigned()).unwrap_or_default())
}

/// Threads that become one, or fall apart, by their numbers: those that a regrouping needs.
pub(crate) type Threads = BTreeMap<u64, Thread>;

/// Two threads become one.
pub(crate) fn merge(threads: &mut Threads, into: u64, merged: &followed::Merged) {
    let Some(mut leaves) = threads.remove(&merged.from) else { return };
    let redirect = Thread { workspace: leaves.workspace.clone(), into, ..Thread::default() };
    threads.insert(merged.from, redirect);
    let Some(stays) = threads.get_mut(&into) else { return };
    stays.bases.push(merged.from);
    stays.bases.append(&mut leaves.bases);
    stays.bases.sort_unstable();
    take(stays, &leaves, |_| true);
    stays.holds.append(&mut leaves.holds);
    stays.holds.sort_by_key(|hold| hold.seq);
    stays.resolves.append(&mut leaves.resolves);
    stays.resolves.sort_by_key(|resolve| resolve.seq);
    stays.resolves.dedup();
    stays.resolved = merged.state == ThreadState::Resolved as i32;
    if merged.state != ThreadState::OnHold as i32 {
        end_holds(stays, merged.clock_time);
    }
    for (queue, of) in [(&mut stays.queue, leaves.queue), (&mut stays.band, leaves.band)] {
        if queue.is_empty() {
            *queue = of;
        }
    }
    stays.metrics = stays.metrics.or(leaves.metrics);
    for (metric, seq) in leaves.since {
        let since = stays.since.entry(metric).or_insert(seq);
        *since = (*since).max(seq);
    }
}

/// Copies what is of some base threads.
fn take(to: &mut Thread, from: &Thread, of: impl Fn(u64) -> bool) {
    for said in from.said.iter().filter(|said| of(said.base)) {
        let mut said = *said;
        let channel = from.channels.get(usize::from(said.channel)).map_or("", String::as_str);
        said.channel = channel_number(to, channel);
        insert(to, said);
    }
    to.calls.extend(from.calls.iter().filter(|call| of(call.base)));
    to.calls.sort_by_key(|call| call.seq);
    to.waits.extend(from.waits.iter().filter(|wait| of(wait.base)));
    to.waits.sort_by_key(|wait| wait.seq);
    to.clocks.extend(from.clocks.iter().filter(|clock| of(clock.base)).cloned());
    to.clocks.sort_by_key(|clock| clock.id);
}

/// A thread falls into parts. The one with its number comes first.
pub(crate) fn unmerge(threads: &mut Threads, thread: u64, unmerged: &followed::Unmerged) {
    let Some(whole) = threads.get(&thread).cloned() else { return };
    for part in &unmerged.parts {
        let within = |base: u64| part.bases.contains(&base);
        for base in part.bases.iter().filter(|base| **base != part.thread) {
            let redirect = Thread { workspace: whole.workspace.clone(), into: part.thread, ..Thread::default() };
            threads.insert(*base, redirect);
        }
        let mut root = Thread {
            workspace: whole.workspace.clone(),
            bases: part.bases.iter().copied().filter(|base| *base != part.thread).collect(),
            resolved: part.state == ThreadState::Resolved as i32,
            // They name what they hold and settle, so that all parts can have them.
            holds: whole.holds.clone(),
            resolves: whole.resolves.clone(),
            queue: whole.queue.clone(),
            band: whole.band.clone(),
            metrics: whole.metrics,
            since: whole.since.clone(),
            ..Thread::default()
        };
        take(&mut root, &whole, within);
        threads.insert(part.thread, root);
    }
}

/// Some messages become another thread.
pub(crate) fn split(threads: &mut Threads, thread: u64, split: &followed::Split) {
    let Some(whole) = threads.get(&thread).cloned() else { return };
    let keys: Vec<u128> = split.messages.iter().map(|bytes| key(bytes)).collect();
    let goes = |key: u128| keys.contains(&key);
    let mut parted = Thread { workspace: whole.workspace.clone(), holds: whole.holds.clone(), ..Thread::default() };
    parted.resolves.clone_from(&whole.resolves);
    parted.resolved = whole.resolved;
    parted.metrics = whole.metrics;
    parted.since.clone_from(&whole.since);
    for hold in parted.holds.iter_mut().filter(|hold| hold.bases.contains(&thread)) {
        hold.bases.push(split.into);
    }
    for said in whole.said.iter().filter(|said| goes(said.key)) {
        let channel = whole.channels.get(usize::from(said.channel)).map_or("", String::as_str);
        let channel = channel_number(&mut parted, channel);
        insert(&mut parted, Said { base: split.into, channel, ..*said });
    }
    for clock in whole.clocks.iter().filter(|clock| goes(clock.opener)) {
        let mut clock = clock.clone();
        clock.base = split.into;
        parted.clocks.push(clock);
    }
    threads.insert(split.into, parted);
    if let Some(rest) = threads.get_mut(&thread) {
        rest.said.retain(|said| !goes(said.key));
        rest.clocks.retain(|clock| !goes(clock.opener));
    }
}

/// The messages of a base thread are in no thread any more. Answers with the thread that is left.
pub(crate) fn dissolve(threads: &mut Threads, root: u64, base: u64) -> Option<u64> {
    let whole = threads.get(&root).cloned()?;
    let heir = if root == base { whole.bases.iter().copied().min() } else { Some(root) };
    let mut gone = Thread { workspace: whole.workspace.clone(), dissolved: true, ..Thread::default() };
    gone.clocks = whole.clocks.iter().filter(|clock| clock.base == base).cloned().collect();
    if let Some(heir) = heir {
        let mut rest = whole;
        rest.said.retain(|said| said.base != base);
        rest.calls.retain(|call| call.base != base);
        rest.waits.retain(|wait| wait.base != base);
        rest.clocks.retain(|clock| clock.base != base);
        rest.bases.retain(|other| *other != base && *other != heir);
        for other in &rest.bases {
            let redirect = Thread { workspace: rest.workspace.clone(), into: heir, ..Thread::default() };
            threads.insert(*other, redirect);
        }
        threads.insert(heir, rest);
    }
    threads.insert(base, gone);
    heir
}
