"""Code beside a playbook, loaded by its bundle's hash.

A bundle is a folder named by its hash. While one of its attempts runs, its modules are
found before any other, under their own names, so that they import one another as they
do on the author's machine. Modules of another bundle are set aside, not forgotten: code
is loaded once for a hash, and a new hash is always new code.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from runtime.errors import Permanent

_KEPT: Final = 8
"""Bundles whose modules stay loaded while another one runs."""


class Bundles(MetaPathFinder):
    """Which bundle's modules can be imported now. One instance a process."""

    def __init__(self) -> None:
        self._now = ""
        self._aside: OrderedDict[str, dict[str, ModuleType]] = OrderedDict()
        self._functions: dict[str, Callable[..., Any]] = {}
        """Of the bundle that is entered now: call → function."""

    def enter(self, bundle: str) -> None:
        """Make this bundle's modules the ones that are found."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        if bundle == self._now:
            return
        self._aside[self._now] = self._take_out(self._now)
        sys.modules.update(self._aside.pop(bundle, {}))
        self._now = bundle
        self._functions = {}
        while len(self._aside) > _KEPT:
            self._aside.popitem(last=False)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a top-level module beside the playbook; never one of the standard library."""
        if path is not None or not self._now or name in sys.stdlib_module_names:
            return None
        spec = PathFinder.find_spec(name, [self._now])
        return spec if spec is not None and spec.origin is not None else None

    def function(self, bundle: str, call: str) -> Callable[..., Any]:
        """What ``module:function`` names, in the bundle or else among what is installed.

        Raises:
            Permanent: there is no such module or function, or its name is taken.
        """
        self.enter(bundle)
        if call not in self._functions:
            self._functions[call] = self._look_up(call)
        return self._functions[call]

    def _look_up(self, call: str) -> Callable[..., Any]:
        module_name, colon, path = call.partition(":")
        if not colon or not module_name or not path:
            raise Permanent(f"`call` must be module:function, not {call!r}")
        found: Any = self._module(module_name)
        for part in path.split("."):
            if not hasattr(found, part):
                raise Permanent(f"{module_name} has no `{path}`; see {_home(found)}")
            found = getattr(found, part)
        if not callable(found):
            raise Permanent(f"{call} is a {type(found).__name__}, not a function")
        function: Callable[..., Any] = found
        return function

    def _module(self, name: str) -> ModuleType:
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise
            where = f"beside the playbook ({self._now})" if self._now else "anywhere"
            raise Permanent(
                f"there is no module {name!r} {where}, and none is installed"
            ) from None
        beside = Path(self._now, *name.split(".")).with_suffix(".py")
        if self._now and beside.is_file() and not _is_in(module, self._now):
            raise Permanent(
                f"{beside.name} beside the playbook has the name of another module "
                f"({_home(module)}); give it another name"
            )
        return module

    def _take_out(self, bundle: str) -> dict[str, ModuleType]:
        if not bundle:
            return {}
        mine = {name: m for name, m in list(sys.modules.items()) if _is_in(m, bundle)}
        for name in mine:
            del sys.modules[name]
        return mine


def _is_in(module: ModuleType, folder: str) -> bool:
    home = getattr(module, "__file__", None)
    return isinstance(home, str) and home.startswith(folder.rstrip("/") + "/")


def _home(found: object) -> str:
    return str(getattr(found, "__file__", None) or getattr(found, "__name__", found))
