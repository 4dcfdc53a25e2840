//! `quarantine list`, `retry` and `skip`.

use rejoinder_api::admin::admin_service_client::AdminServiceClient;
use rejoinder_api::admin::{ListQuarantineRequest, RetryQuarantinedRequest, SkipQuarantinedRequest};

use crate::Ended;
use crate::cli::{Cli, Quarantine, Remotely};
use crate::query::{PAGE, pages};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value, say};

const COLUMNS: [&str; 6] = ["quarantine_id", "service", "source", "event", "at", "reason"];
const WIDTHS: [usize; 6] = [14, 10, 12, 5, 24, 0];

pub(crate) async fn command(quarantine: &Quarantine, cli: &Cli) -> anyhow::Result<Ended> {
    let remote = async |at: &Remotely| Remote::connect(&at.endpoint, &cli.workspace).await;
    match quarantine {
        Quarantine::List(source) => list(&source.open(&cli.workspace).await?, cli.output).await,
        Quarantine::Retry { id, remotely } => retry(&remote(remotely).await?, id).await,
        Quarantine::Skip { id, remotely } => skip(&remote(remotely).await?, id).await,
    }
}

/// What is set aside.
pub(crate) async fn list(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    let mut client = AdminServiceClient::new(remote.channel.clone());
    let mut rows = Rows::new(output, &COLUMNS, &WIDTHS)?;
    pages(async |page_token| {
        let request = ListQuarantineRequest { page_size: PAGE, page_token };
        let answer = client.list_quarantine(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        for found in page.quarantined {
            rows.row(&[
                Value::name(found.quarantine_id),
                Value::name(found.service),
                Value::name(found.source),
                found.source_event.into(),
                Value::time(found.at.as_ref()),
                Value::Text(found.reason),
            ])?;
        }
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}

/// Decides again on an input.
pub(crate) async fn retry(remote: &Remote, id: &str) -> anyhow::Result<Ended> {
    let request = RetryQuarantinedRequest { quarantine_id: id.to_owned() };
    let answer = AdminServiceClient::new(remote.channel.clone()).retry_quarantined(remote.request(request)).await;
    say(&format!("released at {}", answer.map_err(|status| refused(&status))?.into_inner().as_of));
    Ok(Ended::Well)
}

/// Gives an input up.
pub(crate) async fn skip(remote: &Remote, id: &str) -> anyhow::Result<Ended> {
    let request = SkipQuarantinedRequest { quarantine_id: id.to_owned() };
    let answer = AdminServiceClient::new(remote.channel.clone()).skip_quarantined(remote.request(request)).await;
    say(&format!("given up at {}", answer.map_err(|status| refused(&status))?.into_inner().as_of));
    Ok(Ended::Well)
}
