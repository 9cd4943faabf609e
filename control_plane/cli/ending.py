"""How a run that was waited for ended, told to who waited."""

from __future__ import annotations

import json
from collections.abc import Iterator

from control_plane.cli.talk import Code, Format, Row, emit_one, put, red, say
from control_plane.clock import span


def tell(view: Row, output: Format) -> Code:
    """Write a run's result to stdout and its end to stderr; returns the exit code."""
    if output is Format.TABLE:
        if view.get("result") is not None:
            put(json.dumps(view["result"], indent=2, default=str))
    else:
        emit_one(view, output, lambda _: ())
    if view["state"] == "completed":
        say(f"run {view['run']} completed in {span(view['wall_s'])}")
        return Code.OK
    if view["state"] in ("failed", "cancelled"):
        for text in fault_lines(view):
            say(text)
        say(f"next: trimtab run show {view['run']}")
        return Code.FAILED
    say(f"run {view['run']} is {view['state']}; next: trimtab run watch {view['run']}")
    return Code.OK


def fault_lines(view: Row) -> Iterator[str]:
    """Yield what is told of a run that failed or was cancelled."""
    fault = view.get("fault")
    yield f"{red('error:')} run {view['run']} {view['state']}"
    if not fault:
        return
    yield f"  step {view['fault_step']} ({fault['cls']}): {fault['message']}"
    if fault.get("where"):
        yield f"  at {fault['where']}"
    for text in str(fault.get("traceback") or "").rstrip().splitlines():
        yield f"  | {text}"
