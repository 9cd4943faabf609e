"""Write every page as PNG, light and dark: ``make screenshots``.

By itself it takes the server that is up in the data folder (``--data``, ``TRIMTAB_DATA``
or ``./.trimtab``), or starts one of its own with a few runs of the starter playbook.
Another server is named by its address and a one-time sign-in link::

    python -m bench.screenshots --url http://127.0.0.1:8321 --link "http://…/sign-in?token=…"

Pages with an id are found by following the first link to one. It needs Playwright (the
dev extra) and a Chromium; Debian's is enough.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_plane.auth import read_key
from control_plane.serve import Server, open_server
from control_plane.settings import ReviewSettings, ServerSettings, Settings, find_folder
from runtime.data.folder import DataFolder, read_json
from runtime.engine.engine import Submit
from runtime.playbook.bundle import load
from runtime.playbook.starter import write_starter

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
FIXED = {
    "runs": "/", "proposals": "/proposals", "search": "/search?q=throttled+while+fetching",
    "trends": "/trends?hours=1", "costs": "/costs", "playbooks": "/playbooks",
    "schedules": "/schedules", "system": "/system",
}  # fmt: skip
FOUND = {
    "run": ("/", r'href="(/runs/[0-9a-f]{32})"'),
    "proposal": ("/proposals", r'href="(/proposals/p-[0-9a-f]+)"'),
    "playbook": ("/playbooks", r'href="(/playbooks/[^"?]+)"'),
}


def main() -> None:
    """Read the arguments, find or start a server, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--data", type=Path, help="the data folder of a server that is up")
    parser.add_argument("--url", help="the address of any server")
    parser.add_argument("--link", help="a one-time sign-in link of that server")
    parser.add_argument("--width", type=int, default=1280)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with server(given) as (url, link):
        shoot(url.rstrip("/"), link, given.folder, given.width)


@contextmanager
def server(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the address of a server and a link that signs in to it."""
    if given.url:
        yield given.url, given.link or given.url
        return
    folder = find_folder(given.data, os.environ, Path.cwd())
    up = read_json(folder.server_json)
    if up is not None:
        yield up["url"], link_of(folder, up["url"])
        return
    with tempfile.TemporaryDirectory() as place, own_server(Path(place)) as found:
        yield found


def link_of(folder: DataFolder, url: str) -> str:
    """Ask a server for a sign-in link with the key that its folder keeps."""
    key = read_key(folder.admin_key)
    asked = urllib.request.Request(
        f"{url}/api/sign-in", b"{}", {"Authorization": f"Bearer {key}"}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return url + json.load(answer)["path"]


@contextmanager
def own_server(place: Path) -> Iterator[tuple[str, str]]:
    """Start a server in a thread, run the starter playbook on it, and end it afterwards."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(120)

    settings = Settings(server=ServerSettings(port=0), review=ReviewSettings(profile="demo"))
    try:
        live = do(open_server(DataFolder(place / "data"), settings, ticking=False))
        try:
            do(some_history(live, place))
            yield live.url, live.sign_in_link()
        finally:
            do(live.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def some_history(live: Server, place: Path) -> None:
    """Run the starter a few times and let the optimizer look at it."""
    parts = live.parts
    written = write_starter(place)
    playbook = next(path for path in written if path.suffix == ".yaml")
    await parts.engine.register(load(playbook), "you")
    for guests in (200, 400, 300):
        submit = Submit(playbook="hello", workload={"guests": guests}, actor="you")
        await parts.engine.wait(await parts.engine.submit(submit))
    if parts.recorder is not None:
        await parts.recorder.caught_up(parts.engine.journal.heads(), 120)
    await parts.engine.wait(await parts.loop.optimize("you"))


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
