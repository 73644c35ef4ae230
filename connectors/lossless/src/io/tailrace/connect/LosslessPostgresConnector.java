package io.tailrace.connect;

import io.debezium.connector.postgresql.PostgresConnector;
import org.apache.kafka.connect.connector.Task;

/**
 * Debezium's Postgres connector, started at a position where its resume filter stays off.
 * Why that is needed, and what it costs: docs/lossless.md.
 */
public class LosslessPostgresConnector extends PostgresConnector {

    @Override
    public Class<? extends Task> taskClass() {
        return LosslessPostgresTask.class;
    }
}
