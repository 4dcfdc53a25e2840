//! `queues list`.

use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{GetQueueRequest, ListQueuesRequest};

use crate::Ended;
use crate::cli::{Cli, Queues};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 7] = ["queue", "waiting", "oldest_since", "members", "available", "strategy", "overflow"];
const WIDTHS: [usize; 7] = [20, 9, 24, 9, 9, 14, 0];

pub(crate) async fn command(Queues::List(source): &Queues, cli: &Cli) -> anyhow::Result<Ended> {
    list(&source.open(&cli.workspace).await?, cli.output).await
}

/// The queues of the policy, in its order.
pub(crate) async fn list(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = RoutingServiceClient::new(remote.channel.clone());
    let answer = client.list_queues(remote.request(ListQueuesRequest::default())).await;
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    for queue in answer.map_err(|status| refused(&status))?.into_inner().queues {
        rows.row(&[
            Value::name(queue.name),
            queue.waiting.into(),
            Value::time(queue.oldest_since.as_ref()),
            queue.members.into(),
            queue.available.into(),
            Value::name(queue.strategy),
            Value::name(queue.overflow),
        ])?;
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// An empty list may come from a queue that is none: that is said.
///
/// # Errors
/// When the policy has no such queue.
pub(crate) async fn must_exist(remote: &Remote, name: &str) -> anyhow::Result<()> {
    let request = GetQueueRequest { name: name.to_owned(), wait_for: String::new() };
    let answer = RoutingServiceClient::new(remote.channel.clone()).get_queue(remote.request(request)).await;
    answer.map(|_| ()).map_err(|status| refused(&status))
}
