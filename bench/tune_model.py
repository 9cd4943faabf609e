"""Teaches the static model how people complain of errors: the second step of what ships.

``distill_model.py`` gives a model of general English. Here its vectors learn, from the
complaints of ``runtime/record/wording.txt`` put into the jobs of ``tune_domains.txt``, that texts
of one kind of error are near to each other, and that a complaint is near to the job it names; the
distances of other sentences (``docs/concepts``) are held. One linear map moves all words, those of
the complaints move a little on their own. No question of ``search_questions.json`` is read, and
no job of the corpus is among the domains. Needs torch; a few minutes, the same each time::

    python -m bench.tune_model distilled/ runtime/record/model
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from model2vec import StaticModel
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from runtime.record.wording import Kind, catalogue

SEED: Final = 4
EPOCHS: Final = 10
RATE: Final = 1e-3
_KINDS: Final = 24
_EACH: Final = 3
_WARM: Final = 0.07
_HERE: Final = Path(__file__).parent
_STEPS: Final = (
    "load", "fetch", "parse", "store", "write", "send", "read", "check", "merge", "render",
    "submit", "score", "upload", "export", "clean", "join", "index", "book", "verify", "collect",
)  # fmt: skip
_IN_A_JOB: Final = (
    "why did {d} fail: {c}", "{d}: {c}", "{c} in {d}", "{c}, in {d}", "{d} - {c}",
    "which step of {d}: {c}", "{c} while doing {d}", "{c} for {d}", "the {d} job: {c}",
    "during {d} {c}", "{d} failed because {c}", "{c} ({d})", "{d} broke, {c}",
)  # fmt: skip
_PLAIN: Final = (
    "{c}", "{c}", "{c}", "{c}", "which runs: {c}", "what failed because {c}", "{c} last night",
    "{c} after the deploy", "steps where {c}", "anything about {c}?", "show me {c}", "{c} again",
    "jobs that {c}", "find failures: {c}", "who {c}",
)  # fmt: skip


class Table(torch.nn.Module):
    """The vectors of a static model, and how they may move."""

    def __init__(self, model: StaticModel, known: Sequence[str]) -> None:
        super().__init__()
        self.tokenize = model.tokenize
        vectors = torch.tensor(np.asarray(model.embedding, dtype=np.float32))
        self.base = vectors / vectors.pow(2).sum(1).mean().sqrt()
        seen = sorted({token for ids in model.tokenize(list(known)) for token in ids})
        self.slot = torch.zeros(len(vectors), dtype=torch.long)
        self.slot[seen] = torch.arange(1, len(seen) + 1)
        self.turn = torch.nn.Parameter(torch.eye(vectors.shape[1]))
        self.shift = torch.nn.Parameter(torch.zeros(len(seen) + 1, vectors.shape[1]))
        self.weight = torch.nn.Parameter(torch.zeros(len(seen) + 1))

    def rows(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the vectors of tokens as they are now."""
        at = self.slot[tokens]
        return (self.base[tokens] @ self.turn + self.shift[at]) * self.weight[at].exp()[:, None]

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one vector of length 1 a text."""
        ids = [found or [0] for found in self.tokenize(list(texts))]
        owner = torch.repeat_interleave(torch.tensor([len(found) for found in ids]))
        rows = self.rows(torch.tensor([token for found in ids for token in found]))
        total = torch.zeros(len(ids), rows.shape[1]).index_add(0, owner, rows)
        return functional.normalize(total, dim=1)


def domains() -> list[tuple[str, str, list[str]]]:
    """Return jobs: what they are called, what they do, and how people name them."""
    found = []
    for line in (_HERE / "tune_domains.txt").read_text("utf-8").strip().splitlines():
        path, does, names = line.split(" | ")
        found.append((path.replace("/", " ").replace("-", " "), does, names.split("; ")))
    return found


def sentences() -> list[str]:
    """Return sentences of ours that complain of nothing."""
    found = []
    for page in sorted((_HERE.parent / "docs" / "concepts").glob("*.md")):
        for said in re.split(r"(?<=[.:])\s+|\n", page.read_text("utf-8")):
            said = said.strip("-*#| `")
            if 20 < len(said) < 160 and "|" not in said:
                found.append(said)
    return found


class Lessons:
    """What is learnt from, a batch at a time."""

    def __init__(self, kinds: Sequence[Kind], chance: random.Random) -> None:
        self._kinds, self._chance = kinds, chance
        self._domains, self._sentences = domains(), sentences()
        self._weights = [len(kind.complaints) ** 0.5 for kind in kinds]

    def batch(self) -> tuple[list[str], list[int], list[int | None]]:
        """Return texts, the kind of each, and the job that it names."""
        chosen: set[int] = set()
        while len(chosen) < _KINDS:
            chosen |= {*self._chance.choices(range(len(self._kinds)), self._weights)}
        texts: list[tuple[str, int, int | None]] = []
        for n in sorted(chosen):
            texts += self._of(n, self._kinds[n])
        return [t[0] for t in texts], [t[1] for t in texts], [t[2] for t in texts]

    def _of(self, n: int, kind: Kind) -> list[tuple[str, int, int | None]]:
        chance, found = self._chance, list[tuple[str, int, int | None]]()
        for said in chance.sample(kind.complaints, min(_EACH, len(kind.complaints))):
            job = chance.randrange(len(self._domains)) if chance.random() < 0.45 else None
            if job is None:
                found.append((chance.choice(_PLAIN).format(c=said), n, None))
            else:
                name = chance.choice(self._domains[job][2])
                found.append((chance.choice(_IN_A_JOB).format(c=said, d=name), n, job))
        parts = kind.gloss.split("; ")
        found.append((chance.choice([kind.gloss, chance.choice(parts), kind.name]), n, None))
        if kind.errors and chance.random() < 0.6:
            found.append((chance.choice(kind.errors), n, None))
        return found

    def jobs(self) -> list[str]:
        """Return each job as points say where something happened."""
        return [f"{path} {self._chance.choice(_STEPS)}: {does}" for path, does, _ in self._domains]

    def others(self) -> list[str]:
        """Return sentences whose distances are held."""
        return self._chance.sample(self._sentences, 24)


def together(vectors: torch.Tensor, kinds: Sequence[int]) -> torch.Tensor:
    """Return how far texts of one kind are from each other, beside those of other kinds."""
    named, self_ = torch.tensor(kinds), torch.eye(len(kinds), dtype=torch.bool)
    near = (vectors @ vectors.T / _WARM).masked_fill(self_, -1e9)
    same = (named[:, None] == named[None]) & ~self_
    chances = near - torch.logsumexp(near, 1, keepdim=True)
    each = -(chances * same).sum(1) / same.sum(1).clamp(min=1)
    mean: torch.Tensor = each[same.any(1)].mean()
    return mean


def loss(table: Table, first: Table, lessons: Lessons) -> torch.Tensor:
    """Return what is to become small on one batch."""
    texts, kinds, jobs = lessons.batch()
    where, others = lessons.jobs(), lessons.others()
    vectors = table([*texts, *where, *others])
    named = [n for n, job in enumerate(jobs) if job is not None]
    place = vectors[named] @ vectors[len(texts) : len(texts) + len(where)].T / _WARM
    wanted = torch.tensor([job for job in jobs if job is not None])
    with torch.no_grad():
        was = first([*where, *others])
    now = vectors[len(texts) :]
    held = ((now @ now.T - was @ was.T) ** 2).mean()
    total: torch.Tensor = together(vectors[: len(texts)], kinds) + 10 * held
    return total + 0.5 * functional.cross_entropy(place, wanted)


def tuned(model: StaticModel, kinds: Sequence[Kind], epochs: float = EPOCHS) -> Table:
    """Return the vectors after they learnt from the complaints."""
    torch.manual_seed(SEED)
    known = [text for kind in kinds for text in (*kind.complaints, *kind.errors, kind.gloss)]
    known += [text for path, does, names in domains() for text in (path, does, *names)]
    known += [*_IN_A_JOB, *_PLAIN, *_STEPS]
    table, first = Table(model, known), Table(model, known)
    lessons = Lessons(kinds, random.Random(SEED))
    rates = [
        {"params": [table.turn, table.shift], "lr": RATE},
        {"params": [table.weight], "lr": 5 * RATE},
    ]
    optimizer = torch.optim.AdamW(rates, weight_decay=0.01)
    steps = int(epochs * sum(len(kind.complaints) for kind in kinds) / (_KINDS * _EACH))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, n / (0.1 * steps + 1)) * (1 - n / (steps + 1))
    )
    for _ in range(steps):
        lost = loss(table, first, lessons)
        optimizer.zero_grad()
        torch.autograd.backward(lost)
        torch.nn.utils.clip_grad_norm_(table.parameters(), 1.0)
        optimizer.step()
        rate.step()
    return table


def quantized(table: Table) -> np.ndarray[Any, Any]:
    """Return the vectors as 8-bit numbers of one scale: lengths do not matter to a text's."""
    with torch.no_grad():
        rows = table.rows(torch.arange(len(table.base))).numpy()
    top = float(np.quantile(np.abs(rows), 0.9999))
    return np.clip(np.round(rows * 127 / top), -127, 127).astype(np.int8)


def main(source: Path, target: Path, kinds: Sequence[Kind]) -> None:
    """Tune the model in ``source``; only the vectors in ``target`` are written."""
    torch.set_num_threads(1)
    table = tuned(StaticModel.from_pretrained(str(source)), kinds)
    kept = load_file(source / "model.safetensors")
    kept["embeddings"] = quantized(table)
    save_file(kept, target / "model.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), catalogue())
