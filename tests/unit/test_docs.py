"""What we say in the docs runs, and the reference is what the code says today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from runtime.playbook.parse import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"\[[^\]]*\]\(([^)#\s]*)#([^)\s]+)\)")
PLACE = re.compile(
    r"`((?:runtime|optimizer|agents|control_plane|bench|tests)/[\w./-]+\.(?:py|md|json|sql|yaml))`"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)|<img[^>]*src=\"([^\"]+)\"")


def fences(language: str) -> list[tuple[str, str]]:
    """Every fenced example of a language, with the page it stands on."""
    found = []
    for page in PAGES:
        for kind, text in FENCE.findall(page.read_text(encoding="utf-8")):
            if kind == language:
                found.append((str(page.relative_to(ROOT)), text))
    return found


def writer() -> ModuleType:
    path = ROOT / "docs" / "reference" / "write.py"
    spec = importlib.util.spec_from_file_location("reference_writer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "text"), fences("python"))
def test_python_examples_run(page: str, text: str) -> None:
    exec(compile(text, page, "exec"), {"__name__": page})


@pytest.mark.parametrize(
    ("page", "text"), [(p, t) for p, t in fences("yaml") if "kind: Playbook" in t]
)
def test_playbooks_in_the_docs_parse_without_a_fault(page: str, text: str) -> None:
    assert parse(text, name=page).steps


@pytest.mark.parametrize("name", sorted(writer().PAGES))
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == writer().page(name), "stale: run `make docs`"


def test_the_pictures_of_a_runs_life_are_drawn_from_its_tables() -> None:
    text = writer().RUNS.read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- picture: (\w+) -->", text)) == set(writer().pictures())
    assert text == writer().drawn(text), "stale: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for pair in LINK.findall(page.read_text(encoding="utf-8")):
        target = pair[0] or pair[1]
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """What a link to this page may name behind its ``#``: its headings, as GitHub spells them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        spelled = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found |= {spelled} if spelled not in found else {f"{spelled}-1"}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    for target, name in HEADING.findall(page.read_text(encoding="utf-8")):
        there = (page.parent / target).resolve() if target else page
        if "://" not in target and there.suffix == ".md":
            assert name in anchors(there), f"{page.name} links to {target}#{name}"


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        links = (found[0] for found in LINK.findall(page.read_text(encoding="utf-8")))
        there = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        left += there & set(PAGES) - reached
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_product_that_a_page_names_are_there(page: Path) -> None:
    for name in PLACE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_verbs_of_the_makefile_are_listed_by_it() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z]+):.*##", text, re.MULTILINE))
    assert {"demo", "test", "check", "fmt", "bench", "help", "acceptance"} <= listed
