//! The threading service: threads and persons over gRPC.
