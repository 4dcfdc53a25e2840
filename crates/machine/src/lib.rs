//! The decide and apply kernel.
