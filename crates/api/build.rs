//! Compiles the public protobuf files without a protoc on the machine.
use prost::Message as _;

const FILES: [&str; 11] = [
    "rejoinder/admin/v1/admin_service.proto",
    "rejoinder/cluster/v1/peer_service.proto",
    "rejoinder/feed/v1/event_feed_service.proto",
    "rejoinder/ingest/v1/ingest_service.proto",
    "rejoinder/ingest/v1/policy_service.proto",
    "rejoinder/routing/v1/agent_service.proto",
    "rejoinder/routing/v1/routing_service.proto",
    "rejoinder/sla/v1/alarm_service.proto",
    "rejoinder/sla/v1/clock_service.proto",
    "rejoinder/threading/v1/person_service.proto",
    "rejoinder/threading/v1/thread_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    let api = protox::compile(FILES, [root])?;
    std::fs::write(out.join("api.bin"), api.encode_to_vec())?;
    // Events too: whoever subscribes to the feed can read them by reflection.
    let events = protox::compile(["rejoinder/event/v1/event.proto"], [root])?;
    std::fs::write(out.join("events.bin"), events.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(api)?;
    Ok(())
}
