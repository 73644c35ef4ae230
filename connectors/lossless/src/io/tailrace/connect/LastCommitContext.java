package io.tailrace.connect;

import java.util.Map;
import org.apache.kafka.common.metrics.PluginMetrics;
import org.apache.kafka.connect.source.SourceTaskContext;
import org.apache.kafka.connect.source.TransactionContext;
import org.apache.kafka.connect.storage.OffsetStorageReader;

/** Connect's own context, but its offset reader answers with {@link LastCommitOffsets}. */
final class LastCommitContext implements SourceTaskContext {

    private final SourceTaskContext connect;

    LastCommitContext(SourceTaskContext connect) {
        this.connect = connect;
    }

    @Override
    public Map<String, String> configs() {
        return connect.configs();
    }

    @Override
    public OffsetStorageReader offsetStorageReader() {
        OffsetStorageReader stored = connect.offsetStorageReader();
        return stored == null ? null : new LastCommitOffsets(stored);
    }

    @Override
    public TransactionContext transactionContext() {
        return connect.transactionContext();
    }

    @Override
    public PluginMetrics pluginMetrics() {
        return connect.pluginMetrics();
    }
}
