// Reads deliveries of one channel, and asks the API what it is.
//
//   TAMIS_API=http://127.0.0.1:8081 java -cp 'kafka-clients.jar:…' Gateway.java 127.0.0.1:9092 tamis sms gateway-a 1
//
// The last argument is after how many deliveries to stop.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Gateway {
    public static void main(String[] args) throws Exception {
        String servers = args[0], prefix = args[1], channel = args[2], group = args[3];
        int most = Integer.parseInt(args[4]);

        // The document needs no key: it says which calls there are.
        HttpRequest ask = HttpRequest.newBuilder(URI.create(System.getenv("TAMIS_API") + "/openapi.json"))
            .timeout(Duration.ofSeconds(30)).build();
        String document = HttpClient.newHttpClient().send(ask, BodyHandlers.ofString()).body();
        if (!document.contains("\"/v1/suppressions\"")) throw new IllegalStateException("this is not tamis");

        Map<String, Object> settings = Map.of(
            "bootstrap.servers", servers,
            "group.id", group,
            "auto.offset.reset", "earliest",
            // Only what is committed: a delivery that was taken back never was.
            "isolation.level", "read_committed",
            // By hand, once what was read has been sent: tamis deletes what every reader has committed.
            "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(prefix + ".deliveries." + channel + ".v1"));
            for (int read = 0; read < most; ) {
                for (var delivery : consumer.poll(Duration.ofSeconds(1))) {
                    // Here it would be sent. The value is a tamis.campaign.v1.Delivery; the key is the job's id, never an address.
                    System.out.println("delivery " + delivery.key() + " bytes " + delivery.value().length);
                    read++;
                }
                consumer.commitSync();
            }
        }
    }
}
