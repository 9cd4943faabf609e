"""The ``search`` tool: past executions by meaning and by words, for system runs alone.

It asks what the API's search asks, through the same port. Each row says why it was found
and where it leads: ``stream`` and ``stream_seq`` name the event in the journal, ``href``
its transitions in the API.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

from runtime.data.folder import DataFolder
from runtime.errors import Permanent, Transient
from runtime.tools.history import only_for_system
from runtime.tools.port import Call, Outcome

_FILTERS: Final = {"of": "kind", "playbook": "playbook", "step": "step", "state": "state"}
"""The tool's key → what the record calls it."""
_LIMIT: Final = 20


class SearchTool:
    """Finds what resembles a text; the result is a list of hits, best first."""

    kind: ClassVar[str] = "search"

    def run(self, call: Call) -> Outcome:
        only_for_system(call)
        from runtime.record.access import RecorderAway, RecordError
        from runtime.record.search import Search

        asked = {name: call.text(key) for key, name in _FILTERS.items() if key in call.tool}
        search = Search.open(DataFolder(Path(call.task.objects).parent))
        try:
            found = search.search(call.text("query"), **asked, limit=_limit(call))
        except RecorderAway as error:
            raise Transient(str(error)) from error
        except RecordError as error:
            raise Permanent(str(error)) from error
        return Outcome([_row(asdict(hit)) for hit in found])


def _limit(call: Call) -> int:
    limit = call.tool.get("limit", _LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise Permanent(f"tool search: `limit` must be a whole number above 0, not {limit!r}")
    return limit


def _row(hit: dict[str, Any]) -> dict[str, Any]:
    return {**hit, "href": _href(hit)}


def _href(hit: dict[str, Any]) -> str:
    """Where the API shows what a hit stands for; for an execution, from its very event on."""
    if hit["stream"].startswith("run/"):
        run = hit["payload"]["run"]
        return f"/api/runs/{run}/events?after={hit['stream_seq'] - 1}"
    if hit["kind"] in ("proposal", "lesson"):
        return f"/api/proposals/{hit['payload']['proposal']}"
    return f"/api/playbooks/{hit['playbook']}"
