"""What is resolved once holds until the layers change: a shortcut that nobody can see."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.data.folder import DataFolder
from runtime.engine.catalogue import Version
from runtime.engine.edge import Configurations, RunEdge
from runtime.playbook.bundle import load_text
from runtime.run import events as ev
from runtime.run.layers import CONTROL, Layers, resolve
from runtime.run.state import RunState, new_run

PATH = "test/resolved"
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/resolved}
workflow:
  - step: a
    tool: {kind: python, code: "result = 1"}
    next: b
  - step: b
    tool: {kind: python, code: "result = 1"}
"""
BUNDLE = load_text(BOOK, {})
REGISTERED = ev.PlaybookRegistered(PATH, BUNDLE.version, 1, BOOK, {}, "me")
BOUND = {name: Version(REGISTERED, DataFolder(Path("unused"))).bound(name) for name in "ab"}
STEPS, VALUES = st.sampled_from("ab"), st.integers(1, 3)


def overlay(step: str, value: int | None, bound: str) -> ev.OverlayAppended:
    knobs = {"retry.attempts": value}
    return ev.OverlayAppended(PATH, step, knobs, {}, bound or BOUND[step], "p", "o", "ann")


def trial(name: str, step: str, value: int, share: float) -> ev.ExperimentStarted:
    return ev.ExperimentStarted(
        name, "p", PATH, step, "retry", "runs", {}, {"candidate": {"retry.attempts": value}},
        {"candidate": share}, "salt", BOUND[step], 1,
    )  # fmt: skip


TRIALS, SHARES = st.sampled_from(["x", "y"]), st.sampled_from([0.0, 0.5, 1.0])
CHANGES: st.SearchStrategy[Any] = st.one_of(
    st.builds(overlay, STEPS, st.none() | VALUES, st.sampled_from(["", "other code"])),
    st.builds(trial, TRIALS, STEPS, VALUES, SHARES),
    st.builds(
        lambda name, share: ev.ExperimentRamped(name, 1, {"candidate": share}), TRIALS, SHARES
    ),
    st.builds(ev.ExperimentPaused, TRIALS, st.just("me")),
    st.builds(ev.ExperimentResumed, TRIALS, st.just("me")),
    st.builds(ev.ExperimentEnded, TRIALS, st.just("kept")),
    st.builds(ev.KillSet, st.sampled_from(["*", PATH, f"{PATH}#a"]), st.booleans(), st.just("me")),
)
OVERRIDES = st.dictionaries(STEPS, st.fixed_dictionaries({"retry.attempts": VALUES}))


@given(st.lists(st.tuples(CHANGES, OVERRIDES), max_size=8), st.randoms(use_true_random=False))
def test_a_configuration_is_what_the_layers_say_now_and_each_is_written_once(
    changes: list[tuple[Any, dict[str, Any]]], chance: random.Random
) -> None:
    version, layers, kept = (
        Version(REGISTERED, DataFolder(Path("unused"))),
        Layers(),
        Configurations(),
    )
    written: list[str] = []

    def asked(state: RunState) -> None:
        edge = RunEdge(version, layers, kept, version.folder, lambda: 1.0, chance)
        for step in version.playbook.steps:
            live, override = edge.experiment(state, step), state.overrides.get(step.name)
            for arm in (None,) if live is None else (CONTROL, "candidate"):
                assert edge.configure(state, step, live, arm) == resolve(
                    layers, PATH, step.name, defaults=version.defaults(step.name),
                    bound=BOUND[step.name], experiment=live, arm=arm, override=override,
                )  # fmt: skip
        written.extend(c.config for c in kept.take())

    for change, overrides in changes:
        for run in ("one", "two", "own"):
            state = new_run(run, version.net)
            state.overrides = overrides if run == "own" else {}
            asked(state)
        layers.evolve(change)
        asked(new_run("after", version.net))
    assert len(written) == len(set(written))
    assert set(written) == kept.known.keys()
