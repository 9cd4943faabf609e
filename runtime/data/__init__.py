"""Data: references, the object store, Arrow tables and data products."""
