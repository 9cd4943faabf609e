"""Browsers sign in by a link that works once; what they change needs their page's token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from control_plane.auth import csrf_of
from control_plane.cli.embedded import embedded
from control_plane.serve import PortTaken, bind, open_server
from control_plane.settings import SettingFault, load
from runtime.data.folder import DataFolder
from runtime.playbook.schema import json_schema

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def browser(api: Any) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=api.url, headers={"accept": "text/html"}) as http:
        yield http


def sign_in(api: Any, browser: httpx2.Client, who: str) -> str:
    """Sign a browser in and return the token of its pages."""
    link = api.post("/api/sign-in", who=who)["path"]
    answer = browser.get(link)
    assert answer.status_code in (302, 303, 307), answer.text
    assert "httponly" in answer.headers["set-cookie"].lower()
    return csrf_of(browser.cookies["trimtab_session"])


def test_a_link_signs_in_once_and_as_its_maker(api: Any, browser: httpx2.Client) -> None:
    link = api.post("/api/sign-in", who="operator")["path"]
    assert browser.get(link).headers["location"] == "/"
    me = browser.get("/api/me").json()
    assert (me["name"], me["via"]) == ("operator", "session")
    with httpx2.Client(base_url=api.url) as other:
        assert other.get(link).status_code == 401
        assert other.get("/api/me").status_code == 401


def test_a_change_by_cookie_needs_the_pages_token(api: Any, browser: httpx2.Client) -> None:
    token = sign_in(api, browser, "operator")
    kill = {"scope": "tests/nothing", "on": False}
    refused = browser.post("/api/kill", json=kill)
    assert (refused.status_code, refused.json()["reason"]) == (403, "csrf")
    assert browser.post("/api/kill", json=kill, headers={"x-csrf-token": "no"}).status_code == 403
    assert browser.post("/api/kill", json=kill, headers={"x-csrf-token": token}).status_code == 200


def test_a_form_carries_the_token_in_a_field(api: Any, browser: httpx2.Client) -> None:
    token = sign_in(api, browser, "viewer")
    assert browser.post("/sign-out", content="_csrf=wrong", headers=FORM).status_code == 403
    assert browser.get("/api/me").status_code == 200
    gone = browser.post("/sign-out", content=f"_csrf={token}", headers=FORM)
    assert gone.status_code == 303
    assert browser.get("/api/me").status_code == 401


def test_a_browser_that_is_not_signed_in_gets_a_page_not_json(browser: httpx2.Client) -> None:
    answer = browser.get("/proposals")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "trimtab sign-in" in answer.text


def test_only_health_sign_in_and_the_schema_are_open(api: Any) -> None:
    schema = api.ask("GET", "/schema", None).json()
    public: set[str] = set()
    for path, verbs in schema["paths"].items():
        concrete = re.sub(r"\{[^}]*\}", "x", path)
        for verb in verbs:
            answer = api.ask(verb.upper(), concrete, None, json={})
            if answer.status_code != 401:
                public.add(path)
    assert {path for path in public if path.split("/")[1] != "schema"} == {
        "/health/live", "/health/ready", "/schemas/playbook.json",
    }  # fmt: skip


def test_every_operation_has_a_name_and_says_what_it_does(api: Any) -> None:
    schema = api.ask("GET", "/schema", None).json()
    ours = [verbs for path, verbs in schema["paths"].items() if not path.startswith("/schema")]
    told = [operation for verbs in ours for operation in verbs.values()]
    names = [operation["operationId"] for operation in told]
    assert len(names) == len(set(names))
    assert all(operation.get("description") for operation in told)


def test_one_client_may_ask_only_so_often(data: DataFolder) -> None:
    flags = {"server.port": 0, "record.enabled": False, "limits.requests_per_minute": 5}
    settings, sources = load(data, {}, flags)
    with embedded(data, settings, sources, record=False) as url:
        key = data.admin_key.read_text()
        headers = {"Authorization": f"Bearer {key}"}
        answers = [httpx2.get(f"{url}/api/me", headers=headers) for _ in range(6)]
        assert [a.status_code for a in answers] == [200] * 5 + [429]
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert httpx2.get(f"{url}/health/live").status_code == 200


def test_it_refuses_to_listen_to_others_before_there_is_a_key(data: DataFolder) -> None:
    settings, sources = load(data, {}, {"server.host": "0.0.0.0", "server.port": 0})
    with pytest.raises(SettingFault, match="refuses to listen on 0\\.0\\.0\\.0"):
        asyncio.run(open_server(data, settings, sources))
    assert not data.journal.exists()


def test_a_taken_port_is_passed_over_unless_it_was_asked_for() -> None:
    first = bind("127.0.0.1", 0, search=False)
    first.listen()
    port = first.getsockname()[1]
    second = bind("127.0.0.1", port, search=True)
    assert second.getsockname()[1] != port
    with pytest.raises(PortTaken, match=str(port)):
        bind("127.0.0.1", port, search=False)
    first.close()
    second.close()


def test_the_schema_of_playbooks_is_served_to_editors(api: Any) -> None:
    answer = api.ask("GET", "/schemas/playbook.json", None)
    assert answer.headers["content-type"].startswith("application/schema+json")
    assert answer.json() == json_schema()
