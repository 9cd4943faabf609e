"""What the engine may refuse.

::

EngineError
├── UnknownPlaybook   nothing is registered under that path or version
├── UnknownRun        no run has that id
├── BadWorkload       inputs do not fit what the playbook declares (all of them named)
├── UnknownLimit      a step uses a limit that nobody has declared
├── UnknownHardware   a step asks for a class of workers that is not there
├── CannotFork        a run cannot go on from there as another
├── CannotSteer       a run is in no state in which that could be done to it
├── NotWaiting        a step waits for no answer, or what it waits for is no signal
├── TooDeep           too many runs started one another
├── Gone              a value that it refers to was collected
├── BadOverride       an override names a step or knob that is not there
├── Draining          the engine is about to close and begins nothing more
└── KeyConflict       the idempotency key was used for another request
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine refused; nothing was written."""


class UnknownPlaybook(EngineError):
    """Nothing is registered under that path or version."""


class UnknownRun(EngineError):
    """No run has that id."""


class Draining(EngineError):
    """The engine is about to close and begins nothing more."""


class BadWorkload(EngineError):
    """Inputs do not fit what the playbook declares; ``faults`` is one ``(input, what)`` each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {what}" for name, what in faults))
        self.faults = faults


class UnknownLimit(EngineError):
    """A step uses a limit that neither its playbook nor this installation declares."""


class UnknownHardware(EngineError):
    """A step asks for a class of workers that this installation does not have."""


class CannotFork(EngineError):
    """A run cannot go on from that event as another."""


class CannotSteer(EngineError):
    """A run is in no state in which that could be done to it; the message says in which."""


class NotWaiting(EngineError):
    """A step waits for no answer, or what it waits for is no signal."""


class Gone(EngineError):
    """A value that it refers to was collected, or never written."""


class TooDeep(EngineError):
    """Too many runs started one another."""


class BadOverride(EngineError):
    """An override names a step or a knob that is not there."""


class KeyConflict(EngineError):
    """The idempotency key was used before, for another request."""
