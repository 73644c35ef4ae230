package io.tailrace.connect;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Completes what Debezium's event router made of an outbox row to a CloudEvent in binary mode.
 *
 * <p>The router makes a header of each column, also where that is NULL; an attribute of a CloudEvent
 * is there with a value or not at all. Kafka's InsertHeader cannot say "1.0": it makes a number of it.
 *
 * <p>A saga's command is for one participant: it goes to that one's topic, so that no other reads it.
 */
public class CloudEventHeaders<R extends ConnectRecord<R>> implements Transformation<R> {

    static final String COMMANDS = "commands";
    private static final Pattern COMMAND =
            Pattern.compile("saga/[^/]*/[^/]*/[^/]*/([A-Za-z0-9_-]+)\\.[^/]*/(?:do|undo)");

    private String commands;

    @Override
    public R apply(R record) {
        record.headers()
                .apply(header -> header.value() == null ? null : header)
                .addString("ce_specversion", "1.0")
                .addString("content-type", "application/json");
        Header address = record.headers().lastWithName("ce_aggregatetype");
        if (address == null || commands == null) {
            return record;
        }
        Matcher command = COMMAND.matcher(String.valueOf(address.value()));
        return command.matches() ? in(commands + command.group(1), record) : record;
    }

    private R in(String topic, R record) {
        return record.newRecord(
                topic,
                record.kafkaPartition(),
                record.keySchema(),
                record.key(),
                record.valueSchema(),
                record.value(),
                record.timestamp());
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef()
                .define(
                        COMMANDS,
                        ConfigDef.Type.STRING,
                        null,
                        ConfigDef.Importance.HIGH,
                        "How the topics of saga commands begin; the participant's name follows."
                                + " Without it they stay where they are.");
    }

    @Override
    public void configure(Map<String, ?> settings) {
        commands = (String) settings.get(COMMANDS);
    }

    @Override
    public void close() {
        // It holds nothing.
    }
}
