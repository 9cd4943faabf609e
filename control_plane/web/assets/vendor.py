"""Build what the pages are served with into ``../static/vendor``, from pinned npm packages.

``npm ci`` fetches what ``package-lock.json`` pins; htmx and its stream extension become
*one* file (as two deferred scripts they race, and streams stay closed); ECharts is cut
down to lines and the SVG renderer. The result is committed, so that nobody needs npm to
install or run, and ``manifest.json`` says what each file is, by hash. Run it again after
changing a version: ``python control_plane/web/assets/vendor.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
MODULES: Final = HERE / "node_modules"
TARGET: Final = HERE.parent / "static" / "vendor"

LICENCE_FILES: Final = {
    "htmx.org": ("LICENSE",),
    "echarts": ("LICENSE", "NOTICE", "licenses/LICENSE-d3"),
    "zrender": ("LICENSE",),
    "tslib": ("LICENSE.txt",),
    "@tabler/core": (),
}
"""The licence texts of each package; Tabler ships none, ours is beside this file."""


def main() -> int:
    """Fetch, build, write the manifest."""
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    build_htmx()
    build_echarts()
    build_tabler()
    write_licences()
    write_manifest()
    sys.stdout.write(f"wrote {TARGET}\n")
    return 0


def run(*command: str) -> None:
    """Run a command here, and stop when it fails."""
    subprocess.run(command, cwd=HERE, check=True)  # noqa: S603 - fixed commands


def build_htmx() -> None:
    """Join htmx and its stream extension in one file."""
    dist = MODULES / "htmx.org" / "dist"
    parts = [dist / "htmx.min.js", dist / "ext" / "hx-sse.min.js"]
    write("htmx.js", "\n".join(without_source_map(p.read_text("utf-8")) for p in parts) + "\n")


def build_echarts() -> None:
    """Bundle the part of ECharts that the pages use."""
    run(
        "node_modules/.bin/esbuild", "echarts-entry.js", "--bundle", "--minify",
        "--format=iife", "--legal-comments=none", "--log-level=warning",
        f"--outfile={TARGET / 'echarts.js'}",
    )  # fmt: skip


def build_tabler() -> None:
    """Copy the style sheet; refuse one that would fetch from elsewhere."""
    css = (MODULES / "@tabler/core/dist/css/tabler.min.css").read_text("utf-8")
    foreign = re.findall(r"url\((?![\"']?data:)[^)]*\)|@import[^;]*;", css)
    if foreign:
        raise SystemExit(f"tabler.css reaches outside: {foreign[:3]}")
    write("tabler.css", without_source_map(css))


def without_source_map(text: str) -> str:
    """Drop the comment that makes a browser's tools ask for a file we do not ship."""
    return re.sub(r"(//# sourceMappingURL=\S+|/\*# sourceMappingURL=[^*]*\*/)\s*$", "", text)


def write(name: str, text: str) -> None:
    """Write one file of the result."""
    (TARGET / name).write_text(text, encoding="utf-8")


def write_licences() -> None:
    """Put the licence text of everything inside the files beside them."""
    for package, names in LICENCE_FILES.items():
        texts = [(MODULES / package / name).read_text("utf-8") for name in names]
        if not texts:
            texts = [(HERE / "licences" / "tabler.txt").read_text("utf-8")]
        write(f"LICENSE-{short(package)}.txt", "\n\n".join(texts))


def write_manifest() -> None:
    """Say which packages are inside each file, with version, licence and hash."""
    files = {
        "htmx.js": ("htmx.org",),
        "echarts.js": ("echarts", "zrender", "tslib"),
        "tabler.css": ("@tabler/core",),
    }
    manifest = {name: entry(name, packages) for name, packages in files.items()}
    write("manifest.json", json.dumps(manifest, indent=1) + "\n")


def entry(name: str, packages: tuple[str, ...]) -> dict[str, Any]:
    """Return the manifest's line for one file."""
    data = (TARGET / name).read_bytes()
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "packages": [describe(package) for package in packages],
    }


def describe(package: str) -> dict[str, str]:
    """Return name, version and licence of an installed package."""
    about = json.loads((MODULES / package / "package.json").read_text("utf-8"))
    return {
        "name": package,
        "version": about["version"],
        "licence": about["license"],
        "text": f"LICENSE-{short(package)}.txt",
    }


def short(package: str) -> str:
    """Return a package's name as part of a file's name."""
    return package.strip("@").replace("/", "-")


if __name__ == "__main__":
    raise SystemExit(main())
