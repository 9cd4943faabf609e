"""What can be set, in one frozen value, with the source of each part remembered.

A setting comes from, last one wins: its default, ``settings.json`` in the data folder
(written by ``trimtab config set``), the environment (``TRIMTAB_SERVER_PORT`` for
``server.port``), a flag of the command. They are read once and handed on; nobody looks
at the environment later.

>>> settings, sources = load(None, environ={"TRIMTAB_SERVER_PORT": "9000"})
>>> settings.server.port, sources["server.port"], sources["server.host"]
(9000, 'environment', 'default')
"""

from __future__ import annotations

from control_plane.settings.groups import (
    AuthSettings,
    LimitSettings,
    MetricsSettings,
    ObjectSettings,
    OptimizeSettings,
    RecordSettings,
    RetentionSettings,
    ReviewSettings,
    ServerSettings,
    Settings,
    TracesSettings,
    WatchSettings,
    WorkerSettings,
)
from control_plane.settings.named import (
    Named,
    Scalar,
    SettingFault,
    coerce,
    named,
    shown,
    value_of,
)
from control_plane.settings.sources import Sources, choose_folder, find_folder, load, store, stored

__all__ = [
    "AuthSettings", "LimitSettings", "MetricsSettings", "ObjectSettings", "OptimizeSettings",
    "RecordSettings", "RetentionSettings", "ReviewSettings", "ServerSettings", "Settings",
    "TracesSettings", "WatchSettings", "WorkerSettings",
    "Named", "Scalar", "SettingFault", "coerce", "named", "shown", "value_of",
    "Sources", "choose_folder", "find_folder", "load", "store", "stored",
]  # fmt: skip
