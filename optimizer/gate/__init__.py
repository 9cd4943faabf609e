"""Gate: what may be proposed from history alone, with probabilities that are kept honest."""
