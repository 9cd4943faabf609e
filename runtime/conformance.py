"""What every kind of tool promises, as checks that its author can run; ours pass them too.

`broken_promises` is what ``trimtab tool check KIND`` prints. A `Bench` is for the author's
own tests: it runs a tool in a data folder as a worker would, holds every result against the
schema that the kind declares, and every failure against the classes it declares::

    bench = Bench(tmp_path)
    assert bench.run({"kind": "shout", "text": "hello"}) == "HELLO!"
    assert bench.fault({"kind": "shout", "text": ""})["cls"] == "data"
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from runtime.data import reference
from runtime.data.objects import Objects
from runtime.playbook.kinds import KindFault, declaration
from runtime.playbook.model import Effect
from runtime.playbook.tools import CANCEL, CLASSES, Shape, ToolKey, ToolKind
from runtime.run.state import WAITS_HERE
from runtime.tools import faults, registry
from runtime.tools.port import Call
from runtime.tools.task import Task
from runtime.workers.settle import settle

_LIMIT: Final = 1 << 30
_ENDS: Final = frozenset({"resource", "timeout", "lost", "cancelled"})
"""How any attempt can end, whatever its tool raises."""
_BY_ENGINE: Final = (*CLASSES, "lost", "no_route", "no_quorum", "expression", "cancelled")
_SHAPES: Final = get_args(Shape)


class Bench:
    """A data folder and a bundle, and a way to call a tool in them as a worker would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = Objects(root / "objects")
        self.bundle = root / "bundles" / "one"
        self.bundle.mkdir(parents=True)

    def call(self, tool: dict[str, Any], **options: Any) -> Call:
        """A call of a block of a playbook. ``options`` are fields of the `Task`."""
        fields = {
            "slot": 1, "run": "r", "playbook": "p", "version": "v", "step": "s", "number": 1,
            "attempt": "r/s/3/1", "key": "the key", "args": {}, "workload": {},
            "run_folder": str(self.root / "runs" / "r"), "bundle": str(self.bundle),
            "objects": str(self.objects.root), "source_name": "clinic/cohort", "source_line": 2,
        }  # fmt: skip
        return Call(Task(tool=tool, **{**fields, **options}), self.objects)

    def run(self, tool: dict[str, Any], **options: Any) -> Any:
        """What the tool returns, once it fits the kind's result schema.

        Raises:
            jsonschema.ValidationError: it does not fit.
        """
        value = registry.tool(tool["kind"]).run(self.call(tool, **options)).value
        self.settled(tool["kind"], value)
        return value

    def settled(self, kind: str, value: Any) -> Any:
        """A result as later steps see it, held against the kind's result schema."""
        from jsonschema import Draft202012Validator

        seen = settle(value, self.objects, _LIMIT).result
        if reference.is_reference(seen) and not reference.is_table(seen):
            seen = self.objects.read(seen)
        Draft202012Validator(declaration(kind).result).validate(seen)
        return seen

    def fault(self, tool: dict[str, Any], **options: Any) -> faults.FaultFields:
        """The fault that the worker would report; its class is one that the kind declares.

        Raises:
            AssertionError: the tool does not fail, or in a way that it does not declare.
        """
        call = self.call(tool, **options)
        try:
            value = registry.tool(tool["kind"]).run(call).value
        except BaseException as error:  # a tool may raise anything at all
            return _fault(error, call)
        raise AssertionError(f"{tool} was to fail and returned {value!r}")


def _fault(error: BaseException, call: Call) -> faults.FaultFields:
    thrown = error.__traceback__
    while thrown is not None and thrown.tb_frame.f_code.co_filename == __file__:
        thrown = thrown.tb_next  # a worker's traceback begins at the tool
    error.__traceback__ = thrown
    found, kind = faults.from_exception(error, call.origin), str(call.tool["kind"])
    if found["cls"] not in {*declaration(kind).raises, *_ENDS}:
        raise AssertionError(f"{kind} does not declare the class {found['cls']}") from error
    names = [*getattr(error, "names", ()), *faults.names_of(error)]
    return faults.refine(found, call.tool.get("errors"), *names)


# ---- promises ---------------------------------------------------------------------------


def broken_promises(kind: str) -> list[str]:
    """What a kind does not keep of what every kind promises; empty when it keeps all."""
    try:
        declared = declaration(kind)
    except KindFault as fault:
        return [str(fault)]
    found = [*_declared(kind, declared), *_schema(declared)]
    if kind not in WAITS_HERE:
        found += _made(kind, declared)
    return found


def _declared(kind: str, tool: ToolKind) -> Iterator[str]:
    """What is wrong with a declaration by itself."""
    if not tool.means.strip():
        yield "`means` says nothing"
    yield from _keys(tool.keys)
    for name in (*tool.required, *tool.one_of):
        if name not in tool.keys:
            yield f"it requires the key {name}, which it does not have"
    known = _BY_ENGINE if kind in WAITS_HERE else CLASSES
    for cls in tool.raises:
        if cls not in known:
            yield f"{cls} is no class of error; known are {', '.join(known)}"
    if not tool.raises or len(set(tool.raises)) < len(tool.raises):
        yield "`raises` names the classes of its errors, each once"
    if tool.cancel not in CANCEL or (tool.cancel == "engine") != (kind in WAITS_HERE):
        yield f"`cancel` is process or remote, not {tool.cancel}"
    if tool.effect not in get_args(Effect):
        yield f"`effect` is {', '.join(get_args(Effect))}, not {tool.effect}"
    key, values = tool.once_when
    if key and not set(values) <= set(tool.keys[key].choices if key in tool.keys else ()):
        yield f"`once_when` names values that the key {key} cannot have"


def _keys(keys: dict[str, ToolKey]) -> Iterator[str]:
    for name, key in keys.items():
        if name == "kind":
            yield "a key cannot be called kind"
        if not key.means.strip():
            yield f"key {name} does not say what it means"
        if key.shape not in _SHAPES:
            yield f"key {name} has the shape {key.shape}; known are {', '.join(_SHAPES)}"
        if key.shape == "word" and not key.choices:
            yield f"key {name} is a word without choices"
        yield from _keys(key.within)


def _schema(tool: ToolKind) -> Iterator[str]:
    """Whether the result's schema is one, where a validator is installed."""
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ModuleNotFoundError:
        return
    try:
        Draft202012Validator.check_schema(tool.result)
    except SchemaError as error:
        yield f"`result` is no JSON Schema: {error.message}"


def _made(kind: str, declared: ToolKind) -> Iterator[str]:
    """What is wrong with the class that runs it."""
    try:
        tool = registry.tool(kind)
    except Exception as error:  # whatever an author's code may raise
        yield f"it cannot be made: {type(error).__name__}: {error}"
        return
    if getattr(tool, "kind", None) != kind:
        yield f"its `kind` is {getattr(tool, 'kind', None)!r}, its entry point {kind!r}"
    if not (type(tool).__doc__ or "").strip():
        yield "its class says nothing: give it a docstring"
    if not callable(getattr(tool, "run", None)):
        yield "it has no `run`"
    elif declared.required or declared.one_of:
        yield from _refuses(kind)


def _refuses(kind: str) -> Iterator[str]:
    """Whether an empty block is refused in words, as a fault of its author."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            fault = bench.fault({"kind": kind}, system=True)
        except AssertionError as error:
            yield f"an empty block must be refused: {error}"
            return
    if fault["cls"] != "permanent" or len(fault["message"]) < 10:
        yield f"an empty block is refused with {fault['cls']}: {fault['message']}"
