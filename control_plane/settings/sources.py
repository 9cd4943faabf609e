"""Where the value of a setting comes from: its default, a file, the environment or a flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from control_plane.settings.groups import Settings
from control_plane.settings.named import GROUPS, Scalar, SettingFault, coerce, named
from runtime.data.folder import DataFolder, read_json, write_json

Sources: TypeAlias = dict[str, str]


def load(
    folder: DataFolder | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Scalar | None] | None = None,
) -> tuple[Settings, Sources]:
    """Return the settings in force and where each came from.

    ``flags`` maps a setting's name to the value a command line gave, None for not given.

    Raises:
        SettingFault: a name or a value cannot be; says which source it stands in.
    """
    values: dict[str, Scalar] = {}
    sources: Sources = {}
    for source, given in _layers(folder, environ, flags or {}):
        for name, value in given.items():
            values[name] = coerce(name, value, source)
            sources[name] = source
    groups = {
        group: cls(
            **{f.name: values[n] for f in fields(cls) if (n := f"{group}.{f.name}") in values}
        )
        for group, cls in GROUPS.items()
    }
    every = {setting.name: sources.get(setting.name, "default") for setting in named()}
    return Settings(**groups), every


def _layers(
    folder: DataFolder | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Scalar | None],
) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    if folder is not None:
        yield "settings.json", stored(folder)
    yield "environment", {s.name: environ[s.variable] for s in named() if s.variable in environ}
    yield "flag", {name: value for name, value in flags.items() if value is not None}


def stored(folder: DataFolder) -> dict[str, Scalar]:
    """Return what the data folder keeps, by name. The file holds an object for each group."""
    try:
        kept = read_json(folder.settings) or {}
    except ValueError as fault:
        raise SettingFault(f"{folder.settings} is no JSON: {fault}") from None
    except OSError as fault:
        raise SettingFault(f"{folder.settings} cannot be read: {fault.strerror}") from None
    if not isinstance(kept, dict) or not all(isinstance(group, dict) for group in kept.values()):
        raise SettingFault(f"{folder.settings}: not an object of groups of settings")
    return {f"{group}.{part}": value for group, parts in kept.items()
            for part, value in parts.items()}  # fmt: skip


def store(folder: DataFolder, name: str, value: Scalar | None) -> None:
    """Keep a setting in the data folder; None forgets it."""
    kept: dict[str, dict[str, Scalar]] = {}
    changed = {**stored(folder), name: value if value is not None else ""}
    if value is None:
        changed.pop(name)
    for each, given in changed.items():
        group, _, part = each.partition(".")
        kept.setdefault(group, {})[part] = coerce(each, given, "settings.json")
    folder.prepare()
    write_json(folder.settings, kept)


def find_folder(flag: Path | None, environ: Mapping[str, str], here: Path) -> DataFolder:
    """Return the data folder to use: flag, ``TRIMTAB_DATA``, ``./.trimtab``, the user's own."""
    return choose_folder(flag, environ, here)[0]


def choose_folder(
    flag: Path | None, environ: Mapping[str, str], here: Path
) -> tuple[DataFolder, str]:
    """Return the data folder to use, and why it is this one."""
    if flag is not None:
        return DataFolder(flag.expanduser().absolute()), "named by --data"
    if given := environ.get("TRIMTAB_DATA"):
        return DataFolder(Path(given).expanduser().absolute()), "named by TRIMTAB_DATA"
    if (here / ".trimtab").is_dir():
        return DataFolder(here / ".trimtab"), "the one of this directory"
    from platformdirs import user_data_path

    own = DataFolder(user_data_path("trimtab", appauthor=False))
    return own, "your own, as none is named; --data FOLDER or a .trimtab here is another"
