"""The lint: faults that only the whole playbook shows.

Arcs to nowhere, arcs back that have no limit or no condition, steps that no arc reaches,
names that stand for nothing or for a step that cannot have run yet, and two steps that may
write the same context key at once. Whether loops and joins can end is for
`runtime.net.soundness` to say.
A misspelt target counts as the step that was probably meant, so that one slip is one
fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

from runtime.playbook.draft import Draft, Mention, StepDraft
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault, PlaybookFault, did_you_mean, nearest
from runtime.playbook.model import Arc, Place
from runtime.playbook.part import Part
from runtime.playbook.syntax import Name

RUN_NAMES: Final = frozenset({"id", "folder", "playbook", "version"})
"""What expressions may ask of ``run``."""
_PARAMETER: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\$([A-Za-z_]\w*)(?![\w$])")
_BOUND: Final = frozenset({"items", "batch", "key", "run_folder"})
_ROUND: Final = frozenset({"round", "last"})
"""What a repeated step may ask of ``repeat``."""
_OWN: Final = ("when", "set", "until", "compensate", "reduce")
"""Where a step's own name stands for what it, or the batch, has just given."""
_LATE: Final = "@deadline"
"""Stands for the class of error of a join that is late: no other arc of its step is taken then."""


def check(draft: Draft) -> list[PlaybookFault]:
    """Return the faults of a draft as a whole, in no particular order."""
    checker = _Lint(draft)
    checker.names_once()
    checker.targets()
    checker.reached()
    checker.itself()
    checker.contexts()
    for step in (*draft.steps, *draft.last):
        for mention in step.mentions:
            checker.expressions(step, mention)
        checker.parameters(step)
    return checker.faults


class _Lint:
    """One look over a draft; each method adds the faults of one kind."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.faults: list[PlaybookFault] = []
        self.steps: dict[str, StepDraft] = {}
        for step in draft.steps:
            self.steps.setdefault(step.name, step)
        self.last: dict[str, int] = {}
        for number, step in enumerate(draft.last):
            self.last.setdefault(step.name, number)
        self._reached: dict[str, set[str]] = {}
        self._expressions = Expressions()
        self._inputs = {item.name for item in draft.inputs}

    def _refuse(self, place: Place, path: str, message: str, hint: str = "") -> None:
        self.faults.append(PlaybookFault(place.line, place.column, path, message, hint))

    # ---- the graph ----------------------------------------------------------------------

    def names_once(self) -> None:
        seen: dict[str, StepDraft] = {}
        for step in (*self.draft.steps, *self.draft.last):
            first = seen.setdefault(step.name, step)
            if first is not step:
                part = step.name_part
                hint = f"the first is in line {first.name_part.place.line}"
                self._refuse(part.place, part.path, f"a second step named {step.name}", hint)

    def targets(self) -> None:
        """Refuse arcs that lead to no step, and those that lead back without an end."""
        for step in self.draft.steps:
            for arc, part in step.arcs:
                if arc.to not in self.steps:
                    self._nowhere(arc.to, part)
                elif (step.name, arc.to) in self._back:
                    self._leads_back(step, arc, part)
                elif arc.max is not None:
                    message = f"the arc to {arc.to} leads on, not back: it is taken once"
                    self._refuse(part.place, part.path, message, "leave out max")
            late = step.takeover
            if late is not None and late.value not in self.steps:
                self._nowhere(str(late.value), late)

    def _nowhere(self, name: str, part: Part) -> None:
        hint = did_you_mean(name, self._known)
        self._refuse(part.place, part.path, f"there is no step {name}", hint)

    def _leads_back(self, step: StepDraft, arc: Arc, part: Part) -> None:
        """Refuse an arc back that is always taken, or as often as its condition holds."""
        if arc.when is None and not arc.otherwise and not arc.on:
            message = f"the arc back to {arc.to} is always taken: the loop would never end"
            hint = f'write {{to: {arc.to}, when: "…", max: 10}} beside another arc'
            self._refuse(part.place, part.path, message, hint)
        elif arc.max is None:
            message = f"the arc back to {arc.to} needs max: how often it may be taken"
            self._refuse(part.place, part.path, message, "add max: 10")

    def itself(self) -> None:
        """Refuse a step that every run reaches and that starts its own playbook again."""
        for name in self._surely():
            tool = self.steps[name].part.child("tool")
            path = tool.child("path") if tool is not None and tool.node.kind == "map" else None
            if path is not None and self.draft.path and path.value == self.draft.path:
                message = "the playbook would start itself without end"
                self._refuse(path.place, path.path, message, "lead here by an arc with when")

    def _surely(self) -> list[str]:
        """The steps that every run reaches, if nothing fails."""
        found = [step.name for step in self.draft.steps[:1]]
        for name in found:
            plain = [t for arc, t in self._arcs[name] if arc == Arc(arc.to, max=arc.max)]
            found += [target for target in dict.fromkeys(plain) if target not in found]
        return found

    def reached(self) -> None:
        if not self.draft.steps:
            return
        first = self.draft.steps[0].name
        reached = {first} | self._after(first)
        for name, step in self.steps.items():
            if name not in reached and step.named:
                part = step.name_part
                self._refuse(
                    part.place, part.path, f"no arc leads to {name}",
                    "name it in the next of the step before it",
                )  # fmt: skip

    @property
    def _known(self) -> list[str]:
        return [name for name, step in self.steps.items() if step.named]

    @cached_property
    def _arcs(self) -> dict[str, list[tuple[Arc, str]]]:
        """Each step's arcs with the steps they lead to, slips read as they were meant."""
        arcs: dict[str, list[tuple[Arc, str]]] = {name: [] for name in self.steps}
        for i, step in enumerate(self.draft.steps):
            for arc, _ in step.arcs:
                if target := self._meant(arc.to):
                    arcs[step.name].append((arc, target))
            late = step.takeover
            if late is not None and (target := self._meant(str(late.value))):
                arcs[step.name].append((Arc(target, on=(_LATE,)), target))
            if step.arcs_lost and i + 1 < len(self.draft.steps):
                follower = self.draft.steps[i + 1].name
                arcs[step.name].append((Arc(follower), follower))
        return arcs

    def _meant(self, name: str) -> str:
        return name if name in self.steps else nearest(name, self._known)

    @cached_property
    def _back(self) -> set[tuple[str, str]]:
        """The arcs that close a loop, as a walk from the first step meets them."""
        back: set[tuple[str, str]] = set()
        done: set[str] = set()
        for root in self.steps:
            trail: list[str] = []
            stack = [(root, iter(self._arcs[root]))] if root not in done else []
            while stack:
                name, ways = stack[-1]
                if name not in trail:
                    trail.append(name)
                way = next((target for _, target in ways), None)
                if way is None:
                    stack.pop()
                    trail.remove(name)
                    done.add(name)
                elif way in trail:
                    back.add((name, way))
                elif way not in done:
                    stack.append((way, iter(self._arcs[way])))
        return back

    def _after(self, name: str) -> set[str]:
        """The steps that can only fire after this one."""
        if name not in self._reached:
            self._reached[name] = self._reach(name)
        return self._reached[name]

    def _reach(
        self, start: str, without: str = "", arcs: Callable[[str], list[str]] | None = None
    ) -> set[str]:
        ahead = arcs or self._ahead
        seen: set[str] = set()
        forward = ahead(start)
        while forward:
            name = forward.pop()
            if name not in seen and name != without:
                seen.add(name)
                forward += ahead(name)
        return seen

    def _ways(self, name: str) -> list[str]:
        return [target for _, target in self._arcs[name]]

    def _ahead(self, name: str) -> list[str]:
        return [t for _, t in self._arcs[name] if (name, t) not in self._back]

    # ---- the context --------------------------------------------------------------------

    def contexts(self) -> None:
        """Refuse two steps that may set one key at the same time, unless both reduce it alike."""
        writers: dict[str, list[StepDraft]] = {}
        for step in self.draft.steps:
            for key, part in step.sets.items():
                for other in writers.setdefault(key, []):
                    op = step.reducers.get(key)
                    alike = op is not None and op == other.reducers.get(key)
                    if not alike and self._together(other.name, step.name):
                        self._refuse(
                            part.key, part.path,
                            f"{other.name} may set {key} at the same time",
                            "use two keys, or one reducer in both",
                        )  # fmt: skip
                        break
                writers[key].append(step)

    def _together(self, one: str, other: str) -> bool:
        if one == other or other in self._after(one) or one in self._after(other):
            return False
        return not any(self._parted(fork, one, other) for fork in self.steps)

    def _parted(self, fork: str, one: str, other: str) -> bool:
        """Whether a choice at ``fork`` lets only one of two steps fire."""
        if {one, other} & self._without(fork):
            return False
        ways = self._arcs[fork]
        to_one = [i for i, (_, t) in enumerate(ways) if one in {t} | self._after(t)]
        to_other = [i for i, (_, t) in enumerate(ways) if other in {t} | self._after(t)]
        split = self.steps[fork].split
        return bool(to_one and to_other) and all(
            i != j and _exclude(ways[i][0], ways[j][0], split) for i in to_one for j in to_other
        )

    def _without(self, fork: str) -> set[str]:
        """The steps that a run can reach without going through ``fork``."""
        first = self.draft.steps[0].name
        return set() if first == fork else {first} | self._reach(first, without=fork)

    # ---- names --------------------------------------------------------------------------

    def expressions(self, step: StepDraft, mention: Mention) -> None:
        """Refuse what cannot be read, and names that stand for nothing there."""
        try:
            self._expressions.check(mention.text, bare=mention.bare)
        except ExpressionFault as fault:
            place = mention.part.node.at(fault.offset)
            self._refuse(place, mention.part.path, fault.message, fault.hint)
            return
        for name in self._expressions.names(mention.text, bare=mention.bare):
            message, hint = self._objection(step, mention, name)
            if message:
                place = mention.part.node.at(name.offset)
                self._refuse(place, mention.part.path, message, hint)

    def _objection(self, step: StepDraft, mention: Mention, name: Name) -> tuple[str, str]:
        root, field = name.path[0], name.path[1] if len(name.path) > 1 else ""
        if root in ("item", "batch"):
            return self._of_batch(step, mention, root)
        if root == "repeat":
            return self._of_round(step, mention, field)
        if root in ("workload", "ctx", "run"):
            return self._field(root, field)
        if root in self.last:
            return self._of_last(step, root)
        if root not in self.steps:
            known = [*self._known, "workload", "ctx", "run", "item", "batch"]
            return f"unknown name {root}", self._hint(root, known)
        return self._past(step, mention, name)

    def _of_batch(self, step: StepDraft, mention: Mention, root: str) -> tuple[str, str]:
        if not step.is_each or mention.slot not in ("tool", "with"):
            return f"{root} is known in the tool and with of an each step alone", ""
        if step.is_undone and mention.slot == "with":
            return f"{root} is not known to compensate, which gets the same with", ""
        return "", ""

    def _of_round(self, step: StepDraft, mention: Mention, field: str) -> tuple[str, str]:
        if not step.is_repeat or mention.slot not in ("tool", "with"):
            return "repeat is known in the tool and with of a step that repeats", ""
        if field and field not in _ROUND:
            return f"repeat has no {field}", did_you_mean(field, _ROUND)
        return "", ""

    def _of_last(self, step: StepDraft, root: str) -> tuple[str, str]:
        """Refuse the result of a step of ``finally`` before it has one."""
        if step.is_last and self.last[root] < self.last[step.name]:
            return "", ""
        return f"{root} runs at the end: it has no result yet", ""

    def _field(self, root: str, field: str) -> tuple[str, str]:
        known = {"workload": self._inputs, "ctx": self._keys, "run": RUN_NAMES}[root]
        if not field or field in known or (root == "workload" and self.draft.inputs_lost):
            return "", ""
        what = {"workload": "input", "ctx": "step sets", "run": "fact of a run"}[root]
        says = f"no {what} {field}" if root == "ctx" else f"there is no {what} {field}"
        return says, did_you_mean(field, known)

    def _hint(self, root: str, known: list[str]) -> str:
        for owner, names in (("workload", self._inputs), ("ctx", self._keys)):
            if root in names:
                return f"write {owner}.{root}"
        return did_you_mean(root, known)

    @cached_property
    def _keys(self) -> set[str]:
        return {key for step in self.draft.steps for key in step.sets}

    def _past(self, step: StepDraft, mention: Mention, name: Name) -> tuple[str, str]:
        """Refuse the result of a step that cannot have ended before this text is read."""
        root = name.path[0]
        if root == step.name and mention.slot in _OWN:
            return "", ""
        if step.name in self._after(root):
            return "", ""
        if step.is_last or self._rounds(root, step.name):
            if not name.sure:
                return "", ""
            hint = f"say what holds then, such as {{{{ {name} | default(0) }}}}"
            return f"{root} may not have run by then", hint
        if root == step.name:
            return f"{root} has no result before it ran", ""
        return f"{root} does not come before {step.name}", "only earlier steps have results"

    def _rounds(self, one: str, other: str) -> bool:
        """Whether a result of ``one`` can be of an earlier round when ``other`` runs."""
        return other in self._reach(one, arcs=self._ways)

    def parameters(self, step: StepDraft) -> None:
        """Refuse ``$name`` in SQL that neither ``with`` nor the workload gives."""
        for block in ("tool", "compensate"):
            self._bound(step, step.part.child(block))
        others = step.part.child("alternatives")
        for other in (others.children() if others is not None else {}).values():
            self._bound(step, other, other.child("with"))

    def _bound(self, step: StepDraft, tool: Part | None, own: Part | None = None) -> None:
        query = tool.child("query") if tool is not None else None
        kind = tool.child("kind") if tool is not None else None
        if query is None or kind is None or kind.value != "sql" or self.draft.inputs_lost:
            return
        arguments = own or step.part.child("with")
        known = self._inputs | set(arguments.node.entries if arguments is not None else ())
        for name, offset in _parameters(query.value):
            if name not in known | _BOUND:
                hint = did_you_mean(name, known) or "give it in with"
                place = query.node.at(offset)
                self._refuse(place, query.path, f"nothing gives ${name}", hint)


def _parameters(query: object) -> Iterator[tuple[str, int]]:
    if isinstance(query, str):
        for found in _PARAMETER.finditer(query):
            if found[1]:
                yield found[1], found.start()


def _exclude(one: Arc, other: Arc, split: str) -> bool:
    """Whether at most one of two arcs of a step is ever taken."""
    if bool(one.on) != bool(other.on):
        return True
    if one.on:
        return not set(one.on) & set(other.on)
    if split == "inclusive":
        return one.otherwise != other.otherwise
    return split == "exclusive"
