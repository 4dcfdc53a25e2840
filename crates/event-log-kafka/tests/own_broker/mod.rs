//! A broker that a test may change: nobody else uses it, and it ends with the test.

use crate::broker::script;

/// By its port.
pub(crate) struct OwnBroker(pub(crate) u16);

impl Drop for OwnBroker {
    fn drop(&mut self) {
        script(Some(self.0), &["stop"]);
    }
}
