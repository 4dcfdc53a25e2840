//! `threads export`: one line for each accepted message, with where it belongs.

use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListMessagesRequest, Message};
use rejoinder_service_kit::millis;

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, time};

const COLUMNS: [&str; 9] = [
    "channel",
    "account",
    "external_id",
    "conversation_id",
    "thread_id",
    "person_id",
    "burst_id",
    "direction",
    "event_time",
];
/// The largest page that a server gives.
const PAGE: i32 = 1_000;

/// Writes the messages of a workspace in the order of their acceptance.
pub(crate) async fn run(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    // For programs only: a table of all messages helps nobody.
    let output = if output == Output::Json { Output::Json } else { Output::Tsv };
    let mut client = ThreadServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &[])?;
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest { page_size: PAGE, page_token, ..ListMessagesRequest::default() };
        let answer = client.list_messages(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.messages.into_iter().try_for_each(|message| rows.row(&line(message)))?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            rows.end()?;
            return Ok(Ended::Well);
        }
    }
}

fn line(message: Message) -> [String; 9] {
    [
        message.channel,
        message.account,
        message.external_id,
        message.conversation_id,
        message.thread_id,
        message.person_id,
        message.burst_id,
        if message.outbound { "out" } else { "in" }.to_owned(),
        message.event_time.as_ref().map(|at| time(millis(at))).unwrap_or_default(),
    ]
}
