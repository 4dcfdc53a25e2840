//! PolicyService: policy files are checked whole, then published as one version.

use std::sync::Arc;

use rejoinder_api::ingest::policy_service_server::PolicyService;
use rejoinder_api::ingest::{
    ApplyPolicyRequest, ApplyPolicyResponse, CheckPolicyRequest, CheckPolicyResponse, GetPolicyRequest,
    ListPolicyVersionsRequest, ListPolicyVersionsResponse, Policy, PolicyFile, PolicyProblem, PolicyVersion,
};
use rejoinder_ingest_core::{Ingest, NewPolicy, publish_policy};
use rejoinder_policy::Problem;
use rejoinder_service_kit::{Lanes, page, refuse, timestamp, workspace};
use rejoinder_wire::event::policy_published::File;
use tonic::{Request, Response, Status};

/// The longest request id.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The service over ingest's lanes.
#[derive(Clone)]
pub struct Policies {
    lanes: Arc<Lanes<Ingest>>,
}

impl Policies {
    /// The service.
    pub fn new(lanes: Arc<Lanes<Ingest>>) -> Self {
        Self { lanes }
    }
}

/// `FILE:LINE:COLUMN`; the file alone when all of it is meant, empty for all files.
fn place(Problem { file, line, column, .. }: &Problem) -> String {
    if *line == 0 { file.clone() } else { format!("{file}:{line}:{column}") }
}

fn named(files: &[PolicyFile]) -> Vec<(String, String)> {
    files.iter().map(|file| (file.name.clone(), file.text.clone())).collect()
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn check_policy(
        &self,
        request: Request<CheckPolicyRequest>,
    ) -> Result<Response<CheckPolicyResponse>, Status> {
        let problems = rejoinder_policy::check(&named(&request.into_inner().files)).err().unwrap_or_default();
        let told = |Problem { file, line, column, message }: Problem| PolicyProblem { file, line, column, message };
        Ok(Response::new(CheckPolicyResponse { problems: problems.into_iter().map(told).collect() }))
    }

    async fn apply_policy(
        &self,
        request: Request<ApplyPolicyRequest>,
    ) -> Result<Response<ApplyPolicyResponse>, Status> {
        let name = workspace(request.metadata())?;
        let ApplyPolicyRequest { files, request_id, etag, validate_only } = request.into_inner();
        if request_id.len() > MAX_REQUEST_ID_BYTES {
            let what = format!("it has {} bytes, {MAX_REQUEST_ID_BYTES} are allowed", request_id.len());
            return Err(refuse::invalid("ID_TOO_LONG", "request_id", what));
        }
        let follows = if etag.is_empty() { Ok(None) } else { etag.parse().map(Some) };
        let follows = follows.map_err(|_| refuse::invalid("ETAG_INVALID", "etag", "no answer gave this etag"))?;
        let policy = rejoinder_policy::check(&named(&files)).map_err(|problems| {
            refuse::invalid_in("POLICY_INVALID", problems.into_iter().map(|problem| (place(&problem), problem.message)))
        })?;
        if validate_only {
            return Ok(Response::new(ApplyPolicyResponse::default()));
        }
        let files = files.into_iter().map(|file| File { name: file.name, text: file.text }).collect();
        let (threading, routing, sla) = (policy.threading, policy.routing, policy.sla);
        let new = NewPolicy { files, threading, routing, sla, request_id, follows };
        let of = name.clone();
        let decision =
            move |state: &Ingest, context: &_, out: &mut Vec<_>| publish_policy(state, context, &of, new, out);
        let (published, as_of) = self.lanes.decide(&name, decision).await?;
        let version = published.map_err(|stale| refuse::aborted(stale.to_string()))?;
        Ok(Response::new(ApplyPolicyResponse { version, etag: version.to_string(), as_of: as_of.to_string() }))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Result<Response<Policy>, Status> {
        let name = workspace(request.metadata())?;
        let of = name.clone();
        let (known, as_of) = self.lanes.ask(&name, "", move |state: &Ingest| state.workspace(&of)).await?;
        let known = known.ok_or_else(|| refuse::not_found("workspace", &name))?;
        let file = |(name, text): &(String, String)| PolicyFile { name: name.clone(), text: text.clone() };
        Ok(Response::new(Policy {
            version: known.policy_version,
            etag: known.policy_version.to_string(),
            files: known.files.iter().map(file).collect(),
            as_of: as_of.to_string(),
        }))
    }

    async fn list_policy_versions(
        &self,
        request: Request<ListPolicyVersionsRequest>,
    ) -> Result<Response<ListPolicyVersionsResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let of = name.clone();
        let (known, as_of) = self.lanes.ask(&name, "", move |state: &Ingest| state.workspace(&of)).await?;
        let known = known.ok_or_else(|| refuse::not_found("workspace", &name))?;
        // The token is the newest version of the page.
        let older = |number: u64| page.from == 0 || number <= page.from;
        let mut versions = known.versions.iter().rev().filter(|version| older(version.number));
        let told: Vec<PolicyVersion> = versions
            .by_ref()
            .take(page.size)
            .map(|version| PolicyVersion {
                version: version.number,
                published_at: Some(timestamp(version.published_at)),
            })
            .collect();
        let next_page_token = versions.next().map(|version| version.number.to_string()).unwrap_or_default();
        let as_of = as_of.to_string();
        Ok(Response::new(ListPolicyVersionsResponse { versions: told, next_page_token, as_of }))
    }
}
