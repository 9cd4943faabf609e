"""A bundle: a playbook's YAML and every file beside it that it needs, under one hash.

Taken along are the Python files that steps call, what those import from the same folder,
the SQL and contract files that steps name, ``*.sql`` beside the YAML and one folder down,
and ``contracts/*.yaml``. Nothing else can change a version: the hash of the bundle is
what the playbook does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

from runtime.data import contract
from runtime.errors import ToolError
from runtime.playbook.faults import (
    BundleFault,
    PlaybookFault,
    PlaybookFaults,
    did_you_mean,
    nearest,
)
from runtime.playbook.model import Json, Place, Playbook, Step
from runtime.playbook.parse import parse

Judge: TypeAlias = Callable[[Playbook], Iterable[PlaybookFault]]
FILE_LIMIT: Final = 1 << 20
BUNDLE_LIMIT: Final = 8 << 20
"""Bytes of one file, and of all files of a bundle."""
SOURCE: Final = "playbook.yaml"
"""The name the YAML has in an unpacked bundle."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A playbook with its files. ``files`` is relative name → text; ``version`` the hash."""

    path: str
    version: str
    source: str
    files: dict[str, str]
    playbook: Playbook
    name: str = SOURCE


def load(yaml_path: Path | str, judge: Judge | None = None) -> Bundle:
    """Read a playbook's YAML and the files it needs. ``judge`` may find more at fault.

    Raises PlaybookFaults (faults of the files stand where the YAML names them),
    BundleFault for what cannot be taken along, FileNotFoundError without the YAML.
    """
    path = Path(yaml_path)
    source = _text(path)
    playbook = parse(source, path.name)
    files = _collect(playbook, path.parent)
    return _checked(playbook, source, files, path.name, judge)


def load_text(source: str, files: Mapping[str, str], name: str = SOURCE) -> Bundle:
    """Make a bundle of texts, as a client sends them or the journal kept them.

    Raises PlaybookFaults and BundleFault as `load` does.
    """
    for file in files:
        _inside(file)
    return _checked(parse(source, name), source, dict(sorted(files.items())), name)


def unpack(bundle: Bundle, folder: Path | str) -> None:
    """Write the bundle's files into a folder that appears complete or not at all.

    A folder that is there already stays as it is: it holds the same bundle.
    """
    target = Path(folder)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:16]}."))
    try:
        for name, text in {SOURCE: bundle.source, **bundle.files}.items():
            file = part / _inside(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
        os.chmod(part, 0o755)  # noqa: S103 - workers may run as another user
        os.rename(part, target)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not target.exists():
            raise


def step_bound(playbook: Playbook, step: str, files: Mapping[str, str]) -> str:
    """Return the hash of what a tuned value of a step was found for.

    That is its tool with its alternatives, the bundle's files, how long it may wait for
    hours, and the declaration of its knobs: when one of them changes, what was learned need
    not hold. Other steps and defaults may change.
    """
    found = playbook.step(step)
    tune = [[k.name, k.min, k.max, list(k.choices)] for k in found.tune]
    others = {name: [other.tool, other.args] for name, other in found.alternatives.items()}
    more: dict[str, Json] = {"alternatives": others} if others else {}
    if found.start is not None:
        spread = [found.start.spread_s] if found.start.spread_s else []
        more["start"] = [found.start.at_most_s, found.start.zone, *spread]
    return _digest({"tool": found.tool, "files": dict(files), "tune": tune, **more})


def _checked(
    playbook: Playbook, source: str, files: dict[str, str], name: str, judge: Judge | None = None
) -> Bundle:
    total = sum(len(text.encode()) for text in files.values())
    if total > BUNDLE_LIMIT:
        raise BundleFault(f"the bundle has {total} bytes; at most {BUNDLE_LIMIT} are taken along")
    faults = [*_file_faults(playbook, files), *(judge(playbook) if judge else ())]
    if faults:
        raise PlaybookFaults(faults, name)
    version = _digest({"source": source, "files": files})
    return Bundle(playbook.path, version, source, files, playbook, name)


def _digest(value: Json) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# ---- what is needed ---------------------------------------------------------------------


def _collect(playbook: Playbook, folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    for pattern in ("*.sql", "*/*.sql", "contracts/*.yaml"):
        for file in sorted(folder.glob(pattern)):
            if not any(part.startswith(".") for part in file.relative_to(folder).parts):
                files[file.relative_to(folder).as_posix()] = _text(file)
    for name in sorted(_named(playbook)):
        if (folder / name).is_file():
            files[name] = _text(folder / name)
    _follow(_first_modules(playbook), folder, files)
    return dict(sorted(files.items()))


def _named(playbook: Playbook) -> Iterator[str]:
    for _, step in _everywhere(playbook):
        yield from (name for _, name in _files_of(step))


def _everywhere(playbook: Playbook) -> Iterator[tuple[str, Step]]:
    """Yield every step, those of ``finally`` too, with where it stands."""
    for key, steps in (("workflow", playbook.steps), ("finally", playbook.finally_)):
        for i, step in enumerate(steps):
            yield f"{key}[{i}]", step


def _blocks(step: Step) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield what a step runs: its tool, those it may run instead, and the one that undoes it."""
    for key, block in (("tool", step.tool), ("compensate", step.compensate)):
        if block is not None:
            yield key, block
    for name, other in step.alternatives.items():
        yield f"alternatives.{name}", other.tool


def _first_modules(playbook: Playbook) -> set[str]:
    """Return the modules that steps call or that their inline code imports."""
    modules: set[str] = set()
    blocks = (tool for _, step in _everywhere(playbook) for _, tool in _blocks(step))
    for tool in blocks:
        if tool.get("kind") == "python" and tool.get("call"):
            modules.add(_module(tool["call"]))
        elif tool.get("kind") == "python":
            modules |= _imports(str(tool.get("code", "")), "")
    return modules


def _follow(modules: set[str], folder: Path, files: dict[str, str]) -> None:
    """Take along the modules of the folder, and whatever they import from it in turn."""
    open_, seen = sorted(modules), set(modules)
    while open_:
        for name in _module_files(open_.pop(), folder):
            if name in files:
                continue
            files[name] = _text(folder / name)
            package = ".".join(PurePosixPath(name).parent.parts)
            fresh = _imports(files[name], package) - seen
            seen |= fresh
            open_ += sorted(fresh)


def _module_files(module: str, folder: Path) -> list[str]:
    """Return the files of a module: one file, or all of the package it belongs to."""
    top = module.partition(".")[0]
    if (folder / f"{top}.py").is_file():
        return [f"{top}.py"]
    package = folder / top
    if not top or not package.is_dir():
        return []
    found = sorted(package.rglob("*.py"))
    return [file.relative_to(folder).as_posix() for file in found]


def _imports(code: str, package: str) -> set[str]:
    """Return the modules a text imports; none from a text that is no Python."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or package if not node.level else package or node.module or "")
    return found - {""}


def _module(call: str) -> str:
    return call.partition(":")[0]


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > FILE_LIMIT:
        raise BundleFault(f"{path} has {size} bytes; at most {FILE_LIMIT} are taken along")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise BundleFault(f"{path} is not UTF-8 text: {error.reason}") from None


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise BundleFault(f"{name!r} is no name of a file within the bundle")
    return path


# ---- what the files must hold -----------------------------------------------------------


def _file_faults(playbook: Playbook, files: Mapping[str, str]) -> Iterator[PlaybookFault]:
    for where, step in _everywhere(playbook):
        for key, name in _files_of(step):
            if name not in files:
                place = step.places.get(key, step.place)
                near = nearest(name, files)
                hint = f"did you mean {near}?" if near else "put it beside the playbook"
                yield _fault(place, f"{where}.{key}", f"there is no file {name}", hint)
            elif key == "publishes.contract":
                yield from _contract_faults(step, name, where, files[name])
        for key, tool in _blocks(step):
            if tool.get("kind") == "python":
                yield from _python_faults(step, tool, f"{where}.{key}", files, key)


def _files_of(step: Step) -> Iterator[tuple[str, str]]:
    if step.publishes is not None and step.publishes.contract:
        yield "publishes.contract", step.publishes.contract
    for key, tool in _blocks(step):
        if "file" in tool:
            yield f"{key}.file", str(tool["file"])


def _contract_faults(step: Step, name: str, where: str, text: str) -> Iterator[PlaybookFault]:
    try:
        contract.parse(text, name)
    except ToolError as error:
        place = step.places.get("publishes.contract", step.place)
        yield _fault(place, f"{where}.publishes.contract", str(error), "")


def _python_faults(
    step: Step, tool: Mapping[str, Any], where: str, files: Mapping[str, str], key: str
) -> Iterator[PlaybookFault]:
    if "code" in tool:
        place = step.places.get(f"{key}.code", step.place)
        try:
            ast.parse(tool["code"])
        except (SyntaxError, ValueError) as error:
            at = _within(place, error)
            yield _fault(at, f"{where}.code", f"not Python: {_said(error)}", "")
        return
    place = step.places.get(f"{key}.call", step.place)
    module, _, function = str(tool["call"]).partition(":")
    stem = module.replace(".", "/")
    name = next((n for n in (f"{stem}.py", f"{stem}/__init__.py") if n in files), None)
    if name is None and _is_installed(module):
        return
    if name is None:
        known = [n.removesuffix(".py").replace("/", ".") for n in files if n.endswith(".py")]
        near = did_you_mean(module, known) if known else ""
        hint = near or f"put {stem}.py beside the playbook"
        yield _fault(place, f"{where}.call", f"there is no file {stem}.py", hint)
        return
    for package in _packages(module):
        if f"{package}/__init__.py" not in files:
            message = f"there is no file {package}/__init__.py"
            yield _fault(place, f"{where}.call", message, "a package needs one")
            return
    message, hint = _function_fault(files[name], name, function.partition(".")[0])
    if message:
        yield _fault(place, f"{where}.call", message, hint)


def _packages(module: str) -> list[str]:
    """Return the folders that must be packages for a module to be found, outermost first."""
    parts = module.split(".")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _function_fault(code: str, name: str, function: str) -> tuple[str, str]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        return f"{name}:{getattr(error, 'lineno', 1)} is not Python: {_said(error)}", ""
    known = set(_top_names(tree.body))
    if function in known or "*" in known:
        return "", ""
    return f"{name} has no function {function}", did_you_mean(function, known)


def _top_names(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names a module defines; ``*`` when they cannot all be seen."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield "*"


def _within(place: Place, error: SyntaxError | ValueError) -> Place:
    """Return the place in the YAML of a syntax error in a block of code that starts there."""
    line = (getattr(error, "lineno", 1) or 1) - 1
    column = (getattr(error, "offset", 1) or 1) - 1
    return Place(place.line + line, place.column + column)


def _said(error: SyntaxError | ValueError) -> str:
    return str(getattr(error, "msg", error))


def _fault(place: Place, path: str, message: str, hint: str) -> PlaybookFault:
    return PlaybookFault(place.line, place.column, path, message, hint)
