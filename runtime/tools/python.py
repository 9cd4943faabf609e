"""The ``python`` tool: a function beside the playbook, or code inside it.

The code asks for what it needs by name. A function is given those of its parameters that
are arguments of the step (``with``) or one of the names in `OFFERS`; inline code finds
the same names as variables. Nothing is opened that was not asked for: a function that
takes ``table`` never pays for ``items``.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar, Final

from runtime.errors import Permanent
from runtime.tools.bundled import Bundles
from runtime.tools.faults import INLINE
from runtime.tools.port import Call, Outcome
from runtime.tools.progress import progress


def _services(call: Call) -> Any:
    if not call.task.system:
        raise Permanent("`services` is given to system runs only; this run is an ordinary one")
    return call.task.services


def _history(call: Call) -> Any:
    from runtime.tools.history import history_of

    return history_of(call)


SOURCE: Final = "playbook.yaml"
"""What the playbook's own text is called in its bundle."""

OFFERS: Final[dict[str, Callable[[Call], Any]]] = {
    "items": lambda call: call.items(),
    "table": lambda call: call.table(),
    "batch": lambda call: call.batch,
    "key": lambda call: call.task.key,
    "run_folder": lambda call: call.run_folder,
    "workload": lambda call: call.open(call.task.workload),
    "log": lambda call: call.log,
    "progress": lambda _: progress,
    "services": _services,
    "history": _history,
}
"""Name → what the code is given for it."""


class PythonTool:
    """Runs Python: `call: module:function` or `code: |`."""

    kind: ClassVar[str] = "python"

    def __init__(self) -> None:
        self._bundles = Bundles()

    def run(self, call: Call) -> Outcome:
        if ("call" in call.tool) == ("code" in call.tool):
            raise Permanent("a python tool has either `call` or `code`")
        if "call" in call.tool:
            function = self._bundles.function(call.task.bundle, call.text("call"))
            return Outcome(_finish(function(**_arguments(function, call))))
        self._bundles.enter(call.task.bundle)
        return Outcome(_finish(_inline(call)))


def _finish(value: Any) -> Any:
    """Wait for a coroutine; anything else is already there."""
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.run(value)
    return value


def _arguments(function: Callable[..., Any], call: Call) -> dict[str, Any]:
    """The arguments a function declares; refuses what it lacks or does not take."""
    wants, open_ended = _signature(function)
    given = call.args
    unknown = [] if open_ended else [name for name in given if name not in wants]
    lacking = [n for n, needed in wants.items() if needed and not _is_there(n, call)]
    if unknown or lacking:
        raise Permanent(_mismatch(_name(function), unknown, lacking, call))
    offered = {n: OFFERS[n](call) for n in wants if n not in given and _is_there(n, call)}
    return {**offered, **given}


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> tuple[dict[str, bool], bool]:
    """Parameter → whether it has no default; and whether any name is welcome."""
    wants, open_ended = {}, False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise Permanent(f"{_name(function)}: `{name}` must be callable by name (remove the /)")
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            wants[name] = parameter.default is parameter.empty
    return wants, open_ended


def _is_there(name: str, call: Call) -> bool:
    if name in call.task.args:
        return True
    if name in ("items", "table"):
        return call.task.items is not None
    return name in OFFERS


def _mismatch(name: str, unknown: list[str], lacking: list[str], call: Call) -> str:
    parts = []
    if lacking:
        parts.append(f"needs {', '.join(f'`{n}`' for n in lacking)}")
    if unknown:
        parts.append(f"takes no {', '.join(f'`{n}`' for n in unknown)}")
    offers = [n for n in OFFERS if _is_there(n, call)]
    return (
        f"{name} {' and '.join(parts)}: arguments are what `with` gives "
        f"({', '.join(call.task.args) or 'nothing'}) and {', '.join(offers)}"
    )


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{getattr(function, '__qualname__', function)}"


def _inline(call: Call) -> Any:
    """Run ``code``: the value of ``main``, when it defines one, else of ``result``."""
    text = call.text("code")
    filename = f"{INLINE}{call.task.step}>"
    call.inline_offset = _offset(call, text)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    code = _compiled(text, filename)
    names = {n: call.args.get(n) for n in call.args}
    names |= {n: OFFERS[n](call) for n in _used(code) if n not in names and _offered(n, call)}
    names["__name__"] = call.task.step
    exec(code, names)  # noqa: S102 - this is what the tool is for
    main = names.get("main")
    if inspect.isfunction(main):
        return main(**_arguments(main, call))
    if "result" not in names:
        raise Permanent("the code neither assigned `result` nor defined `main`")
    return names["result"]


def _offered(name: str, call: Call) -> bool:
    return name in OFFERS and _is_there(name, call)


@lru_cache(maxsize=256)
def _compiled(text: str, filename: str) -> CodeType:
    return compile(text, filename, "exec", dont_inherit=True)


def _used(code: CodeType) -> Iterator[str]:
    """Every global name that the code or a function in it mentions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _used(constant)


def _offset(call: Call, text: str) -> int | None:
    """How many lines of the playbook stand before the first line of the code.

    The playbook's text lies in the bundle; the code's lines are looked for at or below
    the step. None when they are not found as they were written.
    """
    task = call.task
    path = Path(task.bundle, SOURCE)
    if not path.is_file():
        return None
    wanted = [line.strip() for line in text.strip("\n").splitlines()]
    blank = len(text) - len(text.lstrip("\n"))
    source = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    for at in range(max(task.source_line - 1, 0), len(source) - len(wanted) + 1):
        if source[at : at + len(wanted)] == wanted:
            return at - blank
    return None
