//! `ingest`: sends files to a running server.
//!
//! Batches go out on a stream, several at a time. What was not answered when the connection broke is
//! sent again, which doubles nothing; how far the file was acknowledged is remembered by the server, so
//! that an interrupted run goes on from there.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;
use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{PublishRequest, PublishResponse, ReportCursorRequest};
use rejoinder_channels::Format;
use rejoinder_model::{HOUR_MS, Millis};
use rejoinder_runtime::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::remote::{Remote, is_broken, reconnect, refused};
use crate::table::say;
use crate::{Ended, files};

/// Interactions of a batch.
const BATCH: usize = 500;
/// Bytes after which a batch goes.
const BATCH_BYTES: usize = 1 << 20;
/// Batches on their way.
const WINDOW: usize = 16;
/// Acknowledged records after which the server is told how far we are.
const CURSOR_EVERY: u64 = 20_000;
/// What is sent, and how.
pub(crate) struct Options {
    pub(crate) endpoint: String,
    pub(crate) workspace: String,
    pub(crate) format: Format,
    pub(crate) account: Option<String>,
    pub(crate) live: bool,
    pub(crate) from_start: bool,
    /// How long the server may be away before we give up.
    pub(crate) patience: Duration,
}

#[derive(Default)]
struct Counts {
    accepted: u64,
    duplicates: u64,
    refused: u64,
    malformed: u64,
}

/// Interactions, and how many records of the file are read when they are.
struct Batch {
    request: PublishRequest,
    records: u64,
}

enum FromFile {
    Batch(Batch),
    Malformed(String),
    End(anyhow::Result<()>),
}

/// Sends the files, one after the other.
pub(crate) async fn run(paths: &[PathBuf], options: &Options) -> anyhow::Result<Ended> {
    files::say_account(options.format, options.account.as_deref());
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {human_pos} records, {per_sec}")?);
    let mut counts = Counts::default();
    let mut cut_off = None;
    let mut remote = Remote::connect(&options.endpoint, &options.workspace).await?;
    for path in paths {
        bar.set_message(path.display().to_string());
        if let Err(error) = file(path, &mut remote, options, &mut counts, &bar).await {
            if error.downcast_ref::<files::CutOff>().is_none() {
                return Err(error);
            }
            say(&format!("rejoinder: {error:#}"));
            cut_off = Some(error);
        }
    }
    bar.finish_and_clear();
    let Counts { accepted, duplicates, refused, malformed } = counts;
    say(&format!(
        "{accepted} accepted, {duplicates} duplicates, {refused} refused, {malformed} malformed records skipped"
    ));
    Ok(if refused + malformed > 0 || cut_off.is_some() { Ended::FoundWrong } else { Ended::Well })
}

async fn file(
    path: &Path,
    remote: &mut Remote,
    options: &Options,
    counts: &mut Counts,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let connector = connector(path, options);
    let done = match &connector {
        Some(connector) if !options.from_start => cursor(remote, options, connector, 0).await?,
        _ => 0,
    };
    if done > 0 {
        say(&format!("{}: goes on after {done} records; --from-start sends all again", path.display()));
    }
    let (to, mut from) = mpsc::channel(WINDOW);
    let reader = reader(path.to_owned(), options, done);
    let reading = tokio::task::spawn_blocking(move || reader(&to));
    let mut waiting: VecDeque<Batch> = VecDeque::new();
    let (mut acknowledged, mut reported, mut ended) = (done, done, None);
    bar.set_position(done);
    while ended.is_none() || !waiting.is_empty() {
        // Twice the window: what was not answered goes first and must not wait for room.
        let (out, requests) = mpsc::channel(2 * WINDOW);
        for batch in &waiting {
            out.send(batch.request.clone()).await?;
        }
        let mut client = IngestServiceClient::new(remote.channel.clone());
        let call = client.publish(remote.request(ReceiverStream::new(requests))).await;
        let broken = match call {
            Err(status) => Some(status),
            Ok(answers) => {
                let mut answers = answers.into_inner();
                loop {
                    if ended.is_some() && waiting.is_empty() {
                        break None;
                    }
                    tokio::select! {
                        read = from.recv(), if ended.is_none() && waiting.len() < WINDOW => match read {
                            Some(FromFile::Batch(batch)) => {
                                // A broken stream shows itself by its answers.
                                let _ = out.send(batch.request.clone()).await;
                                waiting.push_back(batch);
                            }
                            Some(FromFile::Malformed(what)) => {
                                counts.malformed += 1;
                                bar.suspend(|| say(&what));
                            }
                            Some(FromFile::End(result)) => ended = Some(result),
                            None => ended = Some(Err(anyhow::anyhow!("{} was not read to its end", path.display()))),
                        },
                        answer = answers.message() => match answer {
                            Ok(Some(answer)) => {
                                let Some(batch) = waiting.pop_front() else { continue };
                                if let Some(shed) = &answer.shed {
                                    tokio::time::sleep(Duration::from_millis(shed.retry_after_ms)).await;
                                    let _ = out.send(batch.request.clone()).await;
                                    waiting.push_back(batch);
                                } else {
                                    count(&answer, &batch, counts, bar);
                                    acknowledged = acknowledged.max(batch.records);
                                    bar.set_position(acknowledged);
                                }
                            }
                            Ok(None) => break Some(Status::unavailable("the server ended the stream")),
                            Err(status) => break Some(status),
                        },
                    }
                    // Not while older batches wait behind newer ones.
                    let whole = waiting.front().is_none_or(|oldest| oldest.records > acknowledged);
                    if acknowledged >= reported + CURSOR_EVERY && whole {
                        reported = acknowledged;
                        if let Some(connector) = &connector {
                            cursor(remote, options, connector, reported).await?;
                        }
                    }
                }
            }
        };
        if let Some(status) = broken {
            if !is_broken(&status) {
                return Err(refused(&status));
            }
            bar.suspend(|| say(&format!("the connection broke ({}): trying again", status.message())));
            *remote = reconnect(&options.endpoint, &options.workspace, options.patience).await?;
        }
    }
    reading.await?;
    if let Some(connector) = &connector {
        cursor(remote, options, connector, acknowledged).await?;
    }
    ended.unwrap_or(Ok(()))
}

/// The name under which the server remembers how far a file was sent; standard input has none.
fn connector(path: &Path, options: &Options) -> Option<String> {
    let whole = path.canonicalize().ok().filter(|_| path.as_os_str() != "-")?;
    let size = std::fs::metadata(&whole).map_or(0, |metadata| metadata.len());
    let (format, account) = (options.format, options.account.as_deref().unwrap_or_default());
    let named = format!("{} {size} {format:?} {account}", whole.display());
    let hash = xxhash_rust::xxh3::xxh3_64(named.as_bytes());
    Some(format!("ingest-file-{hash:016x}"))
}

/// Tells the server how many records are acknowledged, and returns what it knew; 0 only asks.
async fn cursor(remote: &mut Remote, options: &Options, connector: &str, records: u64) -> anyhow::Result<u64> {
    let cursor = if records == 0 { String::new() } else { records.to_string() };
    let request = ReportCursorRequest { connector: connector.to_owned(), cursor, caught_up: false };
    loop {
        let mut client = IngestServiceClient::new(remote.channel.clone());
        match client.report_cursor(remote.request(request.clone())).await {
            Ok(answer) => return Ok(answer.into_inner().cursor.parse().unwrap_or(0)),
            Err(status) if is_broken(&status) => {
                *remote = reconnect(&options.endpoint, &options.workspace, options.patience).await?
            }
            Err(status) => return Err(refused(&status)),
        }
    }
}

fn count(answer: &PublishResponse, batch: &Batch, counts: &mut Counts, bar: &ProgressBar) {
    for (result, interaction) in answer.results.iter().zip(&batch.request.interactions) {
        match result.outcome() {
            Outcome::Accepted => counts.accepted += 1,
            Outcome::Duplicate => counts.duplicates += 1,
            Outcome::Refused | Outcome::Unspecified => {
                counts.refused += 1;
                let why = result.refusal.as_ref().map(|refusal| refusal.message.as_str()).unwrap_or_default();
                bar.suspend(|| say(&format!("{:.80}: refused: {why}", interaction.external_id)));
            }
        }
    }
}

/// Reads the file into batches, without the first `done` records.
fn reader(path: PathBuf, options: &Options, done: u64) -> impl FnOnce(&mpsc::Sender<FromFile>) + Send + 'static {
    let (format, account, live) = (options.format, options.account.clone(), options.live);
    let quiet_before: Millis = if live { Millis::MIN } else { SystemClock::new().wall_ms() - HOUR_MS };
    move |to| {
        let mut batch = Batch { request: PublishRequest::default(), records: 0 };
        let mut bytes = 0;
        let read = files::interactions(
            &path,
            format,
            account.as_deref(),
            &mut |mut interaction| {
                batch.records += 1;
                if batch.records <= done {
                    return;
                }
                interaction.quiet |= interaction.event_time < quiet_before;
                let interaction = rejoinder_ingest::to_api(interaction);
                bytes += interaction.encoded_len();
                batch.request.interactions.push(interaction);
                if batch.request.interactions.len() >= BATCH || bytes >= BATCH_BYTES {
                    bytes = 0;
                    let full = Batch { request: std::mem::take(&mut batch.request), records: batch.records };
                    // Nobody listens any more when the sending failed.
                    let _ = to.blocking_send(FromFile::Batch(full));
                }
            },
            &mut |path, malformed| {
                let _ = to.blocking_send(FromFile::Malformed(format!("{}: {malformed}: skipped", path.display())));
            },
        );
        if !batch.request.interactions.is_empty() {
            let _ = to.blocking_send(FromFile::Batch(batch));
        }
        let _ = to.blocking_send(FromFile::End(read));
    }
}
