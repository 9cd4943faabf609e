"""DBOS Transact on SQLite: steps of one workflow, each durable in its database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbos import DBOS
from talk import serve

DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{Path.cwd() / 'dbos.sqlite'}",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
async def nothing(number: int) -> int:
    return number


@DBOS.workflow()
async def chain(steps: int) -> int:
    for number in range(steps):
        await nothing(number)
    return steps


@DBOS.workflow()
async def fan(steps: int) -> int:
    return len(await asyncio.gather(*(nothing(number) for number in range(steps))))


if __name__ == "__main__":
    DBOS.launch()
    asyncio.run(serve({"chain": chain, "fan": fan}))
    DBOS.destroy()
