"""Simulate: a recorded run replayed under other knob values, before anything runs."""
