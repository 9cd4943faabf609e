"""The executions that search is judged on: jobs that really fail, against servers that are there.

``run`` starts a local service (errors, slow answers, broken connections, a certificate that
nobody signed), registers a playbook a job of `search_causes`, and runs every way of every job
in an engine of its own. The journal that comes of it is what search is asked about; each step
has one cause, so the cause of a failure is known from where it failed::

    python -m bench.search_corpus /tmp/corpus --each 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.search_causes import CAUSES, JOBS

AT_ONCE: Final = 40
_SEED: Final = 4


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a job fails."""

    cause: str
    job: str
    step: str
    tool: str
    what: str

    @property
    def playbook(self) -> str:
        """The path of the job's playbook."""
        return f"{self.job}/{PLAYBOOKS[self.job]}"


PLAYBOOKS: Final = {
    job: words.lower().replace(",", "").rstrip(".").split()[0] + "-" + job for job, words in
    JOBS.items()
}  # fmt: skip


def ways() -> list[Way]:
    """Return every way of every job, in the order of the causes."""
    return [
        Way(cause, *(part.strip() for part in line.split(" | ", 3)))
        for cause, lines in CAUSES.items()
        for line in lines.strip().splitlines()
    ]


def playbook(job: str, found: list[Way]) -> str:
    """Return a job's playbook: the input ``how`` says which of its steps runs; 0 is none."""
    routes: list[dict[str, Any]] = [
        {"to": way.step, "when": f"workload.how == {n}"} for n, way in enumerate(found, start=1)
    ]
    steps: list[dict[str, Any]] = [
        {"step": "begin", "next": [*routes, {"to": "done", "otherwise": True}]}
    ]
    steps += [_step(way) for way in found]
    steps.append(
        {
            "step": "done",
            "tool": {
                "kind": "python",
                "code": f"print('{job}:', workload['n'], 'parts are done')\nresult = 1",
            },
        }
    )
    inputs = {
        name: {"type": "integer", "default": 0} for name in ("how", "n", "port", "dead", "tls")
    }
    return json.dumps(  # JSON is YAML
        {
            "apiVersion": "trimtab/v1", "kind": "Playbook",
            "metadata": {"path": f"{job}/{PLAYBOOKS[job]}", "description": JOBS[job]},
            "workload": inputs, "workflow": steps,
        },
        indent=1,
    )  # fmt: skip


def _step(way: Way) -> dict[str, Any]:
    what = way.what.replace("\\n", "\n")
    step: dict[str, Any] = {"step": way.step, "retry": {"attempts": 1}, "timeout": "15s"}
    if way.tool in ("py", "slow", "memory"):
        step["tool"] = {
            "kind": "python",
            "code": f"print('{way.step} of part', workload['n'])\n{what}\nresult = 1",
        }
    elif way.tool in ("sql", "lite"):
        engine = "duckdb" if way.tool == "sql" else "sqlite"
        step["tool"] = {"kind": "sql", "engine": engine, "query": what}
    elif way.tool == "sh":
        step |= {"tool": {"kind": "shell", "run": what}, "effect": "idempotent"}
    else:
        step["tool"] = {"kind": "http", "url": _url(what), "allow_loopback": True}
    if way.tool == "slow":
        step["timeout"] = "400ms"
    if way.tool == "memory":
        step["memory"] = "300MB"
    return step


def _url(what: str) -> str:
    if what.startswith("dead:"):
        return "http://127.0.0.1:{{ workload.dead }}" + what.removeprefix("dead:")
    path = what if what.startswith("/") else "/quota" if what == "quota" else f"/status/{what}"
    return "http://127.0.0.1:{{ workload.port }}" + path.replace(":retry", "")


class _Service(BaseHTTPRequestHandler):
    """Answers each path with the trouble that it names."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            time.sleep(0.6)
        if self.path.startswith("/reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True  # and what was read is answered with a reset
            return
        if self.path.startswith("/status/"):
            self._say(int(self.path.removeprefix("/status/")[:3]), "no")
        elif self.path == "/quota":
            self._say(403, "monthly quota exceeded for this plan")
        elif self.path == "/cut":
            self._say(200, "half", length=4_000)
            self.close_connection = True
        elif self.path == "/html":
            self._say(200, "<html>Please sign in</html>")
        else:
            self._say(200, "{}")

    do_POST = do_PUT = do_GET  # noqa: N815 the names that http.server asks for

    def _say(self, status: int, text: str, length: int | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return  # the other side gave up, as it was meant to


@contextmanager
def service() -> Iterator[dict[str, int]]:
    """Run the local servers; yield their ports, and one where nothing listens."""
    plain = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    with tempfile.TemporaryDirectory() as kept:
        secure = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
        secure.socket = _certificate(Path(kept)).wrap_socket(
            secure.socket, server_side=True, do_handshake_on_connect=False
        )
    secure.handle_error = lambda *_: None  # type: ignore[method-assign]
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, never listening: nobody else gets the port
    for server in (plain, secure):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "port": plain.server_address[1], "tls": secure.server_address[1],
            "dead": closed.getsockname()[1],
        }  # fmt: skip
    finally:
        for server in (plain, secure):
            server.shutdown()
            server.server_close()
        closed.close()


def _certificate(folder: Path) -> ssl.SSLContext:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def run(folder: Path, each: int = 20, jobs: int | None = None) -> dict[str, int]:
    """Make the executions in a data folder; return how many ended in which way."""
    return asyncio.run(_run(folder, each, jobs))


async def _run(folder: Path, each: int, jobs: int | None) -> dict[str, int]:
    from runtime.data.folder import DataFolder
    from runtime.engine.engine import Submit
    from runtime.engine.local import open_local
    from runtime.playbook.bundle import load_text

    by_job: dict[str, list[Way]] = {job: [] for job in list(JOBS)[:jobs]}
    for way in ways():
        if way.job in by_job:
            by_job[way.job].append(way)
    chance = random.Random(_SEED)
    with service() as ports:
        async with open_local(DataFolder(folder), slots=6) as engine:
            wanted = []
            for job, found in by_job.items():
                await engine.register(load_text(playbook(job, found), {}), "bench")
                path = f"{job}/{PLAYBOOKS[job]}"
                wanted += [
                    Submit(path, {"how": how, "n": chance.randrange(1, 100_000), **ports})
                    for how in range(len(found) + 1)
                    for _ in range(each)
                ]
            chance.shuffle(wanted)
            turns = asyncio.Semaphore(AT_ONCE)

            async def end(submit: Submit) -> None:
                async with turns:
                    await engine.wait(await engine.submit(submit))

            await asyncio.gather(*map(end, wanted))
            rows = engine.journal.runs(limit=10_000_000)
    return dict(Counter(row.state for row in rows))


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--each", type=int, default=20, help="executions of each way")
    asked.add_argument("--jobs", type=int, help="the first so many jobs alone")
    args = asked.parse_args()
    print(run(args.folder, args.each, args.jobs))


if __name__ == "__main__":
    main()
