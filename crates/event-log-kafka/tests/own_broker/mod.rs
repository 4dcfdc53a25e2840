//! A broker that a test may change: nobody else uses it, and it ends with the test.

use crate::broker::script;

/// By its port.
pub(crate) struct OwnBroker(pub(crate) u16);

impl OwnBroker {
    /// What a tool of Kafka's distribution says, for which no right is needed.
    pub(crate) fn tool(&self, arguments: &[&str]) -> String {
        script(Some(self.0), &[&["tool"], arguments].concat())
    }

    /// Runs a command of an error's text, as an administrator would: `kafka-NAME.sh --bootstrap-server …`.
    pub(crate) fn run(&self, remedy: &str) -> String {
        let words: Vec<&str> = remedy.split_whitespace().collect();
        let name = words[0].strip_prefix("kafka-").unwrap().strip_suffix(".sh").unwrap();
        assert_eq!(words[1], "--bootstrap-server");
        self.tool(&[&[name], &words[3..]].concat())
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        script(Some(self.0), &["stop"]);
    }
}
