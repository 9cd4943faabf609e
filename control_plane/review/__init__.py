"""The review: the life of a proposal."""
