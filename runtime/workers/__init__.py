"""Workers: the processes that attempts run in."""
