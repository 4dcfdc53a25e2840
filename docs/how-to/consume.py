import sqlite3, sys
from confluent_kafka import Consumer
from rejoinder.event.v1.event_pb2 import Event

brokers, prefix, results = (sys.argv[1:] + ["127.0.0.1:9092", "rejoinder", "results.db"][len(sys.argv) - 1:])[:3]
store = sqlite3.connect(results)
store.execute("CREATE TABLE IF NOT EXISTS seen (topic TEXT, shard INT, ownseq INT, PRIMARY KEY (topic, shard))")
store.execute("CREATE TABLE IF NOT EXISTS facts (id TEXT, what TEXT)")

consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": "our-reports",
    # Events of transactions that were given up are not shown.
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    # Offsets are committed below, after the work.
    "enable.auto.commit": False,
    # After a crash the next of us waits so long.
    "session.timeout.ms": 10_000,
})
consumer.subscribe([f"{prefix}.routing.v1", f"{prefix}.alarm.v1"])


def work(headers, event):
    """What you do with an event; it takes effect with the transaction of `store`, or not at all."""
    body = getattr(event, event.WhichOneof("body"))
    fields = " ".join(f"{field.name}={value}" for field, value in body.ListFields() if field.type != field.TYPE_MESSAGE)
    store.execute("INSERT INTO facts VALUES (?, ?)", (headers["ce_id"], headers["ce_type"]))
    print(headers["ce_time"], headers["ce_workspace"], headers["ce_type"], headers["ce_subject"], fields, flush=True)


try:
    while True:
        for message in consumer.consume(num_messages=500, timeout=1.0):
            if message.error():
                raise SystemExit(message.error())
            headers = {name: value.decode() for name, value in message.headers()}
            place, ownseq = (message.topic(), message.partition()), int(headers["ce_ownseq"])
            last = store.execute("SELECT ownseq FROM seen WHERE topic = ? AND shard = ?", place).fetchone()
            if last and ownseq <= last[0]:
                print("had", headers["ce_id"], "already", file=sys.stderr)
                continue
            work(headers, Event.FromString(message.value()))
            store.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (*place, ownseq))
            store.commit()
            consumer.commit(message, asynchronous=True)
except KeyboardInterrupt:
    consumer.close()
