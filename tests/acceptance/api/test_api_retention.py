"""Collecting over HTTP: an operator may, nobody else, and a dry run changes nothing."""

from __future__ import annotations

import os
from typing import Any

from runtime.data.objects import Objects


def test_an_operator_collects_what_nothing_holds_and_sees_it_first(api: Any) -> None:
    objects = Objects(api.folder.objects)
    ref = objects.put_json(["nothing refers to this"])
    path = objects.path(ref)
    os.utime(path, (1, 1))
    where = "/api/retention/collect"
    assert api.ask("POST", where, "author").status_code == 403
    would = api.post(where, who="operator", params={"dry_run": True})
    assert (would["dry_run"], would["objects"], path.exists()) == (True, 1, True)
    told = api.post(where, who="operator")
    assert (told["objects"], told["missing"], path.exists()) == (1, [], False)
