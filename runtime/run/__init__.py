"""The run: events, decide, evolve, and the layers that configure a step. Values in, values out."""
