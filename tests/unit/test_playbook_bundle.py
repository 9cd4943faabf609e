"""A bundle takes along what a playbook needs and changes its hash with nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runtime.playbook.bundle import SOURCE, Bundle, load, load_text, step_bound, unpack
from runtime.playbook.faults import BundleFault, PlaybookFaults
from runtime.playbook.parse import parse
from runtime.playbook.starter import FILES, write_starter

YAML = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: demo/orders}
workflow:
  - step: load
    tool: {kind: sql, file: queries/load.sql}
    next: enrich
  - step: enrich
    each: {in: "{{ load }}", batch: 10}
    tool: {kind: python, call: orders:enrich}
    tune: {each.batch: {min: 1, max: 50}}
    next: tell
  - step: tell
    tool:
      kind: python
      code: |
        import tools.words
        result = tools.words.say(1)
    publishes: {product: orders, contract: contracts/orders.yaml}
"""
FOLDER = {
    "orders.yaml": YAML,
    "orders.py": "import prices\n\ndef enrich(items):\n    return prices.of(items)\n",
    "prices.py": "import json\n\ndef of(items):\n    return items\n",
    "other.py": "def unused(): ...\n",
    "tools/__init__.py": "",
    "tools/words.py": "from . import letters\n\ndef say(x):\n    return x\n",
    "tools/letters.py": "",
    "queries/load.sql": "select 1 as n",
    "contracts/orders.yaml": "columns: {}\n",
    ".hidden/x.sql": "select 2",
    "README.md": "words",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FOLDER.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def loaded(folder: Path) -> Bundle:
    return load(folder / "orders.yaml")


def test_a_bundle_holds_what_the_playbook_needs_and_nothing_else(folder: Path) -> None:
    assert set(loaded(folder).files) == {
        "contracts/orders.yaml",
        "orders.py",
        "prices.py",
        "queries/load.sql",
        "tools/__init__.py",
        "tools/letters.py",
        "tools/words.py",
    }


def test_the_version_is_the_hash_of_yaml_and_files_alone(folder: Path, tmp_path: Path) -> None:
    before = loaded(folder)
    (folder / "other.py").write_text("changed = 1\n", encoding="utf-8")
    assert loaded(folder).version == before.version
    assert load_text(before.source, before.files).version == before.version
    (folder / "prices.py").write_text("def of(items):\n    return []\n", encoding="utf-8")
    assert loaded(folder).version != before.version
    assert len(before.version) == 32


def test_an_unpacked_bundle_is_the_bundle(folder: Path, tmp_path: Path) -> None:
    bundle = loaded(folder)
    target = tmp_path / "bundles" / bundle.version
    unpack(bundle, target)
    unpack(bundle, target)
    files = {f.relative_to(target).as_posix() for f in target.rglob("*") if f.is_file()}
    assert files == {SOURCE, *bundle.files}
    assert (target / "orders.py").read_text(encoding="utf-8") == FOLDER["orders.py"]
    assert [f.name for f in target.parent.iterdir()] == [bundle.version]


def test_line_ends_survive_the_journey(tmp_path: Path) -> None:
    bundle = load_text(FILES["hello.yaml"], {"hello.py": FILES["hello.py"].replace("\n", "\r\n")})
    unpack(bundle, tmp_path / "b")
    assert (tmp_path / "b" / "hello.py").read_bytes() == bundle.files["hello.py"].encode()


@pytest.mark.parametrize("name", ["../x.py", "/etc/x.py", "a/../../x.py", "", "a\\b.py"])
def test_a_file_outside_the_folder_is_refused(name: str) -> None:
    with pytest.raises(BundleFault, match="within the bundle"):
        load_text(FILES["hello.yaml"], {**FILES, name: ""})


def test_a_bound_changes_with_tool_files_and_knobs_and_with_nothing_else() -> None:
    def bound(source: str, step: str = "enrich", code: str = "x") -> str:
        return step_bound(parse(source), step, {"orders.py": code})

    first = bound(YAML)
    assert bound(YAML.replace("batch: 10}", "batch: 20}")) == first
    assert bound(YAML.replace("result = tools.words.say(1)", "result = 2")) == first
    assert bound(YAML.replace("orders:enrich", "orders:other")) != first
    assert bound(YAML.replace("max: 50", "max: 60")) != first
    assert bound(YAML, code="y") != first
    assert bound(YAML, step="load") != first


def test_a_called_package_needs_its_init(folder: Path) -> None:
    called = YAML.replace("orders:enrich", "tools.words:say")
    (folder / "orders.yaml").write_text(called, encoding="utf-8")
    assert "tools/words.py" in loaded(folder).files
    (folder / "tools" / "__init__.py").unlink()
    with pytest.raises(PlaybookFaults, match=r"there is no file tools/__init__\.py"):
        loaded(folder)


@pytest.mark.parametrize(
    ("change", "place", "message", "hint"),
    [
        ({"orders.py": None}, (10, 32), "there is no file orders.py", ""),
        ({"orders.py": "def enrch(): ..."}, (10, 32), "orders.py has no function enrich", "enrch"),
        ({"orders.py": "def enrich(:"}, (10, 32), "orders.py:1 is not Python", ""),
        ({"queries/load.sql": None}, (6, 29), "there is no file queries/load.sql", "beside"),
        ({"contracts/orders.yaml": None}, (19, 44), "no file contracts/orders.yaml", ""),
        ({"contracts/orders.yaml": "colums: {}"}, (19, 44), "unknown colums", ""),
        ({"orders.yaml": YAML.replace("say(1)", "say(1")}, (18, 33), "not Python", ""),
    ],
)
def test_a_fault_in_a_file_stands_where_the_yaml_names_it(
    folder: Path, change: dict[str, str | None], place: tuple[int, int], message: str, hint: str
) -> None:
    for name, text in change.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(PlaybookFaults) as caught:
        loaded(folder)
    [fault] = caught.value.faults
    assert message in fault.message
    assert hint in fault.hint
    assert (fault.line, fault.column) == place


@pytest.mark.parametrize(
    "code",
    [
        "async def enrich(items): ...",
        "from prices import of as enrich",
        "enrich = lambda items: items",
        "from prices import *",
        "try:\n    from fast import enrich\nexcept ImportError:\n    enrich = None",
        "class enrich: ...",
    ],
)
def test_a_function_may_come_about_in_any_way(folder: Path, code: str) -> None:
    (folder / "orders.py").write_text(code + "\n", encoding="utf-8")
    assert "orders.py" in loaded(folder).files


def test_a_module_that_is_installed_need_not_lie_beside_the_playbook() -> None:
    installed = next(iter(sys.stdlib_module_names & {"json"}))
    source = YAML.replace("orders:enrich", f"{installed}:dumps")
    files = {name: FOLDER[name] for name in ("queries/load.sql", "contracts/orders.yaml")}
    assert load_text(source, files).playbook.step("enrich").tool is not None


def test_a_file_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "prices.py").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleFault, match="is not UTF-8"):
        loaded(folder)


def test_a_file_that_is_too_large_is_refused(folder: Path) -> None:
    (folder / "queries" / "load.sql").write_text("-" * (1 << 20) + "-", encoding="utf-8")
    with pytest.raises(BundleFault, match="at most"):
        loaded(folder)


def test_the_starter_can_be_loaded_and_is_never_written_over(tmp_path: Path) -> None:
    paths = write_starter(tmp_path / "new")
    assert [path.name for path in paths] == ["hello.yaml", "hello.py"]
    bundle = load(paths[0])
    assert (bundle.path, list(bundle.files)) == ("hello", ["hello.py"])
    assert any(step.each for step in bundle.playbook.steps)
    paths[1].write_text("mine = 1\n", encoding="utf-8")
    with pytest.raises(BundleFault, match="is there already"):
        write_starter(tmp_path / "new")
    assert paths[1].read_text(encoding="utf-8") == "mine = 1\n"
