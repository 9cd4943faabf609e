"""A data folder of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.data.folder import DataFolder


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")
