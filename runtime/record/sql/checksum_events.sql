-- checksum_events: count and checksums of the events up to a cursor, over (stream, sequence, body).
-- default writers = []
-- default positions = []
-- default since = 0
SELECT
  count() AS rows,
  uniqExact(stream, stream_seq) AS distinct_rows,
  groupBitXor(mark) AS checksum_xor,
  sum(mark) AS checksum_sum
FROM (
  SELECT stream, stream_seq,
    reinterpretAsUInt64(substring(SHA256(concat(stream, '\0', toString(stream_seq), '\0', body)), 1, 8)) AS mark
  FROM event
  WHERE at >= toDateTime({since:UInt32}, 'UTC')
    AND (empty({writers:Array(UInt32)})
      OR (has({writers:Array(UInt32)}, writer)
        AND pos <= {positions:Array(UInt64)}[indexOf({writers:Array(UInt32)}, writer)]))
)
