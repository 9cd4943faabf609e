"""Which version of a playbook a number, a hash or the start of one names."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.catalogue import Catalogue
from runtime.engine.errors import UnknownPlaybook
from runtime.run.events import PlaybookRegistered

PATH = "test/named"


def catalogue(place: Path, *hashes: str) -> Catalogue:
    made = Catalogue(DataFolder(place))
    for number, version in enumerate(hashes, 1):
        made.add(PlaybookRegistered(PATH, version, number, "", {}, "me"))
    return made


def test_a_number_names_its_version_though_a_hash_begins_with_it(tmp_path: Path) -> None:
    known = catalogue(tmp_path, "2f00", "3c00", "aa00")
    assert [known.get(PATH, str(n)).registered.number for n in (1, 2, 3)] == [1, 2, 3]


def test_the_start_of_one_hash_names_its_version_and_of_two_is_refused(tmp_path: Path) -> None:
    known = catalogue(tmp_path, "2f00", "2f11", "aa00")
    assert known.get(PATH, "2f1").registered.number == 2
    with pytest.raises(UnknownPlaybook, match="versions 1, 2 of test/named begin with 2f"):
        known.get(PATH, "2f")
    with pytest.raises(UnknownPlaybook, match="has no version bb; the newest is 3"):
        known.get(PATH, "bb")


def test_a_bundle_registered_again_is_one_version_of_that_hash(tmp_path: Path) -> None:
    known = catalogue(tmp_path, "2f00", "aa00", "2f00")
    assert known.get(PATH, "2f").registered.number == 3
