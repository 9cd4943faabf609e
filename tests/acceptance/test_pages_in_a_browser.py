"""The pages, driven in Chromium against a whole server with its workers and recorder.

One server and one browser serve all tests here; what a test changes, it makes itself.
Chromium has to be there (``apt-get install -y chromium``): without it these tests fail.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from control_plane.review.proposal import Proposal
from control_plane.serve import Server, open_server
from control_plane.settings import (
    LimitSettings,
    RecordSettings,
    ReviewSettings,
    ServerSettings,
    Settings,
    WorkerSettings,
)
from optimizer.proposal import Candidate
from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.journal.port import Append
from runtime.playbook.bundle import load
from runtime.run.events import (
    Event,
    ExperimentEnded,
    ExperimentStarted,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    VerdictReached,
)
from runtime.run.layers import digest

pytestmark = pytest.mark.pages

T = TypeVar("T")
PATIENCE_MS = 60_000
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: pages/cohort, description: Read guests in batches and join what they gave.}
workload:
  n: {type: integer, default: 60}
  pause: {type: number, default: 0.005}
  bad: {type: boolean, default: false}
workflow:
  - step: fetch
    each: {in: "{{ range(workload.n) }}", batch: 5, in_flight: 2}
    tool: {kind: python, call: cohort:fetch}
    with: {pause: "{{ workload.pause }}"}
    retry: {attempts: 4, initial: 10ms, max: 50ms}
    tune:
      each.batch: {min: 1, max: 100}
      each.in_flight: {min: 1, max: 4}
    next: [left, right]
  - step: left
    tool: {kind: python, code: "result = 1"}
    next: merge
  - step: right
    tool: {kind: python, call: cohort:right}
    with: {bad: "{{ workload.bad }}"}
    next: merge
  - step: merge
    tool: {kind: python, code: "result = {'rows': 24, 'mean_age': 54.2}"}
"""
ASKING = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: pages/asking}
workflow:
  - step: begin
    next: [paid, agreed]
  - step: paid
    tool: {kind: signal, name: paid}
    next: ship
  - step: agreed
    tool: {kind: approval, prompt: "Ship order 17?"}
    next: ship
  - step: ship
    tool: {kind: python, code: "result = [amount, by]"}
    with: {amount: "{{ paid }}", by: "{{ agreed.note }}"}
"""
HANGING = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: pages/hanging}
workflow:
  - step: work
    tool: {kind: shell, run: "trap '' TERM; while :; do sleep 0.1; done"}
    effect: idempotent
"""
KILLING = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: pages/killing}
workflow:
  - step: die
    tool: {kind: python, code: "import os; os._exit(3)"}
    effect: idempotent
"""
CODE = """
import time


def fetch(items, pause, attempt=None):
    time.sleep(pause)
    if items[0] == 15 and not _tried.get(15):
        _tried[15] = True
        raise ConnectionError("the records service was throttled and answered 503")
    return [{"id": i} for i in items]


def right(bad):
    if bad:
        raise ValueError("the schema of patient 4711 does not fit")
    return {"sides": 2}


_tried = {}
"""
EVIDENCE = {
    "window": {"runs": 5, "batches": 2000, "from": 1.7e9, "to": 1.7e9 + 600},
    "support": 1.0,
    "causal": {"method": "within runs", "naive": -0.52, "adjusted": -0.44},
    "values": [
        {"value": 5, "batches": 1200, "failed": 0, "seconds_per_item": 0.003},
        {"value": 10, "batches": 300, "failed": 0, "seconds_per_item": 0.002},
    ],
}  # fmt: skip


@dataclass
class Site:
    """A server in a thread of its own, and what it holds."""

    server: Server
    loop: asyncio.AbstractEventLoop
    runs: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(300)

    def run(self, playbook: str = "pages/cohort", **workload: Any) -> str:
        submit = Submit(playbook=playbook, workload=workload, actor="ada")
        return self.do(self.server.parts.engine.submit(submit))

    async def append(self, stream: str, event: Event) -> None:
        """Append an event as the services do."""
        parts = self.server.parts
        length = parts.engine.journal.length(stream)
        await parts.engine.append([Append(stream, length, parts.clock(), (event,))])

    def link(self) -> str:
        return self.server.sign_in_link()

    def propose(
        self, step: str, to: int, author: str = "optimizer", knob: str = "each.batch"
    ) -> str:
        """Draft and gate a real proposal; it ends up for review."""
        evidence, now = {**EVIDENCE, "seed": to}, {"each.batch": 5, "each.in_flight": 2}[knob]
        group = "batch" if knob == "each.batch" else "concurrency"
        candidate = Candidate(
            "change", "pages/cohort", step, group, "cost",
            [{"knob": knob, "from": now, "to": to}], {knob: now},
            {**evidence, "id": digest(evidence)},
            {"cost": {"lower": -0.55, "median": -0.44, "upper": -0.31}}, "batches are too small",
        )  # fmt: skip
        roles = frozenset({"optimizer", "author"})
        reviews = self.server.parts.reviews
        view = self.do(reviews.propose(candidate, author, roles))
        assert view.state == "proposed", view.checks
        return view.id


def serve(
    folder: Path, settings: Settings, prepare: Callable[[Site], None] | None = None
) -> Iterator[Site]:
    """Run a server in a thread until the generator is closed."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opening = open_server(DataFolder(folder), settings, ticking=False)
    server = asyncio.run_coroutine_threadsafe(opening, loop).result(240)
    site = Site(server, loop)
    try:
        if prepare is not None:
            prepare(site)
        yield site
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(240)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "cohort.yaml").write_text(PLAYBOOK)
    (folder / "cohort.py").write_text(CODE)

    def prepare(site: Site) -> None:
        engine = site.server.parts.engine
        site.do(engine.register(load(folder / "cohort.yaml"), "ada"))
        for name, text in (("asking", ASKING), ("hanging", HANGING), ("killing", KILLING)):
            (folder / f"{name}.yaml").write_text(text)
            site.do(engine.register(load(folder / f"{name}.yaml"), "ada"))
        site.runs["completed"] = site.run()
        site.runs["failed"] = site.run(bad=True)
        for run in site.runs.values():
            site.do(engine.wait(run))
        site.runs["asking"] = site.run("pages/asking")
        site.proposals["proposed"] = site.propose("fetch", 10)
        site.proposals["kept"] = site.do(ended(site.server, "p-00000000000a"))
        recorder = site.server.parts.recorder
        assert recorder is not None
        site.do(recorder.caught_up(engine.journal.heads(), 300))

    settings = Settings(
        server=ServerSettings(port=0), workers=WorkerSettings(slots=2),
        review=ReviewSettings(profile="demo"), limits=LimitSettings(requests_per_minute=100_000),
    )  # fmt: skip
    yield from serve(folder / "data", settings, prepare)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server on which nothing has happened, without a recorder."""
    settings = Settings(
        server=ServerSettings(port=0), workers=WorkerSettings(slots=1),
        record=RecordSettings(enabled=False),
    )  # fmt: skip
    yield from serve(tmp_path_factory.mktemp("bare"), settings)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "the page tests need Chromium: apt-get update && apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cookies(site: Site, browser: Browser) -> list[Any]:
    context = browser.new_context()
    context.new_page().goto(site.link())
    cookies: list[Any] = context.cookies()
    context.close()
    assert [c["httpOnly"] for c in cookies] == [True]
    return cookies


@pytest.fixture
def context(browser: Browser, cookies: list[Any]) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies(cookies)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


async def ended(server: Server, proposal: str) -> str:
    """Write a proposal's whole life as the services write it, and its trial."""
    experiment = "x-" + proposal.removeprefix("p-")
    drafted = ProposalDrafted(
        proposal, "change", "pages/cohort", "right", "batch", "cost",
        [{"knob": "each.batch", "from": 5, "to": 10}], {"each.batch": 5}, EVIDENCE,
        {"cost": {"lower": -0.55, "median": -0.44, "upper": -0.31}}, "optimizer", "key", "content",
    )  # fmt: skip
    life = (
        ("gate", "draft", "gated", "policy", "evaluated"),
        ("propose", "gated", "proposed", "policy", "passed_gate"),
        ("approve", "proposed", "approved", "grace", "approved"),
        ("schedule", "approved", "scheduled", "scheduler", "queued"),
        ("start", "scheduled", "shadow", "scheduler", "lock_taken"),
        ("enrol", "shadow", "canary", "experiments", "simulated"),
        ("promote", "canary", "watch", "verifier", "better"),
        ("keep", "watch", "kept", "verifier", "no_watch"),
    )
    replayed = {
        "runs": 5, "makespan_delta": -0.3, "makespan_range": [-0.35, -0.2], "violations": 0,
        "calibration_error": 0.02, "cannot_say": {"other_values": 1},
    }  # fmt: skip
    facts = {"enrol": replayed}
    moves = [ProposalMoved(proposal, *line, facts=facts.get(line[0], {})) for line in life]
    statistics = {"e_max": 1.3, "gain_ci": [-0.47, -0.36], "realised": -0.41}
    units = {"control": 62, "candidate": 60}
    verdict = VerdictReached(proposal, experiment, "better", "gain_proven", units, statistics)
    outcome = OutcomeRecorded(
        proposal, "batch", "cost", drafted.predicted, -0.41, [-0.47, -0.36], True, units
    )
    started = ExperimentStarted(
        experiment, proposal, "pages/cohort", "right", "batch", "blocks", {"each.batch": 5},
        {"candidate": {"each.batch": 10}}, {"candidate": 0.5}, "salt", "bound", 50,
    )  # fmt: skip
    now = server.parts.clock()
    await server.parts.engine.append([
        Append(f"proposal/{proposal}", 0, now, (drafted, *moves, verdict, outcome)),
        Append(f"experiment/{experiment}", 0, now, (started, ExperimentEnded(experiment, "kept"))),
    ])  # fmt: skip
    return proposal


def addresses(site: Site) -> dict[str, str]:
    runs, proposals = site.runs, site.proposals
    return {
        "runs": "/",
        "run": f"/runs/{runs['completed']}",
        "failed run": f"/runs/{runs['failed']}",
        "asking run": f"/runs/{runs['asking']}",
        "events": f"/runs/{runs['failed']}/events",
        "proposals": "/proposals",
        "proposal": f"/proposals/{proposals['proposed']}",
        "kept": f"/proposals/{proposals['kept']}",
        "search": "/search?q=throttled+service",
        "trends": "/trends?hours=1",
        "costs": "/costs",
        "playbooks": "/playbooks",
        "playbook": "/playbooks/pages/cohort",
        "schedules": "/schedules",
        "system": "/system",
    }


def axe_script() -> str:
    found = find_spec("axe_playwright_python")
    assert found is not None, "the page tests need axe-playwright-python (the dev extra)"
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_quiet_and_served_from_here_alone(
    site: Site, browser: Browser, cookies: list[Any], theme: Any
) -> None:
    context = browser.new_context(color_scheme=theme, viewport={"width": 1280, "height": 900})
    context.add_cookies(cookies)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    axe, faults = axe_script(), []
    for name, path in addresses(site).items():
        answer = page.goto(site.url + path)
        assert answer is not None
        assert answer.status == 200, name
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "")
        for chart in page.locator("[data-chart]").all():
            chart.locator("svg").wait_for()
        expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate(axe)
        for v in page.evaluate("() => axe.run().then(r => r.violations)"):
            faults.append((name, v["id"], v["nodes"][0]["target"], v["nodes"][0]["any"][:1]))
    context.close()
    foreign = [url for url in asked if not url.startswith((site.url, "data:"))]
    assert (faults, said, foreign) == ([], [], [])


def test_no_page_is_wider_than_a_telephone(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for name, path in addresses(site).items():
        page.goto(site.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400, name


def test_everything_can_be_read_and_decided_without_javascript(
    site: Site, browser: Browser, cookies: list[Any]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(f"{site.url}/runs/{site.runs['failed']}")
    expect(page.locator("svg.net")).to_be_visible()
    expect(page.locator("svg.net")).to_have_attribute("aria-label", re.compile("right failed"))
    expect(page.locator(".alert-box")).to_contain_text("the schema of patient 4711 does not fit")
    expect(page.locator(".gantt tbody tr")).to_have_count(3)
    expect(page.locator(".events tbody tr").first).to_contain_text("run.failed")
    page.goto(f"{site.url}/?state=failed")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    proposal = site.propose("fetch", 8)
    page.goto(f"{site.url}/proposals/{proposal}")
    page.get_by_label("In your words").fill("not before the holidays")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("status")).to_contain_text("Rejected")
    expect(page.locator("#h-lesson")).to_be_visible()
    context.close()


def test_a_live_run_is_followed_to_its_end_without_a_reload(site: Site, page: Page) -> None:
    run = site.run(n=100, pause=0.1)
    page.goto(f"{site.url}/runs/{run}")
    page.evaluate("window.untouched = true")
    expect(page.locator("#live-word")).to_contain_text("Live")
    expect(page.locator(".lede .state").first).to_contain_text("completed", timeout=PATIENCE_MS)
    expect(page.locator("#live-word")).to_have_text("The run has ended.")
    expect(page.locator("svg.net")).to_have_attribute("aria-label", re.compile("merge succeeded"))
    assert page.evaluate("document.querySelector('svg.net').namespaceURI").endswith("2000/svg")
    assert page.evaluate("window.untouched") is True


def test_a_trial_is_followed_and_its_end_is_shown(site: Site, page: Page) -> None:
    proposal, reviews = site.propose("fetch", 3, knob="each.in_flight"), site.server.parts.reviews
    site.do(reviews.approve(proposal, "grace", frozenset({"approver"})))
    experiment = proposal.replace("p-", "x-")
    page.goto(f"{site.url}/proposals/{proposal}")
    expect(page.locator(".lede .state").first).to_contain_text("being tried", timeout=PATIENCE_MS)
    page.evaluate("window.untouched = true")
    expect(page.locator("#live-word")).to_contain_text("follows the trial")
    units = {"control": 4711, "candidate": 4712}
    verdict = VerdictReached(
        proposal, experiment, "inconclusive", "collecting", units, {}, final=False
    )
    site.do(site.append(f"proposal/{proposal}", verdict))
    expect(page.locator("#proposal")).to_contain_text("4,712", timeout=PATIENCE_MS)
    assert page.evaluate("window.untouched") is True
    site.do(reviews.rollback(proposal, "grace", frozenset({"operator"}), "enough was seen"))
    expect(page.locator(".lede .state").first).to_contain_text("rolled back", timeout=PATIENCE_MS)
    assert page.evaluate("window.untouched") is None


def test_a_new_run_appears_in_the_list_by_itself(site: Site, page: Page) -> None:
    page.goto(site.url)
    run = site.run()
    row = page.locator(f"#row-{run}")
    expect(row).to_be_visible(timeout=PATIENCE_MS)
    expect(row).to_contain_text("completed", timeout=PATIENCE_MS)


def test_updates_can_be_paused(site: Site, page: Page) -> None:
    run = site.run(n=4000, pause=0.1)
    page.goto(f"{site.url}/runs/{run}")
    page.get_by_role("button", name="Pause updates").click()
    expect(page.locator("#live-word")).to_contain_text("Paused")
    before = page.locator("#run").inner_html()
    site.do(site.server.parts.engine.cancel(run, "ada", "seen enough"))
    site.do(site.server.parts.engine.wait(run))
    assert page.locator("#run").inner_html() == before


def test_twenty_loads_open_twenty_streams(site: Site, page: Page) -> None:
    run = site.run(n=4000, pause=0.1)
    for _ in range(20):
        with page.expect_response(re.compile(f"/runs/{run}/live$"), timeout=PATIENCE_MS) as opened:
            page.goto(f"{site.url}/runs/{run}", wait_until="domcontentloaded")
        assert opened.value.status == 200
    site.do(site.server.parts.engine.cancel(run, "ada", "seen enough"))


def test_an_approval_is_bound_to_what_the_page_showed(site: Site, page: Page) -> None:
    proposal = site.propose("fetch", 9)
    page.goto(f"{site.url}/proposals/{proposal}")
    expect(page.locator("svg.intervals")).to_have_attribute("aria-label", re.compile("44% less"))
    expect(page.locator("#h-policy + .card")).to_contain_text("Every guardrail")
    page.locator("input[name=expected]").evaluate("one => one.value = '0'.repeat(32)")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert")).to_contain_text("no longer what was read")
    assert life_of(site, proposal).state == "proposed"
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("Approved")
    assert life_of(site, proposal).approval is not None
    expect(page.locator(".lede .state").first).to_contain_text("being tried", timeout=PATIENCE_MS)
    page.get_by_label("Why").fill("a test is over")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_contain_text("Rolling back")


def test_the_author_is_not_offered_an_approval(site: Site, page: Page) -> None:
    proposal = site.propose("fetch", 7, author="admin")
    page.goto(f"{site.url}/proposals/{proposal}")
    expect(page.locator(".decide")).to_contain_text("somebody else has to approve it")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_form_that_is_not_ours_changes_nothing(site: Site, page: Page) -> None:
    proposal = site.propose("fetch", 6)
    for form in ({}, {"_csrf": "0" * 64}):
        answer = page.request.post(f"{site.url}/proposals/{proposal}/approve", form=form)
        assert answer.status == 403
    assert life_of(site, proposal).state == "proposed"


def test_predicted_stands_against_measured_at_the_end(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/proposals/{site.proposals['kept']}")
    figure = page.locator("svg.intervals").get_attribute("aria-label") or ""
    assert "cost, predicted: 44% less" in figure
    assert "cost, measured: 41% less" in figure
    expect(page.get_by_text("lies inside the predicted interval")).to_be_visible()
    expect(page.locator("#h-history + .card tbody tr")).to_have_count(9)


def test_a_search_finds_a_failure_and_leads_to_the_event(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/search")
    page.get_by_label("Search for").fill("the service was throttled")
    page.get_by_role("button", name="Search", exact=True).click()
    hit = page.locator(".hits li", has_text="failure").first
    expect(hit).to_contain_text("Why:")
    hit.get_by_role("link").click()
    expect(page.locator("tr:target")).to_contain_text("throttled")


def test_a_search_is_narrowed_by_facets_hardware_and_time_and_widened_again(
    site: Site, page: Page
) -> None:
    page.goto(f"{site.url}/search?q=the+service+was+throttled")
    found = page.locator(".facet", has_text="By kind")
    found.get_by_role("link", name="failure").click()
    expect(page.locator(".hits .kind").first).to_have_text("failure")
    page.get_by_text("Narrow it down").click()
    page.get_by_label("When").select_option("the last hour")
    page.get_by_label("Hardware").select_option("local")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".hits li").first).to_be_visible()
    expect(page).to_have_url(re.compile("hardware=local.*hours=1"))
    page.get_by_label("To (UTC)").fill("2020-01-01")
    page.get_by_label("When").select_option("any time")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".empty-state")).to_contain_text("Nothing found")
    page.get_by_role("link", name="Take out until 2020-01-01").click()
    expect(page.locator(".hits li").first).to_be_visible()
    page.get_by_role("link", name="Failures by cause").click()
    expect(page.get_by_role("status")).to_contain_text("the most frequent first")
    page.get_by_label("Search for").fill("the service was throttled")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("best first")


def test_a_chart_and_its_table_show_the_same_attempts(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/trends?hours=1&playbook=pages/cohort")
    expect(page.locator("[data-chart] svg").first).to_be_visible()
    expect(page.locator("[data-chart]").first).to_have_attribute("aria-label", re.compile("p99"))
    expect(page.get_by_role("heading", name=re.compile("Cost per"))).to_be_visible()
    expect(page.locator("table tbody tr").first).to_contain_text("pages/cohort")
    page.locator("select[name=by]").select_option("hardware")
    expect(page.get_by_role("heading", name="Latency of local")).to_be_visible()


def test_a_filter_keeps_its_address(site: Site, page: Page) -> None:
    page.goto(site.url)
    page.get_by_label("State").select_option("failed")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?.*state=failed"))
    page.reload()
    expect(page.locator(".runs tbody tr")).to_have_count(1)


def test_the_keyboard_reaches_content_first_and_the_theme_is_remembered(
    site: Site, page: Page
) -> None:
    page.goto(site.url)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to content")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    before = page.locator("html").get_attribute("data-bs-theme")
    page.locator("#theme").press("Enter")
    page.goto(f"{site.url}/system")
    expect(page.locator("html")).not_to_have_attribute("data-bs-theme", str(before))


def test_what_is_not_there_is_said_as_a_page(site: Site, page: Page, browser: Browser) -> None:
    for path in ("/runs/" + "0" * 32, "/proposals/p-000000000000", "/playbooks/no/such"):
        answer = page.goto(site.url + path)
        assert answer is not None
        assert answer.status == 404
        expect(page.locator("main")).to_contain_text("There is no")
        expect(page.get_by_role("link", name="Go to the runs")).to_be_visible()
    stranger = browser.new_context()
    other = stranger.new_page()
    answer = other.goto(site.url)
    assert answer is not None
    assert answer.status == 401
    expect(other.locator("main")).to_contain_text("trimtab sign-in")
    stranger.close()


def test_a_sign_in_link_works_once_and_signing_out_ends_it(site: Site, browser: Browser) -> None:
    link, context = site.link(), browser.new_context()
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    answer = page.goto(link)
    assert answer is not None
    assert answer.status == 401
    expect(page.locator("main")).to_contain_text("this link was used")
    context.close()


def test_an_empty_installation_says_the_next_command(bare: Site, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(bare.link())
    nothing_yet = {
        "/": "trimtab run",
        "/proposals": "trimtab optimize once",
        "/search": "trimtab search",
        "/schedules": "trimtab schedule",
    }
    for path, command in nothing_yet.items():
        page.goto(bare.url + path)
        expect(page.locator(".empty-state .command")).to_contain_text(command)
    context.close()


def test_without_a_record_the_pages_say_so(bare: Site, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(bare.link())
    for path in ("/search?q=anything", "/trends", "/costs"):
        page.goto(bare.url + path)
        expect(page.get_by_role("alert")).to_contain_text("switched off")
    page.goto(bare.url + "/system")
    expect(page.locator("main")).to_contain_text("switched off")
    context.close()


def life_of(site: Site, proposal: str) -> Proposal:
    return site.server.parts.reviews.docket.proposals[proposal]


def test_what_a_run_waits_for_is_given_on_its_page_without_javascript(
    site: Site, browser: Browser, cookies: list[Any]
) -> None:
    run = site.run("pages/asking")
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(f"{site.url}/runs/{run}")
    page.get_by_label("Its value, as JSON or text").fill("12.5")
    page.get_by_role("button", name="Send the signal").click()
    expect(page.get_by_role("button", name="Send the signal")).to_have_count(0)
    question = page.get_by_role("group", name="Ship order 17?")
    question.get_by_label("In your words").fill("by hand")
    question.get_by_role("button", name="Yes").click()
    expect(question).to_have_count(0)  # the answer's page is there
    site.do(site.server.parts.engine.wait(run))
    page.reload()
    expect(page.locator(".lede .state").first).to_contain_text("completed")
    expect(page.locator("#run")).to_contain_text("12.5, by hand")
    expect(page.get_by_role("heading", name="Waits for you")).to_have_count(0)
    context.close()


def test_what_may_be_done_with_a_run_changes_as_it_goes_and_what_is_written_stays(
    site: Site, page: Page
) -> None:
    run, engine = site.run("pages/asking"), site.server.parts.engine
    page.goto(f"{site.url}/runs/{run}")
    note = page.get_by_role("group", name="Ship order 17?").get_by_label("In your words")
    note.fill("half a sent")
    site.do(engine.signal(run, "paid", 3, "bob"))
    expect(page.get_by_role("button", name="Send the signal")).to_have_count(0)
    site.do(engine.pause(run, "bob", "lunch"))
    expect(page.get_by_role("button", name="Resume the run")).to_be_visible()
    expect(page.locator("#run")).to_contain_text("Reason given: lunch")
    expect(note).to_be_focused()
    note.press_sequentially("ence")
    expect(note).to_have_value("half a sentence")
    site.do(engine.resume(run, "bob"))
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(".lede .state").first).to_contain_text("completed")
    expect(page.locator("#run")).to_contain_text("3, half a sentence")
    page.get_by_role("link", name="Find similar runs").click()
    expect(page).to_have_url(re.compile(f"/search\\?like={run}"))


def test_a_run_that_is_cancelled_with_no_grace_can_be_retried_from_its_page(
    site: Site, page: Page
) -> None:
    run = site.run("pages/hanging")
    page.goto(f"{site.url}/runs/{run}")
    page.get_by_label("Why").fill("it hangs")
    page.get_by_role("button", name="Cancel, with no grace").click()
    site.do(site.server.parts.engine.wait(run))
    page.goto(f"{site.url}/runs/{run}")
    expect(page.locator("#run")).to_contain_text("it hangs")
    page.get_by_role("button", name="Retry from where it stopped").click()
    expect(page.locator(".lede code").first).not_to_have_text(run)
    again = page.url.rsplit("/", 1)[1]
    site.do(site.server.parts.engine.cancel(again, "ada", now=True))
    site.do(site.server.parts.engine.wait(again))


def test_the_system_page_says_which_step_is_poison_and_what_to_do(site: Site, page: Page) -> None:
    engine = site.server.parts.engine
    while not engine.status["poison"]:
        site.do(engine.wait(site.run("pages/killing")))
    page.goto(f"{site.url}/system")
    page.evaluate(axe_script())
    assert page.evaluate("() => axe.run().then(r => r.violations)") == []
    poison = page.get_by_role("region", name="Poison steps")
    expect(poison).to_contain_text("pages/killing step die")
    expect(poison).to_contain_text("exit code 3, 5 times in a row")
    expect(poison).to_contain_text("trimtab playbook clear pages/killing die")
