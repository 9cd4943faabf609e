"""The journal: the append-only store of events, the source of truth."""
