import sys, grpc
from google.protobuf.timestamp_pb2 import Timestamp
from rejoinder.ingest.v1 import ingest_service_pb2 as ingest, ingest_service_pb2_grpc as ingest_rpc
from rejoinder.ingest.v1.interaction_pb2 import Author, Interaction
from rejoinder.threading.v1 import thread_service_pb2 as threading, thread_service_pb2_grpc as threading_rpc

channel = grpc.insecure_channel(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7400")
now = Timestamp()
now.GetCurrentTime()
place = {"channel": "whatsapp", "account": "acme", "visibility": "VISIBILITY_PRIVATE", "event_time": now}
ann, acme = Author(id="4915112345678", name="Ann"), Author(id="acme")
asked = Interaction(external_id="wamid.1", author=ann, text="Where is my parcel?", **place)
told = Interaction(external_id="wamid.2", author=acme, to=[ann.id], direction="DIRECTION_OUTBOUND", text="On its way.", **place)
batch = ingest_rpc.IngestServiceStub(channel).PublishBatch(ingest.PublishBatchRequest(interactions=[asked, told]))
for result in batch.results:
    print(ingest.PublishResult.Outcome.Name(result.outcome), result.interaction_id or result.refusal.message)

threads = threading_rpc.ThreadServiceStub(channel)
for thread in threads.ListThreads(threading.ListThreadsRequest(wait_for=batch.as_of)).threads:
    messages = threads.ListMessages(threading.ListMessagesRequest(thread_id=thread.thread_id)).messages
    for message in messages if any(message.external_id == "wamid.1" for message in messages) else []:
        print(thread.thread_id, message.author_name or "acme", "says:", message.text)
