"""Search: which of many settings to try next, learnt from what other steps have shown."""
