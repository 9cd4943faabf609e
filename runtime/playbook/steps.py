"""Reading one step: from its YAML to a `Step`, with every fault written down on the way.

What cannot be read keeps its default, so that the rest is read all the same. Arcs and
texts with expressions are left in the draft: only the whole playbook can judge them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from runtime.playbook import keys
from runtime.playbook.alternatives import read_alternatives, strictest
from runtime.playbook.arcs import ROUNDS, read_arcs, read_split
from runtime.playbook.arguments import check_word, read_args
from runtime.playbook.blocks import FILE, note_texts, read_block
from runtime.playbook.draft import Draft, Mention, StepDraft
from runtime.playbook.hedging import read_hedge
from runtime.playbook.joins import read_join
from runtime.playbook.knobs import LIMITS, RETRYABLE
from runtime.playbook.model import (
    Each,
    Effect,
    Json,
    Place,
    Publishes,
    Reduce,
    Repeat,
    Retry,
    Slo,
    Step,
)
from runtime.playbook.part import CLASS_HINT, WORD, Part
from runtime.playbook.start import read_start
from runtime.playbook.syntax import WORDS
from runtime.playbook.tune import read_tune

RESERVED: Final = frozenset({"workload", "ctx", "item", "batch", "run", "repeat"}) | WORDS
"""Words that cannot name a step: expressions mean something else by them."""

PROCESSES: Final = 100_000
_PRODUCT: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


def read_step(part: Part, number: int, draft: Draft) -> StepDraft:
    """Read a step of the workflow into a draft."""
    named = part.child("step") if part.node.kind == "map" else None
    read = StepDraft(f"#{number}", part, named or part, named=False)
    if not part.is_map("a step"):
        read.arcs_lost = True
        return read
    part.keys(keys.STEP, later=keys.STEP_LATER, habits=keys.HABITS)
    _name(read, named)
    read_arcs(read, part.child("next"))
    read.join = read_join(read, part.child("join"))
    read.split = read_split(read, part.child("split"))
    _routing_only(part)
    read.step = _step(read, part, draft)
    _apart(part)
    return read


_ONE_WAY: Final = "it is done in one way at every end of a run: give it retry and timeout"
_LAST_HINTS: Final = {
    "hedge": _ONE_WAY, "alternatives": _ONE_WAY, "tune": _ONE_WAY,
    "each": "loop in its tool, over what with gives it",
    "compensate": "nothing undoes it: what it does is done at every end",
}  # fmt: skip


def read_last(part: Part, number: int, draft: Draft) -> StepDraft:
    """Read a step of ``finally`` into a draft."""
    named = part.child("step") if part.node.kind == "map" else None
    read = StepDraft(f"finally #{number}", part, named or part, named=False, is_last=True)
    if not part.is_map("a step"):
        return read
    for name, child in part.children().items():
        if name in keys.STEP and name not in keys.FINALLY:
            hint = _LAST_HINTS.get(name, "it runs in its order, and nothing follows from it")
            child.refuse(f"a step of finally has no {name}", hint, at=child.key)
    part.keys(keys.STEP, later=keys.STEP_LATER, habits=keys.HABITS)
    _name(read, named)
    if part.child("tool") is None:
        part.refuse("a step of finally needs a tool", "add tool: {kind: …}")
    read.step = _step(read, part, draft)
    return read


def _apart(part: Part) -> None:
    """Refuse what cannot stand on one step together."""
    each, repeat = part.child("each"), part.child("repeat")
    if each is not None and repeat is not None:
        repeat.refuse("a step has each or repeat, not both",
                      "put the polling into a step of its own", at=repeat.key)  # fmt: skip


def _name(read: StepDraft, part: Part | None) -> None:
    if part is None:
        read.part.refuse("a step needs a name", "begin it with - step: name")
        return
    if isinstance(part.value, str) and part.value:
        read.name, read.named = part.value, True
    name = part.name("step name")
    if name in RESERVED:
        part.refuse(f"{name} is a reserved word", "name the step otherwise")


def _step(read: StepDraft, part: Part, draft: Draft) -> Step:
    tool = read_block(read, part.child("tool"), draft)
    each = _each(read, part.child("each"), draft)
    retry = _retry(part.child("retry"))
    timeout = _duration(part, "timeout")
    others = read_alternatives(read, part.child("alternatives"), draft)
    effect = _effect(part.child("effect"), [tool or {}, *(o.tool for o in others.values())])
    step = Step(
        name=read.name,
        tool=tool,
        each=each,
        repeat=_repeat(read, part.child("repeat")),
        retry=retry,
        hedge=read_hedge(part.child("hedge"), part, effect),
        start=read_start(part.child("start")),
        timeout_s=timeout,
        total_timeout_s=_duration(part, "total_timeout"),
        queue_timeout_s=_duration(part, "queue_timeout"),
        heartbeat_s=_duration(part, "heartbeat"),
        memory_bytes=_size(part, "memory"),
        output_bytes=_size(part, "output"),
        processes=_processes(part.child("processes")),
        effect=effect,
        runs_on=_runs_on(part.child("runs_on")),
        uses=_uses(part.child("uses")),
        compensate=_compensate(read, part.child("compensate"), draft),
        args=read_args(read, part.child("with"), draft),
        alternatives=others,
        sets=_sets(read, part.child("set"), draft),
        slo=_slo(part.child("slo")),
        publishes=_publishes(part.child("publishes")),
        record_text=_record(part.child("record")),
        place=read.name_part.place,
        places=_places(part),
    )
    return replace(step, tune=read_tune(part.child("tune"), part, step))


def _routing_only(part: Part) -> None:
    if part.child("tool") is not None:
        return
    for name in keys.TOOL_ONLY:
        found = part.child(name)
        if found is not None:
            found.refuse(
                f"a step without a tool only routes: {name} has nothing to act on",
                "give the step a tool", at=found.key,
            )  # fmt: skip


def _places(part: Part) -> dict[str, Place]:
    """Return where each key's value stands; of a text, where its first character does."""
    places: dict[str, Place] = {}
    for name, child in part.children().items():
        places[name] = child.place
        for inner, grandchild in child.children().items():
            places[f"{name}.{inner}"] = grandchild.node.at(0)
            for key, value in grandchild.children().items() if name == "alternatives" else ():
                places[f"{name}.{inner}.{key}"] = value.node.at(0)
    return places


def _compensate(read: StepDraft, part: Part | None, draft: Draft) -> dict[str, Json] | None:
    if part is None:
        return None
    read.is_undone = True
    return read_block(read, part, draft, "compensate")


# ---- what it runs -----------------------------------------------------------------------


def _sets(read: StepDraft, part: Part | None, draft: Draft) -> dict[str, Json]:
    if part is None or not part.is_map("set"):
        return {}
    for name, child in part.children().items():
        check_word(child, name, "context")
        read.sets[name] = child
        note_texts(read, child, "set", draft)
        op = _reducer(child)
        if op:
            read.reducers[name] = op
    return {name: _set_value(child) for name, child in part.children().items()}


def _reducer(part: Part) -> str:
    """Return the reducer that a mapping of one key names, or an empty string."""
    names = list(part.node.entries)
    return names[0] if len(names) == 1 and names[0] in keys.REDUCERS else ""


def _set_value(part: Part) -> Json:
    op: Any = _reducer(part)
    return Reduce(op, part.value[op]) if op else part.value


# ---- how it runs ------------------------------------------------------------------------


def _duration(part: Part, name: str) -> float | None:
    child = part.child(name)
    return child.duration(name) if child is not None else None


def _size(part: Part, name: str) -> int | None:
    child = part.child(name)
    return child.size(name) if child is not None else None


def _processes(part: Part | None) -> int | None:
    return part.whole("processes", 1, PROCESSES) if part is not None else None


def _each(read: StepDraft, part: Part | None, draft: Draft) -> Each | None:
    if part is None:
        return None
    read.is_each = True
    if not part.is_map("each"):
        return None
    part.keys(keys.EACH, habits={"over": "in", "items": "in", "size": "batch",
                                 "concurrency": "in_flight", "parallel": "in_flight"})  # fmt: skip
    over = part.child("in")
    if over is None:
        part.refuse("each says over what", 'add in: "{{ … }}"')
    allow, count = _failures(part.child("failures"))
    return Each(
        over=_over(read, over) if over is not None else "",
        batch=_whole(part.child("batch"), "each.batch", 1),
        in_flight=_whole(part.child("in_flight"), "each.in_flight", 1),
        failures_allow=allow,
        failures_count=count,
        reduce=_reduced(read, part.child("reduce"), draft),
    )


def _reduced(read: StepDraft, part: Part | None, draft: Draft) -> dict[str, Reduce]:
    if part is None or not part.is_map("reduce"):
        return {}
    if not part.node.entries:
        part.refuse("reduce names nothing", 'write total: {add: "{{ … }}"}')
    found = {}
    for name, child in part.children().items():
        check_word(child, name, "reduced")
        op: Any = _reducer(child)
        if not op:
            hint = f"write {name}: {{add: …}}; there are {', '.join(keys.REDUCERS)}"
            child.refuse(f"reduce {name} names no reducer", hint)
            continue
        note_texts(read, child, "reduce", draft)
        found[name] = Reduce(op, child.value[op])
    return found


def _repeat(read: StepDraft, part: Part | None) -> Repeat | None:
    if part is None:
        return None
    read.is_repeat = True
    if not part.is_map("repeat"):
        return None
    part.keys(keys.REPEAT, habits={"times": "max", "attempts": "max", "delay": "wait",
                                   "every": "wait", "interval": "wait"})  # fmt: skip
    until, most = part.child("until"), part.child("max")
    for name, child in (("until", until), ("max", most)):
        if child is None:
            part.refuse(f"repeat needs {name}", f"add {name}: …")
    text = until.text("condition", hint="a bare expression") if until is not None else None
    if until is not None and text is not None:
        read.mentions.append(Mention(until, text, "until"))
    rounds = most.whole("repeat.max", 1, ROUNDS) if most is not None else None
    return Repeat(text or "true", rounds or 1, _duration(part, "wait") or 0.0)


def _over(read: StepDraft, part: Part) -> str:
    text = part.text("in", hint='write a list as an expression: "{{ [1, 2, 3] }}"')
    if text is None:
        return ""
    if not (text.strip().startswith("{{") and text.strip().endswith("}}")):
        part.refuse("in must be one whole expression", 'write "{{ … }}"')
        return ""
    read.mentions.append(Mention(part, text, "in"))
    return text


def _whole(part: Part | None, knob: str, default: int) -> int:
    found = part.whole(knob, *LIMITS[knob]) if part is not None else None
    return default if found is None else found


def _failures(part: Part | None) -> tuple[float, int | None]:
    if part is None or not part.is_map("failures"):
        return 0.0, None
    part.keys(keys.FAILURES)
    allow = part.child("allow")
    if allow is None:
        part.refuse("failures says how many to allow", "add allow: 1%")
    elif isinstance(allow.value, int) and not isinstance(allow.value, bool):
        return 0.0, allow.whole("allow", 0, 10**9)
    else:
        return allow.share("allow") or 0.0, None
    return 0.0, None


def _retry(part: Part | None) -> Retry:
    usual = Retry()
    if part is None or not part.is_map("retry"):
        return usual
    part.keys(keys.RETRY, habits={"limit": "attempts", "tries": "attempts", "delay": "initial"})
    backoff, jitter, on = (part.child(name) for name in ("backoff", "jitter", "on"))
    initial, longest = _duration(part, "initial"), _duration(part, "max")
    chosen: Any = backoff and backoff.choice("backoff", ("exponential", "linear", "constant"))
    spread: Any = jitter and jitter.choice("jitter", ("full", "none"))
    retry = Retry(
        attempts=_whole(part.child("attempts"), "retry.attempts", usual.attempts),
        backoff=chosen or usual.backoff,
        initial_s=initial or usual.initial_s,
        max_s=longest or max(usual.max_s, initial or 0.0),
        jitter=spread or usual.jitter,
        on=on.words("error class", RETRYABLE) if on is not None else usual.on,
        budget=_budget(part.child("budget")),
    )
    if longest is not None and retry.initial_s > longest:
        part.children()["max"].refuse("the longest delay is shorter than the first")
    return retry


def _budget(part: Part | None) -> float | None:
    found = part.share("budget") if part is not None else None
    if part is not None and found == 0.0:
        part.refuse("a budget of nothing allows no retry", "say attempts: 1 instead")
    return found


def _effect(part: Part | None, tools: list[dict[str, Json]]) -> Effect:
    """Return what the author said; else the strictest that the kinds of tools suggest."""
    chosen: Any = part.choice("effect", ("none", "idempotent", "once")) if part else None
    if chosen:
        effect: Effect = chosen
        return effect
    return strictest(tool for tool in tools if tool)


def _runs_on(part: Part | None) -> str:
    if part is None:
        return "local"
    return part.text("hardware class", WORD, CLASS_HINT) or "local"


def _uses(part: Part | None) -> tuple[str, ...]:
    if part is None:
        return ()
    elements = [part] if part.node.kind == "scalar" else part.elements()
    if part.node.kind == "map" or not elements:
        part.refuse("uses names limits", "write uses: [name]")
    found = dict[str, None]()
    for element in elements:
        name = element.text("limit name", WORD, "one word, such as records_api")
        if name in found:
            element.refuse(f"{name} is here twice")
        found |= {name: None} if name else {}
    return tuple(found)


def _slo(part: Part | None) -> Slo:
    if part is None or not part.is_map("slo"):
        return Slo()
    part.keys(keys.SLO)
    success = part.child("success")
    return Slo(_duration(part, "p95"), success.share("success") if success else None)


def _publishes(part: Part | None) -> Publishes | None:
    if part is None or not part.is_map("publishes"):
        return None
    part.keys(keys.PUBLISHES)
    product, form, contract = (part.child(name) for name in keys.PUBLISHES)
    if product is None:
        part.refuse("publishes names a product", "add product: domain.name")
    name = product.text("product", _PRODUCT, "words of a-z, 0-9 and _, joined by dots") \
        if product else None  # fmt: skip
    chosen: Any = form.choice("format", ("parquet", "arrow")) if form else None
    file = contract.text("contract", FILE, "name a file beside the playbook") \
        if contract else None  # fmt: skip
    return Publishes(name or "", chosen or "parquet", file)


def _record(part: Part | None) -> bool:
    if part is None or not part.is_map("record"):
        return True
    part.keys(keys.RECORD)
    text = part.child("text")
    found = text.switch("text") if text is not None else None
    return True if found is None else found
