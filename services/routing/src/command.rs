//! Commands on their way to the lane.

use rejoinder_model::Position;
use rejoinder_routing_core::{Asked, Command, Done, Refusal, Routing, decide_command};
use rejoinder_service_kit::{Lanes, Upstream as _, field, workspace};
use rejoinder_wire::event::Event;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::refusal;

/// A command's own fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) workspace: String,
    pub(crate) request_id: String,
    pub(crate) etag: u64,
}

impl Call {
    pub(crate) fn new(metadata: &MetadataMap, request_id: String, etag: &str) -> Result<Self, Status> {
        Ok(Self {
            workspace: workspace(metadata)?,
            request_id: field::request_id(request_id)?,
            etag: field::etag(etag)?,
        })
    }

    pub(crate) fn of(workspace: &str) -> Self {
        Self { workspace: workspace.to_owned(), ..Self::default() }
    }

    /// The decision of a command.
    pub(crate) fn decision(
        self,
        command: Command,
    ) -> impl FnOnce(&Routing, &rejoinder_machine::Context, &mut Vec<Event>) -> Result<Done, Refusal> + Send + 'static
    {
        move |state, context, out| {
            if !state.has_workspace(&self.workspace) {
                return Err(Refusal::NotFound { kind: "workspace", id: self.workspace });
            }
            // Who asks is known once there are credentials.
            let asked = Asked { actor: "", request_id: &self.request_id, etag: self.etag };
            decide_command(state, context, &self.workspace, asked, &command, out)
        }
    }
}

/// Lets routing decide a command, and waits until that is durable.
///
/// Workspaces, agents and queues come with policies: one that is not known may stand in a policy that was
/// applied before this call and is still on its way here. So nobody is told that it does not exist before
/// routing has considered all that stood in the log when the call came.
pub(crate) async fn command(lanes: &Lanes<Routing>, call: Call, command: Command) -> Result<(Done, Position), Status> {
    let name = call.workspace.clone();
    let end = lanes.log().end(lanes.partition(&name));
    let (mut decided, mut as_of) = lanes.decide(&name, call.clone().decision(command.clone())).await?;
    if let Err(Refusal::NotFound { kind: "workspace" | "agent" | "queue", .. }) = decided {
        lanes.considered(&name, end).await?;
        (decided, as_of) = lanes.decide(&name, call.decision(command)).await?;
    }
    Ok((decided.map_err(|refused| refusal::status(&refused))?, as_of))
}
