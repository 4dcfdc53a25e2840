use rejoinder_integration_tests::golden;

use super::*;

fn loaded(text: &str) -> anyhow::Result<Config> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    Config::load(Some(file.path()), &Flags::default())
}

#[test]
fn an_option_that_does_not_exist_is_refused_with_the_nearest_one() {
    for (text, said) in [
        ("partitons = 4", "there is no option \"partitons\"; did you mean \"partitions\"?"),
        ("colour = 4", "there is no option \"colour\"; there are data_dir, log, grpc_addr"),
        ("quota = {per_second = 1, bust = 2}", "there is no option \"quota.bust\"; did you mean \"burst\"?"),
        ("[quotas.acme]\nper_secnd = 1", "there is no option \"quotas.acme.per_secnd\"; did you mean \"per_second\"?"),
        ("min_free_bytes = \"x\"", "\"min_free_bytes\": invalid type: found string \"x\", expected u64"),
        ("partitions = 0", "partitions: there must be one at least"),
        ("partitions =", "line 1, column 13"),
    ] {
        let refused = loaded(text).unwrap_err().to_string();
        assert!(refused.contains(said), "{text:?}: {refused}");
    }
}

#[test]
fn a_file_goes_before_the_defaults_and_flags_before_the_file() {
    let text = "partitions = 4\ngrpc_addr = \"127.0.0.1:1\"\nquota = {per_second = 1, burst = 2}\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let flags = Flags { grpc_addr: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };
    let config = Config::load(Some(file.path()), &flags).unwrap();
    assert_eq!((config.partitions, config.grpc_addr.port(), config.http_addr.port()), (4, 2, 7480));
    assert_eq!(config.quota.map(|quota| quota.burst.get()), Some(2));
}

#[test]
fn the_sample_of_a_server_is_right() {
    let config = Config::load(Some(&golden::path("deploy/systemd/rejoinder.toml")), &Flags::default()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/rejoinder"));
}

/// The fields of `Config` as they stand in the source, with their comments.
fn fields() -> Vec<(String, String)> {
    let source = include_str!("../config.rs");
    let (_, body) = source.split_once("pub(crate) struct Config {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let (mut fields, mut comment) = (Vec::new(), Vec::new());
    for line in body.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            comment.push(words);
        } else if let Some((name, _)) = line.strip_prefix("pub(crate) ").and_then(|field| field.split_once(':')) {
            fields.push((name.to_owned(), std::mem::take(&mut comment).join(" ")));
        }
    }
    fields
}

#[test]
fn the_reference_page_lists_every_option_with_its_default() {
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut rows = vec!["| option | environment | default | meaning |\n|---|---|---|---|".to_owned()];
    let fields = fields();
    let listed: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    for name in defaults.as_object().unwrap().keys() {
        assert!(listed.contains(&name.as_str()), "{name} was not found in the source");
    }
    for (name, meaning) in fields {
        assert!(!meaning.is_empty(), "{name} needs a comment");
        let default = match &defaults[&name] {
            serde_json::Value::Null => "none".to_owned(),
            serde_json::Value::Object(fields) if fields.is_empty() => "none".to_owned(),
            serde_json::Value::String(text) => format!("`{text}`"),
            other @ (serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_)) => format!("`{other}`"),
        };
        rows.push(format!("| `{name}` | `{PREFIX}{}` | {default} | {meaning} |", name.to_uppercase()));
    }
    golden::page("docs/reference/configuration.md", &rows.join("\n"));
}
