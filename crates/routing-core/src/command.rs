//! What agents and people may do. It acts where it stands in the log: of two accepts the first wins.

pub use rejoinder_machine::request::Asked;

use rejoinder_machine::Context;
use rejoinder_machine::request::Request;
use rejoinder_model::{AgentKey, OfferId, ThreadId, WorkItemId};
use rejoinder_wire::event::{
    Event, Presence, offer_revoked, overcommitted, work_item_assigned, work_item_parked, work_item_queued,
    work_item_transferred,
};

use crate::capacity;
use crate::decision::Decision;
use crate::record::{Agent, Item, Offer, OfferState, Phase};
use crate::state::Routing;

/// An agent, and the stream that speaks for it; 0: a person or tool does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub agent: String,
    /// What `Command::Connect` answered.
    pub session: u64,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A stream speaks for an agent from now on; an older one does not any more.
    Connect { agent: String },
    /// The stream is gone.
    Disconnect(Session),
    /// The agent is here, away or gone.
    SetPresence { by: Session, presence: Presence },
    /// The agent takes what is offered.
    Accept { by: Session, offer: OfferId },
    /// The agent does not.
    Decline { by: Session, offer: OfferId, reason: String },
    /// The agent is through with an item; a second time ends the wrap-up.
    Finish { by: Session, item: WorkItemId },
    /// The item waits for the customer.
    Park { by: Session, item: WorkItemId },
    /// The agent gives an item back to its queue.
    Release { by: Session, item: WorkItemId },
    /// The item goes to another queue, or to a certain agent by its queue.
    Transfer { item: WorkItemId, queue: String, agent: String },
    /// Somebody takes an item by hand, whoever it was offered to.
    Take { item: WorkItemId, agent: String },
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// An item to look at.
    Item(WorkItemId),
    /// An agent to look at.
    Agent(String),
    /// The session of a stream.
    Session(u64),
}

/// Why a command was refused: an answer, not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing in this workspace.
    #[error("{kind} {id} does not exist in this workspace")]
    NotFound { kind: &'static str, id: String },
    /// It has changed since the caller looked.
    #[error("{what} has changed: its etag is {current} now; read it again and repeat the command")]
    Stale { what: String, current: u64 },
    /// The offer does not stand any more: another was first, time was up, or it was taken back.
    #[error("offer {offer} does not stand any more: it {how}")]
    OfferOver { offer: OfferId, how: &'static str },
    /// Another stream speaks for the agent, or none.
    #[error("session {session} of agent {agent} is over: open a new stream")]
    DeadSession { agent: String, session: u64 },
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Precondition(String),
    /// The command itself cannot be right.
    #[error("{field}: {what}")]
    Invalid { field: &'static str, what: String },
}

/// Decides a command.
///
/// # Errors
/// When it is refused; nothing has changed then.
pub fn decide(
    state: &Routing,
    context: &Context,
    workspace: &str,
    asked: Asked<'_>,
    command: &Command,
    out: &mut Vec<Event>,
) -> Result<Done, Refusal> {
    let start = out.len();
    let request = Request::new(workspace, asked, &format!("{command:?}"));
    if let Some(request) = request
        && let Some(known) = state.requests.remembered(context.now, request.key)
    {
        // A repeat must be the same command, whatever the etag was then.
        if known.content != request.content {
            let what = "it was used for another command before: take a new one".to_owned();
            return Err(Refusal::Invalid { field: "request_id", what });
        }
        return Ok(match WorkItemId::from_wire(known.item) {
            Some(item) => Done::Item(item),
            None => Done::Agent(known.agent.clone()),
        });
    }
    let mut judge = Judge { asked, decision: Decision::new(state, context, workspace, out) };
    let done = judge.decide(command)?;
    for event in &mut out[start..] {
        event.decided_at = context.now;
    }
    if let (Some(request), Some(first)) = (request, out.get_mut(start)) {
        first.request = request.to_wire();
    }
    Ok(done)
}

struct Judge<'a> {
    asked: Asked<'a>,
    decision: Decision<'a>,
}

impl Judge<'_> {
    fn decide(&mut self, command: &Command) -> Result<Done, Refusal> {
        match command {
            Command::Connect { agent } => {
                self.agent(agent)?;
                Ok(Done::Session(self.decision.open_session(agent)))
            }
            Command::Disconnect(by) => {
                self.speaks(by)?;
                self.decision.lose_session(&by.agent);
                Ok(Done::Agent(by.agent.clone()))
            }
            Command::SetPresence { by, presence } => self.set_presence(by, *presence),
            Command::Accept { by, offer } => {
                let (found, item) = match self.offer(by, *offer)? {
                    (offer, Some(item)) if offer.state == OfferState::Pending => (offer, item),
                    // The answer to an accept may have been lost on its way.
                    (found, _) if found.state == OfferState::Accepted => return Ok(Done::Item(WorkItemId(found.item))),
                    (found, _) => return Err(over(*offer, found.state)),
                };
                self.decision.accept(offer.0, &found, item);
                Ok(Done::Item(WorkItemId(found.item)))
            }
            Command::Decline { by, offer, reason } => match self.offer(by, *offer)? {
                (found, Some(item)) if found.state == OfferState::Pending => {
                    self.decision.decline(offer.0, &found, item, reason);
                    Ok(Done::Item(WorkItemId(found.item)))
                }
                (found, _) if found.state == OfferState::Declined => {
                    Err(Refusal::Precondition(format!("offer {offer} was declined before")))
                }
                (found, _) => Err(over(*offer, found.state)),
            },
            Command::Finish { by, item } => {
                let (id, item) = self.held(by, *item, &[Phase::Assigned, Phase::Wrapping])?;
                self.decision.finish(id.0, &item);
                Ok(Done::Item(id))
            }
            Command::Park { by, item } => {
                let (id, item) = self.held(by, *item, &[Phase::Assigned])?;
                self.decision.park(id.0, &item, work_item_parked::Cause::Command);
                Ok(Done::Item(id))
            }
            Command::Release { by, item } => {
                let (id, item) = self.held(by, *item, &[Phase::Assigned])?;
                self.decision.give_back(id.0, item, work_item_queued::Cause::Released);
                Ok(Done::Item(id))
            }
            Command::Transfer { item, queue, agent } => self.transfer(*item, queue, agent),
            Command::Take { item, agent } => self.take(*item, agent),
        }
    }

    /// An agent that the policy names.
    fn agent(&self, id: &str) -> Result<Agent, Refusal> {
        if self.decision.policy.agents.contains_key(id) {
            return Ok(self.decision.agent(id));
        }
        Err(Refusal::NotFound { kind: "agent", id: id.to_owned() })
    }

    /// The agent, if the stream speaks for it.
    fn speaks(&self, by: &Session) -> Result<Agent, Refusal> {
        let agent = self.decision.agent(&by.agent);
        if agent.session == 0 && !self.decision.policy.agents.contains_key(&by.agent) {
            return Err(Refusal::NotFound { kind: "agent", id: by.agent.clone() });
        }
        if agent.session == by.session && by.session != 0 {
            return Ok(agent);
        }
        Err(Refusal::DeadSession { agent: by.agent.clone(), session: by.session })
    }

    fn set_presence(&mut self, by: &Session, presence: Presence) -> Result<Done, Refusal> {
        let agent = self.agent(&by.agent)?;
        if by.session != 0 {
            self.speaks(by)?;
        }
        if self.asked.etag != 0 && self.asked.etag != agent.version {
            return Err(Refusal::Stale { what: format!("agent {}", agent.id), current: agent.version });
        }
        match presence {
            Presence::Available | Presence::Away | Presence::Offline => {}
            Presence::NotResponding | Presence::Unspecified => {
                let what = "is AVAILABLE, AWAY or OFFLINE".to_owned();
                return Err(Refusal::Invalid { field: "presence", what });
            }
        }
        let gives_back = agent.live_give_back_at != 0 || agent.give_back_at != 0;
        if agent.presence() != presence || gives_back {
            self.decision.set_presence(&by.agent, presence, self.asked.actor);
        }
        Ok(Done::Agent(by.agent.clone()))
    }

    fn offer(&self, by: &Session, id: OfferId) -> Result<(Offer, Option<Item>), Refusal> {
        self.speaks(by)?;
        let found = self.decision.state.offers.get(&id);
        let theirs = found.filter(|offer| offer.workspace == self.decision.workspace && offer.agent == by.agent);
        let offer = theirs.ok_or_else(|| Refusal::NotFound { kind: "offer", id: id.to_string() })?;
        Ok(((*offer).clone(), self.decision.item(offer.item)))
    }

    /// An item of this workspace as the caller saw it, ended or not.
    fn item(&self, id: WorkItemId) -> Result<Item, Refusal> {
        let found = self.decision.state.item(id.0).filter(|item| item.workspace == self.decision.workspace);
        let item = found.ok_or_else(|| Refusal::NotFound { kind: "work item", id: id.to_string() })?;
        if self.asked.etag != 0 && self.asked.etag != item.version {
            return Err(Refusal::Stale { what: format!("work item {id}"), current: item.version });
        }
        Ok((*item).clone())
    }

    fn held(&self, by: &Session, id: WorkItemId, phases: &[Phase]) -> Result<(WorkItemId, Item), Refusal> {
        self.speaks(by)?;
        let item = self.item(id)?;
        if item.agent != by.agent || !phases.contains(&item.phase) {
            let what = format!("work item {id} is {}, and not with agent {} for this", item.phase.name(), by.agent);
            return Err(Refusal::Precondition(what));
        }
        Ok((id, item))
    }

    fn transfer(&mut self, id: WorkItemId, queue: &str, agent: &str) -> Result<Done, Refusal> {
        let item = self.item(id)?;
        if !matches!(item.phase, Phase::Queued | Phase::Offered | Phase::Assigned) {
            let what = format!("work item {id} is {}: only what waits or is in work moves", item.phase.name());
            return Err(Refusal::Precondition(what));
        }
        let queue = if queue.is_empty() { item.queue.clone() } else { queue.to_owned() };
        if self.decision.policy.queue(&queue).is_none() {
            return Err(Refusal::NotFound { kind: "queue", id: queue });
        }
        if !agent.is_empty() {
            self.agent(agent)?;
            let serves = self.decision.policy.agents.get(agent).is_some_and(|rule| rule.membership(&queue).is_some());
            if !serves {
                return Err(Refusal::Precondition(format!("agent {agent} does not serve queue {queue}")));
            }
        }
        let actor = self.asked.actor;
        self.decision.transfer(id.0, item, &queue, agent, work_item_transferred::Cause::Command, actor);
        Ok(Done::Item(id))
    }

    fn take(&mut self, id: WorkItemId, agent: &str) -> Result<Done, Refusal> {
        let mut item = self.item(id)?;
        let who = self.agent(agent)?;
        if item.agent == agent && item.phase == Phase::Assigned {
            return Ok(Done::Item(id));
        }
        if !matches!(item.phase, Phase::Queued | Phase::Offered) {
            let what = format!("work item {id} is {}: only what waits for an agent is taken", item.phase.name());
            return Err(Refusal::Precondition(what));
        }
        if who.presence() == Presence::Offline {
            return Err(Refusal::Precondition(format!("agent {agent} is offline")));
        }
        let (policy, kind) = (self.decision.policy.clone(), self.decision.kind(&item));
        let rule = policy.agents.get(agent);
        let over = rule.is_some_and(|rule| !capacity::obstacles(&policy, rule, &who, &kind, id.0).is_empty());
        if over && !rule.is_some_and(|rule| rule.may_overcommit) {
            let what = format!("agent {agent} has no capacity left, and may not take above it");
            return Err(Refusal::Precondition(what));
        }
        self.decision.revoke_offers(id.0, &mut item, 0, offer_revoked::Reason::Moved);
        self.decision.assign(id.0, &item, agent, work_item_assigned::Cause::Taken);
        if over {
            self.decision.overcommitted(id.0, agent, overcommitted::Cause::Taken);
        }
        Ok(Done::Item(id))
    }
}

fn over(offer: OfferId, state: OfferState) -> Refusal {
    let how = match state {
        OfferState::Pending => "stands for an item that has ended",
        OfferState::Accepted => "was accepted",
        OfferState::Declined => "was declined",
        OfferState::TimedOut => "was not answered in time",
        OfferState::Revoked => "was taken back",
    };
    Refusal::OfferOver { offer, how }
}

impl Routing {
    /// An agent of a workspace that has been seen.
    #[must_use]
    pub fn agent(&self, workspace: &str, id: &str) -> Option<std::sync::Arc<Agent>> {
        self.agents.get(&AgentKey::new(workspace, id))
    }

    /// What is known of a thread.
    #[must_use]
    pub fn thread(&self, id: u64) -> crate::record::Thread {
        self.threads.get(&ThreadId(id)).map(|thread| (*thread).clone()).unwrap_or_default()
    }
}
