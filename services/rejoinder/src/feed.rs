//! EventFeedService: the counted events of a workspace's partition, in order and without gaps.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use prost::Message as _;
use prost::encoding::{decode_key, skip_field};
use prost_reflect::DescriptorPool;
use rejoinder_api::feed::event_feed_service_server::EventFeedService;
use rejoinder_api::feed::{SubscribeRequest, SubscribeResponse};
use rejoinder_model::Position;
use rejoinder_service_kit::{Tail, TailEvent, refuse, timestamp, workspace};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::inside::Inside;

/// Answers that may wait for a slow reader.
const MAX_WAITING: usize = 256;

/// The feed of the process's log.
pub(crate) struct Feed {
    inside: Arc<Inside>,
    names: Arc<Names>,
}

/// Names of events by their field number in `rejoinder.event.v1.Event`.
struct Names(BTreeMap<u32, String>);

impl Names {
    fn new() -> Self {
        let pool = DescriptorPool::decode(rejoinder_api::EVENT_DESCRIPTORS).unwrap_or_default();
        let event = pool.get_message_by_name("rejoinder.event.v1.Event");
        let body = event.and_then(|event| event.oneofs().next());
        let name = |field: prost_reflect::FieldDescriptor| {
            let kind = field.kind();
            kind.as_message().map(|message| (field.number(), message.name().to_owned()))
        };
        Self(body.into_iter().flat_map(|body| body.fields().filter_map(name).collect::<Vec<_>>()).collect())
    }

    /// The name of an event, without decoding it; empty for one of a newer version.
    fn of(&self, bytes: &[u8]) -> &str {
        let mut rest = bytes;
        while let Ok((number, wire_type)) = decode_key(&mut rest) {
            if let Some(name) = self.0.get(&number) {
                return name;
            }
            if skip_field(wire_type, number, &mut rest, prost::encoding::DecodeContext::default()).is_err() {
                break;
            }
        }
        ""
    }
}

/// The workspace of an event; nothing else is decoded.
#[derive(Clone, PartialEq, prost::Message)]
struct Addressed {
    #[prost(string, tag = "1")]
    workspace: String,
}

impl Feed {
    pub(crate) fn new(inside: Arc<Inside>) -> Self {
        Self { inside, names: Arc::new(Names::new()) }
    }
}

/// An event for its subscriber, if it is theirs.
fn answer(names: &Names, of: &str, types: &[String], event: &TailEvent) -> Option<SubscribeResponse> {
    let name = names.of(&event.bytes);
    if !types.is_empty() && !types.iter().any(|wanted| wanted == name) {
        return None;
    }
    let addressed = Addressed::decode(event.bytes.clone()).ok()?;
    // The engine's own events, like ticks, are of no workspace.
    if !addressed.workspace.is_empty() && addressed.workspace != of {
        return None;
    }
    Some(SubscribeResponse {
        position: event.position.to_string(),
        event: event.event,
        service: event.service.name().to_owned(),
        own_seq: event.own_seq,
        record_time: Some(timestamp(event.record_time)),
        workspace: addressed.workspace,
        r#type: name.to_owned(),
        payload: event.bytes.to_vec(),
    })
}

#[tonic::async_trait]
impl EventFeedService for Feed {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let of = workspace(request.metadata())?;
        let SubscribeRequest { from, types, until_end } = request.into_inner();
        if let Some(unknown) = types.iter().find(|name| !self.names.0.values().any(|known| known == *name)) {
            return Err(refuse::invalid("TYPE_UNKNOWN", "types", format!("there is no event {unknown:?}")));
        }
        self.inside.must_exist(&of).await?;
        let partition = self.inside.ingest.partition(&of);
        // Before the end is looked at: who begins there need not fold what lies before.
        let known = self.inside.ingest.status(partition).map(|status| status.fold);
        let log: Arc<dyn rejoinder_event_log::EventLog> = self.inside.log.clone();
        let wrong = |what: String| refuse::invalid("POSITION_INVALID", "from", what);
        let from = if from.is_empty() {
            log.end(partition)
        } else if from == "start" {
            0
        } else {
            let from: Position = from.parse().map_err(wrong)?;
            let is_there = match from.index.checked_sub(1).filter(|_| from.partition == partition) {
                Some(last) => self.inside.news.reached(&*log, partition, last).await,
                None => from.partition == partition,
            };
            if !is_there {
                let end = log.end(partition);
                let what = format!("{from} is not in the workspace's partition, which ends at {partition}/{end}");
                return Err(wrong(what));
            }
            from.index
        };
        let mut tail = Tail::new(log, self.inside.news.clone(), partition, from, known.unwrap_or_default());
        let (to, answers) = mpsc::channel(MAX_WAITING);
        let names = self.names.clone();
        tokio::spawn(async move {
            loop {
                let events = match tail.next(!until_end).await {
                    Ok(Some(events)) => events,
                    Ok(None) => break,
                    Err(status) => {
                        // The subscriber may be gone as well.
                        let _ = to.send(Err(status)).await;
                        break;
                    }
                };
                for event in events {
                    if let Some(answer) = answer(&names, &of, &types, &event)
                        && to.send(Ok(answer)).await.is_err()
                    {
                        return;
                    }
                }
                if to.is_closed() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
