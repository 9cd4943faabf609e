"""The front door's own door: `trimtab run FILE` goes straight in, everything else by `main`.

The command line's library checks every flag of every command as it loads, which takes
longer than a short run does. So the plain form of the one command that is about speed is
read here, with the same words; what is not plain (help, a verb, a mistake) goes the long way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_ONE: Final = {"--data", "--version", "--key", "--output", "-o"}
_MANY: Final = {"--set", "--override", "--label"}
FLAGS: Final = frozenset(_ONE | _MANY)
"""The flags that the quick way knows; each takes a value."""


def main() -> None:
    """Run the command line and exit with its code; a Ctrl-C while it loads is one too."""
    try:
        given = read(sys.argv[1:])
        if given is None:
            from control_plane.cli.main import main as whole

            whole()
        else:
            sys.exit(_run(given))
    except KeyboardInterrupt:
        sys.exit(130)


def read(arguments: Sequence[str]) -> dict[str, list[str]] | None:
    """Return what a plain ``run FILE`` was given, by flag; None for anything else.

    >>> read(["run", "a.yaml", "--set", "n=1", "--set", "m=2"])
    {'': ['run', 'a.yaml'], '--set': ['n=1', 'm=2']}
    >>> read(["run", "a.yaml", "--help"]), read(["run", "list"]), read(["status"])
    (None, None, None)
    """
    found: dict[str, list[str]] = {"": []}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if flag in FLAGS:
            given = value if equals else next(words, None)
            if given is None or (flag in found and flag in _ONE):
                return None
            found.setdefault(flag, []).append(given)
        elif word.startswith("-"):
            return None
        else:
            found[""].append(word)
    plain = len(found[""]) == 2 and found[""][0] == "run" and found[""][1].endswith(".yaml")
    return found if plain else None


def _run(given: dict[str, list[str]]) -> int:
    """Do what `trimtab run` does, and refuse as it does."""
    from control_plane.cli.refusals import refusal_of
    from control_plane.cli.talk import Refusal, told
    from control_plane.names import NameTaken

    try:
        return _start(given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NameTaken as fault:
        return told(Refusal(str(fault), hint=fault.hint))
    except Exception as fault:
        refusal = refusal_of(fault)
        if refusal is None:
            raise
        return told(refusal)


def _start(given: dict[str, list[str]]) -> int:
    from control_plane.cli.ending import tell
    from control_plane.cli.place import Here
    from control_plane.cli.running import Wanted, run_here, run_there
    from control_plane.cli.talk import Code, Format, Refusal
    from control_plane.names import check_names
    from control_plane.settings import find_folder

    check_names()
    one = {flag: values[0] for flag, values in given.items() if flag in _ONE}
    words = one.get("--output", one.get("-o", Format.TABLE))
    if words not in list(Format):
        raise Refusal(f"{words} is no form of output", hint=", ".join(Format), code=Code.USAGE)
    data = Path(one["--data"]) if "--data" in one else None
    place = Here(find_folder(data, os.environ, Path.cwd()))
    wanted = Wanted(
        given[""][1], given.get("--set", []), None, given.get("--override", []),
        given.get("--label", []), one.get("--version"), one.get("--key"), detach=False,
    )  # fmt: skip
    url = place.server()
    if url is not None:
        view = run_there(place, url, place.key(None), wanted)
    else:
        view = run_here(place, wanted)
    return int(tell(view, Format(words)))


if __name__ == "__main__":
    main()
