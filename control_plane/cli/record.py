"""``trimtab search``: what the record knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_one, emit_rows
from control_plane.cli.steer import WHEN, moment
from control_plane.clock import local, wall


def search(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(
        help="Words to look for, by meaning too; `eval` with --questions scores the search.",
    )] = "",
    kind: Annotated[str | None, typer.Option(help="Keep one kind, such as failure.")] = None,
    playbook: Annotated[str | None, typer.Option(help="Keep one playbook.")] = None,
    step: Annotated[str | None, typer.Option(help="Keep one step.")] = None,
    state: Annotated[str | None, typer.Option(help="Keep one state.")] = None,
    hardware: Annotated[str | None, typer.Option(help="Keep one class of hardware.")] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="Keep the last hours.")] = None,
    since: Annotated[str | None, typer.Option(help=f"From then on: {WHEN}.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to then: as --since.")] = None,
    by: Annotated[str, typer.Option(help="both, words or meaning.")] = "both",
    like: Annotated[str | None, typer.Option(help="Find what is like this run.")] = None,
    causes: Annotated[bool, typer.Option("--causes", help="Group failures by cause.")] = False,
    facets: Annotated[bool, typer.Option("--facets", help="Count what is found.")] = False,
    questions: Annotated[Path | None, typer.Option(
        exists=True, dir_okay=False, help="A file of labelled questions to score.",
    )] = None,
    split: Annotated[str, typer.Option(help="Score this part of the questions.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Find runs, failures, printed lines, playbooks, proposals and lessons; each says why."""
    begin, end = _between(hours, since, until)
    filters: dict[str, Any] = {
        "playbook": playbook, "step": step, "state": state, "hardware": hardware,
        "since": begin, "until": end,
    }  # fmt: skip
    with here(ctx).client(key_file, record=True) as client:
        if questions is not None:
            emit_one(_scored(client, questions, split), output, _score_lines)
        elif causes:
            emit_rows(client.causes(**filters), output, _CAUSE, empty="no failure")
        elif like is not None:
            emit_rows(
                client.similar(like, kind=kind, limit=limit, **filters),
                output,
                _HIT,
                empty="nothing",
            )
        elif not text:
            raise typer.BadParameter("say what to look for, or --like RUN, --causes, --questions")
        elif facets:
            emit_one(client.facets(text, kind=kind, **filters), output, _facet_lines)
        else:
            found = client.search(text, kind=kind, by=by, limit=limit, **filters)
            emit_rows(found, output, _HIT, empty="nothing like it")


def _between(
    hours: float | None, since: str | None, until: str | None
) -> tuple[float | None, float | None]:
    """Return the times to keep to; refuse those that nothing can lie between."""
    if hours is not None and since is not None:
        raise typer.BadParameter("--hours and --since both say where to begin: give one of them")
    begin = moment(since, "--since") if hours is None else wall() - hours * 3600
    end = moment(until, "--until")
    if begin is not None and end is not None and begin > end:
        raise typer.BadParameter(f"--until {until} is before {since or 'the last hours begin'}")
    return begin, end


_HIT: Final[dict[str, str | Callable[[Row], str]]] = {
    "score": lambda h: f"{h['score']:.3f}", "kind": "kind",
    "what": lambda h: next(iter(str(h["text"]).splitlines()), "")[:90],
    "why": lambda h: ", ".join(h["why"]),
}  # fmt: skip
_CAUSE: Final[dict[str, str | Callable[[Row], str]]] = {
    "cause": "name", "count": lambda c: str(c["count"]),
    "first seen": lambda c: local(c["first_at"]), "last seen": lambda c: local(c["last_at"]),
    "where": lambda c: ", ".join(f"{p} › {s}" for p, s in c["where"])[:60],
    "example": lambda c: str(c["example"].get("message", ""))[:60],
}  # fmt: skip


def _scored(client: Any, path: Path, split: str) -> Row:
    """Ask every question in each way, and score the answers.

    Raises:
        BadParameter: the file holds no labelled questions.
    """
    from runtime.record.scoring import BadQuestions, as_json, read, scores

    try:
        asked = read(json.loads(path.read_text("utf-8")), split)
    except (ValueError, BadQuestions) as error:
        raise typer.BadParameter(f"{path}: {error}") from error

    def ask(text: str, by: str, kind: str | None) -> list[Row]:
        found: list[Row] = client.search(text, by=by, kind=kind, limit=20)
        return found

    return {"questions": len(asked), **as_json(scores(asked, ask))}


def _score_lines(told: Row) -> Iterator[str]:
    yield f"{told['questions']} questions"
    for measure in ("ndcg10", "recall10", "mrr"):
        said = "  ".join(f"{name} {value:.3f}" for name, value in told[measure].items())
        yield f"{measure:9} {said}"


def _facet_lines(told: Row) -> Iterator[str]:
    for facet, values in told.items():
        yield f"{facet}: " + ", ".join(f"{value} {n}" for value, n in values.items())
