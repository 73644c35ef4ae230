package io.tailrace.connect;

import io.debezium.config.CommonConnectorConfig;
import io.debezium.connector.postgresql.PostgresConnectorConfig;
import io.debezium.connector.postgresql.PostgresConnectorTask;
import io.debezium.connector.postgresql.PostgresOffsetContext;
import io.debezium.connector.postgresql.PostgresSchema;
import io.debezium.connector.postgresql.connection.PostgresConnection;
import io.debezium.connector.postgresql.connection.ReplicationConnection;
import io.debezium.function.LogPositionValidator;
import io.debezium.pipeline.spi.OffsetContext;
import io.debezium.pipeline.spi.Partition;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.connect.source.SourceTaskContext;

/** Debezium's task, but for where it goes on after a start. */
public class LosslessPostgresTask extends PostgresConnectorTask {

    @Override
    public void initialize(SourceTaskContext context) {
        super.initialize(new LastCommitContext(context));
    }

    @Override
    protected ReplicationConnection buildReplicationConnection(
            PostgresConnection connection, PostgresSchema schema, PostgresConnectorConfig config)
            throws SQLException {
        return new SlotFirst(super.buildReplicationConnection(connection, schema, config));
    }

    /**
     * Debezium notices a slot that was made anew by comparing it with {@code lsn_proc}. That is
     * hidden, so for this question alone the position we resume at stands in its place.
     */
    @Override
    public boolean isLogPositionAvailable(
            LogPositionValidator validator,
            Partition partition,
            OffsetContext offset,
            CommonConnectorConfig config) {
        Map<String, Object> asked = new HashMap<>(offset.getOffset());
        asked.putIfAbsent("lsn_proc", asked.get("lsn"));
        OffsetContext shown =
                new PostgresOffsetContext.Loader((PostgresConnectorConfig) config).load(asked);
        return super.isLogPositionAvailable(validator, partition, shown, config);
    }
}
