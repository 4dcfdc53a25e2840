//! The floor's policy: few agents, little room, promises of seconds.

use rejoinder_api::ingest::{ApplyPolicyRequest, PolicyFile};
use tonic::Status;

use super::line::Line;

/// Agents `a0` to `a7`.
pub const AGENTS: u64 = 8;

const QUEUES: &str = r#"
[[queue]]
name = "service"
parallel_offers = 2
preferred_wait = "1s"

[[queue]]
name = "posts"
strategy = "least_loaded"
overflow = "service"
overflow_after = "3s"

[[queue]]
name = "experts"
required = ["billing"]
skills = [{ name = "billing", level = 7, relax = [{ after = "1s", level = 0 }] }]

[[route]]
kind = "public_post"
queue = "posts"
"#;

const ROUTING: &str = r#"
declined_for = "2s"
live_give_back_after = "1s"
give_back_after = "2s"
max_parked = 5

[[kind]]
name = "direct_message"
cost = 20
max = 3
offer_timeout = "1s"

[[kind]]
name = "public_post"
cost = 30
offer_timeout = "1s"
wrap_up = "1s"
"#;

const SLA: &str = r#"
[[policy]]
name = "quick"
warn = ["50%"]
[policy.targets]
first_response = "1s"
next_response = "2s"
periodic_update = "4s"
requester_wait = "5s"
agent_work = "3s"
resolution = "8s"
queue_wait = "1s"
offer_accept = "1s"
"#;

/// Policy files.
pub type Files = Vec<(&'static str, String)>;

fn agents(totals: [u32; 3]) -> String {
    let agent = |number: u64| {
        let total = totals[usize::try_from(number).unwrap_or_default() % totals.len()];
        let queues = ["[\"service\", \"posts\"]", "[\"posts\", { name = \"service\", delay = \"1s\" }]"];
        let queues = if number == 7 { "[\"experts\", \"service\"]" } else { queues[usize::from(number % 2 == 1)] };
        let more = match number {
            0 => "may_overcommit = true\n",
            7 => "skills = { billing = 5 }\n",
            _ => "",
        };
        format!("[[agent]]\nid = \"a{number}\"\ntotal = {total}\nqueues = {queues}\n{more}")
    };
    (0..AGENTS).map(agent).collect()
}

/// The rules as they are at first.
#[must_use]
pub fn usual() -> Files {
    vec![
        ("agents.toml", agents([100, 60, 40])),
        ("queues.toml", QUEUES.to_owned()),
        ("routing.toml", ROUTING.to_owned()),
        ("sla.toml", SLA.to_owned()),
    ]
}

/// Other rules: less room for some, other promises.
#[must_use]
pub fn tight() -> Files {
    let sla = SLA.replace("next_response = \"2s\"", "next_response = \"1s\"").replace("resolution = \"8s\"\n", "");
    vec![
        ("agents.toml", agents([20, 100, 60])),
        ("queues.toml", QUEUES.to_owned()),
        ("routing.toml", ROUTING.to_owned()),
        ("sla.toml", sla.replace("warn = ", "retarget = \"restart\"\nwarn = ")),
    ]
}

/// A request to apply files.
#[must_use]
pub fn request(files: &[(&str, String)]) -> ApplyPolicyRequest {
    let file = |(name, text): &(&str, String)| PolicyFile { name: (*name).to_owned(), text: text.clone() };
    ApplyPolicyRequest { files: files.iter().map(file).collect(), ..ApplyPolicyRequest::default() }
}

/// Applies files; answers with the position from which they hold.
///
/// # Errors
/// As the server says.
pub async fn apply(line: &Line, files: &[(&str, String)]) -> Result<String, Status> {
    Ok(line.policies().apply_policy(request(files)).await?.into_inner().as_of)
}
