//! Keys of what the outside world and the policy name: 128-bit hashes of the names, with the workspace in them.
//!
//! Outside ids are opaque texts of up to 512 bytes. State keeps hashes of them: fixed size, no
//! personal data, and two different names meet with probability 2^-128 a pair.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The partition in which a workspace lives.
#[must_use]
pub fn partition_of(workspace: &str, partitions: u16) -> u16 {
    let slot = xxh3_64(workspace.as_bytes()) % u64::from(partitions.max(1));
    u16::try_from(slot).unwrap_or_default()
}

fn hash(kind: u8, parts: &[&str]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&[kind]);
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.digest128()
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl $name {
            /// The bytes that events carry.
            #[must_use]
            pub fn to_wire(self) -> Vec<u8> {
                self.0.to_le_bytes().to_vec()
            }

            /// `None` when the bytes are absent or no key.
            #[must_use]
            pub fn from_wire(bytes: &[u8]) -> Option<Self> {
                Some(Self(u128::from_le_bytes(bytes.try_into().ok()?)))
            }
        }
    };
}

key!(
    /// A message by the outside's id: (workspace, channel, account unless ids are global, id).
    MessageKey
);
key!(
    /// An identity on one channel: (workspace, channel, author id).
    HandleKey
);
key!(
    /// A conversation id of a payload: (workspace, channel, account unless ids are global, id).
    ConversationKey
);
key!(
    /// Where direct messages of a person gather: (workspace, channel, account).
    LineKey
);

key!(
    /// An agent: (workspace, id).
    AgentKey
);
key!(
    /// A queue: (workspace, name).
    QueueKey
);

impl AgentKey {
    /// The key of an agent.
    #[must_use]
    pub fn new(workspace: &str, id: &str) -> Self {
        Self(hash(6, &[workspace, id]))
    }
}

impl QueueKey {
    /// The key of a queue.
    #[must_use]
    pub fn new(workspace: &str, name: &str) -> Self {
        Self(hash(7, &[workspace, name]))
    }
}

impl MessageKey {
    /// The key of a message. `account` is `None` where the channel's ids are global.
    #[must_use]
    pub fn new(workspace: &str, channel: &str, account: Option<&str>, external_id: &str) -> Self {
        Self(hash(1, &[workspace, channel, account.unwrap_or(""), external_id]))
    }
}

impl HandleKey {
    /// The key of an author.
    #[must_use]
    pub fn new(workspace: &str, channel: &str, author_id: &str) -> Self {
        Self(hash(2, &[workspace, channel, author_id]))
    }

    /// The author of one message who was not given: a person of that message alone.
    #[must_use]
    pub fn unnamed(message: MessageKey) -> Self {
        Self(hash(5, &[&message.0.to_string()]))
    }
}

impl ConversationKey {
    /// The key of a conversation id. `account` is `None` where the channel's ids are global.
    #[must_use]
    pub fn new(workspace: &str, channel: &str, account: Option<&str>, id: &str) -> Self {
        Self(hash(3, &[workspace, channel, account.unwrap_or(""), id]))
    }
}

impl LineKey {
    /// The key of a direct-message line.
    #[must_use]
    pub fn new(workspace: &str, channel: &str, account: &str) -> Self {
        Self(hash(4, &[workspace, channel, account]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_have_keys_that_differ() {
        let a = MessageKey::new("w", "x", Some("ab"), "c");
        assert_ne!(a, MessageKey::new("w", "x", Some("a"), "bc"));
        assert_ne!(a, MessageKey::new("v", "x", Some("ab"), "c"));
        assert_ne!(a.0, ConversationKey::new("w", "x", Some("ab"), "c").0);
        assert_eq!(MessageKey::from_wire(&a.to_wire()), Some(a));
        assert_eq!(MessageKey::from_wire(&[]), None);
    }

    #[test]
    fn the_partition_of_a_workspace_is_fixed() {
        assert_eq!(partition_of("default", 16), u16::try_from(xxh3_64(b"default") % 16).unwrap_or(99));
        assert_eq!(partition_of("any", 1), 0);
    }
}
