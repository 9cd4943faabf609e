"""The engine: one actor a run, dispatch, timers and recovery."""
