package io.tailrace.connect;

import io.debezium.config.CommonConnectorConfig;
import io.debezium.config.Configuration;
import io.debezium.connector.postgresql.PostgresConnectorConfig;
import io.debezium.connector.postgresql.PostgresConnectorTask;
import io.debezium.connector.postgresql.PostgresOffsetContext;
import io.debezium.connector.postgresql.PostgresPartition;
import io.debezium.connector.postgresql.PostgresSchema;
import io.debezium.connector.postgresql.connection.PostgresConnection;
import io.debezium.connector.postgresql.connection.ReplicationConnection;
import io.debezium.function.LogPositionValidator;
import io.debezium.pipeline.ChangeEventSourceCoordinator;
import io.debezium.pipeline.spi.OffsetContext;
import io.debezium.pipeline.spi.Partition;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTaskContext;

/** Debezium's task, but for where it goes on after a start, and how it waits for records. */
public class LosslessPostgresTask extends PostgresConnectorTask {

    private static final long WAIT_MS = 100;

    private PromptQueue queue;
    private int batchSize;

    @Override
    public ChangeEventSourceCoordinator<PostgresPartition, PostgresOffsetContext> start(
            Configuration config) {
        var coordinator = super.start(config);
        queue = PromptQueue.of(config.getString("name"));
        batchSize = config.getInteger(CommonConnectorConfig.MAX_BATCH_SIZE);
        return coordinator;
    }

    /** Debezium's own way where nothing came: it says what the reading thread has failed of. */
    @Override
    public List<SourceRecord> doPoll() throws InterruptedException {
        List<SourceRecord> found = queue == null ? List.of() : queue.take(batchSize, WAIT_MS);
        return found.isEmpty() ? super.doPoll() : found;
    }

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
