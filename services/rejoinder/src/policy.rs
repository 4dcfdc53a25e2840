//! `policy check` and `policy apply`: the TOML files of a directory.

use std::path::Path;

use anyhow::{Context as _, bail};
use rejoinder_api::ingest::policy_service_client::PolicyServiceClient;
use rejoinder_api::ingest::{ApplyPolicyRequest, PolicyFile};
use rejoinder_ingest_core::NewPolicy;
use rejoinder_policy::Problem;
use rejoinder_wire::event::policy_published::File;

use crate::Ended;
use crate::remote::{Remote, refused};
use crate::table::say;

/// The files of a directory, by name; what is hidden is passed over.
fn files(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            anyhow::anyhow!("{}:{line}: it is not UTF-8", entry.path().display())
        })?;
        files.push((name, text));
    }
    files.sort();
    if files.is_empty() {
        bail!("{} has no policy files, like accounts.toml", dir.display());
    }
    Ok(files)
}

fn tell(dir: &Path, problems: &[Problem]) {
    problems.iter().for_each(|problem| say(&format!("{}/{problem}", dir.display())));
}

/// Says what is wrong.
pub(crate) fn check(dir: &Path) -> anyhow::Result<Ended> {
    let files = files(dir)?;
    match rejoinder_policy::check(&files) {
        Ok(_) => {
            say(&format!("{}: {} files, nothing wrong", dir.display(), files.len()));
            Ok(Ended::Well)
        }
        Err(problems) => {
            tell(dir, &problems);
            Ok(Ended::FoundWrong)
        }
    }
}

/// The policy of a directory, to be published.
pub(crate) fn read(dir: &Path) -> anyhow::Result<NewPolicy> {
    let files = files(dir)?;
    let policy = rejoinder_policy::check(&files).map_err(|problems| {
        tell(dir, &problems);
        anyhow::anyhow!("the policy in {} is not right", dir.display())
    })?;
    let files = files.into_iter().map(|(name, text)| File { name, text }).collect();
    let (threading, routing, sla) = (policy.threading, policy.routing, policy.sla);
    Ok(NewPolicy { files, threading, routing, sla, ..NewPolicy::default() })
}

/// Publishes the files as the next version.
pub(crate) async fn apply(remote: &Remote, dir: &Path, etag: String, validate_only: bool) -> anyhow::Result<Ended> {
    let files = files(dir)?;
    if let Err(problems) = rejoinder_policy::check(&files) {
        tell(dir, &problems);
        return Ok(Ended::FoundWrong);
    }
    let files = files.into_iter().map(|(name, text)| PolicyFile { name, text }).collect();
    let request = ApplyPolicyRequest { files, etag, validate_only, request_id: String::new() };
    let answer = PolicyServiceClient::new(remote.channel.clone()).apply_policy(remote.request(request)).await;
    let answer = answer.map_err(|status| refused(&status))?.into_inner();
    if validate_only {
        say("the server would take it");
    } else {
        say(&format!("version {} is in force at {}", answer.version, answer.as_of));
    }
    Ok(Ended::Well)
}
