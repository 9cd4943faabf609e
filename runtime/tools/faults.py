"""What went wrong, as the runtime wants to hear it: a class, a message, a place.

An exception gets its class from itself (`runtime.errors`), from its type or from the
names of the types it descends from, so that no HTTP library has to be imported to know
its timeouts. The traceback keeps the author's lines only: the playbook's, then those of
the code beside it.
"""

from __future__ import annotations

import errno
import hashlib
import linecache
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from runtime.errors import ToolError

FaultFields = dict[str, Any]
"""The fields of `runtime.run.events.Fault`."""

MESSAGE_LIMIT: Final = 4_000
TRACEBACK_LIMIT: Final = 16_000
INLINE: Final = "<code of "
"""File names of inline code start like this; `Origin` knows what to show instead."""

_BY_NAME: Final = {
    "subprocess.TimeoutExpired": "timeout",
    "httpx2.TimeoutException": "timeout",
    "httpx2.TransportError": "transient",
    "httpx.TimeoutException": "timeout",
    "httpx.TransportError": "transient",
    "requests.exceptions.Timeout": "timeout",
    "requests.exceptions.ConnectionError": "transient",
    "aiohttp.client_exceptions.ClientConnectionError": "transient",
    "urllib3.exceptions.TimeoutError": "timeout",
    "urllib3.exceptions.ProtocolError": "transient",
    "urllib.error.URLError": "transient",
    "http.client.IncompleteRead": "transient",
    "socket.gaierror": "transient",
    "_duckdb.OutOfMemoryException": "resource",
    "_duckdb.ConstraintException": "data",
    "_duckdb.ConversionException": "data",
    "sqlite3.IntegrityError": "data",
    "pyarrow.lib.ArrowMemoryError": "resource",
}
_BORROWED: Final = dict.fromkeys(
    ("assignment destination is read-only", "output array is read-only",
     "cannot modify read-only memory", "buffer source array is read-only"),
    ": what a step is given is borrowed, and read-only; change a copy of it",
)  # fmt: skip
_FULL: Final = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip
_MASK: Final = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|"
    r"\btmp[a-z0-9_]{8}\b|\d+(?:\.\d+)?(?:e[+-]?\d+)?"
)
_RUNTIME: Final = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task's code comes from: its bundle's folder and its place in the playbook."""

    bundle: str
    source: str
    line: int
    step: str
    inline_offset: int | None = None

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}" if self.source else ""

    def show(self, filename: str, line: int) -> str:
        """``file:line`` as the author knows it."""
        if filename.startswith(INLINE):
            if self.inline_offset is not None:
                return f"{self.source}:{line + self.inline_offset}"
            return f"{self.place} (line {line} of its code)"
        return f"{filename.removeprefix(self.bundle).lstrip('/')}:{line}"

    def owns(self, filename: str) -> bool:
        inside = bool(self.bundle) and filename.startswith(self.bundle.rstrip("/") + "/")
        return inside or filename.startswith(INLINE)


def fault(
    cls: str,
    message: str,
    *,
    where: str = "",
    traceback: str = "",
    retry_after_s: float | None = None,
) -> FaultFields:
    """Return a fault's fields, with its fingerprint."""
    return {
        "cls": cls,
        "message": clip(message, MESSAGE_LIMIT),
        "where": where,
        "traceback": clip(traceback, TRACEBACK_LIMIT),
        "fingerprint": fingerprint(cls, message, where),
        "retry_after_s": retry_after_s,
    }


def fingerprint(cls: str, message: str, where: str = "") -> str:
    """A short hash, equal for faults of one cause: numbers, ids and lines do not count."""
    file = where.partition(":")[0]
    text = "\n".join((cls, _MASK.sub("#", message.strip()), file))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def clip(text: str, limit: int) -> str:
    """Cut the middle out of a text that is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def from_exception(error: BaseException, origin: Origin) -> FaultFields:
    """The fault that an exception of a tool stands for."""
    cause = _telling(error)
    where = _where(cause, origin)
    if isinstance(cause, SyntaxError) and cause.filename and origin.owns(cause.filename):
        where = origin.show(cause.filename, cause.lineno or 1)
    return fault(
        classify(cause),
        _message(cause),
        where=where,
        traceback=_traceback(error, origin),
        retry_after_s=getattr(cause, "retry_after_s", None),
    )


def _where(cause: BaseException, origin: Origin) -> str:
    """The author's own line, else the step's; a line of an installed package when all fails."""
    mine = [f for f in _walk(cause.__traceback__) if origin.owns(f[0])]
    if mine:
        return origin.show(*mine[-1][:2])
    frames = [] if origin.place else list(_frames(cause, origin))
    return frames[-1][0] if frames else origin.place


def classify(error: BaseException) -> str:
    """The class of an exception."""
    if isinstance(error, ToolError):
        return error.cls
    if isinstance(error, MemoryError):
        return "resource"
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _BY_NAME:
            return _BY_NAME[name]
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "transient"
    if isinstance(error, OSError) and error.errno in _FULL:
        return "resource"
    return "permanent"


def refine(found: FaultFields, rules: Any, *names: str) -> FaultFields:
    """Apply a tool's ``errors:`` map: the first of ``names`` that it knows gives the class."""
    if isinstance(rules, dict):
        texts = {str(key): str(value) for key, value in rules.items()}
        for name in names:
            if name in texts:
                where, old = found["where"], found["message"]
                print_ = fingerprint(texts[name], old, where)
                return {**found, "cls": texts[name], "fingerprint": print_}
    return found


def names_of(error: BaseException) -> list[str]:
    """What an ``errors:`` map may call an exception: its types, nearest first."""
    return [kind.__name__ for kind in type(_telling(error)).__mro__ if kind is not object]


def how_it_ended(code: int) -> str:
    """Words for a process's exit code; negative is a signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"signal {-code} ({name})"


def _telling(error: BaseException) -> BaseException:
    """The exception that tells what happened: of a group, its first."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({error.code!r}); return a value or raise instead"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = str(error) + _BORROWED.get(str(error), "")
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, ToolError):
        return (text or type(error).__name__) + notes
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__) + notes


def _frames(error: BaseException, origin: Origin) -> Iterator[tuple[str, str, str]]:
    """``(place, function, source line)`` of the author's frames, outermost first.

    Code that is not beside the playbook (an installed package) is shown only when
    nothing nearer is known.
    """
    every = list(_walk(error.__traceback__))
    mine = [f for f in every if origin.owns(f[0])]
    foreign = [f for f in every if not f[0].startswith((_RUNTIME, "<frozen"))][-5:]
    for filename, line, function in mine or foreign:
        text = linecache.getline(filename, line).strip()
        yield origin.show(filename, line), function, text


def _walk(tb: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while tb is not None:
        code = tb.tb_frame.f_code
        yield code.co_filename, tb.tb_lineno, code.co_qualname
        tb = tb.tb_next


def _traceback(error: BaseException, origin: Origin) -> str:
    lines = []
    if origin.source:
        lines.append(f"{origin.place}, step {origin.step}")
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for number, link in enumerate(reversed(chain)):
        if number:
            lines.append("which led to")
        lines.extend(_one(link, origin))
    return "\n".join(lines)


def _one(error: BaseException, origin: Origin) -> Iterator[str]:
    for place, function, text in _frames(error, origin):
        yield f"  {place}, in {function}"
        if text:
            yield f"    {text}"
    if isinstance(error, SyntaxError) and error.filename:
        yield f"  {origin.show(error.filename, error.lineno or 1)}"
        if error.text:
            yield f"    {error.text.strip()}"
    yield f"  {_message(error)}"
    for part in getattr(error, "exceptions", ()) if isinstance(error, BaseExceptionGroup) else ():
        for line in _one(part, origin):
            yield f"  {line}"
