//! An interaction as a connector hands it on, whatever channel it came by.

use rejoinder_model::Millis;

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A customer.
    Inbound,
    /// The company.
    Outbound,
}

/// Who can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// The two sides.
    Private,
}

/// How the channel says what belongs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// By reply links and conversation ids.
    #[default]
    Linked,
    /// Not at all: by person and time.
    Direct,
}

impl Structure {
    /// What a channel's message is when nobody says: private, without a message answered or a
    /// conversation, and no mail, it is a direct message.
    #[must_use]
    pub fn of(channel: &str, private: bool, linked: bool) -> Self {
        if private && !linked && channel != "email" { Self::Direct } else { Self::Linked }
    }
}

/// Who wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The channel's immutable id.
    pub id: String,
    /// As shown.
    pub name: String,
    /// As addressed.
    pub handle: String,
}

/// Something attached, by reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Where it is.
    pub url: String,
    /// Its media type.
    pub media_type: String,
    /// Its name.
    pub name: String,
}

/// How far it reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Followers of the author.
    pub followers: u64,
    /// Likes.
    pub likes: u64,
    /// Shares.
    pub shares: u64,
    /// Replies.
    pub replies: u64,
    /// Views.
    pub views: u64,
}

/// A message, an edit or a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interaction {
    /// The kind of place.
    pub channel: String,
    /// The company's presence there.
    pub account: String,
    /// The channel's id.
    pub external_id: String,
    /// Ids are unique without the account.
    pub global_ids: bool,
    /// `None`: the workspace's accounts tell.
    pub direction: Option<Direction>,
    /// `None`: deleted, or not given.
    pub author: Option<Author>,
    /// What it says.
    pub text: String,
    /// The subject of a mail.
    pub subject: String,
    /// Milliseconds since 1970, UTC.
    pub event_time: Millis,
    /// The message answered first, then others that it names.
    pub parents: Vec<String>,
    /// The channel's conversation id.
    pub conversation: Option<String>,
    /// Who can read it.
    pub visibility: Visibility,
    /// How the channel says what belongs together.
    pub structure: Structure,
    /// Author ids of whom it is for.
    pub recipients: Vec<String>,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// How far it reaches.
    pub reach: Option<Reach>,
    /// The message that this is a new version of.
    pub edit_of: Option<String>,
    /// The message is gone.
    pub deleted: bool,
    /// Why nobody need answer: an auto-reply, a bounce.
    pub automatic: Option<String>,
    /// An import: no alarms, no offers.
    pub quiet: bool,
}
