package io.tailrace.connect;

import io.debezium.connector.postgresql.connection.Lsn;
import io.debezium.connector.postgresql.connection.ReplicationConnection;
import io.debezium.connector.postgresql.connection.ReplicationStream;
import io.debezium.connector.postgresql.connection.WalPositionLocator;
import io.debezium.connector.postgresql.spi.SlotCreationResult;
import java.sql.SQLException;
import java.util.Optional;

/**
 * Debezium's replication connection, but until a commit has been sent the slot says where to start.
 *
 * <p>Debezium would start at the end of the log as it was when the task started, or when the last
 * attempt at a snapshot began. What was committed between the slot's making and then is in the slot
 * and nowhere else: rows deleted since an earlier attempt at the snapshot, for one.
 */
@SuppressWarnings("try") // Debezium's interface is AutoCloseable, whose close() may throw anything.
final class SlotFirst implements ReplicationConnection {

    private final ReplicationConnection debezium;

    SlotFirst(ReplicationConnection debezium) {
        this.debezium = debezium;
    }

    @Override
    public ReplicationStream startStreaming(Lsn offset, WalPositionLocator position)
            throws SQLException, InterruptedException {
        boolean commitWasSent = position.getLastCommitStoredLsn() != null;
        return debezium.startStreaming(commitWasSent ? offset : null, position);
    }

    @Override
    public ReplicationStream startStreaming(WalPositionLocator position)
            throws SQLException, InterruptedException {
        return debezium.startStreaming(position);
    }

    @Override
    public Optional<SlotCreationResult> createReplicationSlot() throws SQLException {
        return debezium.createReplicationSlot();
    }

    @Override
    public void initConnection() throws SQLException, InterruptedException {
        debezium.initConnection();
    }

    @Override
    public boolean isConnected() throws SQLException {
        return debezium.isConnected();
    }

    @Override
    public void reconnect() throws SQLException {
        debezium.reconnect();
    }

    @Override
    public void close() throws Exception {
        debezium.close();
    }
}
