import queue, sys, grpc
from google.protobuf.timestamp_pb2 import Timestamp
from rejoinder.ingest.v1 import ingest_service_pb2 as ingest, ingest_service_pb2_grpc as ingest_rpc
from rejoinder.ingest.v1.interaction_pb2 import Author, Interaction
from rejoinder.routing.v1.agent_service_pb2 import WorkRequest
from rejoinder.routing.v1.agent_service_pb2_grpc import AgentServiceStub
from rejoinder.routing.v1.work_item_pb2 import WorkItem
from rejoinder.threading.v1 import person_service_pb2 as person, person_service_pb2_grpc as person_rpc
from rejoinder.threading.v1 import thread_service_pb2 as threading, thread_service_pb2_grpc as threading_rpc

name, endpoint = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:7400"
channel = grpc.insecure_channel(endpoint)
up = queue.Queue()


def ask(number, **request):
    up.put(WorkRequest(request_id=f"{name}-{number}", **request))


def answer(thread_id):
    """Sends our words to the customer, and publishes them as a connector would once the channel has them."""
    newest = threading.ListMessagesRequest(thread_id=thread_id, newest_first=True, page_size=1)
    asked = threading_rpc.ThreadServiceStub(channel).ListMessages(newest).messages[0]
    who = person_rpc.PersonServiceStub(channel).GetPerson(person.GetPersonRequest(person_id=asked.person_id)).person
    customer = next(handle.id for handle in who.handles if handle.channel == asked.channel)
    now = Timestamp()
    now.GetCurrentTime()
    reply = Interaction(channel=asked.channel, account=asked.account, external_id=f"reply-{asked.external_id}",
                        author=Author(id=asked.account), to=[customer], direction="DIRECTION_OUTBOUND",
                        visibility="VISIBILITY_PRIVATE", text="We are on it.", event_time=now)
    ingest_rpc.IngestServiceStub(channel).PublishBatch(ingest.PublishBatchRequest(interactions=[reply]))


ask("hello", hello=WorkRequest.Hello(agent_id=name, presence="PRESENCE_AVAILABLE", with_context=True))
for told in AgentServiceStub(channel).Work(iter(up.get, None)):
    what = told.WhichOneof("response")
    offers = told.welcome.offers if what == "welcome" else [told.offer] if what == "offer" else []
    if what == "welcome":
        print(f"{name} is signed in and has {len(told.welcome.items)} items", flush=True)
    for offer in offers:
        print(f"offered: {offer.item_id} of queue {offer.queue}", flush=True)
        ask(offer.offer_id, accept=WorkRequest.AcceptOffer(offer_id=offer.offer_id))
    if what == "context":
        for message in told.context.messages:
            print(f"  {message.author_name or 'acme'} says: {message.text}")
        for clock in told.context.clocks:
            print(f"  {clock.metric} is due at {clock.due_at.ToJsonString()}", flush=True)
    if what == "item_changed":
        print(f"{told.item_changed.item_id} is {WorkItem.Phase.Name(told.item_changed.phase)}", flush=True)
        if told.item_changed.phase == WorkItem.PHASE_ASSIGNED:
            answer(told.item_changed.thread_id)
    if what == "answer" and told.answer.code:
        print(f"refused: {told.answer.message}", flush=True)
