//! The state of ingest in one partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoinder_machine::{Backing, Context, DueTimer, Failure, Own, Source, State, Table, TableVisitor, Timers};
use rejoinder_model::{MessageKey, Service};
use rejoinder_wire::event::{Event, MessageRef, event::Body};
use serde::{Deserialize, Serialize};

/// The workspace that exists without a policy.
pub(crate) const DEFAULT_WORKSPACE: &str = "default";

/// A message key that was accepted, or revised before it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// own_seq of its InteractionReceived; 0 while it has not come.
    pub own_seq: u64,
    /// The highest edit version accepted.
    pub version: i64,
    /// It was deleted.
    pub deleted: bool,
}

/// A version of a workspace's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    pub number: u64,
    /// By record time.
    pub published_at: i64,
    /// The request that published it.
    pub request_id: String,
}

/// What ingest knows of a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The version of the policy in force; 0 is the built-in one.
    pub policy_version: u64,
    /// (channel, id) of the company's own accounts, and which are bots.
    pub accounts: BTreeMap<(String, String), bool>,
    /// The text of the policy files, by name, of the version in force.
    pub files: Vec<(String, String)>,
    /// The versions published so far.
    pub versions: Vec<Version>,
    /// Cursor of each connector.
    pub cursors: BTreeMap<String, String>,
}

/// Keys seen, and policies.
pub struct Ingest {
    /// By name.
    pub workspaces: Table<String, Workspace>,
    /// By the outside's id.
    pub messages: Table<MessageKey, Accepted>,
    timers: Timers,
}

impl Ingest {
    /// A workspace that exists: `default`, or one with a policy.
    #[must_use]
    pub fn workspace(&self, name: &str) -> Option<Arc<Workspace>> {
        let found = self.workspaces.get(&name.to_owned());
        found.or_else(|| (name == DEFAULT_WORKSPACE).then(Arc::default))
    }
}

/// The key of a message that an event refers to.
pub(crate) fn key_of(workspace: &str, message: &MessageRef) -> MessageKey {
    let account = (!message.global_ids).then_some(message.account.as_str());
    MessageKey::new(workspace, &message.channel, account, &message.external_id)
}

impl State for Ingest {
    const SERVICE: Service = Service::Ingest;

    fn open(backing: Arc<dyn Backing>) -> Self {
        Self {
            workspaces: Table::new(1, backing.clone()),
            messages: Table::new(2, backing.clone()),
            timers: Timers::new(3, backing),
        }
    }

    fn apply(&mut self, own: Own, event: &Event) {
        let workspace = event.workspace.as_str();
        match &event.body {
            Some(Body::InteractionReceived(received)) => {
                let Some(message) = &received.message else { return };
                let key = key_of(workspace, message);
                self.messages.upsert(&key, |accepted| accepted.own_seq = own.own_seq);
            }
            Some(Body::InteractionEdited(edited)) => {
                let Some(target) = &edited.target else { return };
                let key = key_of(workspace, target);
                self.messages.upsert(&key, |accepted| accepted.version = edited.version);
            }
            Some(Body::InteractionDeleted(deleted)) => {
                let Some(target) = &deleted.target else { return };
                self.messages.upsert(&key_of(workspace, target), |accepted| accepted.deleted = true);
            }
            Some(Body::PolicyPublished(policy)) => {
                self.workspaces.upsert(&workspace.to_owned(), |known| {
                    known.policy_version = policy.version;
                    let (number, published_at, request_id) =
                        (policy.version, policy.published_at, policy.request_id.clone());
                    known.versions.push(Version { number, published_at, request_id });
                    known.files = policy.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
                    let accounts = policy.threading.iter().flat_map(|threading| &threading.accounts);
                    known.accounts =
                        accounts.map(|account| ((account.channel.clone(), account.id.clone()), account.bot)).collect();
                });
            }
            Some(Body::ConnectorCursorMoved(moved)) => {
                self.workspaces.upsert(&workspace.to_owned(), |known| {
                    known.cursors.insert(moved.connector.clone(), moved.cursor.clone());
                });
            }
            _ => {}
        }
    }

    fn consider(&self, _: &Context, _: Source, _: &Event, _: &mut Vec<Event>) -> Result<(), Failure> {
        Ok(())
    }

    fn fire(&self, _: &Context, _: DueTimer, _: &mut Vec<Event>) {}

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn visit_tables(&mut self, visitor: &mut dyn TableVisitor) {
        visitor.visit(&mut self.workspaces);
        visitor.visit(&mut self.messages);
        visitor.visit(self.timers.table());
    }
}
