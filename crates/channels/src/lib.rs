//! Channel formats: bytes in, interactions out. One file for each format, one line in the list.

mod email;
mod format;
pub mod framing;
mod interaction;
mod jsonl;
mod reddit;
mod text;
mod twcs;
mod x_api;

pub use format::{Format, Malformed, Options, Record, UNKNOWN_ACCOUNT, read};
pub use interaction::{Attachment, Author, Direction, Interaction, Reach, Structure, Visibility};
