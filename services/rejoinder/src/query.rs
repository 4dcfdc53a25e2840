//! Questions: what the services know, asked page by page.

pub(crate) mod agents;
pub(crate) mod alarms;
pub(crate) mod clocks;
pub(crate) mod explain;
pub(crate) mod items;
pub(crate) mod persons;
pub(crate) mod quarantine;
pub(crate) mod queues;
pub(crate) mod threads;

/// The largest page that a server gives.
const PAGE: i32 = 1_000;

/// Goes through all pages: each gets its token and says the next one's, which is empty after the last.
async fn pages(mut page: impl AsyncFnMut(String) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let mut token = page(String::new()).await?;
    while !token.is_empty() {
        token = page(token).await?;
    }
    Ok(())
}

/// An enum's value as people say it: its name without the prefix, in small letters; empty: none.
fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name).to_lowercase();
    if word == "unspecified" { String::new() } else { word }
}
