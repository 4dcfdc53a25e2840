//! `events.md` and `grpc.md` are made from the protobuf files, comments included.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use rejoinder_integration_tests::golden;

/// The comments of a file, by the path of what they stand before.
fn comments(file: &FileDescriptorProto) -> BTreeMap<Vec<i32>, String> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let commented = locations.filter_map(|location| Some((location.path.clone(), location.leading_comments.clone()?)));
    commented.map(|(path, text)| (path, text.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap()
}

fn field(of: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let scalar = || format!("{:?}", field.r#type()).to_lowercase();
    let is_named = matches!(field.r#type(), Type::Message | Type::Enum);
    let kind = if is_named { last(field.type_name()) } else { scalar() };
    let map = of.nested_type.iter().find(|nested| {
        field.type_name().ends_with(&format!(".{}", nested.name()))
            && nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
    });
    let name = field.name();
    match (map, field.label()) {
        (Some(_), _) => format!("{name} map"),
        (None, Label::Repeated) => format!("{name} {kind}[]"),
        (None, _) => format!("{name} {kind}"),
    }
}

/// Is the event built anywhere outside tests, and not only taken apart?
fn is_written(name: &str, sources: &[String]) -> bool {
    let built = format!("Body::{name}(");
    sources.iter().flat_map(|source| source.lines()).any(|line| {
        let at = line.find(&built);
        at.is_some_and(|at| !line[..at].ends_with("Some(") || line.contains("body: Some(")) && !line.contains(") =>")
    })
}

#[test]
fn every_event_is_listed_with_its_owner_and_fields() {
    let set = FileDescriptorSet::decode(rejoinder_api::EVENT_DESCRIPTORS).unwrap();
    let sources: Vec<String> = ["crates", "services"]
        .iter()
        .flat_map(|below| golden::files(below, "rs"))
        .filter(|path| !path.to_string_lossy().contains("/tests"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let event = set.file.iter().flat_map(|file| &file.message_type).find(|message| message.name() == "Event").unwrap();
    let bodies: Vec<&str> =
        event.field.iter().filter(|field| field.oneof_index.is_some()).map(FieldDescriptorProto::type_name).collect();
    let mut parts = Vec::new();
    for (file, owner) in [
        ("engine", "each service for itself"),
        ("ingest", "ingest"),
        ("threading", "threading"),
        ("routing", "routing"),
        ("sla", "sla-timer"),
    ] {
        let name = format!("rejoinder/event/v1/{file}.proto");
        let Some(file) = set.file.iter().find(|file| file.name() == name) else { continue };
        let comments = comments(file);
        let mut rows = Vec::new();
        for (n, message) in file.message_type.iter().enumerate() {
            if !bodies.contains(&format!(".rejoinder.event.v1.{}", message.name()).as_str()) {
                continue;
            }
            let when = comments.get(&vec![4, number(n)]);
            let when = when.unwrap_or_else(|| panic!("{} needs a comment in {name}", message.name()));
            let fields: Vec<String> = message.field.iter().map(|of| field(message, of)).collect();
            let later = if is_written(message.name(), &sources) { "" } else { " *(not written yet)*" };
            rows.push(format!("| {} | {when}{later} | {} |", message.name(), fields.join(", ")));
        }
        if !rows.is_empty() {
            let head = "| event | when | fields |\n|---|---|---|";
            parts.push(format!("## Owner: {owner}\n\n{head}\n{}", rows.join("\n")));
        }
    }
    golden::page("docs/reference/events.md", &parts.join("\n\n"));
}

#[test]
fn every_method_is_listed() {
    let set = FileDescriptorSet::decode(rejoinder_api::DESCRIPTORS).unwrap();
    let mut parts = Vec::new();
    for file in &set.file {
        let comments = comments(file);
        for (s, service) in file.service.iter().enumerate() {
            let mut rows = Vec::new();
            for (m, method) in service.method.iter().enumerate() {
                let does = comments.get(&vec![6, number(s), 2, number(m)]);
                let does = does.unwrap_or_else(|| panic!("{} needs a comment", method.name()));
                let streams = match (method.client_streaming(), method.server_streaming()) {
                    (true, true) => "both ways",
                    (false, true) => "answers",
                    (true, false) => "requests",
                    (false, false) => "",
                };
                rows.push(format!("| {} | {streams} | {does} |", method.name()));
            }
            let about = comments.get(&vec![6, number(s)]).map(|about| format!("{about}\n\n")).unwrap_or_default();
            let name = format!("{}.{}", file.package(), service.name());
            let head = "| method | streams | does |\n|---|---|---|";
            parts.push(format!("## {name}\n\n{about}{head}\n{}", rows.join("\n")));
        }
    }
    parts.sort();
    golden::page("docs/reference/grpc.md", &parts.join("\n\n"));
}
