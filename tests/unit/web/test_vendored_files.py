"""What is served beside our own files: known, unchanged, licensed, and reaching nowhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import control_plane.web

WEB = Path(control_plane.web.__file__).parent
VENDOR = WEB / "static" / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
PINNED = json.loads((WEB / "assets" / "package.json").read_text())["dependencies"]
LOCKED = json.loads((WEB / "assets" / "package-lock.json").read_text())["packages"]


def test_every_vendored_file_is_in_the_manifest() -> None:
    files = {p.name for p in VENDOR.iterdir() if not p.name.startswith("LICENSE-")}
    assert files == {*MANIFEST, "manifest.json"}


@pytest.mark.parametrize("name", MANIFEST)
def test_a_file_is_what_the_manifest_says(name: str) -> None:
    data = (VENDOR / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == MANIFEST[name]["sha256"]
    assert len(data) == MANIFEST[name]["bytes"]
    assert b"sourceMappingURL" not in data


@pytest.mark.parametrize("name", MANIFEST)
def test_every_package_inside_has_its_pinned_version_and_a_licence_text(name: str) -> None:
    for package in MANIFEST[name]["packages"]:
        locked = LOCKED[f"node_modules/{package['name']}"]
        assert package["version"] == locked["version"]
        assert PINNED.get(package["name"], package["version"]) == package["version"]
        assert package["licence"] in {"MIT", "Apache-2.0", "BSD-3-Clause", "0BSD", "BSD-0-Clause"}
        assert len((VENDOR / package["text"]).read_text()) > 300


def test_htmx_and_its_stream_extension_are_one_file() -> None:
    text = (VENDOR / "htmx.js").read_text()
    assert "var htmx=" in text
    assert "hx-sse:connect" in text


@pytest.mark.parametrize(
    "path",
    [*(WEB / "static").glob("*.*"), *(WEB / "templates").rglob("*.html")],
    ids=lambda p: p.name,
)
def test_our_own_files_name_no_other_origin_and_no_inline_script(path: Path) -> None:
    text = path.read_text()
    addresses = re.findall(r"https?://[^\s\"'>)]+", text)
    assert [a for a in addresses if "www.w3.org" not in a] == []
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert not re.search(r"\son[a-z]+=", text)
        assert "style=" not in text
