"""The execution runtime: playbooks as token flows, in supervised processes, kept as events."""
