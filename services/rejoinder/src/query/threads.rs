//! `threads list`, `threads show`, and `threads export`: one line for each accepted message, with where
//! it belongs.

use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::{ListMessagesRequest, ListThreadsRequest, Message, Thread, thread::State};
use rejoinder_service_kit::millis;

use crate::Ended;
use crate::cli::{Cli, Threads};
use crate::query::{PAGE, pages, word};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 5] = ["thread_id", "person_id", "state", "messages", "newest"];
const WIDTHS: [usize; 5] = [14, 14, 17, 8, 24];
const MESSAGE_COLUMNS: [&str; 4] = ["message_id", "time", "direction", "text"];
const MESSAGE_WIDTHS: [usize; 4] = [14, 24, 9, 0];
const EXPORT_COLUMNS: [&str; 9] = [
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

pub(crate) async fn command(threads: &Threads, cli: &Cli) -> anyhow::Result<Ended> {
    match threads {
        Threads::Export(source) => export(&source.open(&cli.workspace).await?, cli.output).await,
        Threads::List(source) => list(&source.open(&cli.workspace).await?, cli.output).await,
        Threads::Show { thread, source } => {
            show(&source.open(&cli.workspace).await?, thread.to_string(), cli.output).await
        }
    }
}

/// A thread's state as people say it.
pub(crate) fn state_name(state: i32) -> String {
    word(State::try_from(state).unwrap_or_default().as_str_name(), "STATE_")
}

fn row(thread: Thread) -> [Value; 5] {
    let newest = thread.last_customer_message_at.iter().chain(&thread.last_reply_at).map(millis).max();
    [
        Value::name(thread.thread_id),
        Value::name(thread.person_id),
        Value::name(state_name(thread.state)),
        thread.message_count.into(),
        Value::Time(newest),
    ]
}

/// All threads, in the order in which they were opened.
pub(crate) async fn list(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = ThreadServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    pages(async |page_token| {
        let request = ListThreadsRequest { page_size: PAGE, page_token, ..ListThreadsRequest::default() };
        let answer = client.list_threads(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.threads.into_iter().try_for_each(|thread| rows.row(&row(thread)))?;
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}

/// What a message says, as lists show it.
pub(crate) fn said(message: &Message) -> Value {
    Value::Text(if message.deleted { "(deleted)".to_owned() } else { message.text.clone() })
}

fn direction(message: &Message) -> Value {
    Value::name(if message.outbound { "out" } else { "in" })
}

/// The messages of a thread.
pub(crate) async fn show(remote: &Remote, thread_id: String, output: Output) -> anyhow::Result<Ended> {
    let line = |message: Message| {
        let (time, text) = (Value::time(message.event_time.as_ref()), said(&message));
        [Value::name(&message.interaction_id), time, direction(&message), text]
    };
    let request = ListMessagesRequest { thread_id, page_size: PAGE, ..ListMessagesRequest::default() };
    messages(remote, request, Rows::new(output, &MESSAGE_COLUMNS, &MESSAGE_WIDTHS)?, line).await
}

/// The messages of a workspace in the order of their acceptance.
pub(crate) async fn export(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let line = |message: Message| {
        let (direction, time) = (direction(&message), Value::time(message.event_time.as_ref()));
        [
            Value::name(message.channel),
            Value::name(message.account),
            Value::name(message.external_id),
            Value::name(message.conversation_id),
            Value::name(message.thread_id),
            Value::name(message.person_id),
            Value::name(message.burst_id),
            direction,
            time,
        ]
    };
    let request = ListMessagesRequest { page_size: PAGE, ..ListMessagesRequest::default() };
    messages(remote, request, Rows::new(output.of_export(), &EXPORT_COLUMNS, &[])?, line).await
}

async fn messages<const N: usize>(
    remote: &Remote,
    request: ListMessagesRequest,
    mut rows: Rows,
    line: impl Fn(Message) -> [Value; N],
) -> anyhow::Result<Ended> {
    let mut client = ThreadServiceClient::new(remote.channel.clone());
    pages(async |page_token| {
        let request = ListMessagesRequest { page_token, ..request.clone() };
        let answer = client.list_messages(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.messages.into_iter().try_for_each(|message| rows.row(&line(message)))?;
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}
