//! One partition of the log, folded by itself: what it says of messages, items, clocks and requests.

use std::collections::BTreeMap;

use rejoinder_event_log::PartitionFold;
use rejoinder_event_log_embedded::EmbeddedLog;
use rejoinder_model::{DAY_MS, InteractionId, MessageKey, Millis, Service};
use rejoinder_wire::event::Event;
use rejoinder_wire::event::event::Body;

use super::clocks::Clocks;
use super::items::Items;
use super::log::{Frame, each_frame};
use super::ticks::Ticks;

/// What a partition holds.
#[derive(Default)]
pub(super) struct Books {
    partition: u16,
    ticks: Ticks,
    pub(super) items: Items,
    pub(super) clocks: Clocks,
    /// By workspace and external id.
    pub(super) messages: BTreeMap<(String, String), InteractionId>,
    /// By service and key: when each was decided, and where.
    requests: BTreeMap<(u8, MessageKey), Vec<(Millis, u64)>>,
    fold: PartitionFold,
    findings: Vec<String>,
}

impl Books {
    /// Reads a partition.
    pub(super) fn read(log: &EmbeddedLog, partition: u16) -> Result<Self, String> {
        let mut books = Self { partition, ..Self::default() };
        books.fold = each_frame(log, partition, |frame| books.frame(&frame))?;
        Ok(books)
    }

    fn frame(&mut self, frame: &Frame) {
        let index = frame.index;
        for (own_seq, event) in &frame.events {
            let Some(body) = &event.body else { continue };
            if let Body::ClockTick(_) = body {
                self.ticks.push(index, frame.record_time);
            }
            if let Body::Quarantined(quarantined) = body {
                self.findings.push(format!("at {index} an input was set aside: {}", quarantined.reason));
            }
            self.request(index, frame.service, event);
            let workspace = event.workspace.as_str();
            match frame.service {
                Service::Ingest => self.received(*own_seq, workspace, body),
                Service::Threading => self.clocks.placed(body),
                Service::Routing => self.items.event(index, *own_seq, workspace, body),
                Service::SlaTimer => self.clocks.event(index, frame.considered, &self.ticks, workspace, body),
            }
        }
        self.items.end_of_frame(index);
        self.clocks.end_of_frame(index);
    }

    fn received(&mut self, own_seq: u64, workspace: &str, body: &Body) {
        let Body::InteractionReceived(received) = body else { return };
        let id = received.message.as_ref().map(|message| message.external_id.clone()).unwrap_or_default();
        let number = InteractionId::new(self.partition, own_seq);
        if self.messages.insert((workspace.to_owned(), id.clone()), number).is_some() {
            self.findings.push(format!("{id} is received twice"));
        }
    }

    fn request(&mut self, index: u64, service: Service, event: &Event) {
        // Threading's have the key of what was asked for behind them.
        let Some(key) = event.request.get(..16).and_then(MessageKey::from_wire) else { return };
        let decided = self.requests.entry((service as u8, key)).or_default();
        if decided.last().is_some_and(|(before, _)| event.decided_at < before + DAY_MS) {
            self.findings.push(format!("at {index} a request is done twice within a day"));
        }
        decided.push((event.decided_at, index));
    }

    /// Where a request was done first, by any service.
    pub(super) fn done(&self, workspace: &str, request: &str) -> Option<u64> {
        let key = MessageKey::new(workspace, "request", None, request);
        let of = |service: Service| self.requests.get(&(service as u8, key)).and_then(|decided| decided.first());
        let all = [Service::Ingest, Service::Threading, Service::Routing, Service::SlaTimer];
        all.into_iter().filter_map(of).map(|(_, index)| *index).min()
    }

    /// What does not hold; `closed`: nothing was left to do in this workspace.
    pub(super) fn conclude(&mut self, closed: Option<&str>) -> Vec<String> {
        self.items.conclude(&self.ticks, &self.fold, closed);
        self.clocks.conclude(&self.ticks, &self.fold, closed);
        let mut findings = std::mem::take(&mut self.findings);
        findings.append(&mut self.items.findings);
        findings.append(&mut self.clocks.findings);
        let partition = self.partition;
        findings.into_iter().map(|finding| format!("partition {partition}: {finding}")).collect()
    }
}
