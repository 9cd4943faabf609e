-- checksum_attempts: count and checksums of the attempts up to a cursor, over what each row was derived from.
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
    reinterpretAsUInt64(substring(SHA256(concat(
      stream, '\0', toString(stream_seq), '\0', attempt, '\0', playbook, '\0', step, '\0', outcome, '\0',
      config, '\0', toString(items), '\0', toString(retried), '\0', arm)), 1, 8)) AS mark
  FROM attempt
  WHERE at >= toDateTime({since:UInt32}, 'UTC')
    AND (empty({writers:Array(UInt32)})
      OR (has({writers:Array(UInt32)}, writer)
        AND pos <= {positions:Array(UInt64)}[indexOf({writers:Array(UInt32)}, writer)]))
)
