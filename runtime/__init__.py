"""The execution runtime: playbooks as token flows, run in supervised processes, recorded as events."""
