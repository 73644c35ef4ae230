package io.tailrace.connect;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.json.JsonConverter;

/**
 * Kafka's JSON, but what is a text as a whole is written as it is, without quotes.
 *
 * <p>So key and payload of an outbox row arrive byte for byte, while the rows of tables, which are
 * structures, stay JSON. One connector has one converter, hence the two in one.
 */
public class TextOrJsonConverter extends JsonConverter {

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        return value instanceof String text
                ? text.getBytes(StandardCharsets.UTF_8)
                : super.fromConnectData(topic, schema, value);
    }
}
