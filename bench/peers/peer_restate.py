"""Restate: a server of its own on loopback, and a service in its Python SDK that it calls.

Steps are journalled with ``ctx.run_typed``. The server's binary is ``$RESTATE_SERVER``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import hypercorn.asyncio
import hypercorn.config
import restate
from talk import Job, serve

SETTINGS = 'disable-telemetry = true\nrocksdb-total-memory-size = "512.0 MiB"\n'
START_S = 60.0
service = restate.Service("bench")


async def nothing(number: int) -> int:
    return number


@service.handler()
async def chain(ctx: restate.Context, steps: int) -> int:
    for number in range(steps):
        await ctx.run_typed(f"s{number}", nothing, restate.RunOptions(), number)
    return steps


@service.handler()
async def fan(ctx: restate.Context, steps: int) -> int:
    started = [
        ctx.run_typed(f"s{number}", nothing, restate.RunOptions(), number)
        for number in range(steps)
    ]
    await restate.gather(*started)
    return len([await one for one in started])


@contextmanager
def server(ports: dict[str, int]) -> Iterator[None]:
    """A server with its data in this folder, ended with this program."""
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    Path("restate.toml").write_text(SETTINGS, "utf-8")
    command = [
        os.environ["RESTATE_SERVER"],
        "--no-logo",
        "-c",
        "restate.toml",
        "--base-dir",
        "data",
    ]
    command += ["--node-name", "n1", "--bind-ip", "127.0.0.1", "--default-num-partitions", "4"]
    command += ["--log-filter", "warn", "--listen-mode", "tcp"]
    settings = {
        "RESTATE_BIND_ADDRESS": at["node"],
        "RESTATE_ADVERTISED_ADDRESS": f"http://{at['node']}",
        "RESTATE_INGRESS__BIND_ADDRESS": at["ingress"],
        "RESTATE_ADMIN__BIND_ADDRESS": at["admin"],
        "DO_NOT_TRACK": "1",
    }
    with subprocess.Popen(command, stdout=sys.stderr, env={**os.environ, **settings}) as process:
        try:
            yield
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def until_ok(http: httpx.AsyncClient, url: str, body: object) -> httpx.Response:
    """Ask until the server, which is starting, gives an answer."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                answer = await http.post(url, json=body)
                if answer.is_success:
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def job(http: httpx.AsyncClient, url: str) -> Job:
    async def done(size: int) -> int:
        answer = await http.post(url, json=size)
        return int(answer.raise_for_status().json())

    return done


async def main() -> None:
    ports = {name: free_port() for name in ("node", "ingress", "admin", "service")}
    stop = asyncio.Event()
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{ports['service']}"]
    config.h2_max_concurrent_streams = 1000
    config.keep_alive_timeout = 600
    app = restate.app(services=[service])
    web = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    with server(ports):
        async with httpx.AsyncClient(timeout=250) as http:
            here = f"http://127.0.0.1:{ports['service']}"
            await until_ok(http, f"http://127.0.0.1:{ports['admin']}/deployments", {"uri": here})
            ingress = f"http://127.0.0.1:{ports['ingress']}/bench"
            await until_ok(http, f"{ingress}/chain", 1)
            await serve({name: job(http, f"{ingress}/{name}") for name in ("chain", "fan")})
    stop.set()
    await asyncio.wait_for(web, 10)


if __name__ == "__main__":
    asyncio.run(main())
