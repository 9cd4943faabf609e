"""Models of service time and failures."""
