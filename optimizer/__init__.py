"""The optimizer: evidence, models, guards and verdicts over recorded history."""
