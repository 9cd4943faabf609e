"""Write every page of a running server as PNG, light and dark: ``make screenshots``.

::

    python bench/screenshots.py http://127.0.0.1:8321 "http://127.0.0.1:8321/sign-in?token=…" out/

Pages with an id are found by following the first link to one, so any server will do.
It needs Playwright (the dev extra) and a Chromium; Debian's is enough.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
FIXED = {
    "runs": "/", "proposals": "/proposals", "search": "/search?q=throttled+while+fetching",
    "trends": "/trends?hours=1", "playbooks": "/playbooks", "schedules": "/schedules",
    "system": "/system",
}  # fmt: skip
FOUND = {
    "run": ("/", r'href="(/runs/[0-9a-f]{32})"'),
    "proposal": ("/proposals", r'href="(/proposals/p-[0-9a-f]+)"'),
    "playbook": ("/playbooks", r'href="(/playbooks/[^"?]+)"'),
}


def main() -> None:
    """Read the arguments and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the server's address")
    parser.add_argument("link", help="a one-time sign-in link")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--width", type=int, default=1280)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    shoot(given.url.rstrip("/"), given.link, given.folder, given.width)


def shoot(url: str, link: str, folder: Path, width: int) -> None:
    """Sign in once, and write each page in both themes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        visit = browser.new_context(viewport={"width": width, "height": 900})
        visit.new_page().goto(link)
        cookies = visit.cookies()
        pages = addresses(visit, url)
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme
            )
            context.add_cookies(cookies)
            for name, path in pages.items():
                write(context, url + path, folder / f"{name}-{theme}.png")
        browser.close()


def addresses(visit: Any, url: str) -> dict[str, str]:
    """Return the path of each page; those with an id only where there is one."""
    pages = dict(FIXED)
    for name, (where, pattern) in FOUND.items():
        hit = re.search(pattern, visit.request.get(url + where).text())
        if hit is not None:
            pages[name] = hit[1]
    if "run" in pages:
        pages["events"] = pages["run"] + "/events"
    return pages


def write(context: Any, address: str, target: Path) -> None:
    """Write one page, charts drawn and all of its height."""
    page = context.new_page()
    page.goto(address, wait_until="load")
    for chart in page.locator("[data-chart]").all():
        chart.locator("svg").first.wait_for()
    if page.locator("[data-chart]").count():
        page.wait_for_timeout(1200)  # the lines are drawn by an animation
    page.screenshot(path=str(target), full_page=True)
    print(target)
    page.close()


def chromium() -> str:
    """Return the browser to use."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("no Chromium is here: `apt-get update && apt-get install -y chromium`")
    return found


if __name__ == "__main__":
    main()
