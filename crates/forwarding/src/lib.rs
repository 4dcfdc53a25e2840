//! Any process answers for any workspace: a call that is another process's goes on to it as it is.
//!
//! `Forwarding` stands before the services of a process, for its users and for its own questions to other
//! services. What services ask each other beyond the public API goes over `PeerService`.

mod answers;
mod considered;
mod forward;
mod kept;
mod links;
mod peers;
mod place;
mod relayed;
mod set_aside;

pub use answers::PeerAnswers;
pub use considered::UpstreamAnywhere;
pub use forward::{Forwarding, ForwardingLayer};
pub use links::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
pub use peers::{FORWARDED, Peers};
pub use set_aside::QuarantineAnywhere;
