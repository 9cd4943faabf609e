"""The catalogue: every registered version of every playbook, folded from its streams.

A version is parsed and compiled once, when it is first asked for, and its bundle is
unpacked where workers find it by hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from runtime.data.folder import DataFolder
from runtime.engine.errors import UnknownPlaybook
from runtime.engine.queue import scoped
from runtime.net.compile import compile_net
from runtime.net.net import Net
from runtime.playbook.bundle import Bundle, load_text, step_bound, unpack
from runtime.playbook.faults import PlaybookFaults
from runtime.playbook.knobs import defaults
from runtime.playbook.model import Limit, Playbook, Step
from runtime.run.events import Json, PlaybookRegistered
from runtime.run.layers import Resolved
from runtime.run.route import Route, route
from runtime.run.state import WAITS_HERE

_FOLDERLESS: Final = WAITS_HERE | {"python", "http", "history"}
"""Kinds of tools that use no scratch folder unless their text names it."""


@dataclass
class Version:
    """One version of a playbook, ready to run."""

    registered: PlaybookRegistered
    folder: DataFolder
    _resolved: dict[tuple[str, str | None, str | None], Resolved] = field(default_factory=dict)
    _resolved_at: int = -1
    _bounds: dict[str, str] = field(default_factory=dict)
    _fixed: dict[tuple[str, str], dict[str, Json] | None] = field(default_factory=dict)
    _uses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _ways: dict[str, Route | None] = field(default_factory=dict)

    @cached_property
    def bundle(self) -> Bundle:
        """The YAML and the files beside it."""
        return load_text(self.registered.source, self.registered.files)

    @cached_property
    def unreadable(self) -> str:
        """Why it cannot be read here: a kind of tool that is not installed, say; else nothing."""
        try:
            _ = self.bundle
        except PlaybookFaults as found:
            return "; ".join(map(str, found.faults))
        return ""

    @cached_property
    def playbook(self) -> Playbook:
        """The parsed playbook."""
        return self.bundle.playbook

    @cached_property
    def net(self) -> Net:
        """The compiled net."""
        return compile_net(self.playbook)

    @cached_property
    def limits(self) -> dict[str, Limit]:
        """The playbook's own limits, by the names that the queue knows them by."""
        path = self.registered.path
        return {f"{path}:{name}": limit for name, limit in self.playbook.limits.items()}

    def resolved(self, changes: int) -> dict[tuple[str, str | None, str | None], Resolved]:
        """Configurations by step, experiment and arm; none from before the layers' last change."""
        if changes != self._resolved_at:
            self._resolved, self._resolved_at = {}, changes
        return self._resolved

    def uses(self, step: str) -> tuple[str, ...]:
        """The limits a step is under, by the names that the queue knows them by."""
        if step not in self._uses:
            wanted = self.playbook.step(step).uses
            self._uses[step] = scoped(self.registered.path, wanted, self.playbook.limits)
        return self._uses[step]

    def fixed_inputs(self, step: Step) -> dict[str, Json] | None:
        """The tool block and ``with`` of a step that are the same for every try, or None."""
        key = (step.name, step.alternative)
        if key not in self._fixed:
            tool = step.tool or {}
            same = tool.get("kind") != "wait" and not _mentions([tool, step.args])
            self._fixed[key] = {"tool": tool, "with": step.args} if same else None
        return self._fixed[key]

    def plain_way(self, step: Step) -> Route | None:
        """Where the tokens of a step always go when it succeeds, or None when that depends."""
        if step.name not in self._ways:
            plain = not step.sets and not any(arc.when for arc in step.arcs)
            self._ways[step.name] = route(step, bool) if plain else None
        return self._ways[step.name]

    @cached_property
    def needs_folder(self) -> bool:
        """Whether a run needs its scratch folder from its start.

        Code from elsewhere that wants one has it made by the worker.
        """
        texts = (self.registered.source, *self.registered.files.values())
        if any("folder" in text for text in texts):
            return True
        steps = (*self.playbook.steps, *self.playbook.finally_)
        tools = (tool for s in steps for tool in (s.tool, s.compensate) if tool is not None)
        return any(tool.get("kind") not in _FOLDERLESS for tool in tools)

    @cached_property
    def named_paths(self) -> tuple[str, ...]:
        """The playbooks that its steps name by path."""
        steps = (*self.playbook.steps, *self.playbook.finally_)
        tools = [tool for s in steps for tool in (s.tool, s.compensate) if tool is not None]
        named = [tool.get("path") for tool in tools if tool["kind"] == "playbook"]
        return tuple(path for path in named if isinstance(path, str))

    @cached_property
    def has_queue_timeouts(self) -> bool:
        """Whether any step limits how long it waits for a slot."""
        steps = (*self.playbook.steps, *self.playbook.finally_)
        return any(s.queue_timeout_s is not None for s in steps)

    @cached_property
    def has_hedges(self) -> bool:
        """Whether any step is hedged."""
        return any(step.hedge is not None for step in self.playbook.steps)

    @cached_property
    def code(self) -> str:
        """The folder that holds the bundle's files; made when it is not there."""
        target = self.folder.bundles / self.registered.version
        if not target.is_dir():
            unpack(self.bundle, target)
        return str(target)

    def bound(self, step: str) -> str:
        """The hash of what an overlay entry of this step is approved for."""
        if step not in self._bounds:
            self._bounds[step] = step_bound(self.playbook, step, self.registered.files)
        return self._bounds[step]

    def defaults(self, step: str) -> dict[str, Json]:
        """The author's own values of a step's knobs."""
        return defaults(self.playbook.step(step))


def _mentions(value: Json) -> bool:
    """Whether an expression stands anywhere in a value."""
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, Mapping):
        return any(map(_mentions, value.values()))
    return isinstance(value, list | tuple) and any(map(_mentions, value))


class Catalogue:
    """Versions by path and by hash."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._versions: dict[str, list[Version]] = {}

    def add(self, registered: PlaybookRegistered) -> Version:
        """Take a registration in."""
        version = Version(registered, self._folder)
        self._versions.setdefault(registered.path, []).append(version)
        return version

    def paths(self) -> list[str]:
        """Every playbook's path, sorted."""
        return sorted(self._versions)

    def versions(self, path: str) -> list[Version]:
        """Every version of a playbook, oldest first; none when it is not known."""
        return list(self._versions.get(path, ()))

    def latest(self, path: str) -> Version:
        """The newest version.

        Raises:
            UnknownPlaybook: nothing is registered under this path.
        """
        versions = self._versions.get(path)
        if not versions:
            known = ", ".join(self.paths()) or "none"
            raise UnknownPlaybook(f"no playbook is registered as {path} (registered: {known})")
        return versions[-1]

    def get(self, path: str, version: str | None = None) -> Version:
        """The version with this number, or this hash or start of one, or the newest.

        A number names the version of that number, though a hash may begin with it.

        Raises:
            UnknownPlaybook: there is none, or more than one whose hash begins so.
        """
        newest = self.latest(path)
        if version is None:
            return newest
        known = self._versions[path]
        found = [v for v in known if str(v.registered.number) == version]
        found = found or [v for v in known if v.registered.version.startswith(version)]
        if len({v.registered.version for v in found}) == 1:
            return found[-1]  # the same bundle may have been registered again
        if not found:
            raise UnknownPlaybook(
                f"{path} has no version {version}; the newest is {newest.registered.number}"
            )
        numbers = ", ".join(str(v.registered.number) for v in found)
        raise UnknownPlaybook(
            f"the hashes of versions {numbers} of {path} begin with {version}: name one by number"
        )
