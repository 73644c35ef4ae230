package io.tailrace.connect;

import io.debezium.connector.postgresql.PostgresConnectorTask;
import org.apache.kafka.connect.source.SourceTaskContext;

/** Changes one thing in Debezium's task: which stored offset it sees when it starts. */
public class LosslessPostgresTask extends PostgresConnectorTask {

    @Override
    public void initialize(SourceTaskContext context) {
        super.initialize(new LastCommitContext(context));
    }
}
