//! Inputs that services set aside: listed over all services, decided on again, given up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rejoinder_machine::Failure;
use rejoinder_machine::quarantine::{self, SetAside, SetsAside};
use rejoinder_model::{Position, Service};
use rejoinder_wire::event::Event;
use tonic::Status;

use crate::stored::events_at;
use crate::{Lanes, refuse};

/// How many are looked at with one question, whosever they are.
const CHUNK: usize = 1_000;

/// What one service has set aside.
#[tonic::async_trait]
pub trait Quarantine: Send + Sync {
    /// The service.
    fn of(&self) -> Service;

    /// What a workspace has there from a number on, the oldest first.
    ///
    /// # Errors
    /// As `Lanes::ask`.
    async fn list(&self, workspace: &str, from: u64, limit: usize) -> Result<Vec<(u64, Arc<SetAside>)>, Status>;

    /// How many a partition has, of all its workspaces.
    ///
    /// # Errors
    /// As `Lanes::ask`.
    async fn count(&self, partition: u16) -> Result<u64, Status>;

    /// An input, read from the log; `None`: nothing of this number is set aside.
    ///
    /// # Errors
    /// DATA_LOSS when it cannot be read, or as `Lanes::ask`.
    async fn input(&self, workspace: &str, number: u64) -> Result<Option<Event>, Status>;

    /// Decides again on an input; answers with where that stands.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when it fails again, or as `Lanes::decide`.
    async fn retry(&self, workspace: &str, number: u64, input: Event) -> Result<Position, Status>;

    /// Gives an input up; answers with where that stands.
    ///
    /// # Errors
    /// As `Lanes::decide`.
    async fn skip(&self, workspace: &str, number: u64) -> Result<Position, Status>;
}

#[tonic::async_trait]
impl<S: SetsAside> Quarantine for Lanes<S> {
    fn of(&self) -> Service {
        self.service()
    }

    async fn list(&self, workspace: &str, from: u64, limit: usize) -> Result<Vec<(u64, Arc<SetAside>)>, Status> {
        let (mut found, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next.filter(|_| found.len() < limit) {
            let page = self.ask(workspace, "", move |state| state.quarantine().page(&from, CHUNK)).await?.0;
            next = page.last().filter(|_| page.len() == CHUNK).map(|(last, _)| last + 1);
            found.extend(page.into_iter().filter(|(_, set_aside)| set_aside.workspace == workspace));
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn count(&self, partition: u16) -> Result<u64, Status> {
        let (mut count, mut next) = (0, Some(0));
        while let Some(from) = next {
            let page = self.ask_lane(partition, move |state| state.quarantine().page(&from, CHUNK)).await?.0;
            next = page.last().filter(|_| page.len() == CHUNK).map(|(last, _)| last + 1);
            count += page.len() as u64;
        }
        Ok(count)
    }

    async fn input(&self, workspace: &str, number: u64) -> Result<Option<Event>, Status> {
        let of = workspace.to_owned();
        let question = move |state: &S| state.quarantine().get(&number).filter(|found| found.workspace == of);
        let Some(set_aside) = self.ask(workspace, "", question).await?.0 else { return Ok(None) };
        let (partition, place) = (self.partition(workspace), (set_aside.index, set_aside.event));
        let mut events = tokio::task::block_in_place(|| events_at(&**self.log(), partition, [place]))?;
        Ok(events.remove(&place))
    }

    async fn retry(&self, workspace: &str, number: u64, input: Event) -> Result<Position, Status> {
        let decision = move |state: &S, context: &_, out: &mut Vec<_>| {
            let start = out.len();
            // What set it aside may be a panic.
            let decide = AssertUnwindSafe(|| quarantine::retry(state, context, number, &input, out));
            let retried = catch_unwind(decide).unwrap_or_else(|_| Err(Failure("a panic, which the log tells".into())));
            if retried.is_err() {
                out.truncate(start);
            }
            retried
        };
        let (retried, as_of) = self.decide(workspace, decision).await?;
        retried.map_err(|failure| refuse::precondition(format!("it failed again: {failure}")))?;
        Ok(as_of)
    }

    async fn skip(&self, workspace: &str, number: u64) -> Result<Position, Status> {
        let decision = move |state: &S, _: &_, out: &mut Vec<_>| quarantine::skip(state, number, out);
        let ((), as_of) = self.decide(workspace, decision).await?;
        Ok(as_of)
    }
}

/// One input that is set aside, as its id names it: `SERVICE/PARTITION/OWN_SEQ`.
pub struct Found {
    /// Where it is.
    pub quarantine: Arc<dyn Quarantine>,
    /// The own_seq of the event that says so.
    pub number: u64,
    /// The input.
    pub input: Event,
}

/// What all services have set aside, in the order of the services.
pub struct Quarantines {
    of: Vec<Arc<dyn Quarantine>>,
}

impl Quarantines {
    /// Those of these services.
    pub fn new(of: Vec<Arc<dyn Quarantine>>) -> Self {
        Self { of }
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = &Arc<dyn Quarantine>> {
        self.of.iter()
    }

    /// A page of what a workspace has set aside, service by service and the oldest first, and the token
    /// of the next page; an empty one: there is none.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a token that no answer gave, or as `Lanes::ask`.
    pub async fn page(
        &self,
        workspace: &str,
        size: usize,
        token: &str,
    ) -> Result<(Vec<(Service, u64, Arc<SetAside>)>, String), Status> {
        let (first, mut from) = if token.is_empty() { (0, 0) } else { self.after(token)? };
        let mut page = Vec::new();
        for quarantine in &self.of[first..] {
            for (number, set_aside) in quarantine.list(workspace, from, size + 1 - page.len()).await? {
                if page.len() == size {
                    return Ok((page, format!("{}/{number}", quarantine.of().name())));
                }
                page.push((quarantine.of(), number, set_aside));
            }
            from = 0;
        }
        Ok((page, String::new()))
    }

    fn after(&self, token: &str) -> Result<(usize, u64), Status> {
        let parts = token.split_once('/').and_then(|(service, number)| {
            let place = self.of.iter().position(|quarantine| quarantine.of().name() == service)?;
            Some((place, number.parse().ok()?))
        });
        parts.ok_or_else(|| refuse::invalid("PAGE_TOKEN_INVALID", "page_token", "no answer gave this token"))
    }

    /// The input that an id names.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no id of the list, NOT_FOUND when the service has nothing of this
    /// workspace set aside there, or as `Lanes::ask`.
    pub async fn find(&self, workspace: &str, partition: u16, id: &str) -> Result<Found, Status> {
        let wrong = || {
            let what = format!("{id:?} is not SERVICE/PARTITION/NUMBER, like threading/3/1024");
            refuse::invalid("ID_INVALID", "quarantine_id", what)
        };
        let (service, place) = id.split_once('/').ok_or_else(wrong)?;
        let place: Position = place.parse().map_err(|_| wrong())?;
        let service = Service::ALL.into_iter().find(|known| known.name() == service).ok_or_else(wrong)?;
        let quarantine = self.of.iter().find(|quarantine| quarantine.of() == service);
        if let Some(quarantine) = quarantine.filter(|_| place.partition == partition)
            && let Some(input) = quarantine.input(workspace, place.index).await?
        {
            return Ok(Found { quarantine: quarantine.clone(), number: place.index, input });
        }
        Err(refuse::not_found("quarantine", id))
    }
}
