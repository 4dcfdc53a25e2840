//! Where a message belongs: public conversations, threads of one person and issue, persons.
//!
//! A *base thread* gathers what the rules alone put together: the messages of one handle in one
//! conversation, or of one handle with one account within the reopen window, or the answers to a
//! message that is not here yet. A thread is one base thread or several that links hold together.
//! Links have causes; an unmerge takes those of one cause away and looks what still holds. So the
//! grouping does not depend on the order in which messages come.

mod apply;
mod command;
mod consider;
mod life;
mod link;
mod place;
pub mod record;
mod state;

pub use command::{Asked, Command, Done, Refusal, decide as decide_command};
pub use life::is_open;
pub use state::Threading;

#[cfg(test)]
mod tests;
