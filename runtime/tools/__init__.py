"""Tools: what a step may call, one kind a file."""
