"""Search: what the record holds that means something like this, or says these words.

Two rankings of the same points, by meaning (dense) and by words (BM25), are fused by their
scores. Each hit says which of them found it and why, and where in the journal it leads::

    for hit in Search.open(folder).search("service did not answer", kind="failure"):
        print(hit.score, hit.text, hit.why)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.record.access import ask

LIMIT: Final = 200
BY: Final = ("both", "words", "meaning")
"""Which rankings are asked."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that answers a search.

    ``why`` holds ``meaning`` (``{rank, similarity, phrase}``) and ``words`` (``{rank,
    matched}``), each only when that ranking found it; ``phrase`` is the part of the text that
    is nearest to what was asked; and ``kind`` (``{name, share}``) when the question complains of
    such errors. ``stream`` and ``stream_seq`` lead to the latest event it stands for;
    ``count`` says how many events share it.
    """

    id: str
    kind: str
    text: str
    score: float
    why: dict[str, Any]
    playbook: str
    step: str
    state: str
    count: int
    first_at: float
    last_at: float
    stream: str
    stream_seq: int
    payload: dict[str, Any]

    @property
    def because(self) -> str:
        """Why it was found, in words."""
        said = []
        if "words" in self.why:
            said.append("says " + ", ".join(self.why["words"]["matched"]))
        if "meaning" in self.why:
            near = self.why["meaning"].get("phrase", "")
            said.append(
                f"close in meaning ({self.why['meaning']['similarity']:.2f})"
                + (f": “{near}”" if near else "")
            )
        if "kind" in self.why:
            said.append(f"is of a kind that this complains of: {self.why['kind']['name']}")
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures that have one cause, on however many steps.

    ``name`` is the kind of error in plain words, ``example`` the failure that was met most
    often, ``where`` the steps that met it, as playbook and step.
    """

    name: str
    count: int
    first_at: float
    last_at: float
    failures: int
    where: list[list[str]]
    example: dict[str, Any]


class Search:
    """Asks the recorder of a data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    @classmethod
    def open(cls, folder: DataFolder | Path | str) -> Search:
        """Return a searcher of a data folder."""
        return cls(folder if isinstance(folder, DataFolder) else DataFolder(Path(folder)))

    def search(
        self, text: str, *, by: str = "both", limit: int = 20, **filters: str | float | None
    ) -> list[Hit]:
        """Return the best hits, best first.

        Filters are fields of the payload (``kind``, ``playbook``, ``step``, ``state``…), and
        ``since`` and ``until``, in seconds since the epoch.

        Raises:
            RecorderAway: no recorder answers.
        """
        return self._hits("/search", {"text": text, "by": by, "limit": limit, **filters})

    def facets(self, text: str, **filters: str | float | None) -> dict[str, dict[str, int]]:
        """Return how many of what a search finds has each kind, playbook, step and state."""
        said: dict[str, dict[str, int]] = self._ask("/facets", {"text": text, **filters})["facets"]
        return said

    def similar(self, run: str, limit: int = 20, **filters: str | float | None) -> list[Hit]:
        """Return what is like a run that ended, itself and its likes left out."""
        return self._hits("/similar", {"run": run, "limit": limit, **filters})

    def causes(self, **filters: str | float | None) -> list[Cause]:
        """Return the failures grouped by cause, the most frequent first."""
        return [Cause(**cause) for cause in self._ask("/causes", filters)["causes"]]

    def points(self) -> int:
        """Return how many points there are."""
        return len(self.ids())

    def ids(self) -> set[str]:
        """Return the ids of all points."""
        return set(ask(self._folder, "/points")["ids"])

    def reindex(self) -> dict[str, Any]:
        """Have all points made anew from the journal; the old ones serve until it is done."""
        said: dict[str, Any] = ask(self._folder, "/reindex", {})
        return said

    def _hits(self, path: str, asked: Mapping[str, Any]) -> list[Hit]:
        return [Hit(**hit) for hit in self._ask(path, asked)["hits"]]

    def _ask(self, path: str, asked: Mapping[str, Any]) -> Any:
        return ask(self._folder, path, {k: v for k, v in asked.items() if v is not None})
