"""Variant: the step with the tool that its configuration chooses.

>>> from runtime.playbook.model import Alternative, Step
>>> step = Step("a", {"kind": "python"}, alternatives={"duck": Alternative({"kind": "sql"})})
>>> chosen(step, {"alternatives": "duck"}).tool, chosen(step, {}).tool
({'kind': 'sql'}, {'kind': 'python'})
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.playbook.model import DEFAULT, Step
from runtime.run.events import Fault, Json


def chosen(step: Step, values: Mapping[str, Json]) -> Step | Fault:
    """Return the step as it runs with these values of its knobs.

    A fault when it has no such alternative any more, as after a fork to other code.
    """
    name = values.get("alternatives", DEFAULT)
    try:
        return step.variant(name)
    except KeyError:
        known = ", ".join((DEFAULT, *step.alternatives))
        return Fault("permanent", f"{step.name} has no alternative {name}: it has {known}")
