//! Several processes, each with its own view of who owns what: calls between them over real sockets.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod breaks;
mod calls;
mod peers;
mod world;
