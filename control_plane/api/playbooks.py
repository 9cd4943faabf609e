"""Playbooks over HTTP: list, read, check, register."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone, problem_of
from control_plane.api.schemas import BundleSend, PoisonClear
from control_plane.playbooks import PlaybookLine, Playbooks, PlaybookView
from runtime.engine.engine import Engine
from runtime.playbook.advice import advice
from runtime.playbook.bundle import load_text
from runtime.playbook.faults import PlaybookError
from runtime.playbook.schema import json_schema


class PlaybooksController(Controller):
    """What there is to do with playbooks."""

    path = "/api/playbooks"
    tags = ("playbooks",)

    @get(guards=[requires("viewer")], operation_id="listPlaybooks", sync_to_thread=False)
    def page(self, playbooks: NamedDependency[Playbooks]) -> list[PlaybookLine]:
        """List the newest version of each playbook."""
        return playbooks.page()

    @get(
        "/{path:path}", guards=[requires("viewer")], operation_id="getPlaybook",
        sync_to_thread=False,
    )  # fmt: skip
    def read(
        self, path: FromPath[str], playbooks: NamedDependency[Playbooks],
        version: FromQuery[str | None] = None,
    ) -> PlaybookView:  # fmt: skip
        """Read a version (hash or number; else the newest) with its steps and their knobs."""
        return playbooks.get(str(path).strip("/"), version)

    @post(guards=[requires("author")], operation_id="registerPlaybook")
    async def register(
        self, data: JSONBody[BundleSend], request: Anyone, engine: NamedDependency[Engine],
        playbooks: NamedDependency[Playbooks],
    ) -> PlaybookView:  # fmt: skip
        """Register a playbook with the files beside it. The same bundle is the same version."""
        bundle = await asyncio.to_thread(load_text, data.source, data.files)
        registered = await engine.register(bundle, request.user.name)
        return playbooks.get(registered.path, registered.version)

    @post(
        "/validate", guards=[requires("viewer")], status_code=200,
        operation_id="validatePlaybook", sync_to_thread=True,
    )  # fmt: skip
    def validate(self, data: JSONBody[BundleSend]) -> dict[str, Any]:
        """Check a playbook without registering it: every fault at once, with its place.

        What is sound may get ``advice``, in the same form; it stands in nobody's way.
        """
        try:
            bundle = load_text(data.source, data.files)
        except PlaybookError as faults:
            problem = problem_of(faults)
            errors = problem.errors or [{"message": problem.detail}]
            return {"valid": False, "faults": errors}
        return {
            "valid": True, "faults": [], "path": bundle.path, "version": bundle.version,
            "advice": [asdict(one) for one in advice(bundle.playbook)],
        }  # fmt: skip

    @post(
        "/clear", guards=[requires("operator")], status_code=200, operation_id="clearPoison"
    )  # fmt: skip
    async def clear(
        self, data: JSONBody[PoisonClear], request: Anyone, engine: NamedDependency[Engine]
    ) -> dict[str, int]:
        """Let a step run again whose attempts killed their workers; says how many were."""
        engine.catalogue.latest(data.playbook)
        name = request.user.name
        return {"cleared": await engine.clear(data.playbook, data.step, name, data.reason)}


@get(
    "/schemas/playbook.json", opt={"public": True}, operation_id="playbookSchema",
    tags=["playbooks"], media_type="application/schema+json", sync_to_thread=False,
)  # fmt: skip
def editor_schema() -> dict[str, Any]:
    """The JSON Schema of playbooks, for editors; open to all, since it tells of nothing here."""
    return json_schema()
