//! Compiles the log's protobuf files without a protoc on the machine.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = protox::compile(["rejoinder/log/v1/record.proto", "rejoinder/event/v1/event.proto"], [root])?;
    prost_build::Config::new()
        .btree_map(["."])
        .bytes([".rejoinder.log.v1.Record.events"])
        .boxed(".rejoinder.event.v1.Event.body.interaction_received")
        .boxed(".rejoinder.event.v1.Event.body.message_placed")
        .boxed(".rejoinder.event.v1.Event.body.work_item_queued")
        .boxed(".rejoinder.event.v1.Event.body.work_item_prioritised")
        .boxed(".rejoinder.event.v1.Event.body.decision_explained")
        .compile_fds(files)?;
    Ok(())
}
