"""``trimtab run pause|resume|cancel|retry|signal|answer``: steering one run, or all of a filter.

Without a run, the options say which: all that meet every condition. They are counted and
asked about first, unless ``--yes``; ``--dry-run`` says what would happen to each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from control_plane.cli.here import Here, KeyFile, here
from control_plane.cli.output import (
    Code,
    Format,
    Output,
    Refusal,
    Row,
    emit_one,
    emit_rows,
    leave,
    say,
)
from control_plane.cli.run import find
from control_plane.cli.values import labels

One = Annotated[str | None, typer.Argument(help="The run's id, or enough of its start or end.")]
OneOrMany = Annotated[
    str, typer.Argument(help="The run's id, or - for all that the options mean.")
]
Why = Annotated[str, typer.Option(help="Why; it is kept with the run.")]
Playbook = Annotated[str | None, typer.Option(help="Of this playbook.")]
Status = Annotated[
    str | None,
    typer.Option(help="In this state; `live` is not ended, `waiting` for hours of the day."),
]
Label = Annotated[list[str] | None, typer.Option(help="With this label, as name=value.")]
WHEN: Final = "2h, 3d, or a time as 2026-01-31T08:00"
Since = Annotated[str | None, typer.Option(help=f"Submitted since: {WHEN}.")]
Until = Annotated[str | None, typer.Option(help="Submitted before: as --since.")]
InStep = Annotated[
    str | None, typer.Option("--in-step", help="Whose step this runs now, or failed.")
]
ErrorClass = Annotated[str | None, typer.Option(help="Failed with an error of this class.")]
All = Annotated[bool, typer.Option("--all", help="Every run there is.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]


@dataclass(frozen=True, slots=True)
class Which:
    """The runs that a command line means."""

    run: str | None
    conditions: dict[str, Any]
    all: bool
    dry_run: bool
    yes: bool

    @classmethod
    def of(
        cls, run: str | None, playbook: str | None, status: str | None, label: list[str] | None,
        since: str | None, until: str | None, step: str | None, error_class: str | None,
        all_: bool, dry_run: bool, yes: bool,
    ) -> Which:  # fmt: skip
        """Read the options.

        Raises:
            Refusal: they name a run and conditions, or neither.
        """
        given = {
            "playbook": playbook, "status": status, "labels": labels(label or ()),
            "since": moment(since, "--since"), "until": moment(until, "--until"), "step": step,
            "error_class": error_class,
        }  # fmt: skip
        conditions = {name: value for name, value in given.items() if value}
        one = None if run in (None, "-") else run
        if one is not None and (conditions or all_):
            raise Refusal(
                "a run and conditions do not go together", hint="name one run, or leave it out",
                code=Code.USAGE,
            )  # fmt: skip
        if one is None and not conditions and not all_:
            raise Refusal(
                "which runs? name one, or a condition such as --playbook or --label",
                hint="--all means every run there is", command="trimtab run list",
                code=Code.USAGE,
            )  # fmt: skip
        return cls(one, conditions, all_, dry_run, yes)


def moment(text: str | None, option: str) -> float | None:
    """Return a time as seconds since the epoch: that long ago, or as it stands.

    Raises:
        Refusal: it is neither.
    """
    from runtime.playbook.units import duration_s

    if text is None:
        return None
    try:
        ago_s = duration_s(text)
        if ago_s is not None:
            return time.time() - ago_s
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refusal(
            f"{option} {text} is no time: write 90m, 2d or 2026-01-31T08:00", code=Code.USAGE
        ) from None


def pause(
    ctx: typer.Context, run: One = None, reason: Why = "", playbook: Playbook = None,
    status: Status = None, label: Label = None, since: Since = None, until: Until = None,
    in_step: InStep = None, error_class: ErrorClass = None, all_: All = False,
    dry_run: DryRun = False, yes: Yes = False, key_file: KeyFile = None,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Let nothing new fire until it is resumed; what runs already ends."""
    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, yes
    )
    _steer(here(ctx), which, "pause", {"reason": reason}, key_file, output)


def resume(
    ctx: typer.Context, run: One = None, reason: Why = "", playbook: Playbook = None,
    status: Status = None, label: Label = None, since: Since = None, until: Until = None,
    in_step: InStep = None, error_class: ErrorClass = None, all_: All = False,
    dry_run: DryRun = False, yes: Yes = False, key_file: KeyFile = None,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Let what is paused go on."""
    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, yes
    )
    _steer(here(ctx), which, "resume", {"reason": reason}, key_file, output)


def cancel(
    ctx: typer.Context, run: One = None, reason: Why = "",
    now: Annotated[
        bool, typer.Option("--now", help="Without a grace; what runs at its end is ended too.")
    ] = False,
    playbook: Playbook = None, status: Status = None, label: Label = None, since: Since = None,
    until: Until = None, in_step: InStep = None, error_class: ErrorClass = None,
    all_: All = False, dry_run: DryRun = False, yes: Yes = False, key_file: KeyFile = None,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Ask to end, with all runs below; after two seconds what still runs is ended."""
    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, yes
    )
    _steer(here(ctx), which, "cancel", {"reason": reason, "now": now}, key_file, output)


def retry(
    ctx: typer.Context, run: One = None,
    step: Annotated[
        str | None, typer.Option(help="Go on from this step; else where the run stopped.")
    ] = None,
    round_: Annotated[
        int | None, typer.Option("--round", min=1, help="In a loop: from this time it began.")
    ] = None,
    failed_only: Annotated[
        bool, typer.Option("--failed-only", help="Of an `each`, the failed batches alone.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Let a step act again that may act only once.")
    ] = False,
    version: Annotated[str | None, typer.Option(help="Run the rest with this version.")] = None,
    reason: Why = "", playbook: Playbook = None, status: Status = None, label: Label = None,
    since: Since = None, until: Until = None, in_step: InStep = None,
    error_class: ErrorClass = None, all_: All = False, dry_run: DryRun = False,
    yes: Yes = False, key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Go on with an ended run from one of its steps, as a new run; the old one stays."""
    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, yes
    )
    how: dict[str, Any] = {
        "step": step, "round": round_, "failed_only": failed_only, "once": once,
        "version": version,
    }  # fmt: skip
    if which.run is None or dry_run:
        more = {"retry": how, "reason": reason}
        _steer(here(ctx), which, "retry", more, key_file, output)
        return
    place = here(ctx)
    found = find(place.runs(), which.run)
    with place.client(key_file) as client:
        made = client.retry(found, reason=reason, **how)
    emit_one(made, output, _retried)
    say(f"next: trimtab run watch {made['run']}")


def signal(
    ctx: typer.Context, run: OneOrMany,
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    value: Annotated[str | None, typer.Argument(help="Its value, as JSON or text.")] = None,
    reason: Why = "", playbook: Playbook = None, status: Status = None, label: Label = None,
    since: Since = None, until: Until = None, in_step: InStep = None,
    error_class: ErrorClass = None, all_: All = False, dry_run: DryRun = False,
    yes: Yes = False, key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Send a signal: the step that waits for it goes on, or the next that will."""
    from control_plane.cli.values import inputs

    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, yes
    )
    sent = inputs([f"value={value}"], None, {})["value"] if value is not None else None
    more = {"name": name, "value": sent, "reason": reason}
    _steer(here(ctx), which, "signal", more, key_file, output)


def answer(
    ctx: typer.Context, run: OneOrMany,
    step: Annotated[str, typer.Argument(help="The approval step.")],
    approved: Annotated[
        bool | None, typer.Option("--yes/--no", help="Whether it may go on; one of them.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "", playbook: Playbook = None,
    status: Status = None, label: Label = None, since: Since = None, until: Until = None,
    in_step: InStep = None, error_class: ErrorClass = None, all_: All = False,
    dry_run: DryRun = False,
    sure: Annotated[bool, typer.Option("--sure", help="Do not ask first.")] = False,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Answer an approval step with --yes or --no."""
    if approved is None:
        raise typer.BadParameter("say --yes or --no")
    which = Which.of(
        run, playbook, status, label, since, until, in_step, error_class, all_, dry_run, sure
    )
    more = {"step": step, "approved": approved, "reason": note}
    _steer(here(ctx), which, "answer", more, key_file, output)


# ---- doing it ---------------------------------------------------------------------------


def _steer(
    place: Here, which: Which, action: str, more: Mapping[str, Any], key_file: Any,
    output: Format,
) -> None:  # fmt: skip
    """Do it to the one run, or to all of the filter."""
    with place.client(key_file) as client:
        if which.run is not None:
            found = find(place.runs(), which.run)
            emit_one(_one(client, action, found, more), output, lambda row: _said(action, row))
            return
        done = _many(client, which, action, more)
    emit_rows(done, output, {
        "run": "run", "playbook": "playbook", "state": "state", "outcome": "outcome",
        "detail": lambda r: f"{r['detail']}{_into(r)}",
    }, empty="no run meets that")  # fmt: skip
    if any(row["outcome"] == "refused" for row in done) and not which.dry_run:
        leave(Code.FAILED)


def _one(client: Any, action: str, run: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Do it to one run and return its line.

    Raises:
        ApiError: it cannot be done, or this key may not.
    """
    verbs = {
        "pause": lambda: client.pause(run, more["reason"]),
        "resume": lambda: client.resume(run, more["reason"]),
        "cancel": lambda: client.cancel(run, more["reason"], now=more["now"]),
        "signal": lambda: client.signal(run, more["name"], more["value"], reason=more["reason"]),
        "answer": lambda: client.answer(run, more["step"], more["approved"], more["reason"]),
    }
    line: dict[str, Any] = verbs[action]()
    return line


def _many(client: Any, which: Which, action: str, more: Mapping[str, Any]) -> list[Row]:
    """Do it to all of the filter, once somebody has said yes."""
    ask = {"all": which.all, **more}
    would: list[Row] = client.act(action, which.conditions, dry_run=True, **ask)
    able = [row for row in would if row["outcome"] == "would"]
    if which.dry_run or not able:
        return would
    _sure(action, len(able), len(would) - len(able), which.yes)
    done: list[Row] = client.act(action, which.conditions, **ask)
    return done


def _sure(action: str, able: int, unable: int, yes: bool) -> None:
    """Ask, where a person can answer.

    Raises:
        Refusal: nobody said yes.
    """
    runs = f"{able} run{'' if able == 1 else 's'}"
    others = f" ({unable} more cannot be)" if unable else ""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refusal(
            f"{action} would reach {runs}{others}, and nobody is there to ask",
            hint="--yes goes ahead, --dry-run shows which", code=Code.USAGE,
        )  # fmt: skip
    if not typer.confirm(f"{action} {runs}{others}?", err=True):
        raise Refusal("nothing was done", code=Code.REFUSED)


def _into(row: Row) -> str:
    return f": run {row['into']}" if row.get("into") else ""


_SAID = {
    "pause": "nothing new of it fires", "resume": "it goes on", "signal": "it has the signal",
    "answer": "it has the answer",
}  # fmt: skip


def _said(action: str, row: Row) -> list[str]:
    more = f"; {_SAID[action]}" if action in _SAID else ""
    return [f"run {row['run']} is {row['state']}{more}"]


def _retried(made: Row) -> list[str]:
    from control_plane.operations import told

    return [f"run {made['run']} {told(made['steps'], made['undone'])} of run {made['of']}"]
