package io.tailrace.connect;

import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Completes what Debezium's event router made of an outbox row to a CloudEvent in binary mode.
 *
 * <p>The router makes a header of each column, also where that is NULL; an attribute of a CloudEvent
 * is there with a value or not at all. Kafka's InsertHeader cannot say "1.0": it makes a number of it.
 */
public class CloudEventHeaders<R extends ConnectRecord<R>> implements Transformation<R> {

    @Override
    public R apply(R record) {
        record.headers()
                .apply(header -> header.value() == null ? null : header)
                .addString("ce_specversion", "1.0")
                .addString("content-type", "application/json");
        return record;
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef();
    }

    @Override
    public void configure(Map<String, ?> settings) {
        // It has none.
    }

    @Override
    public void close() {
        // It holds nothing.
    }
}
