"""The facts, by what they are about. `runtime.run.events` is the union of them all."""
