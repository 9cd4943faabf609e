"""Unsound nets are refused for the right reason, sound ones are let through, large ones soon."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from cProfile import Profile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from marking_game import net_of, play
from runtime.net.flow import FlowNet
from runtime.net.net import Marking
from runtime.net.notation import read
from runtime.net.soundness import (
    NotSound,
    Sound,
    Undecided,
    Unsound,
    check,
    describe,
    refuse_unsound,
)
from runtime.net.verdict import TEXTS, told
from runtime.playbook.model import Arc, Join, Playbook, Step
from runtime.playbook.parse import parse

ROOT = Path(__file__).parents[2]


def corpus(name: str) -> list[Any]:
    path = ROOT / "tests" / "data" / "nets" / f"{name}.yaml"
    entries = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return [pytest.param(entry, id=entry["name"]) for entry in entries]


UNSOUND, SOUND = corpus("unsound"), corpus("sound")


def playbook(flow: FlowNet) -> Playbook:
    """A playbook with this flow."""
    steps = []
    for step in flow.steps:
        arcs = tuple(
            Arc(arc.to, "x" if arc.kind == "when" else None, arc.kind == "otherwise",
                tuple(sorted(arc.classes)), arc.max)
            for arc in step.arcs if arc.kind != "late"
        )  # fmt: skip
        quorum, late = step.join.quorum, step.join.late
        kind: Any = "all" if quorum is None else "at_least"
        join = Join(kind, quorum or 0, 60.0 if late else None, late or "fail")
        tool = {"kind": "shell", "run": "true"} if step.works else None
        steps.append(Step(step.name, tool, arcs, step.split, join))
    return Playbook("p", tuple(steps))


@pytest.mark.parametrize("entry", UNSOUND)
def test_an_unsound_net_is_refused_for_its_reason_and_shows_the_way_there(entry: Any) -> None:
    verdict = check(read(entry["net"]))
    assert isinstance(verdict, Unsound)
    assert verdict.reason == entry["reason"]
    assert verdict.text == TEXTS[verdict.reason]
    assert list(verdict.firings) == entry.get("way", list(verdict.firings))
    assert list(verdict.steps) == entry.get("steps", list(verdict.steps))


@pytest.mark.parametrize("entry", SOUND)
def test_a_net_that_is_only_tricky_is_sound(entry: Any) -> None:
    assert isinstance(check(read(entry["net"])), Sound)


def test_there_are_nets_for_every_reason_and_enough_of_them() -> None:
    reasons = Counter(entry.values[0]["reason"] for entry in UNSOUND)
    assert set(reasons) == set(TEXTS)
    assert len(UNSOUND) >= 30
    assert len(SOUND) >= 30


@pytest.mark.parametrize("entry", [*UNSOUND, *SOUND])
def test_a_playbook_says_what_the_notation_says(entry: Any) -> None:
    flow = read(entry["net"])
    assert describe(playbook(flow)) == flow


def test_a_playbook_is_refused_with_reason_steps_and_firings() -> None:
    flow = read("a: b\nb: c, log\nc: b?*3 | d\nd\nlog")
    with pytest.raises(NotSound) as caught:
        refuse_unsound(playbook(flow))
    assert caught.value.steps == ["b", "log", "c"]
    assert caught.value.firings == ("a", "b", "c → b")
    assert str(caught.value) == (
        "a branch ends within a loop instead of going back or leaving: b → log → c"
        " (the way there: a, b, c → b)"
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "playbooks").rglob("*.yaml")), ids=lambda p: p.stem
)
def test_the_playbooks_that_are_shipped_are_sound(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "kind: Playbook" in text:
        assert isinstance(refuse_unsound(parse(text, name=path.name)), Sound)


# ---- the net of the runtime ends, too -----------------------------------------------------


@pytest.mark.parametrize("losers", ["finish", "cancel"])
@pytest.mark.parametrize("entry", SOUND)
def test_whatever_happens_in_a_sound_net_the_runtime_s_marking_ends_empty(
    entry: Any, losers: str
) -> None:
    flow = read(entry["net"])
    net = net_of(flow, cancels=losers == "cancel")
    for seed in range(40):
        ended = play(flow, net, random.Random(seed))
        assert ended is None or ended == Marking(), seed


# ---- large nets ---------------------------------------------------------------------------


def chain(size: int) -> str:
    return "\n".join(f"s{i}: s{i + 1}" for i in range(size)) + f"\ns{size}"


def fan(size: int) -> str:
    return "\n".join([f"a: {', '.join(f's{i}' for i in range(size))}",
                      *(f"s{i}: z" for i in range(size)), "z"])  # fmt: skip


def looped(inside: str, last: str) -> str:
    """The net as the body of a loop."""
    lines = inside.splitlines()
    head = lines[0].split(":")[0]
    return "\n".join(["begin: " + head, *lines[:-1], f"{last}: {head}?*9 | end", "end"])


def choices(size: int) -> str:
    """A fan-out in which each branch may go two ways, which meet again."""
    lines = [f"a: {', '.join(f's{i}' for i in range(size))}"]
    for i in range(size):
        lines += [f"s{i}: l{i}? | r{i}", f"l{i}: z", f"r{i}: z"]
    return "\n".join([*lines, "z"])


def repaired(size: int) -> str:
    """A chain of steps that share a repair."""
    steps = (f"s{i}: s{i + 1} ! permanent fix" for i in range(size - 1))
    return "\n".join([*steps, f"s{size - 1}: fix", "fix"])


def laps(size: int) -> str:
    """Loops one after the other."""
    return "\n".join([*(f"s{i}: s{i}?*3 | s{i + 1}" for i in range(size)), f"s{size}"])


LARGE: dict[str, Callable[[int], str]] = {
    "a chain": chain,
    "a fan-out": fan,
    "a fan-out with choices": lambda size: choices(size // 3),
    "a loop around a chain": lambda size: looped(chain(size), f"s{size}"),
    "a loop around a fan-out": lambda size: looped(fan(size), "z"),
    "a loop around a fan-out with choices": lambda size: looped(choices(size // 3), "z"),
    "a chain of steps that share a repair": repaired,
    "loops one after the other": lambda size: laps(size // 5),
}


def work(text: str) -> int:
    """How many calls the check of a sound net makes: its cost, on any machine alike."""
    flow, profile = read(text), Profile()
    profile.enable()
    verdict = check(flow)
    profile.disable()
    assert isinstance(verdict, Sound)
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("name", LARGE)
def test_the_work_of_a_check_grows_less_than_with_the_square_of_the_net(name: str) -> None:
    assert work(LARGE[name](500)) < 3.5 * work(LARGE[name](250))


@pytest.mark.parametrize("name", LARGE)
def test_a_net_of_a_thousand_steps_is_decided(name: str) -> None:
    assert isinstance(check(read(LARGE[name](1000))), Sound)


def test_a_fault_in_a_large_loop_is_found_and_its_long_way_is_told_in_short() -> None:
    net = looped(chain(300), "s300").replace("s150: s151", "s150: s151, end")
    verdict = check(read(net))
    assert isinstance(verdict, Unsound)
    assert verdict.reason == "unbounded_place"
    assert verdict.firings[:2] == ("begin", "s0")
    assert verdict.firings[-1] == "s300 → s0"
    assert "… " in told(verdict.firings)


def tangled(width: int, *, last: str = "z: a?*3 | end") -> str:
    """A loop whose branches choose between two joins each, so that no rule makes it smaller."""
    lines = [f"a: {', '.join(f's{i}' for i in range(width))}"]
    lines += [f"s{i}: j{i}? | j{(i + 1) % width}" for i in range(width)]
    lines += [f"j{i}: z" for i in range(width)]
    return "\n".join([*lines, last, "end"])


def test_what_the_budget_does_not_reach_is_called_undecided() -> None:
    flow = read(tangled(24))
    verdict = check(flow, budget=2_000)
    assert isinstance(verdict, Undecided)
    assert verdict.states > 2_000
    assert "the loop of a" in verdict.why
    assert check(flow, budget=2_000) == verdict
    assert isinstance(check(read(tangled(4))), Sound)


def test_an_undecided_playbook_is_not_refused_but_the_verdict_says_so() -> None:
    assert isinstance(refuse_unsound(playbook(read(tangled(24)))), Undecided)


def test_a_split_too_wide_to_count_is_undecided_where_a_join_counts_its_tokens() -> None:
    wide = [f"s{i}" for i in range(9)]
    net = ["a: " + " + ".join(f"{name}?" for name in wide), *(f"{name}: z" for name in wide)]
    end = ["end"]
    assert isinstance(check(read("\n".join([*net, "z: a?*3 | end", *end]))), Sound)
    counted = check(read("\n".join([*net, "z[4]: a?*3 | end", *end])))
    assert isinstance(counted, Undecided)
    assert "a may take any" in counted.why


@pytest.mark.parametrize("line", ["a b: c", "a: b c", "a[two: b", "a: b ? ? | c"])
def test_what_is_not_in_the_notation_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is written like this"):
        read(line)


def test_a_fault_within_an_inner_loop_does_not_hide_the_outer_one_s_check() -> None:
    """The inner loop's other ways are no longer taken, and its followers stay in the region."""
    flow = read("a: c ! permanent b\nb: c, e, f ! permanent d\nc\nd: e\ne: a*3\nf: b*3")
    verdict = check(flow)
    assert isinstance(verdict, Unsound)
    assert verdict.reason == "unbounded_place"
