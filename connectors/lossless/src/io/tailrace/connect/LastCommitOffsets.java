package io.tailrace.connect;

import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.connect.storage.OffsetStorageReader;

/**
 * The stored offsets, moved back to the end of the last transaction that was sent completely.
 *
 * <p>Postgres skips or sends whole transactions by the position of their commit, so a start at
 * {@code lsn_commit} repeats at most the half-sent transaction and misses nothing. Debezium drops
 * rows after a start only when it finds {@code lsn_proc}; without it every row is passed on.
 */
final class LastCommitOffsets implements OffsetStorageReader {

    private final OffsetStorageReader stored;

    LastCommitOffsets(OffsetStorageReader stored) {
        this.stored = stored;
    }

    @Override
    public <T> Map<String, Object> offset(Map<String, T> partition) {
        return atLastCommit(stored.offset(partition));
    }

    @Override
    public <T> Map<Map<String, T>, Map<String, Object>> offsets(
            Collection<Map<String, T>> partitions) {
        Map<Map<String, T>, Map<String, Object>> moved = new HashMap<>();
        for (Map.Entry<Map<String, T>, Map<String, Object>> entry :
                stored.offsets(partitions).entrySet()) {
            moved.put(entry.getKey(), atLastCommit(entry.getValue()));
        }
        return moved;
    }

    /** An offset inside a snapshot is left as it is: Debezium decides by it whether to start over. */
    static Map<String, Object> atLastCommit(Map<String, Object> offset) {
        if (offset == null || offset.containsKey("snapshot")) {
            return offset;
        }
        Map<String, Object> moved = new HashMap<>(offset);
        moved.remove("lsn_proc");
        moved.remove("lsn_events_processed");
        moved.remove("messageType");
        if (moved.get("lsn_commit") != null) {
            moved.put("lsn", moved.get("lsn_commit"));
        }
        return moved;
    }
}
