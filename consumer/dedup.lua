-- The idempotency keys of one sink, one round trip for all partitions of a batch.
-- KEYS: for each partition a hash {next, bytes} and a list of packed 16-byte ids, oldest first.

-- claim: what reaches beyond the sink's own offset is not true any more: the sink was restored.
-- ARGV: the sink's next offset for each partition. Returns how many partitions were forgotten.
local function claim(keys, args)
  local forgotten = 0
  for i = 1, #args do
    local next_offset = redis.call('HGET', keys[2 * i - 1], 'next')
    if next_offset and tonumber(next_offset) > tonumber(args[i]) then
      redis.call('DEL', keys[2 * i - 1], keys[2 * i])
      forgotten = forgotten + 1
    end
  end
  return forgotten
end

-- remember: adds what was applied and trims the oldest, so that a partition keeps to its bytes.
-- ARGV: bytes kept, seconds kept, then for each partition its next offset and its packed ids.
local function remember(keys, args)
  local most, seconds = tonumber(args[1]), args[2]
  for i = 1, #keys / 2 do
    local state, ids = keys[2 * i - 1], keys[2 * i]
    local packed = args[2 * i + 2]
    if #packed > 0 then
      redis.call('RPUSH', ids, packed)
      local bytes = redis.call('HINCRBY', state, 'bytes', #packed)
      while bytes > most do
        local oldest = redis.call('LPOP', ids)
        if not oldest then break end
        bytes = redis.call('HINCRBY', state, 'bytes', -#oldest)
      end
      redis.call('EXPIRE', ids, seconds)
    end
    redis.call('HSET', state, 'next', args[2 * i + 1])
    redis.call('EXPIRE', state, seconds)
  end
  return 0
end

local verb = table.remove(ARGV, 1)
if verb == 'claim' then return claim(KEYS, ARGV) end
return remember(KEYS, ARGV)
