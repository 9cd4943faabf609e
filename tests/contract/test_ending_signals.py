"""A process that is told to end hears it, in whatever moment the signal comes."""

from __future__ import annotations

import subprocess
import sys

PATIENCE_S = 240.0

TEMPLATE = """
import os, signal, socket
from runtime.workers.environment import environment
from runtime.workers.loop import Setting
from runtime.workers.orders import DOWN, SPAWN, UP, UP_RUNS
from runtime.workers.template import Template

for when in ("before", "after_in_parent"):
    os.register_at_fork(**{when: lambda: signal.raise_signal(signal.SIGTERM)})
pool, control = socket.socketpair()
ours, theirs = socket.socketpair()
tickets = os.pipe()
socket.send_fds(pool, [DOWN.pack(SPAWN, 1)], [theirs.fileno(), tickets[0]])
Template(control, Setting(environment())).run()
what, number, pid = UP.unpack(pool.recv(UP.size))
print(what == UP_RUNS, number)
try:
    os.kill(pid, 0)
except ProcessLookupError:
    print("its worker is gone")
"""

ELSEWHERE = """
import inspect, os, signal, sys
from runtime.tools.elsewhere import cancelling

code = inspect.unwrap(cancelling).__code__
lines, first = inspect.getsourcelines(code)
block = first + max(n for n, text in enumerate(lines) if text.strip() == "yield")

def play(moment, said):
    told = []

    def trace(frame, event, _):
        if frame.f_code is code and event == "line" and frame.f_lineno == moment and not told:
            told.append(moment)
            os.kill(os.getpid(), signal.SIGTERM)
        return trace

    sys.settrace(trace)
    with cancelling(lambda: os.write(said, b"cancelled ")):
        os.write(said, b"began ")
        if told:
            signal.pause()  # only the watch ends it now
    sys.settrace(None)
    os.write(said, b"went on " if told else b"not told ")

for moment in sorted({line for _, _, line in code.co_lines() if line}):
    read, said = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(60)
        play(moment, said)
        os._exit(0)
    os.close(said)
    os.waitpid(child, 0)
    print("before" if moment <= block else "after", os.read(read, 99).decode())
"""


def said_by(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_template_that_is_told_to_end_as_it_forks_ends_with_its_worker() -> None:
    assert said_by(TEMPLATE) == ["True 1", "its worker is gone"]


def test_work_elsewhere_is_cancelled_or_not_begun_at_whatever_line_the_end_is_told() -> None:
    said = said_by(ELSEWHERE)
    assert "before began cancelled " in said
    assert "after began " in said
    assert "before began " not in said
    assert not [line for line in said if "went on" in line]
