-- What an attempt ran, whether another of the same work was first, and whether its step's retry budget
-- refused it another try. Of attempts from before that is not known.

ALTER TABLE attempt
  ADD COLUMN IF NOT EXISTS alternative LowCardinality(String) COMMENT 'which of its tools the step ran, default is its own; empty: it has no other, or from before this was written',
  ADD COLUMN IF NOT EXISTS hedge LowCardinality(String) COMMENT 'beside: it began beside another try of its work; won: it did, and was first to succeed; beaten: another was first; else empty',
  ADD COLUMN IF NOT EXISTS over_budget UInt8 COMMENT '1: another try would have followed, but the retry budget of its step was spent';

CREATE OR REPLACE VIEW attempts AS SELECT * FROM attempt FINAL;
