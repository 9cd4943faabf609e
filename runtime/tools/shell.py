"""The ``shell`` tool: a command line, in a process group that ends with the attempt.

Arguments of the step reach the command as environment variables, and the items of a
batch as JSON lines on its standard input: values are never pasted into the command, so
none of them can become code. What the command leaves running is killed when it exits.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from typing import IO, Any, ClassVar, Final

import msgspec

from runtime import kernel
from runtime.errors import DataError, Permanent
from runtime.tools.faults import clip, how_it_ended
from runtime.tools.port import SECRET_PREFIX, Call, Outcome, encode_json

_KEPT: Final = 1 << 20
"""How much of the output's end is kept for the result."""
_SHOWN: Final = 64 * 1024
_PIPE_READS: Final = 16
"""Reads of 64 KiB that empty the largest pipe; a writer that never stops has no more of them."""


class CommandFailed(Permanent):
    """The command ended with something other than 0. ``names`` is what `errors:` may say."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{how_it_ended(code)}{': ' if said else ''}{said}")
        self.names = (str(code),)


class ShellTool:
    """Runs a command with /bin/sh; an exit code other than 0 is a permanent failure."""

    kind: ClassVar[str] = "shell"

    def run(self, call: Call) -> Outcome:
        command, output = _command(call), call.text("output", "text")
        if output not in ("text", "json"):
            raise Permanent(f"tool shell: `output` is text or json, not {output!r}")
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            _feed(stdin, call)
            code, tail = _execute(command, call, stdin, stderr)
            said = _last_line(_copy(stderr))
        text = tail.decode("utf-8", "replace")
        if code:
            raise CommandFailed(code, said)
        if output == "json":
            return Outcome(_parsed(_last_line(text)))
        return Outcome({"exit_code": code, "stdout": clip(text, _SHOWN)})


def _execute(
    command: str | list[str], call: Call, stdin: IO[bytes], stderr: IO[bytes]
) -> tuple[int, bytearray]:
    """Run the command; return its exit code and the end of what it printed."""
    with _started(command, call, stdin, stderr) as process:
        if process.stdout is None:
            raise Permanent("the command's output could not be caught")
        tail = _listen(process, process.stdout)
        return process.wait(), tail


def _started(
    command: str | list[str], call: Call, stdin: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - this is what the tool is for
            command,
            shell=isinstance(command, str),
            cwd=call.run_folder,
            env=_environment(call),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            preexec_fn=_die_with_worker,
        )
    except FileNotFoundError as error:
        raise Permanent(f"there is no program {error.filename!r}") from error


def _command(call: Call) -> str | list[str]:
    """The command line, or the words that no shell reads."""
    run = call.tool.get("run")
    if isinstance(run, list) and run:
        return [_text(word) for word in run]
    return call.text("run")


def _die_with_worker() -> None:
    kernel.die_with_parent(signal.SIGKILL)


def _listen(process: subprocess.Popen[bytes], stdout: IO[bytes]) -> bytearray:
    """Pass the output on, keep its end, and stop when the command has exited.

    What it started in the background may hold the pipe open for ever; it is not waited for.
    """
    tail = bytearray()
    fd = stdout.fileno()
    os.set_blocking(fd, False)
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while True:
            ready = {known for known, _ in poll.poll()}
            if not _pass_on(fd, tail) or ended in ready:
                _pass_on(fd, tail)
                return tail
    finally:
        os.close(ended)


def _pass_on(fd: int, tail: bytearray) -> bool:
    """Read what is there, as much as a pipe holds; whether it is still open."""
    for _ in range(_PIPE_READS):
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        os.write(1, data)
        tail += data
        del tail[:-_KEPT]
    return True


def _feed(stdin: IO[bytes], call: Call) -> None:
    if call.task.items is not None:
        stdin.writelines(encode_json(item).encode() + b"\n" for item in call.items())
        stdin.seek(0)


def _environment(call: Call) -> dict[str, str]:
    extra = call.tool.get("env") or {}
    if not isinstance(extra, dict):
        raise Permanent("tool shell: `env` must map names to values")
    ours = {"TRIMTAB_KEY": call.task.key, "TRIMTAB_RUN": call.task.run}
    given = {name: _text(value) for name, value in {**call.task.args, **extra}.items()}
    theirs = {n: v for n, v in os.environ.items() if not n.startswith(SECRET_PREFIX)}
    return {**theirs, **ours, **given}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode_json(value)


def _copy(stderr: IO[bytes]) -> str:
    """Show what went to standard error, at most the end of it, and return that."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _SHOWN))
    data = stderr.read()
    os.write(2, data)
    return data.decode("utf-8", "replace")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _parsed(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise DataError(f"the last line of the output is not JSON ({error}): {line!r}") from error
