import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import rejoinder.event.v1.EventOuterClass.Event;

/** Prints routing events and alarms. */
public class Consume {
    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", args.length > 0 ? args[0] : "127.0.0.1:9092");
        settings.put("group.id", "our-wallboard");
        // Events of transactions that were given up are not shown.
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        // Offsets are committed below, after the work.
        settings.put("enable.auto.commit", "false");
        var prefix = args.length > 1 ? args[1] : "rejoinder";
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(prefix + ".routing.v1", prefix + ".alarm.v1"));
            while (true) {
                var records = consumer.poll(Duration.ofSeconds(1));
                for (var record : records) {
                    work(record, Event.parseFrom(record.value()));
                }
                if (!records.isEmpty()) {
                    consumer.commitSync();
                }
            }
        }
    }

    static void work(ConsumerRecord<String, byte[]> record, Event event) {
        switch (event.getBodyCase()) {
            case OFFER_MADE -> print(record, "offered to " + event.getOfferMade().getAgent());
            case WORK_ITEM_QUEUED -> print(record, "waits in queue " + event.getWorkItemQueued().getQueue());
            case ALARM_RAISED -> print(record, event.getAlarmRaised().getMetric() + " " + event.getAlarmRaised().getKind());
            default -> print(record, "");
        }
    }

    static void print(ConsumerRecord<String, byte[]> record, String what) {
        System.out.println(String.join(" ", header(record, "ce_time"), header(record, "ce_workspace"),
            header(record, "ce_type"), record.key(), header(record, "ce_id"), what));
    }

    static String header(ConsumerRecord<String, byte[]> record, String name) {
        return new String(record.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
    }
}
