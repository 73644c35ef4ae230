package io.tailrace.connect;

import io.debezium.connector.base.QueueProvider;
import io.debezium.pipeline.DataChangeEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The queue between Debezium's reading thread and Connect's, which gives what is there at once.
 *
 * <p>Debezium waits out {@code poll.interval.ms} however early a record comes, and spins through the
 * last millisecond of each wait (docs/lossless.md has the measurement).
 */
public final class PromptQueue implements QueueProvider<DataChangeEvent> {

    static final String DEBEZIUM_BYTES = "max.queue.size.in.bytes";
    private static final long MOST_BYTES = 32L << 20;
    private static final long GATHER_MS = 3;
    private static final Map<String, PromptQueue> BY_CONNECTOR = new ConcurrentHashMap<>();

    private record Sized(DataChangeEvent event, long bytes) {}

    private final BlockingQueue<Sized> queue = new LinkedBlockingQueue<>();
    private final AtomicLong bytes = new AtomicLong();
    private volatile Thread taker;

    /** The newest queue of a connector, which its task asks for once it has started. */
    static PromptQueue of(String connector) {
        return BY_CONNECTOR.get(connector);
    }

    @Override
    public String name() {
        return "prompt";
    }

    @Override
    public void configure(Map<String, ?> settings) {
        Object limit = settings.get(DEBEZIUM_BYTES);
        if (limit != null && Long.parseLong(limit.toString()) > 0) {
            throw new ConnectException(
                    DEBEZIUM_BYTES + " does not go with the queue `prompt`, which has a limit of 32"
                            + " MiB of its own: leave it out");
        }
        BY_CONNECTOR.put(String.valueOf(settings.get("name")), this);
    }

    @Override
    public void enqueue(DataChangeEvent event) {
        Sized sized = new Sized(event, event.objectSize());
        bytes.addAndGet(sized.bytes());
        queue.add(sized);
    }

    @Override
    public DataChangeEvent poll() {
        Sized sized = queue.poll();
        return sized == null ? null : taken(sized);
    }

    /** Debezium lets no more in from its configured length on; so many bytes are as full. */
    @Override
    public int size() {
        boolean isFull = bytes.get() >= MOST_BYTES && Thread.currentThread() != taker;
        return isFull ? Integer.MAX_VALUE : queue.size();
    }

    /** Up to {@code most}, after what comes right behind the first; empty after {@code waitMs}. */
    List<SourceRecord> take(int most, long waitMs) throws InterruptedException {
        taker = Thread.currentThread();
        Sized first = queue.poll(waitMs, TimeUnit.MILLISECONDS);
        if (first == null) {
            return List.of();
        }
        if (queue.size() < most - 1) {
            Thread.sleep(GATHER_MS);
        }
        List<Sized> found = new ArrayList<>();
        found.add(first);
        queue.drainTo(found, most - 1);
        List<SourceRecord> records = new ArrayList<>(found.size());
        for (Sized sized : found) {
            records.add(taken(sized).getRecord());
        }
        return records;
    }

    private DataChangeEvent taken(Sized sized) {
        bytes.addAndGet(-sized.bytes());
        return sized.event();
    }
}
