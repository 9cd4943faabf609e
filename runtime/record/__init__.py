"""The record: copies of the journal in ClickHouse and Qdrant, and the one way to read them."""
