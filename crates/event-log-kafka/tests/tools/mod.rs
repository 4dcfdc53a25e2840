//! What an administrator does, with the tools of Kafka's distribution.

use crate::broker::script;
use crate::own_broker::OwnBroker;

/// What a tool says, for which no right is needed.
pub(crate) fn tool(broker: &OwnBroker, arguments: &[&str]) -> String {
    script(Some(broker.0), &[&["tool"], arguments].concat())
}

/// Runs a command of an error's text: `kafka-NAME.sh --bootstrap-server …`.
pub(crate) fn run(broker: &OwnBroker, remedy: &str) -> String {
    let words: Vec<&str> = remedy.split_whitespace().collect();
    let name = words[0].strip_prefix("kafka-").unwrap().strip_suffix(".sh").unwrap();
    assert_eq!(words[1], "--bootstrap-server");
    tool(broker, &[&[name], &words[3..]].concat())
}
